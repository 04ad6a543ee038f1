"""Where a search may look: for each option an interval, or some values to choose from."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from recbench.options import Config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MAX_LISTED = 100_000
"""Settings of a finite space that are listed one by one; a larger one counts as endless."""


class Interval(Config):
    """Numbers from ``low`` to ``high``, both of them included."""

    low: float
    """The smallest."""

    high: float
    """The largest."""

    step: float | None = Field(None, gt=0)
    """Between two values; null for all numbers, or all whole ones."""

    log: bool = False
    """Whether each power of ten is looked at as much as the next."""

    whole: bool = False
    """Whether the numbers are whole."""

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the interval from {self.low:g} to {self.high:g} holds no number.")
        if self.log and self.low <= 0:
            raise ValueError(f"the interval from {self.low:g} cannot be searched by powers: it should begin above 0.")
        if self.log and self.step is not None:
            raise ValueError("an interval that is searched by powers has no step.")
        return self

    def distribution(self) -> BaseDistribution:
        """Return what optuna draws from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def coded(self, value: Any) -> Any:
        """Return ``value`` as optuna has it, None where it is none of the interval's."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return None
        number = int(value) if self.whole else float(value)
        return number if self.distribution()._contains(number) else None

    def decoded(self, code: Any) -> Any:
        """Return the value that optuna has as ``code``, to four digits: it has a name to fit in, and no more matter."""
        if self.whole or self.step is not None:
            return code
        return min(max(float(f"{code:.4g}"), self.low), self.high)

    def ends(self) -> tuple[Any, ...]:
        """Return the values that have to be allowed for all to be."""
        return tuple(int(end) if self.whole else end for end in (self.low, self.high))

    def values(self) -> Sequence[Any] | None:
        """Return all values, None where they are too many."""
        step = self.step or (1 if self.whole else None)
        if step is None or (self.high - self.low) / step >= MAX_LISTED:
            return None
        numbers = (self.low + place * step for place in range(math.floor((self.high - self.low) / step + 1e-9) + 1))
        return [int(number) if self.whole else number for number in numbers]


class Choice(Config):
    """Some values in no order."""

    choices: tuple[Any, ...] = Field(min_length=1)
    """Plain values, each once."""

    def distribution(self) -> BaseDistribution:
        """Return what optuna draws from."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([json.dumps(choice) for choice in self.choices])

    def coded(self, value: Any) -> Any:
        """Return ``value`` as optuna has it, None where it is none of the choices."""
        return next((json.dumps(choice) for choice in self.choices if same(choice, value)), None)

    def decoded(self, code: Any) -> Any:
        """Return the value that optuna has as ``code``."""
        return json.loads(code)

    def ends(self) -> tuple[Any, ...]:
        """Return the values that have to be allowed for all to be."""
        return self.choices

    def values(self) -> Sequence[Any] | None:
        """Return all values."""
        return self.choices


Domain = Interval | Choice
Space = Mapping[str, Domain]
"""By option, such as ``trainer.lr``."""


def same(one: Any, other: Any) -> bool:
    """Return whether two plain values are the same; 1 and 1.0 are, 1 and true are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def settings(space: Space) -> Iterator[dict[str, Any]] | None:
    """Return all settings of ``space`` one by one, None where they are too many to list."""
    values = [domain.values() for domain in space.values()]
    if any(several is None for several in values):
        return None
    listed = [several for several in values if several is not None]
    if math.prod(map(len, listed)) > MAX_LISTED:
        return None
    return (dict(zip(space, chosen)) for chosen in itertools.product(*listed))


def with_options(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain nested values ``given`` with ``options`` such as ``{"model.dim": 8}`` in them."""
    changed = dict(given)
    for key, value in options.items():
        part, _, option = key.partition(".")
        changed[part] = {**(changed.get(part) or {}), option or "name": value}
    return changed


def options_in(plain: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the values that the complete configuration ``plain`` has where ``space`` looks.

    An option that its parts have not, such as one of a sampler where there is none, is left out.
    """
    found = {}
    for key in space:
        part, _, option = key.partition(".")
        inner = plain.get(part) or {}
        if (option or "name") in inner:
            found[key] = inner[option or "name"]
    return found
