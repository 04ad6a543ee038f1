"""Which columns are wanted of a file, and what is returned of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from recbench.errors import DataError
from recbench.text import shortened

logger = logging.getLogger(__name__)

_SHOWN = 50

Kind = Literal["id", "number", "whole", "text"]
BadRows = Literal["error", "drop"]
Unit = Literal["line", "row"]


@dataclass(frozen=True)
class Column:
    """One column of the resulting table.

    Attributes:
        name: Its name there, e.g. ``user``.
        source: Its name in the file's header, or its position counted from 0.
        kind: What it holds. ``id``: an opaque text, never empty, as a pandas categorical of str; ``number``:
            float64, finite, written in decimal; ``whole``: int64, written as a whole number or, below 2**53, as
            a fraction that is one (``881250949.0``); ``text``: str, as an object column.
        optional: It is left out where the file lacks it, or where its place is taken by another column.
        may_be_missing: An empty field is a missing value and no error: NaN, or ``<NA>`` in a nullable Int64.
    """

    name: str
    source: str | int
    kind: Kind
    optional: bool = False
    may_be_missing: bool = False

    @property
    def title(self) -> str:
        """What messages call its values."""
        return f"{self.name} id" if self.kind == "id" else self.name

    def set_to(self, value: str) -> str:
        """Return how another column is chosen, as messages say it: texts are declared, all others have an option."""
        if self.kind == "text":
            return f"Declare {{name: {self.name}, column: {value}, ...}}"
        return f"Set dataset.{self.name}={value}"


@dataclass(frozen=True, eq=False)
class Read:
    """What a file holds.

    Attributes:
        frame: One row a record that is kept, in the order of the file.
        n_rows: Records in the file.
        dropped: For each reason the number of records that are left out for it.
        examples: For each reason that is a fault the first such record, as an error would tell it.
        lines: (N,) the line of the file in which each row of ``frame`` begins, or of Parquet its row, from 1; None
            unless they were asked for.
        unit: What these numbers count.
    """

    frame: pd.DataFrame
    n_rows: int
    dropped: Mapping[str, int]
    examples: Mapping[str, str] = field(default_factory=dict)
    lines: np.ndarray | None = None
    unit: Unit = "line"

    def where(self, row: int) -> str:
        """Return the place in the file of a row of ``frame``, as messages say it: ``line 7``."""
        assert self.lines is not None, "they were not asked for"
        return f"{self.unit} {self.lines[row]}"

    def __post_init__(self) -> None:
        n_accounted = len(self.frame) + sum(self.dropped.values())
        assert self.n_rows == n_accounted, f"{self.n_rows} records, but {n_accounted} are read or dropped"


def find(
    path: Path, columns: Sequence[Column], names: Sequence[str], *, named: bool = True, otherwise: str = ""
) -> dict[str, int]:
    """Return the position in the file of each column that it has, by the column's name; no two share one.

    Args:
        path: The file, for messages.
        columns: What is wanted.
        names: The names in the file's header; where it has none, as many texts as it has columns.
        named: Whether it has a header.
        otherwise: What else can be done where a name is not in the header, a clause for the message.

    Raises:
        DataError: A column that is not optional is missing, a name occurs twice, or two columns are the same.
    """
    taken: dict[int, Column] = {}
    # What is optional comes last, and is not there where its usual place holds something else.
    for column in sorted(columns, key=lambda column: column.optional):
        place = _place(path, column, names, named=named, otherwise=otherwise)
        if place is None or (place in taken and column.optional):
            continue
        if place in taken:
            other = taken[place]
            remedy = f"Set dataset.{other.name} or dataset.{column.name} to another one."
            if "text" in (column.kind, other.kind):
                remedy = "Each declared column should be another one, and none that of the ids."
            raise DataError(
                f"{path}: the {other.name} and the {column.name} are both the column {column.source!r}. {remedy}"
            )
        taken[place] = column
    places = {column.name: place for place, column in taken.items()}
    absent = [column.name for column in columns if column.name not in places]
    unread = [name for place, name in enumerate(names) if place not in taken]
    if absent and unread and named:
        logger.info(
            "%s: is read without %s, and without what it has as %s. Set dataset.%s=NAME where it is one of these.",
            path,
            " and ".join(absent),
            ", ".join(map(repr, unread)),
            absent[0],
        )
    return {column.name: places[column.name] for column in columns if column.name in places}


def _place(path: Path, column: Column, names: Sequence[str], *, named: bool, otherwise: str) -> int | None:
    """Return the position in the file of one column, None where it has none and need not."""
    name, source = column.name, column.source
    if isinstance(source, int):
        if 0 <= source < len(names):
            return source
        if not column.optional:
            raise DataError(
                f"{path}: no column {source} for the {name}; the file has {len(names)} columns, "
                f"0 to {len(names) - 1}. {column.set_to('POSITION')}."
            )
        return None
    if not named:
        raise DataError(
            f"{path}: no column {source!r} for the {name}: without a header columns have no names. "
            f"{column.set_to('POSITION')}, 0 is the first."
        )
    if names.count(source) == 1:
        return names.index(source)
    if source in names:
        raise DataError(
            f"{path}, line 1: the column {source!r} occurs {names.count(source)} times. "
            f"{column.set_to('POSITION')}, 0 is the first."
        )
    if not column.optional:
        raise DataError(
            f"{path}: no column {source!r} for the {name}; the file has: {_listed(names)}. "
            f"{column.set_to('NAME')}{otherwise if column.kind != 'text' else ''}."
        )
    return None


def _listed(names: Sequence[str]) -> str:
    """Return names as people read them, of many the first ones."""
    shown = ", ".join(map(shortened, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
