"""Rows of a comparison as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from recbench.comparison.analysis import TESTS
from recbench.comparison.rows import Row, Spread
from recbench.comparison.tables import (
    N_METRICS_SHOWN,
    Table,
    groups_table,
    main_table,
    names_of_metrics,
    tests_table,
)
from recbench.errors import ConfigError
from recbench.options import one_of
from recbench.text import aligned, excel_safe, markdown_cell

Format = Literal["table", "markdown", "latex", "csv", "json"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def render(
    rows: Sequence[Row], format: Format = "table", *, groups: bool = False, for_spreadsheet: bool = False
) -> str:
    """Return ``rows`` as text without a final line end.

    Args:
        rows: What ``compare`` or ``with_statistics`` gives.
        format: ``table``, ``markdown`` and ``latex`` for people, with the first few metrics, rounded; ``csv`` and
            ``json`` for programs, with everything in full precision.
        groups: Whether people see the groups of users too; programs always do.
        for_spreadsheet: Whether a ``'`` goes before texts of the CSV that a spreadsheet would take for formulas.

    Raises:
        ConfigError: No such format, or one that is not for spreadsheets or has the groups anyway.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format {format!r}: should be {one_of(get_args(Format))}.")
    if for_spreadsheet and format != "csv":
        raise ConfigError(f"--excel-safe has no effect on --format {format}; write --format csv, or leave it out.")
    if format in ("csv", "json"):
        if groups:
            raise ConfigError(f"--groups has no effect on --format {format}, which has them anyway; leave it out.")
        return _json(rows) if format == "json" else _csv(rows, excel_safe if for_spreadsheet else str)
    if not rows:
        return "no run is done."
    tables = [main_table(rows), tests_table(rows), groups_table(rows) if groups else None]
    return "\n\n".join(_WRITTEN[format](table, rows) for table in tables if table is not None)


def _text(table: Table, rows: Sequence[Row]) -> str:
    text = aligned(table.lines, right=range(1, len(table.lines[0])))
    left_out = names_of_metrics(rows)[N_METRICS_SHOWN:]
    if table.title is not None:
        text = [f"{table.title}:", *text]
    elif left_out:
        text += ["", f"Not shown, but in --format csv and json: {', '.join(left_out)}."]
    return "\n".join([*text, *table.notes])


def _markdown(table: Table, _: Sequence[Row]) -> str:
    head, *lines = [list(map(markdown_cell, line)) for line in table.lines]
    ruler = ["---"] + ["---:"] * (len(head) - 1)
    text = [f"| {' | '.join(line)} |" for line in (head, ruler, *lines)]
    if table.title is not None:
        text = [f"{markdown_cell(table.title)}:", "", *text]
    return "\n".join([*text, *(line for note in table.notes for line in ("", markdown_cell(note)))])


def _latex(table: Table, _: Sequence[Row]) -> str:
    """Return a ``tabular`` with the rules of the package booktabs, the best values in bold."""
    cells = [
        [
            f"\\textbf{{{_escaped(cell)}}}" if (row, column) in table.best else _escaped(cell)
            for column, cell in enumerate(line)
        ]
        for row, line in enumerate(table.lines)
    ]
    head, *lines = [f"{' & '.join(line)} \\\\" for line in cells]
    text = [f"\\begin{{tabular}}{{l{'r' * (len(table.lines[0]) - 1)}}}", "\\toprule", head, "\\midrule", *lines]
    above = [] if table.title is None else [f"% {table.title}"]
    return "\n".join([*above, *text, "\\bottomrule", "\\end{tabular}", *(f"% {note}" for note in table.notes)])


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^<>±&%$#_{}]", lambda found: _LATEX[found[0]], text)


_WRITTEN: Mapping[str, Callable[[Table, Sequence[Row]], str]] = {
    "table": _text,
    "markdown": _markdown,
    "latex": _latex,
}


def _csv(rows: Sequence[Row], made_safe: Callable[[str], str]) -> str:
    """Return one line a row; what comes of the values of users has columns where any row has it."""
    columns: list[tuple[str, Callable[[Row], Any]]] = [
        ("model", lambda row: made_safe(row.model)),
        ("label", lambda row: made_safe(row.label)),
        ("n_seeds", lambda row: row.n_seeds),
    ]
    for name in names_of_metrics(rows):
        columns.append((f"{name} mean", lambda row, name=name: row.metrics.get(name, Spread(None, None)).mean))
        columns.append((f"{name} std", lambda row, name=name: row.metrics.get(name, Spread(None, None)).std))
    columns += [
        ("fit_seconds", lambda row: row.seconds["fit"]),
        ("evaluate_seconds", lambda row: row.seconds["evaluate"]),
        ("peak_memory_bytes", lambda row: row.peak_memory_bytes),
    ]
    if any(row.n_trials is not None for row in rows):
        columns.append(("n_trials", lambda row: row.n_trials))
    columns += _of_users(rows, made_safe)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows([value(row) for _, value in columns] for row in rows)
    return text.getvalue().rstrip("\n")


def _of_users(rows: Sequence[Row], made_safe: Callable[[str], str]) -> list[tuple[str, Callable[[Row], Any]]]:
    """Return the columns of what comes of the values of users."""
    columns: list[tuple[str, Callable[[Row], Any]]] = []
    for name in dict.fromkeys(name for row in rows for name in row.intervals):
        for end in ("low", "high"):
            columns.append(
                (f"{name} {end}", lambda row, name=name, end=end: getattr(row.intervals.get(name), end, None))
            )
    for place, group in enumerate(next((row.groups for row in rows if row.groups), ())):
        columns.append((f"{rows[0].metric} {group.name}", lambda row, place=place: row.groups[place].value))
    if any(row.beaten_by for row in rows):
        columns.append(("beaten_by", lambda row: row.beaten_by and made_safe(row.beaten_by)))
    if any(row.versus for row in rows):
        columns.append(("baseline", lambda row: row.versus and made_safe(row.versus.baseline)))
        for name in ("n_users", "difference", "effect_size"):
            columns.append((name, lambda row, name=name: row.versus and getattr(row.versus, name)))
        for end in ("low", "high"):
            columns.append((f"difference {end}", lambda row, end=end: row.versus and getattr(row.versus.interval, end)))
        for test in TESTS:
            columns.append((f"p {test}", lambda row, test=test: row.versus and row.versus.p[test]))
            columns.append((f"p_holm {test}", lambda row, test=test: row.versus and row.versus.p_holm[test]))
    return columns


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False)
