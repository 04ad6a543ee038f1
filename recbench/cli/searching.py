"""Searches, from what was planned to the last winner: the launcher runs, the folder remembers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from recbench import repeat
from recbench.cli.search_plan import trials_at_once
from recbench.cli.standing import why_other_result
from recbench.cli.task import JobEnd, job_name
from recbench.configuration import ExperimentConfig, resolve
from recbench.errors import ConfigError, RunError
from recbench.files import read_json
from recbench.report import RESULT
from recbench.search.asking import next_options
from recbench.search.record import WINNERS, Memory, Search, Trial, read_searches, value_of, write_searches

logger = logging.getLogger(__name__)

_LOCK = ".search.lock"
_NOT_RUN = {"status": None, "value": None, "seconds": 0.0, "error": None}


@contextmanager
def begun(folder: Path, planned: Sequence[Search], *, retry: bool) -> Iterator[None]:
    """Hold the folder, which remembers what is ``planned`` and what was done of that before.

    Args:
        folder: Of the sweep.
        planned: The searches.
        retry: Whether trials that failed or diverged are to run again.

    Raises:
        RunError: Another process is at it, or a file cannot be read or written.
    """
    try:
        with FileLock(folder / _LOCK, blocking=False):
            write_searches(folder, remembered(folder, planned, retry=retry))
            yield
    except Timeout:
        raise RunError(f"the search in {folder} is going on, in another process.") from None


def remembered(folder: Path, planned: Sequence[Search], *, retry: bool) -> Memory:
    """Return what ``folder`` is to remember: ``planned``, with the trials that there are of the same searches.

    A trial whose result does not stand any more, since the code or the data is other, is to be run anew.

    Raises:
        RunError: A file cannot be read.
    """
    before = read_searches(folder)
    found = []
    for search in planned:
        same = next((other for other in before.all if search.is_same(other)), None)
        if same is not None:
            search = search.model_copy(update={"trials": same.trials, "winner": same.winner, "finals": same.finals})
            for trial in same.trials:
                if trial.status is not None and not _stands(folder, search, trial, retry=retry):
                    search = search.changed(trial.model_copy(update=_NOT_RUN))
        found.append(search)
    earlier = [other for other in before.all if not any(search.is_same(other) for search in planned)]
    return Memory(searches=tuple(found), earlier=tuple(earlier))


def run_searches(folder: Path, composed: DictConfig, launcher: Launcher) -> list[Sequence[JobReturn]]:
    """Run what is left of the searches that ``folder`` holds, and return what came of each batch.

    Args:
        folder: Of the sweep.
        composed: The sweep's configuration.
        launcher: Runs the trials.

    Raises:
        RunError: A file cannot be read or written.
    """
    return list(_Running(folder, composed, launcher).batches())


class _Running:
    """The searches of one folder, while they run."""

    def __init__(self, folder: Path, composed: DictConfig, launcher: Launcher) -> None:
        self.folder = folder
        self.launcher = launcher
        self.at_once = trials_at_once(composed)
        self.fail_fast = bool(composed.sweep.fail_fast)
        self.memory = read_searches(folder)
        self.searches = list(self.memory.searches)
        self.n_launched = 0

    def batches(self) -> Iterator[Sequence[JobReturn]]:
        """Yield what came of each batch of trials, search by search, and of the winners that are trained anew."""
        for place in range(len(self.searches)):
            while batch := self._next_batch(place):
                yield (jobs := self._launch([self._words(place, trial) for trial in batch]))
                ends: list[JobEnd] = [job.return_value for job in jobs]
                for trial, end in zip(batch, ends):
                    self._keep(place, self.searches[place].changed(_ended(trial, end, self.searches[place].monitor)))
                if self._is_over(place, batch, ends):
                    return
        finals = [words for place in range(len(self.searches)) for words in self._finals(place)]
        if finals:
            yield self._launch(finals)

    def _is_over(self, place: int, batch: Sequence[Trial], ends: Sequence[JobEnd]) -> bool:
        """Return whether a trial did not come to its end, or failed where that ends the sweep."""
        trials = [self.searches[place].trials[trial.number] for trial in batch]
        failed = self.fail_fast and any(end.error is not None for end in ends)
        return failed or any(trial.status is None for trial in trials)

    def _next_batch(self, place: int) -> list[Trial]:
        """Return the trials to run now, asked for and remembered; first those that did not come to their end."""
        search = self.searches[place]
        waiting = [trial for trial in search.trials if trial.status is None]
        if waiting:
            return waiting[: self.at_once]
        known = len(search.trials)
        while not search.spent and len(search.trials) < known + self.at_once:
            options = next_options(search)
            if options is None:
                break
            number = len(search.trials)
            trial = Trial(number=number, options=options, folder="", known=known)
            try:
                name = job_name(search.config(options))
            except ConfigError as error:
                # Each end of the space was checked, and not how one option goes with another.
                trial = trial.model_copy(update={"status": "mistake", "error": str(error)})
            else:
                trial = trial.model_copy(update={"folder": name})
            search = search.changed(trial)
        self._keep(place, search)
        asked = [trial for trial in search.trials[known:] if trial.status is None]
        return asked if asked or len(search.trials) == known else self._next_batch(place)

    def _words(self, place: int, trial: Trial) -> list[str]:
        search = self.searches[place]
        logger.info("%s: trial %d: %s", search.model, trial.number, _shown(trial))
        config = search.config(trial.options, tuning=search.tuning(trial).model_dump())
        return [_in_folder(trial.folder), *repeat.overrides(config)]

    def _finals(self, place: int) -> list[list[str]]:
        """Return the words of the winner's runs on training and validation together, and remember their folders."""
        search = self.searches[place]
        if search.winner is None:
            return []
        configs = [final(self.folder, search, seed) for seed in search.seeds]
        names = [job_name(config) for config in configs]
        self._keep(place, search.model_copy(update={"finals": tuple(f"{WINNERS}/{name}" for name in names)}))
        return [[_in_folder(f"{WINNERS}/{name}"), *repeat.overrides(config)] for name, config in zip(names, configs)]

    def _keep(self, place: int, search: Search) -> None:
        self.searches[place] = search
        write_searches(self.folder, self.memory.model_copy(update={"searches": tuple(self.searches)}))

    def _launch(self, jobs: list[list[str]]) -> Sequence[JobReturn]:
        words = [[word if word.startswith("hydra.") else _forced(word) for word in job] for job in jobs]
        launched = self.launcher.launch(words, initial_job_idx=self.n_launched)
        self.n_launched += len(jobs)
        return launched


def final(folder: Path, search: Search, seed: int) -> ExperimentConfig:
    """Return the configuration by which the winner of ``search`` is trained anew with ``seed``.

    On training and validation together, for the number of epochs that was best, and with no early stopping.

    Raises:
        RunError: The result of the winner cannot be read.
    """
    assert search.winner is not None
    winner = search.trials[search.winner]
    plain = search.config(winner.options).to_dict()
    best_epoch = read_json(folder / winner.folder / RESULT)["best_epoch"]
    if best_epoch is not None:
        plain["trainer"] = {**plain["trainer"], "epochs": best_epoch, "selection": "auto"}
    return resolve({**plain, "seed": seed, "fit_on": "train_valid", "tuning": search.tuning().model_dump()}).config


def _ended(trial: Trial, end: JobEnd, monitor: str) -> Trial:
    """Return ``trial`` with how its run ended; as it is where it was not begun, or is going on elsewhere."""
    path = end.folder / RESULT
    if end.status in ("interrupted", "killed", "unbegun", "elsewhere"):
        return trial
    nothing: dict[str, Any] = {"status": end.status, "seconds": {"total": 0.0}}
    result = read_json(path) if path.exists() else nothing
    status, value, error = result["status"], None, end.error and end.error.partition("\n")[0]
    if status == "done":
        value = value_of(result["metrics"]["valid"], monitor)
        if value is None:
            status, error = "mistake", f"{monitor} was not measured on validation: the split has no such part."
    elif status not in ("pruned", "diverged"):
        status = "mistake" if end.status == "mistake" else "failed"
    return trial.model_copy(
        update={"status": status, "value": value, "seconds": result["seconds"]["total"], "error": error}
    )


def _stands(folder: Path, search: Search, trial: Trial, *, retry: bool) -> bool:
    """Return whether what is remembered of a trial that has ended is what its run would come to now."""
    if trial.status in ("failed", "diverged", "mistake"):
        return not (retry and trial.folder)
    there = (folder / trial.folder / RESULT).exists()
    return there and why_other_result(folder / trial.folder, search.config(trial.options)) is None


def _shown(trial: Trial) -> str:
    options = " ".join(f"{key}={repeat.written(value)}" for key, value in trial.options.items())
    return f"the defaults, {options}" if trial.number == 0 else options


def _in_folder(name: str) -> str:
    return f"hydra.sweep.subdir={repeat.written(name)}"


def _forced(word: str) -> str:
    """Return ``word`` so that Hydra takes it whether or not a file has its key; what chooses a part stays."""
    return word if "." not in word.partition("=")[0] else f"++{word}"
