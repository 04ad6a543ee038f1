"""Lines of any number of fields."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbench.formats.lines import Lines
from recbench.formats.table import Cells

STAND_IN = "\x1f"
"""A character that may not occur in the lines."""


@dataclass(frozen=True)
class Tokens:
    """The fields of L lines, T in all.

    Attributes:
        cells: All fields, one line behind the other: codes (T,).
        counts: Number of fields of each line, (L,) int64, at least 1.
    """

    cells: Cells
    counts: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """Which fields are the first of their line, (T,) bool."""
        first = np.zeros(len(self.cells.codes), dtype=bool)
        first[np.cumsum(self.counts) - self.counts] = True
        return first

    def of(self, chosen: np.ndarray) -> Cells:
        """Return the ``chosen`` fields, (T,) bool."""
        return Cells(self.cells.codes[chosen], self.cells.values).compact()


def tokens(block: Lines, separator: str) -> Tokens:
    """Return the fields of all lines; ``separator`` is one byte."""
    newline = ord("\n")
    data = np.frombuffer(block.data, np.uint8)
    ends = np.flatnonzero((data == ord(separator)) | (data == newline))
    counts = np.diff(np.flatnonzero(data[ends] == newline), prepend=-1)
    # pandas takes a byte order mark off the start of its input, so that no field may stand there.
    table = pd.read_csv(
        io.BytesIO(b"0\n" + block.data.replace(separator.encode(), b"\n")),
        sep=STAND_IN,
        header=0,
        names=["field"],
        dtype=object,
        na_filter=False,
        skip_blank_lines=False,
        quoting=csv.QUOTE_NONE,
        lineterminator="\n",
        low_memory=False,
        engine="c",
        encoding="utf-8",
    )
    assert len(table) == counts.sum(), f"{counts.sum()} fields, but {len(table)} were parsed"
    return Tokens(Cells.distinct(table["field"].to_numpy(dtype=object)), counts)
