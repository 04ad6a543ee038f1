"""Names of metrics, and what a metric computes from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from torch import Tensor

from recbench.errors import ConfigError
from recbench.registry import Registry

registry: Registry[Tensor] = Registry("metric", "recbench.metrics")

Computes = Literal["user", "lists", "ratings"]
"""What a metric's function takes and gives.

``user``: ``f(ranking, k) -> (U,)`` float64, one value a user; the metric is their mean (NaN: not defined for
that user, left out of the mean). ``lists``: ``f(ranking, k) -> ()``, one value for all lists together.
``ratings``: ``f(predicted (N,), actual (N,)) -> ()``.
"""


def register(
    name: str, *, computes: Computes = "user", cut: bool = True, better: Literal["higher", "lower"] = "higher"
) -> Callable[[Any], Any]:
    """Return the decorator that registers a metric.

    Args:
        name: How it is written before the ``@``.
        computes: See ``Computes``.
        cut: Whether it is cut at k (``ndcg@10``) or has none (``auc``).
        better: Which values win a comparison and early stopping.
    """
    return registry.register(name, computes=computes, cut=cut, better=better)


@dataclass(frozen=True)
class MetricName:
    """A metric as users write it: ``MetricName("ndcg", 10)`` prints as ``ndcg@10``."""

    name: str
    k: int | None

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if registry.entry(self.name).traits["better"] == "higher" else -1

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"


def parse(text: str) -> MetricName:
    """Return the metric that ``text`` names.

    Raises:
        ConfigError: No such metric, or k is missing, superfluous or not a positive whole number.
    """
    match = re.fullmatch(r"([a-z_0-9]+)(?:@([0-9]+))?", text)
    if match is None:
        raise ConfigError(f"metric {text!r}: write it as 'ndcg@10', or as 'auc' where it has no cut.")
    entry, k = registry.entry(match[1]), match[2]
    if entry.traits["cut"] and (k is None or int(k) == 0):
        raise ConfigError(f"metric {text!r}: needs the length of the list, e.g. '{match[1]}@10'.")
    if not entry.traits["cut"] and k is not None:
        raise ConfigError(f"metric {text!r}: is not cut at k; write {match[1]!r}.")
    return MetricName(match[1], None if k is None else int(k))


def _check(text: str) -> str:
    try:
        return str(parse(text))
    except ConfigError as error:
        raise ValueError(str(error)) from None


MetricText = Annotated[str, AfterValidator(_check)]
"""The type of an option that names a metric with its cut."""
