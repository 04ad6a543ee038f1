"""Finished runs as a table: a row a configuration, mean and deviation over its seeds."""

from __future__ import annotations

import csv
import io
import json
import logging
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from recbench import metrics
from recbench.errors import ConfigError, RunError
from recbench.options import did_you_mean, one_of
from recbench.repeat import written
from recbench.report import OLD_ATTEMPT, RESULT, STATUS, read_run
from recbench.text import aligned, excel_safe, markdown_cell, printable

logger = logging.getLogger(__name__)

Format = Literal["table", "markdown", "csv", "json"]
Result = Mapping[str, Any]

N_METRICS_SHOWN = 4
"""Metrics in a table for people; csv and json have all."""

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
class Row:
    """One configuration.

    Attributes:
        model: Registered name.
        label: What it is called in the table.
        differs: Options in which the rows of this model differ, e.g. ``{"model.dim": 8}``.
        n_seeds: Number of seeds that are done.
        metrics: Of the test part, the one that orders the table first.
        seconds: ``fit`` and ``evaluate``, means over the runs.
        peak_memory_bytes: The highest of the runs.
        statuses: Number of runs by status, those that are not done too.
        selection: Which part chose the epoch: ``valid``, ``last``, ``test`` or None.
        metric_definitions_version: Of the numbers.
    """

    model: str
    label: str
    differs: Mapping[str, Any]
    n_seeds: int
    metrics: Mapping[str, Spread]
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    statuses: Mapping[str, int]
    selection: str | None
    metric_definitions_version: int


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
    _refuse_to_mix(done)
    statuses: dict[str, Counter[str]] = {}
    for result in everything:
        if "config" in result:
            statuses.setdefault(_key(_options(result)), Counter())[result["status"]] += 1
    groups: dict[str, list[Result]] = {}
    newest = _newest(done)
    _warn_of_other_code(newest)
    for result in newest:
        groups.setdefault(_key(_configuration(result)), []).append(result)
    first = _ordering_metric(done, metric)
    differing = _differing([runs[0] for runs in groups.values()])
    rows = [
        _row(runs, differing[runs[0]["model"]], statuses[_key(_options(runs[0]))], first) for runs in groups.values()
    ]
    return sorted(rows, key=lambda row: (*_place(row, first), row.label))


def render(rows: Sequence[Row], format: Format = "table", *, for_spreadsheet: bool = False) -> str:
    """Return ``rows`` as text without a final line end.

    Args:
        rows: What ``compare`` gives.
        format: ``table`` and ``markdown`` for people, with the first few metrics, rounded; ``csv`` and ``json`` for
            programs, with everything in full precision.
        for_spreadsheet: Whether a ``'`` goes before texts of the CSV that a spreadsheet would take for formulas.

    Raises:
        ConfigError: No such format, or one that is not for spreadsheets.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format {format!r}: should be {one_of(get_args(Format))}.")
    if for_spreadsheet:
        if format != "csv":
            raise ConfigError(f"--excel-safe has no effect on --format {format}; write --format csv, or leave it out.")
        return _csv(rows, excel_safe)
    if not rows and format in ("table", "markdown"):
        return "no run is done."
    return _RENDERERS[format](rows)


def unfinished(results: Iterable[Result]) -> str:
    """Return one line for each run that is not done: its folder, its status, and why; empty where all are."""
    lines = []
    for result in results:
        if result["status"] != "done":
            error = result.get("error")
            why = f": {error['type']}: {error['message']}" if error else ""
            lines.append(printable(f"{result['folder']}: {result['status']}{why}"))
    return "\n".join(lines)


def _refuse_to_mix(done: Sequence[Result]) -> None:
    """Raise where two results do not measure the same thing."""
    aspects: dict[str, Callable[[Result], tuple[Any, str]]] = {
        "data": lambda result: _fingerprint(result, "data", result["dataset"]),
        "splits": lambda result: _fingerprint(result, "split", result["split"]),
        "candidates": _candidates,
        "masks": lambda result: _evaluation(result, "mask"),
        "orders of ties": lambda result: _evaluation(result, "tie_seed"),
        "definitions of metrics": lambda result: (
            result["metric_definitions_version"],
            f"version {result['metric_definitions_version']}",
        ),
    }
    for what, aspect in aspects.items():
        for result in done[1:]:
            (one, one_in_words), (other, other_in_words) = aspect(done[0]), aspect(result)
            if one != other:
                raise RunError(
                    f"{done[0]['folder']} and {result['folder']} do not belong in one table, since their {what} "
                    f"differ: {one_in_words} and {other_in_words}. Compare them in separate folders."
                )


def _warn_of_other_code(done: Sequence[Result]) -> None:
    """Say once that not all results were made by the same code."""
    for result in done[1:]:
        one, other = (run["fingerprints"]["code"] for run in (done[0], result))
        if one != other:
            logger.warning(
                "%s and %s were made with different code (of recbench, or a plugin that one of them uses); "
                "what tells them apart may be the code.",
                done[0]["folder"],
                result["folder"],
            )
            return


def _fingerprint(result: Result, name: str, words: str) -> tuple[str, str]:
    value = result["fingerprints"][name]
    return value, f"{words} (fingerprint {value[:8]})"


def _evaluation(result: Result, option: str) -> tuple[Any, str]:
    value = result["config"]["evaluation"][option]
    return value, f"evaluation.{option}={value}"


def _candidates(result: Result) -> tuple[str | None, str]:
    """Return the fingerprint of what was ranked, None for all items, and words for it."""
    options, value = result["config"]["evaluation"], result["fingerprints"]["candidates"]
    if value is None:
        return None, "full ranking"
    words = {
        "sampled": f"{options['n_candidates']} sampled {options['candidates_by']} with seed "
        f"{options['candidates_seed']}",
        "file": f"those of {options['candidates_path']}",
        "published": "published ones",
    }
    return value, f"{words[options['candidates']]} (fingerprint {value[:8]})"


def _options(result: Result) -> dict[str, Any]:
    """Return the options that make a configuration, flat; of paths only whether they are given."""
    flat: dict[str, Any] = {"fit_on": result["config"].get("fit_on", "train")}
    for part, value in result["config"].items():
        if part not in _INDIFFERENT and part != "fit_on":
            flat |= {f"{part}.{key}": inner for key, inner in value.items()} if value is not None else {}
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
        seconds={name: statistics.fmean(run["seconds"][name] for run in runs) for name in ("fit", "evaluate")},
        peak_memory_bytes=max(run["peak_memory_bytes"] for run in runs),
        statuses=dict(statuses),
        selection=runs[0]["selection"],
        metric_definitions_version=runs[0]["metric_definitions_version"],
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


def _place(row: Row, metric: str | None) -> tuple[bool, float]:
    """Return what sorts the best row first, and rows without the metric last."""
    spread = row.metrics.get(metric) if metric is not None else None
    if metric is None or spread is None or spread.mean is None:
        return True, 0.0
    return False, -metrics.parse(metric.partition("[")[0]).sign * spread.mean


def _cells(rows: Sequence[Row]) -> tuple[list[list[str]], list[str]]:
    """Return a head and lines of cells for people, and the names of the metrics that they leave out."""
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    shown = names[:N_METRICS_SHOWN]
    lines = [["model", "seeds", *shown, "fit s", "evaluate s", "peak MB"]]
    for row in rows:
        lines.append(
            [
                printable(row.label),
                str(row.n_seeds),
                *(str(row.metrics.get(name, Spread(None, None))) for name in shown),
                f"{row.seconds['fit']:.2f}",
                f"{row.seconds['evaluate']:.2f}",
                f"{row.peak_memory_bytes / 1e6:,.0f}",
            ]
        )
    return lines, names[N_METRICS_SHOWN:]


def _table(rows: Sequence[Row]) -> str:
    lines, left_out = _cells(rows)
    text = aligned(lines, right=range(1, len(lines[0])))
    if left_out:
        text += ["", f"Not shown, but in --format csv and json: {', '.join(left_out)}."]
    return "\n".join(text)


def _markdown(rows: Sequence[Row]) -> str:
    lines, _ = _cells(rows)
    escaped = [list(map(markdown_cell, line)) for line in lines]
    ruler = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [escaped[0], ruler, *escaped[1:]])


def _csv(rows: Sequence[Row], made_safe: Callable[[str], str] = str) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spreads = [f"{name} {part}" for name in names for part in ("mean", "std")]
    writer.writerow(["model", "label", "n_seeds", *spreads, "fit_seconds", "evaluate_seconds", "peak_memory_bytes"])
    for row in rows:
        values = [row.metrics.get(name, Spread(None, None)) for name in names]
        numbers = [number for spread in values for number in (spread.mean, spread.std)]
        seconds = [row.seconds["fit"], row.seconds["evaluate"]]
        writer.writerow(
            [made_safe(row.model), made_safe(row.label), row.n_seeds, *numbers, *seconds, row.peak_memory_bytes]
        )
    return text.getvalue().rstrip("\n")


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False)


_RENDERERS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "table": _table,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
}
