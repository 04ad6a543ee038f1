"""What a folder remembers of its searches: ``search.json``, whole or not there, written before and after each trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from recbench import metrics
from recbench.configuration import ExperimentConfig, Tuning, identity_of, resolve
from recbench.errors import RunError
from recbench.files import SCHEMA_VERSION, read_json, write_json
from recbench.options import Config
from recbench.search.space import Domain, with_options
from recbench.sweep import Budget, Pruner, SamplerName, allowance, budget_in_words

SEARCH = "search.json"
WINNERS = "winners"
"""Folder, beside the trials, of those that were trained anew."""


class Trial(Config):
    """One setting of the space.

    A trial without a status has been asked for and is not known to have ended.
    """

    number: int
    """From 0, which has the defaults."""

    options: dict[str, Any]
    """Its place in the space."""

    folder: str
    """Its run, within the folder of the searches."""

    known: int
    """Number of the trials that had ended when it was asked for; what it is, and whether it is pruned, depends on
    these alone."""

    status: Literal["done", "pruned", "failed", "diverged", "mistake"] | None = None
    """How it ended."""

    value: float | None = None
    """The monitored metric on validation, of the best epoch, where it is done."""

    seconds: float = 0.0
    """Wall-clock time of the run."""

    error: str | None = None
    """One line, where it failed."""


class Search(Config):
    """One search: what it may do, and what it has done."""

    model: str
    """For people."""

    monitor: str
    """Metric on validation that it is for."""

    budget: Budget
    """See ``sweep.budget``; this may grow from one call to the next, and all else may not."""

    seeds: tuple[int, ...]
    """See ``sweep.seeds``."""

    sampler: SamplerName
    """See ``sweep.sampler``."""

    sampler_seed: int
    """See ``sweep.sampler_seed``."""

    prune: Pruner
    """See ``sweep.prune``."""

    space: dict[str, Domain]
    """Where it looks."""

    given: dict[str, Any]
    """The plain values that all trials have in common."""

    trials: tuple[Trial, ...] = ()
    """In the order in which they were asked for."""

    winner: int | None = None
    """Number of the trial with the best value; of equals the first."""

    finals: tuple[str, ...] = ()
    """Folders of the winner trained anew, within the folder of the searches."""

    def is_same(self, other: Search) -> bool:
        """Return whether the trials of the one are those that the other would ask for."""
        return self._identity() == other._identity()

    def _identity(self) -> str:
        plain = self.model_dump(mode="json", include={"monitor", "sampler", "sampler_seed", "prune", "space"})
        return json.dumps([plain, identity_of(resolve(self.given, several_models=True).config.to_dict())])

    @property
    def seconds(self) -> float:
        """Of all trials together."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def spent(self) -> bool:
        """Whether the budget leaves no further trial."""
        trials, seconds = allowance(self.budget)
        return (trials is not None and len(self.trials) >= trials) or (seconds is not None and self.seconds >= seconds)

    def tuning(self, trial: Trial | None = None) -> Tuning:
        """Return what was spent when ``trial`` was asked for, or by now; the trial itself counts as one."""
        before = self.trials if trial is None else self.trials[: trial.known]
        n_trials = len(self.trials) if trial is None else trial.number + 1
        seconds = sum(other.seconds for other in before)
        return Tuning(budget=budget_in_words(self.budget), trials=n_trials, seconds=seconds)

    def config(self, options: dict[str, Any], **settings: Any) -> ExperimentConfig:
        """Return the configuration with ``options`` of the space and further settings of the run.

        Raises:
            ConfigError: There is none.
        """
        return resolve({**with_options(self.given, options), **settings}, several_models=True).config

    def changed(self, trial: Trial) -> Search:
        """Return the search with a trial in the place of the one of its number, or after all others."""
        trials = (*self.trials[: trial.number], trial, *self.trials[trial.number + 1 :])
        done = [each for each in trials if each.value is not None]
        sign = metrics.parse(self.monitor).sign
        winner = max(done, key=lambda each: (sign * (each.value or 0.0), -each.number), default=None)
        return self.model_copy(update={"trials": trials, "winner": None if winner is None else winner.number})


class Memory(Config):
    """All that a folder remembers."""

    schema_version: int = SCHEMA_VERSION
    """Of the file."""

    searches: tuple[Search, ...] = ()
    """Those that the last command asked for."""

    earlier: tuple[Search, ...] = ()
    """Those that commands before asked for."""

    @property
    def all(self) -> tuple[Search, ...]:
        """All searches."""
        return (*self.searches, *self.earlier)


def read_searches(folder: Path) -> Memory:
    """Return what ``folder`` remembers.

    Raises:
        RunError: The file cannot be read, or is none of ours.
    """
    path = folder / SEARCH
    if not path.exists():
        return Memory()
    try:
        return Memory.model_validate_json(json.dumps(read_json(path)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(f"{path}: is not what a search keeps ({place}: {first['msg']}); take the file away.") from None


def write_searches(folder: Path, memory: Memory) -> None:
    """Remember.

    Raises:
        StorageError: The file cannot be written; what was there stays.
    """
    write_json(folder / SEARCH, memory.model_dump(mode="json"))


def monitored(config: ExperimentConfig) -> str:
    """Return the metric that a search looks at: the trainer's monitor, else ndcg@10, else the first one."""
    measured = config.evaluation.metrics
    usual = "ndcg@10" if "ndcg@10" in measured else measured[0]
    return str(getattr(config.trainer, "monitor", usual))


def value_of(values: Mapping[str, float | None], monitor: str) -> float | None:
    """Return the value of the metric ``monitor``, whatever candidates were ranked; None where it is not there."""
    return next((value for name, value in values.items() if name.partition("[")[0] == monitor), None)
