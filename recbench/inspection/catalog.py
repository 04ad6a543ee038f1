"""The data sets as a table: how much each holds, its terms, and whether its files are at hand."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from recbench import datasets
from recbench.data.cache import Place, cache_folder
from recbench.datasets import Card
from recbench.errors import ConfigError
from recbench.options import one_of

Format = Literal["table", "markdown", "csv", "json"]
AtHand = Literal["cache", "mirror", "no", "needs none"]


@dataclass(frozen=True)
class Row:
    """One data set.

    Attributes:
        name: As registered.
        users: Published number, None where it depends on the options; ``items`` and ``interactions`` alike.
        time: What timestamps are: ``seconds``, ``rank`` or ``none``.
        at_hand: Where its files are, ``no`` where they have to be fetched.
        verified: Whether someone has checked the loader against the published files.
        licence: The terms in short.
    """

    name: str
    users: int | None
    items: int | None
    interactions: int | None
    time: str
    at_hand: AtHand
    verified: bool
    licence: str


def catalog() -> list[Row]:
    """Return one row for each data set, sorted by name; nothing is fetched, and no content looked at."""
    return [_row(name, datasets.registry.entry(name).target.card) for name in datasets.registry.names()]  # type: ignore[attr-defined]


def at_hand(name: str, places: Sequence[Place]) -> AtHand:
    """Return where the files of one of the ``places`` are; their content is verified when they are read."""
    if not places:
        return "needs none"
    home = cache_folder() / "datasets" / name
    if any(_has(home / place.key, place) for place in places):
        return "cache"
    mirror = os.environ.get("RECBENCH_MIRROR")
    if mirror:
        held = Path(mirror) / name
        if any(_has(folder, place) for place in places for folder in (held, held / place.folder)):
            return "mirror"
    return "no"


def render(rows: Sequence[Row], format: Format = "table") -> str:
    """Return ``rows`` as text without a final line end.

    Args:
        rows: What ``catalog`` gives.
        format: ``table`` and ``markdown`` for people; ``csv`` and ``json`` for programs.

    Raises:
        ConfigError: No such format.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format {format!r}: should be {one_of(get_args(Format))}.")
    return _RENDERERS[format](rows)


def _row(name: str, card: Card) -> Row:
    return Row(
        name=name,
        users=card.n_users,
        items=card.n_items,
        interactions=card.n_interactions,
        time=card.time,
        at_hand=at_hand(name, card.places),
        verified=card.verified,
        licence=card.licence,
    )


def _has(folder: Path, place: Place) -> bool:
    return bool(place.files) and all((folder / file.name).is_file() for file in place.files)


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """Return a head and lines of cells for people."""
    lines = [[fact.name.replace("_", " ") for fact in fields(Row)]]
    for row in rows:
        lines.append([_cell(value) for value in astuple(row)])
    return lines


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def _table(rows: Sequence[Row]) -> str:
    lines = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if place in _NUMBERS else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths))
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


def _markdown(rows: Sequence[Row]) -> str:
    head, *lines = ([cell.replace("|", "\\|") for cell in line] for line in _cells(rows))
    ruler = ["---:" if place in _NUMBERS else "---" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ruler, *lines])


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([fact.name for fact in fields(Row)])
    writer.writerows(
        ["" if value is None else str(value).lower() if isinstance(value, bool) else value for value in astuple(row)]
        for row in rows
    )
    return text.getvalue().rstrip("\n")


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False)


_NUMBERS = (1, 2, 3)
"""Columns that are written to the right."""

_RENDERERS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "table": _table,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
}
