"""For models that learn in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from recbench.compiled.backend import resolve_backend
from recbench.data import Split
from recbench.kernels import BackendName
from recbench.models import Model
from recbench.options import Config
from recbench.trainers import EpochRecord, FitResult, Trainer, register

if TYPE_CHECKING:
    from recbench.checkpoints import Checkpoints
    from recbench.negatives import Sampler


class ClosedFormConfig(Config):
    """Options of ``closed_form``: there are none."""


@register("closed_form", config=ClosedFormConfig)
class ClosedForm(Trainer):
    """Calls the model's own ``fit()`` once; there are no epochs to choose from."""

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
        """Fit ``model`` on ``split.train``; see ``Trainer.fit``. All arguments but ``backend`` have nothing to act on.

        There is no state in the middle: what was interrupted starts anew.

        Raises:
            ConfigError: The backend that was asked for does not apply.
        """
        started = time.perf_counter()
        model.backend = resolve_backend(backend, type(model), model.config, self.config, None, model.device)
        model.fit(split.train)
        return FitResult(best_epoch=None, curve=(), seconds=time.perf_counter() - started)
