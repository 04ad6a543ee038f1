"""Published negatives of NCF: ``(user,item)`` and, behind tabs, the items that it is ranked among."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbench.formats.columns import BadRows, Column, Read
from recbench.formats.lines import Lines, lines
from recbench.formats.table import Cells, Fault, Table
from recbench.formats.tokens import STAND_IN, tokens
from recbench.text import shortened

_COLUMNS = (Column("user", 0, "id"), Column("item", 1, "id"), Column("negative", 2, "id"))


def read_negatives(path: str | Path, *, encoding: str = "utf-8", bad_rows: BadRows = "error") -> Read:
    """Return one row a negative as the ids ``user``, ``item`` (the positive) and ``negative``.

    Source: the files ``*.test.negative`` of He et al.: Neural Collaborative Filtering, WWW 2017.

    Args:
        path: The file, plain, gzip or in a zip archive; see ``source.blocks``.
        encoding: A Python encoding.
        bad_rows: Whether a line that is not of this form, or an empty id, is an error, or its negatives are left out,
            counted and logged. A bad line without negatives counts as one row.

    Raises:
        DataError: The file cannot be read, its bytes are not of the encoding; or, unless dropped, a line is not of this
            form. The message names the line.
        EmptyDatasetError: The file has no bytes, or nothing but bad lines.
    """
    path = Path(path)
    table = Table(path, _COLUMNS, bad_rows)
    for block in lines(path, encoding, forbidden=(STAND_IN,)):
        _add(table, block)
    return table.finish()


def _add(table: Table, block: Lines) -> None:
    found = tokens(block, "\t")
    pairs = found.of(found.first)
    heads = pd.Series(pairs.values[pairs.codes], dtype=object)
    ids = heads.str.extract(r"\A\(([^,]+),([^,]+)\)\Z").to_numpy(dtype=object)
    wrong = pd.isna(ids[:, 0]) | (found.counts == 1)
    n_negatives = found.counts - 1
    # A line without negatives is a row as well, for its mistake to be told.
    row_lines = np.repeat(np.arange(len(heads)), np.maximum(n_negatives, 1))
    rows = wrong[row_lines]
    fault = Fault(
        "no pair and negatives",
        rows,
        lambda row: (
            f"should begin with (user,item), and item ids should follow, each behind a tab; it begins with "
            f"{shortened(heads[row_lines[row]])!r}."
        ),
    )
    negatives = found.of(~found.first)
    good = ~wrong[row_lines[n_negatives[row_lines] > 0]]
    cells = {
        "user": Cells.of(ids[row_lines[~rows], 0]),
        "item": Cells.of(ids[row_lines[~rows], 1]),
        "negative": Cells(negatives.codes[good], negatives.values).compact(),
    }
    table.add(cells, lambda rows: block.first + row_lines[rows], len(row_lines), [fault] if wrong.any() else [])
