"""The data sets as a table: how much each holds, its terms, and whether its files are at hand."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from recbench import datasets
from recbench.data.cache import MIRROR, data_set_folder
from recbench.data.places import Place
from recbench.datasets import Card
from recbench.datasets.published import PublishedDataset
from recbench.errors import ConfigError
from recbench.options import one_of
from recbench.text import aligned, markdown_cell

Format = Literal["table", "markdown", "csv", "json"]
AtHand = Literal["cache", "mirror", "no", "needs none"]


@dataclass(frozen=True)
class Row:
    """One data set.

    Attributes:
        name: As registered.
        users: Published number, None where it depends on the options; ``items`` and ``interactions`` alike.
        time: What timestamps are in the files at hand, or else in those that are fetched first: ``seconds``, ``rank``
            or ``none``; None where it depends on the options.
        at_hand: Where its files are, ``no`` where they have to be fetched.
        verified: Whether someone has checked the reader against these very files; None where none were published.
        licence: The terms in short.
    """

    name: str
    users: int | None
    items: int | None
    interactions: int | None
    time: str | None
    at_hand: AtHand
    verified: bool | None
    licence: str


def catalog() -> list[Row]:
    """Return one row for each data set, sorted by name; nothing is fetched, and no content looked at."""
    return [_row(name) for name in datasets.registry.names()]


def at_hand(name: str, places: Sequence[Place]) -> tuple[AtHand, Place | None]:
    """Return where the files are, and which of the ``places`` have such files; their content is looked at when read.

    Where there are none, that is the place from which they are fetched first.
    """
    if not places:
        return "needs none", None
    home = data_set_folder(name)
    for place in places:
        if _has(home / place.key, place):
            return "cache", place
    mirror = os.environ.get(MIRROR)
    if mirror:
        held = Path(mirror) / name
        for place in places:
            if _has(held, place) or _has(held / place.folder, place):
                return "mirror", place
    return "no", places[0]


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


def _row(name: str) -> Row:
    target: Any = datasets.registry.entry(name).target
    card: Card = target.card
    files_of = target.files_of if issubclass(target, PublishedDataset) else None
    where, place = at_hand(files_of or name, card.places)
    return Row(
        name=name,
        users=card.n_users,
        items=card.n_items,
        interactions=card.n_interactions,
        time=place.time if place and place.time else card.time,
        at_hand=where,
        verified=None if place is None else place.verified,
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
    return "\n".join(aligned(_cells(rows), _NUMBERS))


def _markdown(rows: Sequence[Row]) -> str:
    head, *lines = (list(map(markdown_cell, line)) for line in _cells(rows))
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
