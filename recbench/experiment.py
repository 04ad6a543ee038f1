"""One experiment: the whole pipeline on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from recbench import datasets, models, negatives, splits, trainers
from recbench.configuration import ExperimentConfig
from recbench.data import Split
from recbench.evaluation import Part, Report, evaluate, with_candidates
from recbench.models import Model
from recbench.progress import bars
from recbench.report import RunFolder
from recbench.resources import peak_memory_bytes, reset_peak_memory, resolve_device, torch_settings
from recbench.trainers import FitResult


@dataclass(frozen=True, eq=False)
class Prepared:
    """A loaded data set, split, and the fingerprint of the whole of it."""

    data_fingerprint: str
    split: Split


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment gave.

    Attributes:
        reports: ``"valid"`` and ``"test"`` to their metrics, where the split has the part.
        peak_memory_bytes: Highest resident memory of the process while it ran.
    """

    config: ExperimentConfig
    split: Split
    model: Model
    fit: FitResult
    reports: Mapping[str, Report]
    data_fingerprint: str
    peak_memory_bytes: int


def run(
    config: ExperimentConfig,
    folder: str | Path | None = None,
    *,
    prepared: Prepared | None = None,
    not_applicable: Iterable[str] = (),
    progress: bool = True,
) -> Outcome:
    """Load, split, fit and evaluate as ``config`` says.

    Args:
        config: The experiment.
        folder: Where to keep results, curve, checkpoint and log; it must not hold another run. None keeps
            nothing.
        prepared: What ``prepare(config)`` gave, so that several experiments on the same data read it once; None
            loads it.
        not_applicable: Options that were given and have no effect here; recorded in the results.
        progress: Whether to draw progress bars (never where the output is no terminal).

    Raises:
        ConfigError, DataError: The configuration or the data is wrong.
        DivergedError: The loss stopped being finite.
        RunError: The folder already holds a run.
    """
    device = resolve_device(config.settings.device)
    record = RunFolder(Path(folder), config, device, tuple(not_applicable)) if folder is not None else None
    with torch_settings(config.settings.threads, device), record or nullcontext(), bars(progress):
        reset_peak_memory(device)
        prepared = prepared or prepare(config)
        split = prepared.split
        model = models.registry.make(config.model, split.train, config.seed).to(device)
        assert config.trainer is not None, "ExperimentConfig fills it in"
        trainer = trainers.registry.make(config.trainer)
        sampler = negatives.registry.make(config.negatives, split.train).to(device) if config.negatives else None

        def measure(part: Part) -> Report:
            return evaluate(model, split, part, config.evaluation, progress=part if progress else None)

        watched: Part | None = "test" if getattr(config.trainer, "selection", None) == "test" else "valid"
        if watched == "valid" and split.valid is None:
            watched = None
        fit = trainer.fit(
            model,
            split,
            seed=config.seed,
            negatives=sampler,
            validate=None if watched is None else lambda model: measure(watched).values,
            on_epoch=None if record is None else record.epoch,
            progress=progress,
        )
        parts: tuple[Part, ...] = ("valid", "test")
        reports = {str(part): measure(part) for part in parts if getattr(split, part) is not None}
        outcome = Outcome(config, split, model, fit, reports, prepared.data_fingerprint, peak_memory_bytes(device))
        if record is not None:
            record.finish(outcome)
    return outcome


def prepare(config: ExperimentConfig) -> Prepared:
    """Return the data that ``config`` trains and evaluates on.

    Raises:
        ConfigError, DataError: The data set cannot be had or read, or the split does not fit it.
    """
    interactions = datasets.registry.make(config.dataset).load()
    split = splits.registry.make(config.split).apply(interactions)
    return Prepared(interactions.fingerprint, with_candidates(split, config.evaluation))
