"""Delimited text: CSV, TSV, ``::`` and the typed headers of RecBole."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from recbench.errors import ConfigError, DataError
from recbench.formats.columns import BadRows, Column, Read, find
from recbench.formats.lines import Lines, lines, within_quotes
from recbench.formats.table import Cells, Fault, Table
from recbench.text import shortened

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
"""Delimiters by the names that can be typed on a command line."""

_NEWLINE, _QUOTE = ord("\n"), ord('"')
_STAND_IN = "\x1f"
_TYPES = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True)
class Layout:
    """How a delimited text is written.

    Attributes:
        delimiter: What separates fields, one or more characters.
        header: Whether the first line names the columns.
        quotes: Whether fields may be quoted as in RFC 4180; otherwise a quote is a character like any other.
        encoding: A Python encoding; a byte order mark is taken off.
        typed_header: Whether a type stands behind each name, as RecBole writes them: ``user_id:token``.
    """

    delimiter: str = "\t"
    header: bool = True
    quotes: bool = False
    encoding: str = "utf-8"
    typed_header: bool = False

    def __post_init__(self) -> None:
        if not self.delimiter or any(character in self.delimiter for character in '\n\r\0"'):
            raise ConfigError(
                f"delimiter = {self.delimiter!r}: should be one or more characters without line ends, NUL and quotes. "
                f"Write one of {', '.join(DELIMITERS)}, or the characters themselves."
            )


def read_delimited(
    path: str | Path,
    columns: Sequence[Column],
    layout: Layout,
    *,
    bad_rows: BadRows = "error",
    numbered: bool = False,
    progress: bool = True,
) -> Read:
    """Return the ``columns`` of a delimited text.

    Unix, Windows and old Macintosh line ends read alike. A blank line is a record of one empty field and thus one
    of the wrong number of fields, at the end of the file too.

    Args:
        path: The file, plain, gzip or in a zip archive; see ``source.blocks``.
        columns: What is wanted of it.
        layout: How it is written.
        bad_rows: Whether a record that is not as it should be is an error, or is left out, counted and logged.
        numbered: Whether the lines of all rows are returned too.
        progress: Whether to show it where reading takes long.

    Raises:
        DataError: The file cannot be read, its bytes are not of the encoding, a column is missing or ambiguous,
            a quote is out of place; or, unless dropped, a record has another number of fields than the first, or a
            value is not what its column holds. The message names the file, the line and what to do.
        EmptyDatasetError: The file has no bytes, nothing but its header, or nothing but bad rows.
    """
    path = Path(path)
    # pandas splits at one byte only.
    simple = len(layout.delimiter.encode()) == 1
    table, places, n_fields = None, {}, 0
    for block in lines(
        path,
        layout.encoding,
        quotes=layout.quotes,
        forbidden=() if simple else (_STAND_IN,),
        progress=progress,
    ):
        records = _Records(path, block, layout)
        if table is None:
            names = records.first()
            n_fields = len(names)
            otherwise = ", or dataset.header=false where the first line is data"
            places = find(path, columns, names, named=layout.header, otherwise=otherwise)
            present = [column for column in columns if column.name in places]
            table = Table(path, present, bad_rows, numbered=numbered)
            if layout.header:
                records = records.behind_first()
        if len(records):
            _add(table, records, {column: places[column.name] for column in columns if column.name in places}, n_fields)
    assert table is not None
    return table.finish()


def _add(table: Table, records: _Records, places: Mapping[Column, int], n_fields: int) -> None:
    wrong = records.counts != n_fields
    malformed = []
    if wrong.any():
        malformed = [
            Fault(
                "wrong number of fields",
                wrong,
                lambda row: (
                    f"expected {n_fields} fields separated by {records.layout.delimiter!r}, "
                    f"found {records.counts[row]}: {records.shown(row)}."
                ),
            )
        ]
    table.add(records.parse(~wrong, n_fields, places), records.lines, len(records), malformed)


class _Records:
    """Whole records: where they end, how many fields each has, and the fields of some columns."""

    def __init__(self, path: Path, block: Lines, layout: Layout) -> None:
        self.path, self.layout, self.block = path, layout, block
        self.delimiter = layout.delimiter
        if len(layout.delimiter.encode()) > 1:
            self.delimiter = _STAND_IN
            self.block = replace(block, data=block.data.replace(layout.delimiter.encode(), _STAND_IN.encode()))
        self.quoted = layout.quotes and _QUOTE in self.block.data
        if self.quoted:
            self._check_quotes()

    def __len__(self) -> int:
        return len(self._ends)

    @cached_property
    def _separators(self) -> tuple[np.ndarray, np.ndarray]:
        """Where fields end, (F,) int64, and whether there a record ends too, (F,) bool."""
        data = np.frombuffer(self.block.data, np.uint8)
        ends = (data == ord(self.delimiter)) | (data == _NEWLINE)
        if self.quoted:
            ends &= ~within_quotes(data)
        places = np.flatnonzero(ends)
        return places, data[places] == _NEWLINE

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where records end, (N,) int64."""
        places, last = self._separators
        return places[last]

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of fields of each record, (N,) int64."""
        return np.diff(np.flatnonzero(self._separators[1]), prepend=-1)

    def _start(self, row: int) -> int:
        return int(self._ends[row - 1]) + 1 if row else 0

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the lines in which the records at ``rows`` (R,) begin, (R,) int64."""
        if not self.quoted:
            return self.block.first + rows
        starts = np.append(0, self._ends + 1)[rows]
        ends = np.flatnonzero(np.frombuffer(self.block.data, np.uint8) == _NEWLINE)
        return self.block.first + np.searchsorted(ends, starts)

    def shown(self, row: int) -> str:
        """Return a record as the file has it, cut to a readable length and in quotes."""
        text = self._text(row).replace(self.delimiter, self.layout.delimiter)
        return repr(shortened(text))

    def _text(self, row: int) -> str:
        return self.block.data[self._start(row) : int(self._ends[row])].decode()

    def behind_first(self) -> _Records:
        """Return all records but the first."""
        start = int(self._ends[0]) + 1
        return _Records(self.path, Lines(self.block.data[start:], self.block.number(start)), self.layout)

    def first(self) -> list[str]:
        """Return the fields of the first record, at least two; of a header the names."""
        text = self._text(0)
        rows = csv.reader([text], delimiter=self.delimiter, strict=True) if self.quoted else None
        fields = next(rows) if rows else text.split(self.delimiter)
        if len(fields) < 2:
            likely = [name for name, character in DELIMITERS.items() if character in text]
            hint = f" It looks separated by {likely[0]}s: set dataset.delimiter={likely[0]}." if likely else ""
            if "::" in text:
                hint = " It looks separated by '::': set dataset.delimiter=::."
            raise DataError(
                f"{self.path}, line 1: expected fields separated by {self.layout.delimiter!r}, found one field: "
                f"{self.shown(0)}.{hint}"
            )
        if not (self.layout.header and self.layout.typed_header):
            return fields
        split = [field.rpartition(":") for field in fields]
        for field, (name, _, kind) in zip(fields, split):
            if not name or kind not in _TYPES:
                raise DataError(
                    f"{self.path}, line 1: the column {field!r} should end in its type, one of {', '.join(_TYPES)}: "
                    "user_id:token, rating:float."
                )
        return [name for name, _, _ in split]

    def parse(self, chosen: np.ndarray, n_fields: int, places: Mapping[Column, int]) -> dict[str, Cells]:
        """Return the fields at ``places`` of the ``chosen`` records, (N,) bool, by the column's name."""
        data = self.block.data
        if not chosen.all():
            lengths = np.diff(self._ends, prepend=-1)
            data = np.frombuffer(data, np.uint8)[np.repeat(chosen, lengths)].tobytes()
        # pandas takes a byte order mark off the start of its input, so that no field may stand there.
        header = self.delimiter.join(map(str, range(n_fields))).encode() + b"\n"
        table = pd.read_csv(
            io.BytesIO(header + data),
            sep=self.delimiter,
            header=0,
            names=list(range(n_fields)),
            usecols=sorted(set(places.values())),
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            lineterminator="\n",
            low_memory=False,
            engine="c",
            encoding="utf-8",
        )
        texts = {column: table[place].to_numpy(dtype=object) for column, place in places.items()}
        # Ids and texts repeat, numbers seldom do.
        return {
            column.name: Cells.distinct(column_texts) if column.kind in ("id", "text") else Cells.of(column_texts)
            for column, column_texts in texts.items()
        }

    def _check_quotes(self) -> None:
        """Refuse quotes that RFC 4180 does not allow: within a plain field, behind a closing one, unclosed."""
        data = np.frombuffer(self.block.data, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        openings, closings = quotes[0::2], quotes[1::2]
        borders = np.array([ord(self.delimiter), _NEWLINE, _QUOTE], dtype=np.uint8)
        before = data[openings - 1]  # For the very first byte that is the last one, a line feed.
        stray = np.concatenate([openings[~np.isin(before, borders)], closings[~np.isin(data[closings + 1], borders)]])
        if len(stray):
            raise DataError(
                f"{self.path}, line {self.block.number(int(stray.min()))}: "
                'a quote within a field. Quote the whole field and double its quotes: "5"" disk".'
            )
        if len(quotes) % 2:
            raise DataError(
                f"{self.path}, line {self.block.number(int(quotes[-1]))}: a quoted field begins here and never ends."
            )
