"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from recbench.errors import DataError
from recbench.formats.columns import BadRows, Column, Read, find
from recbench.formats.lines import Lines, lines
from recbench.formats.table import Cells, Fault, Table
from recbench.text import shortened

# Numbers stay as they are written: whole ones are texts, others bytes, which JSON has not. (Subclasses of str would do
# as well, but the garbage collector would look at each of them: three times as slow.)
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=str, parse_float=str.encode, parse_constant=str.encode)
_NAMES = {bool: "true or false", list: "a list", tuple: "an object", bytes: "a fraction"}


@dataclass(frozen=True)
class _Wrong:
    """Why a line is no record: in short, for counting, and in a sentence."""

    reason: str
    message: str


def read_json_lines(
    path: str | Path,
    columns: Sequence[Column],
    *,
    encoding: str = "utf-8",
    bad_rows: BadRows = "error",
    numbered: bool = False,
) -> Read:
    """Return the ``columns`` of a file that holds one JSON object a line; a column's source is a key.

    Ids and texts are strings or numbers, which become the text that stands in the file (7 is ``"7"``); an id is no
    fraction. Numbers may be written as strings. A key that is null or not there is a missing value. The first
    record decides which optional columns there are.

    Args:
        path: The file, plain, gzip or in a zip archive; see ``source.blocks``.
        columns: What is wanted of it.
        encoding: A Python encoding.
        bad_rows: Whether a record that is not as it should be is an error, or is left out, counted and logged.
        numbered: Whether the lines of all rows are returned too.

    Raises:
        DataError: The file cannot be read, its bytes are not of the encoding, or its first record lacks a key; or,
            unless dropped, a line is no JSON object, gives a key twice, or a value is not what its column holds.
            The message names the file, the line and what to do.
        EmptyDatasetError: The file has no bytes, or nothing but bad rows.
    """
    path = Path(path)
    for column in columns:
        if not isinstance(column.source, str):
            raise DataError(
                f"{path}: no column {column.source} for the {column.name}: JSON objects have keys and no positions. "
                f"{column.set_to('KEY')}."
            )
    table: Table | None = None
    waiting: list[_Block] = []
    for found in (_Block(path, block) for block in lines(path, encoding)):
        waiting.append(found)
        if table is None:
            first = found.records[0] if bad_rows == "error" else next(found.good(), None)
            if isinstance(first, _Wrong):
                raise DataError(f"{path}, {found.where(0)}: {first.message}")
            if first is None:
                continue  # With bad lines alone it is not known yet which columns there are.
            table = Table(path, _present(path, columns, first), bad_rows, numbered=numbered)
        for one in waiting:
            one.add_to(table, columns)
        waiting = []
    table = table or Table(path, columns, bad_rows, numbered=numbered)
    for one in waiting:
        one.add_to(table, columns)
    return table.finish()


def _present(path: Path, columns: Sequence[Column], first: dict[str, object]) -> list[Column]:
    """Return the columns that a file has whose first record is ``first``."""
    missing = [str(column.source) for column in columns if column.may_be_missing and not column.optional]
    keys = list(dict.fromkeys([*first, *missing]))
    places = find(path, columns, keys)
    return [column for column in columns if column.name in places]


class _Block:
    """The records of some lines."""

    def __init__(self, path: Path, block: Lines) -> None:
        self.path, self.first_line = path, block.first
        self.records = [_record(line) for line in block.data.decode().split("\n")[:-1]]

    def where(self, row: int) -> str:
        """Return the line of a record, as messages say it."""
        return f"line {self.first_line + row}"

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the lines of the records at ``rows`` (R,)."""
        return self.first_line + rows

    def good(self) -> Iterator[dict[str, object]]:
        """Yield the records that are objects."""
        return (record for record in self.records if isinstance(record, dict))

    def add_to(self, table: Table, columns: Sequence[Column]) -> None:
        """Add all records to ``table``, which has some of the ``columns``."""
        faults = self._malformed()
        fields = {}
        for column in columns:
            if column.name in table.names:
                fields[column] = [
                    record.get(str(column.source)) if isinstance(record, dict) else None for record in self.records
                ]
                faults += _odd_types(column, fields[column])
            else:
                self._refuse(column, {field.source for field in columns if field.name in table.names})
        whole = np.ones(len(self.records), dtype=bool)
        for fault in faults:
            whole &= ~fault.rows
        cells = {column.name: _cells(column, values, whole) for column, values in fields.items()}
        table.add(cells, self.lines, len(self.records), faults)

    def _malformed(self) -> list[Fault]:
        """Return what is wrong with lines that are no records."""
        wrong = {row: record for row, record in enumerate(self.records) if isinstance(record, _Wrong)}
        faults = []
        for reason in dict.fromkeys(record.reason for record in wrong.values()):
            rows = np.zeros(len(self.records), dtype=bool)
            rows[[row for row, record in wrong.items() if record.reason == reason]] = True
            faults.append(Fault(reason, rows, lambda row: wrong[row].message))
        return faults

    def _refuse(self, column: Column, taken: Collection[str | int]) -> None:
        """Refuse the key of a column that is left out, unless another column has ``taken`` it."""
        for row, record in enumerate(self.records):
            if isinstance(record, dict) and column.source in record and column.source not in taken:
                raise DataError(
                    f"{self.path}, {self.where(row)}: has the key {column.source!r}, which the first record lacks. "
                    "Give it in all records, null where it is missing."
                )


def _record(line: str) -> dict[str, object] | _Wrong:
    """Return the object of a line, nested ones as tuples of pairs, or why there is none."""
    try:
        pairs = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        return _Wrong("no JSON object", _about(line, f" ({error.msg} at character {error.pos + 1})"))
    except RecursionError:
        return _Wrong("no JSON object", _about(line, " (it is nested too deep)"))
    if not isinstance(pairs, tuple):
        return _Wrong("no JSON object", _about(line, ""))
    record = dict(pairs)
    if len(record) < len(pairs):
        return _Wrong("a key given twice", f"gives a key twice: {_shown(line)}.")
    return record


def _about(line: str, problem: str) -> str:
    return f"should be one JSON object{problem}: {_shown(line)}."


def _shown(line: str) -> str:
    return repr(shortened(line))


def _odd_types(column: Column, values: Sequence[object]) -> list[Fault]:
    """Return the fault of values that are neither text nor a number; of ids those that are a fraction, too."""
    is_id = column.kind == "id"
    odd = {bool, list, tuple, bytes} if is_id else {bool, list, tuple}
    if odd.isdisjoint(map(type, values)):
        return []
    wanted = "text or a whole number" if is_id else "text or a number"
    return [
        Fault(
            f"{column.title} is no {wanted}",
            np.array([kind in odd for kind in map(type, values)]),
            lambda row: f"the {column.title} should be {wanted}, and is {_NAMES[type(values[row])]}.",
        )
    ]


def _cells(column: Column, values: Sequence[object], whole: np.ndarray) -> Cells:
    """Return the ``whole`` ones, (N,) bool, of N values."""
    kept = [value.decode() if isinstance(value, bytes) else value for value in compress(values, whole)]
    return Cells.distinct(np.array(kept, dtype=object))
