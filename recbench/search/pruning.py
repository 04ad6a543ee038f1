"""Whether a trial of a search is hopeless, judged after each validated epoch by the curves of the trials before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from recbench import metrics
from recbench.search.asking import import_optuna, study_of
from recbench.search.record import Search, Trial, read_searches, value_of
from recbench.tracking import CURVE
from recbench.trainers import EpochRecord

FIRST_EPOCH = 5
"""No trial is stopped before it is over."""

N_TRIALS = 5
"""Trials whose values at an epoch a median is taken of, at least."""

Judge = Callable[[EpochRecord], str | None]


def judge(run: Path) -> Judge | None:
    """Return what says after each epoch of the run in ``run`` why it is hopeless, or None where it is not.

    Returns:
        None where the run is no trial of a search that prunes.

    Raises:
        RunError: What the search keeps cannot be read.
    """
    for search in read_searches(run.parent).searches:
        for trial in search.trials:
            if trial.folder == run.name and search.prune != "none":
                return _judge(search, trial, run)
    return None


def _judge(search: Search, trial: Trial, run: Path) -> Judge:
    known = [other for other in search.trials[: trial.known] if other.status is not None]
    curves = {other.number: _curve(run.parent / other.folder, search.monitor) for other in known}
    sign = metrics.parse(search.monitor).sign
    median = import_optuna().pruners.MedianPruner(
        n_startup_trials=N_TRIALS, n_warmup_steps=FIRST_EPOCH, n_min_trials=N_TRIALS
    )

    def why(record: EpochRecord) -> str | None:
        so_far = _curve(run, search.monitor)
        if record.epoch not in so_far:
            return None
        study = study_of(search, known, curves=curves, pruner=median)
        asked = study.ask()
        for epoch, value in so_far.items():
            asked.report(sign * value, epoch)
        if not asked.should_prune():
            return None
        best = sign * max(sign * value for value in so_far.values())
        return (
            f"epoch {record.epoch}: {search.monitor} on validation was {best:.4g} at best, which is worse than the "
            "median of the trials before at that epoch."
        )

    return why


def _curve(run: Path, monitor: str) -> dict[int, float]:
    """Return the monitored value on validation after each validated epoch; nothing where there are no epochs."""
    path = run / CURVE
    curve = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        point = json.loads(line)
        values = {name.removeprefix("valid/"): value for name, value in point.items() if name.startswith("valid/")}
        value = value_of(values, monitor)
        if value is not None:
            curve[point["epoch"]] = value
    return curve
