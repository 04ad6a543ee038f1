"""Fitting in epochs, of which one is kept: what the trainers that do so have in common."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor
from tqdm.auto import tqdm

from recbench import metrics
from recbench.errors import ConfigError
from recbench.metrics import MetricText
from recbench.models import Model
from recbench.options import Config
from recbench.trainers.base import EpochRecord, FitResult

PATIENCE = 10


class EpochsConfig(Config):
    """Options of every trainer that goes in epochs."""

    epochs: int = Field(100, ge=0)
    """Passes over the training interactions, at most; 0 evaluates the model as it starts."""

    selection: Literal["auto", "valid", "last", "test"] = "auto"
    """Which epoch is kept: the best on validation, the last, or (only in experiments that say so) the best on
    test; auto is valid where there is a validation part, else last."""

    monitor: MetricText = "ndcg@10"
    """Metric that chooses the epoch, one of ``evaluation.metrics``; where ndcg@10 is not among them and nothing is
    said here, the first of them."""

    patience: int | None = Field(PATIENCE, ge=1)
    """Evaluations without improvement after which training stops; null never stops early."""

    evaluate_every: int = Field(1, ge=1)
    """Epochs between two evaluations."""

    @model_validator(mode="after")
    def _waits_for_what_it_selects(self) -> Self:
        if self.patience not in (PATIENCE, None) and self.selection == "last":
            raise ValueError(
                f"patience = {self.patience}: has no effect with selection='last', which never stops early; leave it "
                "alone, or choose another selection."
            )
        return self


def fit_in_epochs(
    model: Model,
    epochs: Iterator[dict[str, float]],
    config: EpochsConfig,
    *,
    validate: Callable[[Model], Mapping[str, float]] | None,
    on_epoch: Callable[[EpochRecord], None] | None,
    progress: bool,
) -> FitResult:
    """Go through ``epochs`` and leave ``model`` as it was after the chosen one.

    Args:
        model: What ``epochs`` fits.
        epochs: Without end; each step trains for one epoch and gives its values, such as the loss.
        config: How many, and which one is kept.
        validate: Gives the metrics of the part that chooses the epoch; None where there is no such part.
        on_epoch: Is told of each epoch.
        progress: Whether to draw a progress bar where the output is a terminal.

    Raises:
        ConfigError: A selection without the part it needs, or a monitor that is not measured.
    """
    chosen = _Chosen(config, validate is not None)
    begun = time.perf_counter()
    curve = []
    model.train()
    for epoch in tqdm(
        range(1, config.epochs + 1),
        desc="fit",
        unit="epoch",
        delay=1,
        leave=False,
        disable=None if progress else True,
    ):
        values = next(epochs)
        evaluated = validate is not None and (epoch % config.evaluate_every == 0 or epoch == config.epochs)
        if evaluated:
            assert validate is not None
            measured = validate(model)
            part = "test" if chosen.selection == "test" else "valid"
            values |= {f"{part}/{name}": value for name, value in measured.items()}
            chosen.see(epoch, measured, model)
        curve.append(EpochRecord(epoch, values))
        if on_epoch is not None:
            on_epoch(curve[-1])
        if chosen.done:
            break
    best_epoch = chosen.restore(model, last=len(curve))
    model.eval()
    return FitResult(best_epoch, tuple(curve), time.perf_counter() - begun)


class _Chosen:
    """Which epoch is kept, and when there is no use in going on."""

    def __init__(self, config: EpochsConfig, has_validation: bool) -> None:
        self.monitor = config.monitor
        self.patience = config.patience
        self.selection = config.selection
        if self.selection == "auto":
            self.selection = "valid" if has_validation else "last"
        if self.selection != "last" and not has_validation:
            raise ConfigError(
                f"trainer.selection = {self.selection!r}: the split has no such part; use 'last', or a split with one."
            )
        self.best_value = -math.inf
        self.best_epoch: int | None = None
        self.best_state: dict[str, Tensor] = {}
        self.waited = 0

    @property
    def done(self) -> bool:
        """Whether ``patience`` evaluations in a row were no better than the best."""
        return self.selection != "last" and self.patience is not None and self.waited >= self.patience

    def see(self, epoch: int, measured: Mapping[str, float], model: Model) -> None:
        """Keep the parameters where the monitored metric is better than ever; of equals the earlier stays."""
        if self.selection == "last":
            return
        found = [value for name, value in measured.items() if name.partition("[")[0] == self.monitor]
        if not found:
            raise ConfigError(
                f"trainer.monitor = {self.monitor!r}: is not measured; add it to evaluation.metrics or choose one of: "
                f"{', '.join(measured)}."
            )
        if math.isnan(found[0]):
            raise ConfigError(f"trainer.monitor = {self.monitor!r}: is not defined for any user in epoch {epoch}.")
        value = found[0] * metrics.parse(self.monitor).sign
        self.waited += 1
        if value > self.best_value:
            self.best_value, self.best_epoch, self.waited = value, epoch, 0
            self.best_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def restore(self, model: Model, last: int) -> int:
        """Give ``model`` the chosen epoch's parameters and return that epoch."""
        if self.best_epoch is None:
            return last
        model.load_state_dict(self.best_state)
        return self.best_epoch
