"""Fitting in epochs, of which one is kept: what the trainers that do so have in common."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from tqdm.auto import tqdm

from recbench import metrics
from recbench.checkpoints import Best, Checkpoints, TrainingState
from recbench.errors import ConfigError, RunError
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


class Engine(ABC):
    """Trains a model, epoch after epoch, in a way that can be taken up again.

    What is random in an epoch follows from the seed and the epoch's number alone. So an engine that keeps nothing
    from one epoch to the next but the model itself has the state ``{}``.
    """

    after_step: Callable[[], None] = staticmethod(lambda: None)
    """To be called by ``epoch`` wherever ``state`` can be asked for; an engine that can be taken up only between
    epochs leaves it alone."""

    @abstractmethod
    def epoch(self, number: int) -> dict[str, float]:
        """Train for epoch ``number``, counted from 1, and return its values, such as the loss.

        Right after ``restore`` of a state from the middle of this epoch: for the rest of it, and return the values of
        all of it.

        Raises:
            DivergedError: The loss stopped being finite.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return nested tensors, numbers and texts: all that the next steps depend on beside the model's tensors.

        Raises:
            DivergedError: A parameter is not finite, so that nobody should go on from here.
        """

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; the model has its tensors already."""


def fit_in_epochs(
    model: Model,
    engine: Engine,
    config: EpochsConfig,
    *,
    validate: Callable[[Model], Mapping[str, float]] | None,
    on_epoch: Callable[[EpochRecord], None] | None,
    progress: bool,
    checkpoints: Checkpoints | None,
) -> FitResult:
    """Train epoch by epoch, from where an earlier attempt ended, and leave ``model`` as it was after the chosen one.

    Args:
        model: What ``engine`` trains.
        engine: Trains for one epoch at a time.
        config: How many, and which one is kept.
        validate: Gives the metrics of the part that chooses the epoch; None where there is no such part.
        on_epoch: Is told of each epoch that was not over before.
        progress: Whether to draw a progress bar where the output is a terminal.
        checkpoints: What an earlier attempt left, and where to keep the states of this one; None keeps none.

    Raises:
        ConfigError: A selection without the part it needs, or a monitor that is not measured.
        DivergedError: The loss stopped being finite.
        KeyboardInterrupt: Somebody asked to stop; where there are checkpoints, the state is kept.
    """
    checkpoints = checkpoints or Checkpoints()
    chosen = _Chosen(config, validate is not None)
    begun = time.perf_counter()
    curve: list[EpochRecord] = []
    values: dict[str, float] | None = None

    def state() -> TrainingState:
        seconds = time.perf_counter() - begun
        return TrainingState(
            model.state_dict(), engine.state(), chosen.state(), tuple(curve), values, seconds, chosen.best
        )

    found = checkpoints.found
    if found is not None:
        model.load_state_dict(found.model)
        engine.restore(found.engine)
        chosen.restore(found.choice, found.best)
        curve += found.curve
        values = None if found.unvalidated is None else dict(found.unvalidated)
        begun -= found.seconds
    engine.after_step = lambda: checkpoints.offer(state)
    model.train()
    with tqdm(
        initial=len(curve),
        total=config.epochs,
        desc="fit",
        unit="epoch",
        delay=1,
        leave=False,
        disable=None if progress else True,
    ) as bar:
        while len(curve) < config.epochs and not chosen.done:
            epoch = len(curve) + 1
            if values is None:
                with checkpoints.steps():
                    values = engine.epoch(epoch)
            if validate is not None and (epoch % config.evaluate_every == 0 or epoch == config.epochs):
                try:
                    measured = validate(model)
                except KeyboardInterrupt:
                    checkpoints.save(state())
                    raise
                part = "test" if chosen.selection == "test" else "valid"
                values |= {f"{part}/{name}": value for name, value in measured.items()}
                chosen.see(epoch, measured, model)
            with checkpoints.steps():
                curve.append(EpochRecord(epoch, values))
                values = None
                if on_epoch is not None:
                    on_epoch(curve[-1])
                bar.update()
                checkpoints.offer(state)
    best_epoch = chosen.leave(model, last=len(curve))
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
        self.best: Best | None = None
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
            self.best = Best(epoch, {name: tensor.detach().clone() for name, tensor in model.state_dict().items()})

    def state(self) -> dict[str, Any]:
        """Return all but the parameters, which are ``best``."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch, "waited": self.waited}

    def restore(self, state: Mapping[str, Any], best: Best | None) -> None:
        """Go on from ``state``, with the parameters ``best``."""
        self.best_value, self.best_epoch, self.waited = (state[key] for key in ("best_value", "best_epoch", "waited"))
        self.best = best

    def leave(self, model: Model, last: int) -> int:
        """Give ``model`` the chosen epoch's parameters and return that epoch."""
        if self.best_epoch is None:
            return last
        if self.best is None:
            raise RunError(
                f"epoch {self.best_epoch} is the best, and the file of the best epoch is from further on: the training "
                "did not come there again. Run the experiment anew, in another folder."
            )
        model.load_state_dict(self.best.model)
        return self.best_epoch
