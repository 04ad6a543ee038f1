"""Rows of a comparison as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from recbench.comparison.rows import Row
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

_WHO = ("model", "label", "n_seeds")
_COST = ("fit_seconds", "evaluate_seconds", "peak_memory_bytes")
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
    """Return one line a row; a column is there where any row has something in it."""
    blocks = (_who, _values, _cost, _of_users, _against_baseline)
    names = [name for block in blocks for name in dict.fromkeys(name for row in rows for name in block(row))]
    text = io.StringIO()
    writer = csv.DictWriter(text, names or [*_WHO, *_COST], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: value for block in blocks for name, value in block(row).items()}
        writer.writerow({name: made_safe(cell) if isinstance(cell, str) else cell for name, cell in cells.items()})
    return text.getvalue().rstrip("\n")


def _who(row: Row) -> dict[str, Any]:
    return dict(zip(_WHO, (row.model, row.label, row.n_seeds)))


def _values(row: Row) -> dict[str, Any]:
    return {f"{name} {part}": getattr(spread, part) for name, spread in row.metrics.items() for part in ("mean", "std")}


def _cost(row: Row) -> dict[str, Any]:
    tuning = {f"tuning_{name}": row.tuning[name] for name in ("budget", "trials", "seconds")} if row.tuning else {}
    return dict(zip(_COST, (row.seconds["fit"], row.seconds["evaluate"], row.peak_memory_bytes))) | tuning


def _of_users(row: Row) -> dict[str, Any]:
    ends = {f"{name} {end}": getattr(found, end) for name, found in row.intervals.items() for end in ("low", "high")}
    groups = {f"{row.metric} of {group.name} users": group.value for group in row.groups}
    return ends | groups | ({"beaten_by": row.beaten_by} if row.beaten_by else {})


def _against_baseline(row: Row) -> dict[str, Any]:
    versus = row.versus
    if versus is None:
        return {}
    return {
        "baseline": versus.baseline,
        "n_users": versus.n_users,
        "difference": versus.difference,
        "difference low": versus.interval.low,
        "difference high": versus.interval.high,
        "effect_size": versus.effect_size,
        **{f"p {test}": value for test, value in versus.p.items()},
        **{f"p_holm {test}": value for test, value in versus.p_holm.items()},
    }


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, allow_nan=False)
