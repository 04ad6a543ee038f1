"""What every trainer is: options and ``fit()``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recbench.data import Split
from recbench.kernels import BackendName
from recbench.models import Model
from recbench.options import Config

if TYPE_CHECKING:
    from recbench.checkpoints import Checkpoints
    from recbench.negatives import Sampler


@dataclass(frozen=True)
class EpochRecord:
    """One point of the curve.

    Attributes:
        epoch: Counts from 1.
        values: ``{"loss": 0.69, "lr": 0.001, "valid/ndcg@10": 0.12, ...}``.
    """

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class FitResult:
    """What fitting gave, beside the fitted model.

    Attributes:
        best_epoch: The epoch whose weights the model has; None where it is not fitted in epochs.
        curve: One record an epoch, in order.
        seconds: Wall-clock time, validation included.
    """

    best_epoch: int | None
    curve: tuple[EpochRecord, ...]
    seconds: float


class Trainer(ABC):
    """Fits a model to the training part of a split."""

    def __init__(self, config: Config) -> None:
        """Keep the options."""
        self.config = config

    @abstractmethod
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
        """Fit ``model`` in place, on the device where it is.

        Args:
            model: What to fit; it learns from ``split.train`` alone.
            split: The data.
            seed: Of shuffling, negatives and dropout.
            negatives: Draws negatives, on the model's device; None where the model needs none.
            validate: Returns the metrics by which the best epoch is chosen; None keeps the last epoch.
            on_epoch: Told of each epoch as it ends, but not again of those of an earlier attempt.
            progress: Whether to draw a progress bar.
            backend: What computes, where the trainer has more than one; auto is the compiled one where it applies.
            checkpoints: What an earlier attempt left, and where to keep states while training; a trainer that goes
                in epochs hands it to ``fit_in_epochs``. None keeps none.

        Raises:
            DivergedError: The loss stopped being finite.
        """
