"""Published tables beside our results: a line a number, with a verdict."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from recbench import metrics
from recbench.published import Published, Verdict
from recbench.text import aligned, markdown_cell, printable

Format = Literal["table", "markdown", "json"]

_HEAD = ("row", "metric", "published", "ours", "difference", "tolerance", "verdict", "seconds")
_NUMBERS = (2, 3, 4, 5, 7)


@dataclass(frozen=True)
class Line:
    """One published number.

    Attributes:
        published: The number; None where the source gives none.
        ours: Mean over the seeds, of the test part; None where nothing was run.
        std: Standard deviation with n - 1; None for less than two seeds.
        tolerance: Largest difference that counts as reproduced.
        source: Citation.
        seconds: All runs of the row together; None where nothing was run.
    """

    table: str
    row: str
    metric: str
    published: float | None
    ours: float | None
    std: float | None
    n_seeds: int
    tolerance: float
    verdict: Verdict
    source: str
    seconds: float | None


@dataclass(frozen=True)
class Result:
    """One run of a row.

    Attributes:
        metrics: Of the test part.
        seconds: Of the whole run.
        selection: Which part chose the epoch: ``valid``, ``last``, ``test`` or None.
        environment: In words what it was made with.
        code: Fingerprint of the code that made it.
    """

    metrics: Mapping[str, float]
    seconds: float
    selection: str | None
    environment: str
    code: str


@dataclass(frozen=True)
class Row:
    """One row of a published table, and what we have of it.

    Attributes:
        results: Of the runs that are done.
        reasons: Why others are missing, a sentence each.
        stale: Whether a result was made by other code than that which tells of it.
    """

    table: str
    name: str
    published: Published
    results: Sequence[Result] = ()
    reasons: Sequence[str] = ()
    stale: bool = False

    @property
    def lines(self) -> list[Line]:
        """One for each metric."""
        seconds = sum(result.seconds for result in self.results) if self.results else None
        lines = []
        for metric, printed in self.published.values.items():
            values = [_value(result, metric) for result in self.results]
            ours = statistics.fmean(values) if values else None
            lines.append(
                Line(
                    table=self.table,
                    row=self.name,
                    metric=metric,
                    published=None if printed is None else float(printed),
                    ours=ours,
                    std=statistics.stdev(values) if len(values) > 1 else None,
                    n_seeds=len(values),
                    tolerance=float(self.published.allowed(printed or "0")),
                    verdict=self.published.verdict(printed, ours),
                    source=self.published.source,
                    seconds=seconds,
                )
            )
        return lines

    @property
    def holds(self) -> bool:
        """Whether no verdict is worse than what is expected of the row."""
        return all(self.published.holds(line.verdict) for line in self.lines)


def _value(result: Result, metric: str) -> float:
    """Return a result's value of ``metric``, whatever the candidates that its name tells of."""
    return next(value for name, value in result.metrics.items() if name.partition("[")[0] == metric)


def render(rows: Sequence[Row], format: Format = "table") -> str:
    """Return ``rows`` as text without a final line end."""
    return _RENDERERS[format](rows)


def page(tables: Mapping[str, Sequence[Row]]) -> str:
    """Return a page in Markdown on all ``tables``."""
    text = [_INTRODUCTION.strip(), "", *_summary(tables), ""]
    for name, rows in tables.items():
        shared = rows[0].published
        text += [f"## {shared.title} (`{name}`)", "", shared.protocol, ""]
        sources = list(dict.fromkeys(row.published.source for row in rows))
        text += [f"Source: {' '.join(sources)}" if len(sources) == 1 else "Sources:"]
        text += [f"- {source}" for source in sources if len(sources) > 1]
        text += ["", f"    recbench reproduce {name}", "", _markdown(rows), ""]
        notes = _notes(rows)
        text += [*(f"- {markdown_cell(note)}" for note in notes), ""] if notes else []
        text += [*_rankings(rows), ""]
    environments = Counter(result.environment for rows in tables.values() for row in rows for result in row.results)
    text += ["## Made with", "", *(f"- {name}: {n} runs" for name, n in environments.most_common())]
    return "\n".join(text).rstrip() + "\n"


def _summary(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return a table in Markdown of how many numbers of each table have each verdict."""
    verdicts = get_args(Verdict)
    lines = [["table", *verdicts]]
    for name, rows in tables.items():
        counts = Counter(line.verdict for row in rows for line in row.lines)
        lines.append([f"`{name}`", *(str(counts[verdict] or "") for verdict in verdicts)])
    return _markdown_table(lines)


def _rankings(rows: Sequence[Row]) -> list[str]:
    """Return a line for each metric: ours from the best row to the worst, each with its distance from the best."""
    measured: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        for line in row.lines:
            if line.ours is not None:
                measured.setdefault(line.metric, []).append((line.ours, line.row))
    lines = []
    for metric, values in measured.items():
        sign = metrics.parse(metric).sign
        (best, first), *others = sorted(values, key=lambda value: (-sign * value[0], value[1]))
        rest = [f"{name} {_bare(value - best)}" for value, name in others]
        lines.append(f"- Ours by {metric}: {', '.join([f'{first} {_bare(best)}', *rest])}.")
    return lines


def _bare(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1)


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    lines = [list(_HEAD)]
    for row in rows:
        for line, printed in zip(row.lines, row.published.values.values()):
            first = line.metric == next(iter(row.published.values))
            lines.append(
                [
                    row.name if first else "",
                    line.metric,
                    printed or "-",
                    _ours(line, printed),
                    _difference(line, printed),
                    row.published.tolerance,
                    line.verdict,
                    "" if line.seconds is None or not first else f"{line.seconds:,.0f}",
                ]
            )
    return lines


def _ours(line: Line, printed: str | None) -> str:
    if line.ours is None:
        return "-"
    digits = _digits(printed)
    mean = f"{line.ours:.{digits}f}".removeprefix("0")
    return mean if line.std is None else f"{mean} ± {f'{line.std:.{digits}f}'.removeprefix('0')}"


def _difference(line: Line, printed: str | None) -> str:
    if line.ours is None or line.published is None:
        return "-"
    difference = line.ours - line.published
    text = f"{abs(difference):.{_digits(printed)}f}".removeprefix("0")
    return text if float(text) == 0 else f"{'-' if difference < 0 else '+'}{text}"


def _digits(printed: str | None) -> int:
    """Return the digits behind the point that are shown: those that are printed, and at least four."""
    return max(4, len((printed or "").partition(".")[2]))


def not_run(rows: Sequence[Row]) -> list[str]:
    """Return a line for each reason why runs are missing, with the rows that it holds for."""
    return _shared((row.name, f"not run: {reason}") for row in rows for reason in row.reasons)


def _notes(rows: Sequence[Row]) -> list[str]:
    """Return what is to be said beside the numbers, each with the rows that it holds for."""
    return not_run(rows) + _shared((row.name, note) for row in rows for note in _notes_on(row))


def _shared(notes: Iterable[tuple[str, str]]) -> list[str]:
    names: dict[str, list[str]] = {}
    for name, note in notes:
        names.setdefault(" ".join(note.split()), []).append(name)
    return [f"{', '.join(several)}: {note}" for note, several in names.items()]


def _notes_on(row: Row) -> list[str]:
    verdicts = {line.verdict for line in row.lines}
    notes = []
    if "contested" in verdicts:
        notes.append(f"contested: {row.published.contested}")
    if row.published.note and verdicts & {"deviates", "contested", "reproduced", "unverified"}:
        notes.append(row.published.note)
    if row.published.seen == "memory":
        notes.append("the published value was not seen in its source and decides nothing.")
    if "test" in {result.selection for result in row.results}:
        notes.append("the epoch is chosen on the test part, as in the source.")
    if row.stale:
        notes.append("measured with an earlier state of the code.")
    return notes


def _table(rows: Sequence[Row]) -> str:
    text, notes = aligned(_cells(rows), _NUMBERS), _notes(rows)
    return "\n".join([*text, *([""] if notes else []), *map(printable, notes)])


def _markdown(rows: Sequence[Row]) -> str:
    return "\n".join(_markdown_table(_cells(rows)))


def _markdown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    text = [f"| {' | '.join(map(markdown_cell, line))} |" for line in lines]
    return [text[0], "|---" * len(lines[0]) + "|", *text[1:]]


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(line) for row in rows for line in row.lines], indent=2, allow_nan=False)


_RENDERERS: Mapping[str, Callable[[Sequence[Row]], str]] = {"table": _table, "markdown": _markdown, "json": _json}

_INTRODUCTION = """\
# Published numbers, and ours

Made by `recbench reproduce --page`; nothing here is written by hand. The results stand beside it as JSON, and are kept
there for rows whose runs are no more. Each row is a file below `conf/experiment` with
its published values, their source, the protocol and a tolerance; `recbench reproduce TABLE` runs the rows that are not
done and prints what is below.

- **exact**: ours rounds to all printed digits.
- **reproduced**: ours is within the tolerance.
- **deviates**: it is not; what was tried is said below the table.
- **contested**: it is not, and others contradict the published number.
- **unverified**: the number was not seen in its source, or there is none; nothing is decided.
- **not run**: there is no result of ours, for the reason that is given.

`ours` is the mean over seeds, ± the standard deviation where there are several; `seconds` is the time of all runs of
a row on two cores.
"""
