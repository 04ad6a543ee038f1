"""One user a line: ``user item item ...``, as LightGCN and MCRec publish their splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbench.errors import ConfigError, DataError
from recbench.formats.columns import BadRows, Column, Read
from recbench.formats.lines import Lines, lines
from recbench.formats.table import Cells, Table
from recbench.formats.tokens import STAND_IN, tokens
from recbench.text import shortened

_COLUMNS = (Column("user", 0, "id"), Column("item", 1, "id"))


def read_user_lists(
    path: str | Path,
    *,
    encoding: str = "utf-8",
    separator: str = " ",
    bad_rows: BadRows = "error",
    numbered: bool = False,
) -> Read:
    """Return the interactions of lines ``user item item ...`` as columns ``user`` and ``item``, both ids.

    A line without items holds no interaction and is counted in ``dropped`` as ``user without items``; one separator
    at the end of a line is taken off, since such lines are published so.

    Args:
        path: The file, plain, gzip or in a zip archive; see ``source.blocks``.
        encoding: A Python encoding.
        separator: What stands between ids, one byte.
        bad_rows: Whether an empty id is an error, or its interactions are left out, counted and logged.
        numbered: Whether the lines of all rows are returned too.

    Raises:
        DataError: The file cannot be read, its bytes are not of the encoding, or a user has two lines; or, unless
            dropped, an id is empty. The message names the file and the line.
        EmptyDatasetError: The file has no bytes, or no interaction.
        ConfigError: The separator is not one byte.
    """
    path = Path(path)
    if len(separator.encode()) != 1 or separator in "\n\r\0":
        raise ConfigError(f"separator = {separator!r}: should be one ASCII character that ends no line.")
    table = Table(path, _COLUMNS, bad_rows, numbered=numbered)
    seen: set[str] = set()
    for block in lines(path, encoding, forbidden=(STAND_IN,)):
        _add(table, block, separator, seen)
    return table.finish()


def _add(table: Table, block: Lines, separator: str, seen: set[str]) -> None:
    block = Lines(block.data.replace(separator.encode() + b"\n", b"\n"), block.first)
    found = tokens(block, separator)
    users = found.of(found.first)
    names = users.values[users.codes]
    _refuse_second_lines(table.path, names, block, seen)
    n_items = found.counts - 1
    blank = names == ""
    # A line of neither a user nor items is a row as well, for its mistake to be counted.
    row_lines = np.repeat(np.arange(len(names)), np.where(blank, np.maximum(n_items, 1), n_items))
    items = found.of(~found.first)
    item_codes = np.full(len(row_lines), -1, dtype=np.int64)
    item_codes[n_items[row_lines] > 0] = items.codes
    table.add(
        {"user": Cells(users.codes[row_lines], users.values).compact(), "item": Cells(item_codes, items.values)},
        lambda rows: block.first + row_lines[rows],
        len(row_lines),
    )
    table.leave_out("user without items", int(((n_items == 0) & ~blank).sum()))


def _refuse_second_lines(path: Path, names: np.ndarray, block: Lines, seen: set[str]) -> None:
    """Refuse users that are in ``seen`` or occur twice, and add them to it."""
    column = pd.Series(names, dtype=object)
    again = ((column.duplicated() | column.isin(seen)) & (column != "")).to_numpy()
    if again.any():
        line = int(np.argmax(again))
        raise DataError(
            f"{path}, line {block.first + line}: the user {shortened(names[line])!r} has had a line before; "
            "write all items of a user in one."
        )
    seen.update(names[names != ""])
