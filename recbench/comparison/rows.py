"""Finished runs as a table: a row a configuration, mean and deviation over its seeds."""

from __future__ import annotations

import json
import logging
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbench import metrics
from recbench.comparison.belonging import Result, fitted_on, refuse_to_mix, warn_of_other_circumstances
from recbench.comparison.statistics import Interval
from recbench.errors import ConfigError, RunError
from recbench.options import did_you_mean
from recbench.repeat import written
from recbench.report import OLD_ATTEMPT, RESULT, STATUS, read_run
from recbench.text import printable

logger = logging.getLogger(__name__)

# What a configuration may have as it likes without being another one; the data is compared by its fingerprint.
_INDIFFERENT = frozenset(
    {
        "dataset",
        "tracking",
        "seed",
        "device",
        "threads",
        "backend",
        "label",
        "checkpoints",
        "checkpoint_seconds",
        "experiment",
        "published",
        "tuning",
        "evaluation.same_item",
    }
)


@dataclass(frozen=True)
class Spread:
    """Mean over seeds, and standard deviation with n - 1; None where it is not defined."""

    mean: float | None
    std: float | None

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.4f}" if self.std is None else f"{self.mean:.4f} ± {self.std:.4f}"


@dataclass(frozen=True)
class Versus:
    """One configuration less the baseline, by the metric that orders the table, user by user.

    Attributes:
        baseline: Label of the other row.
        n_users: For whom both have a value.
        difference: Mean over users.
        interval: Of the mean, over users.
        effect_size: Cohen's d of the paired differences; None where they are all the same, or of one user.
        p: Test to its p-value: ``t``, ``wilcoxon``, ``randomisation``; None where there are fewer than two users.
        p_holm: The same, corrected by Holm for the number of rows.
    """

    baseline: str
    n_users: int
    difference: float
    interval: Interval
    effect_size: float | None
    p: Mapping[str, float | None]
    p_holm: Mapping[str, float | None]


@dataclass(frozen=True)
class Group:
    """The metric that orders the table, for the users with some number of training interactions.

    Attributes:
        name: ``cold``, which are those with none, or ``low``, ``medium``, ``high``.
        least: Fewest training interactions of a user in it.
        most: Most of them.
        n_users: With a value.
        value: Mean over these users; None without one.
    """

    name: str
    least: int
    most: int
    n_users: int
    value: float | None


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        model: Registered name.
        label: What it is called in the table.
        differs: Options in which the rows of this model differ, e.g. ``{"model.dim": 8}``.
        n_seeds: Number of seeds that are done.
        metrics: Of the test part, the one that orders the table first.
        seconds: ``fit`` and ``evaluate``, means over the runs; None where it is not known.
        peak_memory_bytes: The highest of the runs; None where it is not known.
        statuses: Number of runs by status, those that are not done too.
        selection: Which part chose the epoch: ``valid``, ``last``, ``test`` or None.
        metric_definitions_version: Of the numbers.
        runs: Folders of the runs.
        per_seed: Each metric's values, in the order of ``runs``.
        tuning: What finding this configuration cost: ``budget`` in words, ``trials``, ``seconds``; None where it was
            not searched for.
        intervals: Of the metrics that have a value a user, over users; ``with_statistics`` fills it in, and the rest.
        versus: Against the baseline, where there is one and this is another row.
        groups: By activity of the users.
        beaten_by: Label of a trivial row that is better and was cheaper, beyond chance.
    """

    model: str
    label: str
    differs: Mapping[str, Any]
    n_seeds: int
    metrics: Mapping[str, Spread]
    seconds: Mapping[str, float | None]
    peak_memory_bytes: int | None
    statuses: Mapping[str, int]
    selection: str | None
    metric_definitions_version: int
    runs: tuple[str, ...] = ()
    per_seed: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    tuning: Mapping[str, Any] | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    versus: Versus | None = None
    groups: tuple[Group, ...] = ()
    beaten_by: str | None = None

    @property
    def metric(self) -> str | None:
        """The metric that orders the table, None where there is no metric."""
        return next(iter(self.metrics), None)


def read_results(folders: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Return what each run below ``folders`` recorded (see ``report.read_run``), sorted by path.

    Raises:
        RunError: There is no run below one of them, or what a run recorded cannot be read.
    """
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        runs = {path.parent for name in (RESULT, STATUS) for path in folder.rglob(name)}
        runs = {run for run in runs if not OLD_ATTEMPT.search(run.name)}
        if not runs:
            raise RunError(
                f"no run below {str(folder)!r}: expected folders that hold a {RESULT}, as 'recbench run' makes them "
                "below outputs."
            )
        found |= {run.resolve(): run for run in runs}
    return [read_run(run) for run in sorted(found.values())]


def compare(results: Iterable[Result], metric: str | None = None) -> list[Row]:
    """Return one row for each configuration that has a run which is done, the best first.

    Runs count as seeds of the same configuration where they agree in all options but seed, device, threads, backend,
    label, tracking, checkpoints, and paths. Of runs with the same configuration and seed the newest counts.

    Args:
        results: What ``read_results`` gives.
        metric: Orders the table; None takes the monitored metric, else ``ndcg@10``, else the first one.

    Raises:
        ConfigError: No run has ``metric``.
        RunError: The runs are of different data, splits, candidates, masks, orders of ties or definitions of metrics.
    """
    everything = list(results)
    done = [result for result in everything if result["status"] == "done"]
    refuse_to_mix(done)
    statuses: dict[str, Counter[str]] = {}
    for result in everything:
        if "config" in result:
            statuses.setdefault(_key(_options(result)), Counter())[result["status"]] += 1
    groups: dict[str, list[Result]] = {}
    newest = _newest(done)
    warn_of_other_circumstances(newest)
    for result in newest:
        groups.setdefault(_key(_configuration(result)), []).append(result)
    first = _ordering_metric(done, metric)
    differing = _differing([runs[0] for runs in groups.values()])
    rows = [
        _row(runs, differing[runs[0]["model"]], statuses[_key(_options(runs[0]))], first) for runs in groups.values()
    ]
    return sorted(rows, key=lambda row: (*_place(row, first), row.label))


def unfinished(results: Iterable[Result]) -> str:
    """Return one line for each run that is not done: its folder, its status, and why; empty where all are.

    Hopeless trials that a search stopped are as they should be, and only counted.
    """
    lines, n_pruned = [], 0
    for result in results:
        if result["status"] == "pruned":
            n_pruned += 1
        elif result["status"] != "done":
            error = result.get("error")
            why = f": {error['type']}: {error['message']}" if error else ""
            lines.append(printable(f"{result['folder']}: {result['status']}{why}"))
    if n_pruned:
        lines.append(f"{n_pruned:,} trials of a search were pruned.")
    return "\n".join(lines)


def _options(result: Result) -> dict[str, Any]:
    """Return the options that make a configuration, flat; of paths only whether they are given."""
    flat: dict[str, Any] = {"fit_on": fitted_on(result)}
    for part, value in result["config"].items():
        if part not in _INDIFFERENT and isinstance(value, Mapping):
            flat |= {f"{part}.{key}": inner for key, inner in value.items()}
    return {
        key: value is not None if _is_path(key) else value for key, value in flat.items() if key not in _INDIFFERENT
    }


def _configuration(result: Result) -> dict[str, Any]:
    """Return the options of a run that is done, and the feature tables that it had."""
    return {**_options(result), "features": result["fingerprints"]["features"]}


def _is_path(option: str) -> bool:
    word = option.rpartition(".")[2]
    return word.endswith("path") or word.startswith("pretrained")


def _key(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)


def _newest(done: Iterable[Result]) -> list[Result]:
    """Return the newest run of each configuration and seed, and say which ones do not count."""
    newest: dict[tuple[str, int], Result] = {}
    for result in sorted(done, key=lambda result: result["ended"]):
        key = (_key(_configuration(result)), result["seed"])
        if key in newest:
            logger.warning(
                "%s and %s have the same configuration and seed; only the second, newer one counts.",
                newest[key]["folder"],
                result["folder"],
            )
        newest[key] = result
    return sorted(newest.values(), key=lambda result: result["folder"])


def _ordering_metric(done: Sequence[Result], wanted: str | None) -> str | None:
    """Return the name, as in the results, of the metric that orders the table; None where there are no metrics."""
    names = list(dict.fromkeys(name for result in done for name in result["metrics"]["test"]))
    found = {name.partition("[")[0]: name for name in names} | {name: name for name in names}
    if wanted is not None:
        if done and wanted not in found:
            raise ConfigError(f"metric {wanted!r}: none of these runs has it. {did_you_mean(wanted, names)}")
        return found.get(wanted)
    monitored = [result["config"]["trainer"].get("monitor") for result in done]
    return next((found[name] for name in [*monitored, "ndcg@10"] if name in found), names[0] if names else None)


def _differing(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return, for each model, the options in which its configurations differ."""
    of_model: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        of_model.setdefault(result["model"], []).append(_configuration(result))
    return {
        model: [
            option
            for option in dict.fromkeys(option for options in several for option in options)
            if len({json.dumps(options.get(option)) for options in several}) > 1
        ]
        for model, several in of_model.items()
    }


def _row(runs: Sequence[Result], differing: Sequence[str], statuses: Mapping[str, int], first: str | None) -> Row:
    configuration = _configuration(runs[0])
    differs = {option: configuration[option] for option in differing if option in configuration}
    names = sorted(runs[0]["metrics"]["test"], key=lambda name: name != first)
    return Row(
        model=runs[0]["model"],
        label=_label(runs, differs),
        differs=differs,
        n_seeds=len(runs),
        metrics={name: _spread([run["metrics"]["test"][name] for run in runs]) for name in names},
        seconds={name: _spread([run["seconds"][name] for run in runs]).mean for name in ("fit", "evaluate")},
        peak_memory_bytes=max((run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"]), default=None),
        statuses=dict(statuses),
        selection=runs[0]["selection"],
        metric_definitions_version=runs[0]["metric_definitions_version"],
        runs=tuple(run["folder"] for run in runs),
        per_seed={name: tuple(run["metrics"]["test"][name] for run in runs) for name in names},
        tuning=next((run["tuning"] for run in runs if run.get("tuning")), None),
    )


def _spread(values: Sequence[float | None]) -> Spread:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return Spread(None, None)
    return Spread(statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None)


def _label(runs: Sequence[Result], differs: Mapping[str, Any]) -> str:
    """Return the label that all runs were given, or else the model and what is particular about it."""
    given = {run["label"] for run in runs}
    words = [f"{option.removesuffix('.name').rpartition('.')[2]}={written(value)}" for option, value in differs.items()]
    label = given.pop() if len(given) == 1 and None not in given else " ".join([runs[0]["model"], *words])
    return f"{label} (epoch chosen on test)" if runs[0]["selection"] == "test" else label


def better(metric: str) -> int:
    """Return 1 where higher values of a metric, named as in the results, are better, -1 where lower ones are."""
    return metrics.parse(metric.partition("[")[0]).sign


def _place(row: Row, metric: str | None) -> tuple[bool, float]:
    """Return what sorts the best row first, and rows without the metric last."""
    spread = row.metrics.get(metric) if metric is not None else None
    if metric is None or spread is None or spread.mean is None:
        return True, 0.0
    return False, -better(metric) * spread.mean
