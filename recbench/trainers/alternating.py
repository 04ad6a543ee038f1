"""For models that improve one side given the other, in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from recbench.compiled.backend import resolve_backend
from recbench.data import Interactions, Split
from recbench.errors import ConfigError, DivergedError
from recbench.kernels import BackendName
from recbench.models import AlternatingModel, Model
from recbench.models.ials import IALS
from recbench.trainers import register
from recbench.trainers.base import EpochRecord, FitResult, Trainer
from recbench.trainers.epochs import Engine, EpochsConfig, fit_in_epochs

if TYPE_CHECKING:
    from recbench.checkpoints import Checkpoints
    from recbench.negatives import Sampler


class AlternatingConfig(EpochsConfig):
    """Options of ``alternating``: how many sweeps over both sides, and which one is kept."""


@register("alternating", config=AlternatingConfig)
class Alternating(Trainer):
    """Asks the model for sweep after sweep; an epoch is one sweep. Nothing in it is random."""

    config: AlternatingConfig

    def fit(
        self,
        model: Model,
        split: Split,
        *,
        seed: int = 0,
        negatives: Sampler | None = None,
        validate: Callable[[Model], Mapping[str, float]] | None = None,
        on_epoch: Callable[[EpochRecord], None] | None = None,
        progress: bool = False,
        backend: BackendName = "auto",
        checkpoints: Checkpoints | None = None,
    ) -> FitResult:
        """Fit ``model``, an ``AlternatingModel``, and leave it as the chosen epoch did; see ``Trainer.fit``.

        ``seed`` and ``negatives`` have nothing to act on.

        Raises:
            ConfigError: The model is of another kind, a selection is without the part it needs, or a backend that was
                asked for does not apply.
            DivergedError: The objective stopped being finite.
        """
        if not isinstance(model, AlternatingModel):
            raise ConfigError(
                f"{type(model).__name__} is no AlternatingModel, and the trainer 'alternating' fits no other."
            )

        return fit_in_epochs(
            model,
            self._engine(model, split.train, backend),
            self.config,
            validate=validate,
            on_epoch=on_epoch,
            progress=progress,
            checkpoints=checkpoints,
        )

    def _engine(self, model: AlternatingModel, train: Interactions, backend: BackendName) -> Engine:
        """Return what sweeps."""
        chosen = resolve_backend(backend, type(model), model.config, self.config, None, model.device)
        if chosen == "compiled" and isinstance(model, IALS):
            # Imports numba, which takes a second and need not be there.
            from recbench.compiled.ials import IALSSweeps

            return IALSSweeps(model, train)
        return _Sweeps(model, train)


class _Sweeps(Engine):
    """One sweep an epoch; all that the next one depends on is in the model."""

    def __init__(self, model: AlternatingModel, train: Interactions) -> None:
        self.model = model
        self.losses = model.sweeps(train)

    def epoch(self, number: int) -> dict[str, float]:
        """Sweep once over both sides, and return the objective."""
        loss = next(self.losses)
        if not math.isfinite(loss):
            raise DivergedError(
                f"the objective of {type(self.model).__name__} is no longer finite in epoch {number}. Raise model.reg."
            )
        return {"loss": loss}

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the model as it is."""
