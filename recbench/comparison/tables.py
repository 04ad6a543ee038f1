"""The tables of a comparison as cells of text, for people, whatever they are written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recbench.comparison.analysis import TESTS
from recbench.comparison.rows import Row, Spread, better
from recbench.text import printable

N_METRICS_SHOWN = 4
"""Metrics in a table for people; csv and json have all."""

_LEAST_P = 0.0001
_NOTHING = Spread(None, None)


@dataclass(frozen=True)
class Table:
    """Cells, those of the head first; all columns but the first hold numbers.

    Attributes:
        title: What the table is about; None of the main one.
        lines: Cells, as many in each line.
        notes: Sentences below it.
        best: Places, (line, column), of the best values.
    """

    title: str | None
    lines: Sequence[Sequence[str]]
    notes: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = frozenset()


def names_of_metrics(rows: Sequence[Row]) -> list[str]:
    """Return the metrics that any row has, the one that orders the table first."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


def main_table(rows: Sequence[Row]) -> Table:
    """Return quality and cost: a line a row."""
    shown = names_of_metrics(rows)[:N_METRICS_SHOWN]
    columns: dict[str, list[str]] = {"seeds": [str(row.n_seeds) for row in rows]}
    best = set()
    for name in shown:
        best |= {
            (line, len(columns) + 1) for line in _best([row.metrics.get(name, _NOTHING).mean for row in rows], name)
        }
        columns[name] = [str(row.metrics.get(name, _NOTHING)) for row in rows]
        if name == shown[0] and any(row.intervals for row in rows):
            columns["95 % of users"] = [str(row.intervals.get(name, "-")) for row in rows]
    if any(row.tuning for row in rows):
        columns["trials"] = [f"{row.tuning['trials']:,}" if row.tuning else "-" for row in rows]
    for kind in ("fit", "evaluate"):
        columns[f"{kind} s"] = [_number(row.seconds[kind], ".2f") for row in rows]
    columns["peak MB"] = [
        _number(None if row.peak_memory_bytes is None else row.peak_memory_bytes / 1e6, ",.0f") for row in rows
    ]
    return Table(None, _lines(rows, columns), _budgets(rows), frozenset(best))


def _budgets(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what the rows were tuned within, as a sentence; none where none was tuned."""
    budgets = {row.label: row.tuning["budget"] if row.tuning else "not tuned" for row in rows}
    if not any(row.tuning for row in rows):
        return ()
    if len(set(budgets.values())) == 1:
        return (f"Tuned within the same budget, {next(iter(budgets.values()))} each.",)
    told = ", ".join(f"{printable(label)} {budget}" for label, budget in budgets.items())
    return (f"Tuned within different budgets, which may be what tells them apart: {told}.",)


def tests_table(rows: Sequence[Row]) -> Table | None:
    """Return what the rows have against the baseline, None where there is none."""
    tested = [(row, row.versus) for row in rows if row.versus is not None]
    if not tested:
        return None
    versus = [versus for _, versus in tested]
    columns = {
        "users": [f"{one.n_users:,}" for one in versus],
        "difference": [f"{one.difference:+.4f}" for one in versus],
        "95 % of users": [str(one.interval) for one in versus],
        "d": [_number(one.effect_size, "+.2f") for one in versus],
    }
    for name in TESTS:
        columns[f"p {name}"] = [p_value(one.p_holm[name]) for one in versus]
    return Table(
        f"{rows[0].metric} of each user, mean over seeds, less that of {printable(versus[0].baseline)}",
        _lines([row for row, _ in tested], columns),
        (
            f"p: two-sided, after Holm's correction for {len(tested)} row{'s' if len(tested) > 1 else ''}; "
            "d: Cohen's d of the paired differences.",
        ),
    )


def groups_table(rows: Sequence[Row]) -> Table | None:
    """Return the metric that orders the table by groups of users, None where they are not known."""
    groups = next((row.groups for row in rows if row.groups), None)
    if groups is None:
        return None
    columns, best = {}, set()
    for place, group in enumerate(groups):
        values = [row.groups[place].value if row.groups else None for row in rows]
        best |= {(line, place + 1) for line in _best(values, str(rows[0].metric))}
        between = str(group.least) if group.least == group.most else f"{group.least:,}-{group.most:,}"
        n_users = max(row.groups[place].n_users for row in rows if row.groups)
        columns[f"{group.name}: {between} ({n_users:,})"] = [_number(value, ".4f") for value in values]
    return Table(
        f"{rows[0].metric} by training interactions of the user (number of users)",
        _lines(rows, columns),
        best=frozenset(best),
    )


def p_value(value: float | None) -> str:
    """Return a p-value as it is printed."""
    if value is not None and value < _LEAST_P:
        return f"< {_LEAST_P}"
    return _number(value, ".4f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _lines(rows: Sequence[Row], columns: dict[str, list[str]]) -> list[list[str]]:
    return [["model", *columns]] + [[printable(row.label), *cells] for row, *cells in zip(rows, *columns.values())]


def _best(values: Sequence[float | None], metric: str) -> list[int]:
    """Return the lines, the head's being 0, of the best of several ``values``."""
    known = [value * better(metric) for value in values if value is not None]
    if len(known) < 2:
        return []
    return [line for line, value in enumerate(values, 1) if value is not None and value * better(metric) == max(known)]
