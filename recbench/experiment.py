"""One experiment: the whole pipeline on one screen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from recbench import datasets, models, negatives, splits, trainers
from recbench.candidates import CandidateSet
from recbench.cleaning.run import clean_after_split
from recbench.configuration import ExperimentConfig, without_effect
from recbench.data import FOLD_IN, TRAIN, VALID, Interactions, Split
from recbench.errors import ConfigError, PrunedError
from recbench.evaluation import Part, Report, candidate_sets, evaluate, with_candidates
from recbench.leaks import Leaks, leaks
from recbench.models import Model
from recbench.progress import bars
from recbench.report import RunFolder
from recbench.resources import peak_memory_bytes, reset_peak_memory, resolve_device, torch_settings
from recbench.splits.stage import split_stage
from recbench.splits.store import assigned
from recbench.trainers import EpochRecord, FitResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A loaded data set, split.

    Attributes:
        data_fingerprint: Of the whole data set as it was loaded.
        verified: Whether someone has checked the data set's reader against the files; None where none were published.
        split: Its parts, with candidates where there are any.
        leaks: What of the answers is known in training; None where nothing is asked.
        candidates: The candidates by part; none where all items are ranked.
    """

    data_fingerprint: str
    verified: bool | None
    split: Split
    leaks: Leaks | None
    candidates: Mapping[str, CandidateSet]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment gave.

    Attributes:
        prepared: The data that it had.
        reports: ``"valid"`` and ``"test"`` to their metrics, where the split has the part.
        peak_memory_bytes: Highest resident memory of the process while it ran.
    """

    config: ExperimentConfig
    prepared: Prepared
    model: Model
    fit: FitResult
    reports: Mapping[str, Report]
    peak_memory_bytes: int

    @property
    def split(self) -> Split:
        """The parts of the data."""
        return self.prepared.split


def run(
    config: ExperimentConfig,
    folder: str | Path | None = None,
    *,
    prepared: Prepared | None = None,
    not_applicable: Iterable[str] = (),
    progress: bool = True,
    resume: bool = False,
    hopeless: Callable[[EpochRecord], str | None] | None = None,
) -> Outcome:
    """Load, split, fit and evaluate as ``config`` says.

    Where there is a folder, SIGINT, SIGTERM and SIGUSR1 end the run once the step that it is at is done and its state
    is kept; a second one ends it at once.

    Args:
        config: The experiment.
        folder: Where to keep results, curve, checkpoint and log; it must not hold another run. None keeps
            nothing.
        prepared: What ``prepare(config)`` gave, so that several experiments on the same data read it once; None
            loads it.
        not_applicable: Options that were given and have no effect here; recorded in the results.
        progress: Whether to draw progress bars (never where the output is no terminal).
        resume: Whether to go on with the run that ``folder`` holds, which did not come to its end.
        hopeless: Asked after each epoch; a reason ends the run.

    Raises:
        ConfigError, DataError: The configuration or the data is wrong.
        DivergedError: The loss stopped being finite.
        PrunedError: The run was found to be hopeless.
        RunError: The folder already holds a run; or the one to go on with is not there, is damaged, or was begun with
            other options, data or code.
        KeyboardInterrupt: A signal asked to stop.
    """
    device = resolve_device(config.settings.device)
    record = (
        RunFolder(Path(folder), config, device, tuple(not_applicable), resume=resume) if folder is not None else None
    )
    with torch_settings(config.settings.threads, device), record or nullcontext(), bars(progress):
        reset_peak_memory(device)
        for sentence in without_effect(config):
            logger.warning("%s", sentence)
        prepared = prepared or prepare(config)
        checkpoints = None if record is None else record.begin(prepared)
        split = prepared.split
        model = models.registry.make(config.model, split.train, config.seed).to(device)
        assert config.trainer is not None, "ExperimentConfig fills it in"
        trainer = trainers.registry.make(config.trainer)
        sampler = negatives.registry.make(config.negatives, split.train).to(device) if config.negatives else None

        def measure(part: Part) -> Report:
            return evaluate(model, split, part, config.evaluation, progress=part if progress else None)

        def ended(epoch: EpochRecord) -> None:
            if record is not None:
                record.epoch(epoch)
            reason = None if hopeless is None else hopeless(epoch)
            if reason is not None:
                raise PrunedError(reason)

        watched: Part | None = "test" if getattr(config.trainer, "selection", None) == "test" else "valid"
        if watched == "valid" and split.valid is None:
            watched = None
        fit = trainer.fit(
            model,
            split,
            seed=config.seed,
            negatives=sampler,
            validate=None if watched is None else lambda model: measure(watched).values,
            on_epoch=ended,
            progress=progress,
            backend=config.settings.backend,
            checkpoints=checkpoints,
        )
        parts: tuple[Part, ...] = ("valid", "test")
        reports = {str(part): measure(part) for part in parts if getattr(split, part) is not None}
        outcome = Outcome(config, prepared, model, fit, reports, peak_memory_bytes(device))
        if record is not None:
            record.finish(outcome)
    return outcome


def prepare(config: ExperimentConfig) -> Prepared:
    """Return the data that ``config`` trains and evaluates on.

    Raises:
        ConfigError, DataError: The data set cannot be had or read, or the split does not fit it.
    """
    dataset = datasets.registry.make(config.dataset)
    splitter, name = splits.registry.make(config.split), splits.registry.entry_of(config.split).name
    interactions = dataset.load()
    if interactions.parts is not None and name != "fixed":
        logger.warning(
            "split %s: shares out all parts of the data anew. To take the split that the data comes with: split=fixed.",
            name,
        )
    if interactions.candidates is not None and config.evaluation.candidates != "published":
        logger.info("negatives that the data comes with are not used. To rank them: evaluation.candidates=published.")
    parts = assigned(splitter, name, interactions)
    if config.settings.fit_on == "train_valid":
        parts = _validation_in_training(interactions, parts)
    stage = split_stage(f"split {name}", interactions, parts)
    logger.info("%s", stage)
    shared_out = replace(interactions, provenance=(*interactions.provenance, stage))
    finished = clean_after_split(shared_out, parts, dataset.after_split)
    split = splitter.cut(finished.interactions, finished.parts)
    leaked = leaks(split, config.evaluation.same_item)
    if leaked is not None:
        logger.log(logging.WARNING if leaked.seen_pairs.n else logging.INFO, "split %s: %s", name, leaked.sentence)
    candidates = candidate_sets(split, config.evaluation)
    return Prepared(interactions.fingerprint, dataset.verified, with_candidates(split, candidates), leaked, candidates)


def _validation_in_training(interactions: Interactions, parts: Tensor) -> Tensor:
    """Return ``parts`` (N,) int8 without a validation part: training has it.

    Users who were kept out of training in order to be asked for validation are trained on with all that they have.

    Raises:
        ConfigError: There is no validation part.
    """
    valid = parts == VALID
    if not bool(valid.any()):
        raise ConfigError("fit_on = 'train_valid': the split has no validation part; leave fit_on alone.")
    theirs = torch.bincount(interactions.users[valid], minlength=interactions.n_users)[interactions.users] > 0
    return parts.masked_fill(valid | ((parts == FOLD_IN) & theirs), TRAIN)
