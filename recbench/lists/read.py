"""Lists in a file, one line an item: who, what, and at which rank or with which score."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recbench.data import Interactions, Vocabulary
from recbench.errors import ConfigError, DataError
from recbench.formats import (
    DELIMITERS,
    LAYOUTS,
    Column,
    Kind,
    Layout,
    Read,
    format_of,
    read_delimited,
    read_json_lines,
    read_parquet,
)
from recbench.text import shortened
from recbench.total_order import TieOrder

Place = str | int
By = Literal["rank", "score"]

_ONCE = {
    "item": "List each item once: its hits would count twice.",
    "rank": "Give each item a rank of its own; where there are scores, name their column with --score.",
}
_OPTION = re.compile(r"dataset\.(\w+)=")


@dataclass(frozen=True)
class ListsFile:
    """Where lists are, and how they are written.

    Attributes:
        path: CSV, TSV, JSON lines or Parquet, by its suffix; plain, .gz, or in a zip.
        user: Column of the users' ids: a name in the header, or a position from 0; None: ``user``, or 0 without header.
        item: Column of the items' ids; None: ``item``, or 1 without header.
        rank: Column of the ranks, the best item of a user having the lowest; None: ``rank``, where there is one.
        score: Column of the scores, the best item having the highest; None: ``score``, where there are no ranks.
        delimiter: Between fields; None: by the suffix.
        header: Whether the first line names the columns; None: by the suffix, only .dat and .rating have none.
        encoding: Of a text.
    """

    path: str
    user: Place | None = None
    item: Place | None = None
    rank: Place | None = None
    score: Place | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str = "utf-8"

    @property
    def layout(self) -> Layout:
        """How a delimited file is written.

        Raises:
            ConfigError: Neither the suffix nor an option tells.
        """
        usual = LAYOUTS.get(format_of(self.path) or "")
        if usual is None and self.delimiter is None:
            raise ConfigError(
                f"{self.path}: the name does not tell how it is written. End it in .csv, .tsv, .jsonl or .parquet, or "
                f"give --delimiter, one of {', '.join(DELIMITERS)}, or the characters themselves."
            )
        layout = replace(usual or Layout(), encoding=self.encoding)
        if self.header is not None:
            layout = replace(layout, header=self.header, typed_header=layout.typed_header and self.header)
        if self.delimiter is not None:
            delimiter = DELIMITERS.get(self.delimiter, self.delimiter)
            layout = replace(layout, delimiter=delimiter, quotes=delimiter in (",", ";"))
        return layout


@dataclass(frozen=True, eq=False)
class Lists:
    """The items of all lists, N of them, those of a user together and the best first.

    Shapes:
        users: (N,) int64, ascending.
        items: (N,) int64.
        tied: (N,) bool, true where the score equals that of the user's next item; never where there are ranks.

    Attributes:
        by: What they were ordered by.
    """

    users: Tensor
    items: Tensor
    tied: Tensor
    by: By

    @property
    def longest(self) -> int:
        """The length of the longest list."""
        return int(torch.bincount(self.users).max())


def read_lists(file: ListsFile, train: Interactions, tie_seed: int = 0) -> Lists:
    """Return the lists of ``file``.

    Args:
        file: Each line is an item of a list; lines may stand in any order.
        train: Gives the users and items that there are.
        tie_seed: Of the order among equal scores of a user, which is that of our own lists.

    Raises:
        ConfigError: It is not known how the file is written.
        DataError: It cannot be read, has neither ranks nor scores, names a user or an item that is not in the data, an
            item of a user twice, or a rank of a user twice. The message names the file and the line.
    """
    read = _read(file)
    frame = read.frame
    by: By = "rank" if "rank" in frame else "score"
    if by not in frame:
        raise DataError(
            f"{file.path}: has neither a column 'rank' nor one 'score' to order the lists by. Name one with --rank or "
            "--score; without a header by its position, 0 is the first."
        )
    users = _indices(file, read, "user", train.user_vocabulary)
    items = _indices(file, read, "item", train.item_vocabulary)
    _refuse_repeats(file, read, users, items, "item")
    values = frame[by].to_numpy()
    if by == "rank":
        _refuse_repeats(file, read, users, values, "rank")
        order = np.lexsort((values, users))
        tied = np.zeros(len(order), dtype=bool)
    else:
        of_user, of_item = torch.from_numpy(users), torch.from_numpy(items)
        precedence = TieOrder.of(train, tie_seed).precedence(of_user, of_item[:, None])[:, 0].numpy()
        order = np.lexsort((precedence, -values, users))
        users_in_order, values_in_order = users[order], values[order]
        same = (users_in_order[1:] == users_in_order[:-1]) & (values_in_order[1:] == values_in_order[:-1])
        tied = np.append(same, False)
    return Lists(torch.from_numpy(users[order]), torch.from_numpy(items[order]), torch.from_numpy(tied), by)


def _read(file: ListsFile) -> Read:
    """Return the columns of the file, with the options in messages called as they are here."""
    kind = format_of(file.path)
    named = kind in ("jsonl", "parquet") or file.layout.header
    columns = [_column("user", "id", file.user, "user" if named else 0)]
    columns += [_column("item", "id", file.item, "item" if named else 1)]
    if file.score is None and (named or file.rank is not None):
        columns.append(_column("rank", "whole", file.rank, "rank", optional=True))
    if file.rank is None and (named or file.score is not None):
        columns.append(_column("score", "number", file.score, "score", optional=True))
    try:
        if kind == "jsonl":
            return read_json_lines(file.path, columns, encoding=file.encoding, numbered=True)
        if kind == "parquet":
            return read_parquet(file.path, columns, numbered=True)
        return read_delimited(file.path, columns, file.layout, numbered=True)
    except DataError as error:
        raise DataError(_OPTION.sub(r"--\1 ", str(error))) from None


def _column(name: str, kind: Kind, given: Place | None, usual: Place, *, optional: bool = False) -> Column:
    """Return the column that was ``given``, else the usual one, which may be ``optional``."""
    return Column(name, usual if given is None else given, kind, optional=optional and given is None)


def _indices(file: ListsFile, read: Read, kind: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the index of each line's user or item, (N,) int64."""
    column = read.frame[kind].cat
    known = np.array([name in vocabulary for name in column.categories], dtype=bool)
    wrong = ~known[column.codes.to_numpy()]
    if wrong.any():
        first = int(np.argmax(wrong))
        try:
            vocabulary.indices([read.frame[kind].iloc[first]])
        except DataError as error:
            raise DataError(
                f"{file.path}, {read.where(first)}: {error} {int(wrong.sum()):,} of {len(wrong):,} lines are so; the "
                f"{kind}s are those of all parts of the data, as published."
            ) from None
    return vocabulary.indices(column.categories.to_numpy(dtype=object))[column.codes.to_numpy()]


def _refuse_repeats(file: ListsFile, read: Read, users: np.ndarray, values: np.ndarray, column: str) -> None:
    """Raise where a user has one of the ``values`` (N,) of a column twice, naming the line of the second one."""
    order = np.lexsort((np.arange(len(users)), values, users))
    again = np.zeros(len(users), dtype=bool)
    again[order[1:]] = (np.diff(users[order]) == 0) & (np.diff(values[order]) == 0)
    if again.any():
        first = int(np.argmax(again))
        row = read.frame.iloc[first]
        raise DataError(
            f"{file.path}, {read.where(first)}: the {column} {shortened(str(row[column]))!r} stands more than once in "
            f"the list of user {shortened(str(row['user']))!r}; {int(again.sum()):,} lines are so. {_ONCE[column]}"
        )
