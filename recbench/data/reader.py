"""Strict reading of delimited text: what is in the file is in the table, or an error names the line."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbench.errors import DataError, EmptyDatasetError

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
"""Delimiters by the names that can be typed on a command line."""

_NEWLINE, _QUOTE = ord("\n"), ord('"')
_STAND_IN = "\x1f"
_BLOCK_BYTES = 1 << 22
_WHOLE, _DECIMAL = b"+-0123456789", b"+-0123456789.eE"


@dataclass(frozen=True)
class Layout:
    """How a delimited text is written.

    Attributes:
        delimiter: What separates fields, one or more characters.
        header: Whether the first line names the columns.
        quotes: Whether fields may be quoted as in RFC 4180; otherwise a quote is a character like any other.
        encoding: A Python encoding; a byte order mark is taken off.
    """

    delimiter: str = "\t"
    header: bool = True
    quotes: bool = False
    encoding: str = "utf-8"


def read_delimited(
    path: Path, layout: Layout, columns: Mapping[str, str | int], optional: Collection[str] = ()
) -> pd.DataFrame:
    """Return a table of ``columns``, one row a record of the file, in the order of the file.

    ``user`` and ``item`` are opaque strings and never empty, ``rating`` is float64 and finite, ``timestamp``
    is int64; all other columns are text. Unix, Windows and old Macintosh line ends read alike, and a name that
    ends in ``.gz`` is unpacked.

    Args:
        path: The file.
        layout: How it is written.
        columns: For each column of the table the name in the header, or the position counted from 0.
        optional: Columns of the table that are left out where the file does not have them, or has another column
            of the table in their place.

    Raises:
        DataError: The file cannot be read, its bytes are not of the encoding, a column is missing or ambiguous,
            a line has another number of fields than the first, a quote is out of place, or a value is not
            what its column holds. The message names the file, the line and what to do.
        EmptyDatasetError: The file has no bytes, or nothing but its header.
    """
    text = _Text(path, layout)
    first = text.fields_of_first_record()
    places = _places(text, first, columns, optional)
    n_records = text.check_records(len(first))
    if n_records == int(layout.header):
        raise EmptyDatasetError(f"{path}: holds a header and no rows.")
    table = text.parse(len(first), places)
    if len(table) != n_records - int(layout.header):
        raise DataError(f"{path}: holds {n_records:,} records, but {len(table):,} rows were read.")
    return pd.DataFrame({name: _convert(text, name, table[place]) for name, place in places.items()})


class _Text:
    """The bytes of a file in one normal form: UTF-8, lines that end in a line feed, one-byte delimiters."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        text = _decode(path, layout.encoding)
        if not text:
            raise EmptyDatasetError(f"{path}: is empty (0 bytes).")
        text = text.replace("\r\n", "\n")
        if "\n" not in text:
            text = text.replace("\r", "\n")
        self.delimiter = layout.delimiter
        forbidden = ["\r", "\0"]
        if len(layout.delimiter.encode()) > 1:
            self.delimiter = _STAND_IN
            forbidden.append(_STAND_IN)
        for character in forbidden:
            if character in text:
                line = text.count("\n", 0, text.index(character)) + 1
                raise DataError(f"{path}, line {line}: holds the control character {character!r}.")
        if self.delimiter != layout.delimiter:
            text = text.replace(layout.delimiter, _STAND_IN)
        self.data = (text if text.endswith("\n") else text + "\n").encode()
        self.quoted = layout.quotes and _QUOTE in self.data
        if self.quoted:
            self._check_quotes()

    def error(self, position: int, message: str) -> DataError:
        """Return an error that names the line of the byte at ``position``."""
        line = self.data.count(b"\n", 0, position) + 1
        return DataError(f"{self.path}, line {line}: {message}")

    def shown(self, record: bytes) -> str:
        """Return a record as the file has it, cut to a readable length and in quotes."""
        text = record.decode().replace(self.delimiter, self.layout.delimiter)
        return repr(text if len(text) <= 80 else text[:77] + "...")

    def record(self, number: int) -> tuple[int, bytes]:
        """Return where record ``number`` starts, and its bytes without the line end. For error messages."""
        ends = np.concatenate([places[newline] for places, newline in self._separators()])
        start = 0 if number == 0 else int(ends[number - 1]) + 1
        return start, self.data[start : int(ends[number])]

    def fields_of_first_record(self) -> list[str]:
        """Return the fields of the first record, at least two."""
        end = next(int(places[newline][0]) for places, newline in self._separators() if newline.any())
        record = self.data[:end].decode()
        rows = csv.reader([record], delimiter=self.delimiter, strict=True) if self.quoted else None
        fields = next(rows) if rows else record.split(self.delimiter)
        if len(fields) < 2:
            likely = [name for name, character in DELIMITERS.items() if character in record]
            hint = f" It looks separated by {likely[0]}s: set dataset.delimiter={likely[0]}." if likely else ""
            raise self.error(
                0,
                f"expected fields separated by {self.layout.delimiter!r}, found one field: "
                f"{self.shown(self.data[:end])}.{hint}",
            )
        return fields

    def check_records(self, n_fields: int) -> int:
        """Return the number of records; each must have ``n_fields`` fields."""
        newline = np.concatenate([newline for _, newline in self._separators()])
        counts = np.diff(np.flatnonzero(newline), prepend=-1)
        wrong = counts != n_fields
        if wrong.any():
            number = int(np.argmax(wrong))
            start, record = self.record(number)
            raise self.error(
                start,
                f"expected {n_fields} fields separated by {self.layout.delimiter!r}, "
                f"found {counts[number]}: {self.shown(record)}.",
            )
        return len(counts)

    def parse(self, n_fields: int, places: Mapping[str, int]) -> pd.DataFrame:
        """Return the fields at ``places`` as text; the columns of the table are the places."""
        return pd.read_csv(
            io.BytesIO(self.data),
            sep=self.delimiter,
            header=None,
            names=list(range(n_fields)),
            usecols=sorted(set(places.values())),
            skiprows=int(self.layout.header),
            dtype=str,
            na_filter=False,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            lineterminator="\n",
            engine="c",
            encoding="utf-8",
        )

    def _separators(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, block by block, where fields end (int64) and whether there a record ends too (bool)."""
        delimiter, quotes_before = ord(self.delimiter), 0
        for start in range(0, len(self.data), _BLOCK_BYTES):
            count = min(_BLOCK_BYTES, len(self.data) - start)
            block = np.frombuffer(self.data, np.uint8, count=count, offset=start)
            ends = (block == delimiter) | (block == _NEWLINE)
            if self.quoted:
                quotes = quotes_before + np.cumsum(block == _QUOTE)
                # After an odd number of quotes one is inside a quoted field; a doubled quote leaves and enters it.
                ends &= quotes % 2 == 0
                quotes_before = int(quotes[-1])
            places = np.flatnonzero(ends)
            yield places + start, block[places] == _NEWLINE

    def _check_quotes(self) -> None:
        """Refuse quotes that RFC 4180 does not allow: within a plain field, behind a closing one, unclosed."""
        data = np.frombuffer(self.data, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        openings, closings = quotes[0::2], quotes[1::2]
        borders = np.array([ord(self.delimiter), _NEWLINE, _QUOTE], dtype=np.uint8)
        before = data[openings - 1]  # For the very first byte that is the last one, a line feed.
        stray = np.concatenate(
            [
                openings[~np.isin(before, borders)],
                closings[~np.isin(data[closings + 1], borders)],
            ]
        )
        if len(stray):
            raise self.error(
                int(stray.min()), 'a quote within a field. Quote the whole field and double its quotes: "5"" disk".'
            )
        if len(quotes) % 2:
            raise self.error(int(quotes[-1]), "a quoted field begins here and never ends.")


def _decode(path: Path, encoding: str) -> str:
    """Return the whole text of a file without its byte order mark."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode(encoding).removeprefix("\ufeff")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not a whole gzip file ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        other = "latin-1" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else "utf-8"
        raise DataError(
            f"{path}, line {line}: byte {error.start} ({data[error.start]:#04x}) is not {encoding}. "
            f"Set dataset.encoding={other} if the file is written so."
        ) from None


def _places(
    text: _Text, first: list[str], columns: Mapping[str, str | int], optional: Collection[str]
) -> dict[str, int]:
    """Return the position in the file of each column that it has; no two share one."""
    names: dict[int, str] = {}
    # What is optional comes last, and is not there where its usual place holds something else.
    for name in sorted(columns, key=lambda name: name in optional):
        place = _place(text, first, name, columns[name], required=name not in optional)
        if place is None or (place in names and name in optional):
            continue
        if place in names:
            raise DataError(
                f"{text.path}: the {names[place]} and the {name} are both the column {columns[name]!r}. "
                f"Set dataset.{names[place]} or dataset.{name} to another one."
            )
        names[place] = name
    places = {name: place for place, name in names.items()}
    return {name: places[name] for name in columns if name in places}


def _place(text: _Text, first: list[str], name: str, source: str | int, *, required: bool) -> int | None:
    """Return the position in the file of one column, None where it has none and need not."""
    path = text.path
    if isinstance(source, int):
        if source < len(first):
            return source
        if required:
            raise DataError(
                f"{path}: no column {source} for the {name}; the file has {len(first)} columns, "
                f"0 to {len(first) - 1}. Set dataset.{name}=POSITION."
            )
    elif first.count(source) == 1:
        return first.index(source)
    elif first.count(source) > 1:
        raise DataError(f"{path}, line 1: the column {source!r} occurs {first.count(source)} times.")
    elif required:
        raise DataError(
            f"{path}: no column {source!r} for the {name}; the file has: {', '.join(first)}. "
            f"Set dataset.{name}=NAME, or dataset.header=false where the first line is data."
        )
    return None


def _convert(text: _Text, name: str, column: pd.Series) -> pd.Series:
    """Return a column of text as what the column ``name`` holds."""
    if name in ("user", "item"):
        _refuse(text, column, (column == "").to_numpy(), f"the {name} id is empty.")
        return column
    if name == "rating":
        ratings = _floats(column)
        _refuse(text, column, ~np.isfinite(ratings), "the rating {value!r} should be a finite number.")
        return pd.Series(ratings)
    if name == "timestamp":
        timestamps, wrong = _wholes(column)
        _refuse(text, column, wrong, "the timestamp {value!r} should be a whole number.")
        return pd.Series(timestamps)
    return column


def _wholes(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 numbers, and which of them are not written as a whole number."""
    texts = column.to_numpy(dtype=object)
    if not "".join(texts).encode().translate(None, _WHOLE):
        try:
            return texts.astype(np.int64), np.zeros(len(texts), dtype=bool)
        except (ValueError, OverflowError):
            pass  # Some are '' or '+-' or beyond int64; below they are marked one by one.
    values = _floats(column)
    # From 2**53 on a float no longer tells one whole number from the next.
    wrong = ~(np.abs(values) < 2**53) | (values != np.floor(values))
    return np.where(wrong, 0, values).astype(np.int64), wrong


def _floats(column: pd.Series) -> np.ndarray:
    """Return float64 numbers, NaN for what is not written as a decimal number."""
    codes, uniques = pd.factorize(column)
    return np.array([_float(value) for value in uniques], dtype=np.float64)[codes]


def _float(value: str) -> float:
    if value.encode().translate(None, _DECIMAL):
        return np.nan
    try:
        return float(value)
    except ValueError:
        return np.nan


def _refuse(text: _Text, column: pd.Series, wrong: np.ndarray, message: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        start, _ = text.record(row + int(text.layout.header))
        raise text.error(start, message.format(value=column.iloc[row]))
