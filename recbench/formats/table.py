"""A table that grows block by block: fields become typed columns, and every record is kept or accounted for."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbench.errors import BadRowError, EmptyDatasetError
from recbench.formats.columns import BadRows, Column, Kind, Read, Unit
from recbench.formats.numerals import floats, wholes
from recbench.text import shortened

logger = logging.getLogger(__name__)

_BLOCKS_IN_ONE = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IN_IDS = re.compile("[\n\r\t\0\ud800-\udfff]")


@dataclass(frozen=True)
class Cells:
    """The fields of one column in N records.

    Attributes:
        codes: (N,) positions in ``values``, -1 for what the file marks as missing.
        values: (V,) object array of str, each held by some record; need not be distinct.
    """

    codes: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, texts: np.ndarray) -> Cells:
        """Return the cells of ``texts``, (N,) of str, one a record."""
        return cls(np.arange(len(texts)), texts)

    @classmethod
    def distinct(cls, texts: np.ndarray) -> Cells:
        """Return the cells of ``texts``, (N,) of str or None, each distinct value once; None is missing."""
        return cls(*pd.factorize(texts))

    def rows(self, values: np.ndarray, *, missing: bool = False) -> np.ndarray:
        """Return which records hold one of the ``values`` that are marked, (V,) bool, or ``missing`` ones."""
        return np.append(values, missing)[self.codes]

    def compact(self) -> Cells:
        """Return the same cells without the values that no record holds."""
        used = np.zeros(len(self.values) + 1, dtype=bool)
        used[self.codes] = True
        used = used[:-1]
        if used.all():
            return self
        codes = np.append(np.cumsum(used, dtype=np.int32) - 1, -1).astype(np.int32)
        return Cells(codes[self.codes], self.values[used])


@dataclass(frozen=True)
class Fault:
    """What is wrong with some of N records.

    Attributes:
        reason: In short, for counting.
        rows: (N,) bool, which records.
        message: The whole sentence about one of them, by its position.
    """

    reason: str
    rows: np.ndarray
    message: Callable[[int], str]


class Table:
    """The columns of a file as far as it has been read.

    Args:
        path: The file, for messages.
        columns: Those that it has.
        bad_rows: Whether a fault is an error, or its record is left out.
        numbered: Whether the places of all rows are kept, 8 bytes each.
        unit: What a place counts.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        bad_rows: BadRows,
        *,
        numbered: bool = False,
        unit: Unit = "line",
    ) -> None:
        self.path, self.bad_rows, self.unit = path, bad_rows, unit
        self._lines: list[np.ndarray] | None = [] if numbered else None
        self._series = {column.name: _SERIES[column.kind](column) for column in columns}
        self.names = frozenset(self._series)
        self._n_rows = 0
        self._dropped: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._examples: dict[str, str] = {}

    def add(
        self,
        cells: Mapping[str, Cells],
        lines: Callable[[np.ndarray], np.ndarray],
        n_records: int,
        malformed: Sequence[Fault] = (),
    ) -> None:
        """Take a block of records.

        Args:
            cells: The fields by column, of all records that are not malformed.
            lines: Gives the lines in which records begin, by their positions.
            n_records: Number of records, N.
            malformed: What is wrong with records as a whole, of N records each.

        Raises:
            BadRowError: A record is malformed or a value is not what its column holds, and nothing is to be
                dropped; the message is about the first one.
        """

        def where(row: int) -> str:
            return f"{self.unit} {lines(np.array([row]))[0]}"

        whole = np.ones(n_records, dtype=bool)
        for fault in malformed:
            whole &= ~fault.rows
        faults = list(malformed)
        blocks = {}
        for name, series in self._series.items():
            assert len(cells[name].codes) == whole.sum(), f"{len(cells[name].codes)} rows of {whole.sum()} were parsed"
            blocks[name], found = series.convert(cells[name])
            faults += [_spread(fault, np.flatnonzero(whole), n_records) for fault in found]
        if faults and self.bad_rows == "error":
            row, fault = min(((int(np.argmax(fault.rows)), fault) for fault in faults), key=lambda pair: pair[0])
            raise BadRowError(f"{self.path}, {where(row)}: {fault.message(row)}")
        good = np.ones(n_records, dtype=bool)
        for fault in faults:
            fresh = fault.rows & good
            good &= ~fresh
            if fresh.any():
                row = int(np.argmax(fresh))
                self._first.setdefault(fault.reason, where(row))
                self._examples.setdefault(fault.reason, f"{where(row)}: {fault.message(row)}")
                self._dropped[fault.reason] = self._dropped.get(fault.reason, 0) + int(fresh.sum())
        for name, series in self._series.items():
            series.take(blocks[name] if good.all() else blocks[name][good[whole]])
        if self._lines is not None:
            self._lines.append(lines(np.flatnonzero(good)))
        self._n_rows += n_records

    def leave_out(self, reason: str, n_records: int) -> None:
        """Count ``n_records`` more that are no rows of the table and no fault of the file."""
        if n_records:
            self._n_rows += n_records
            self._dropped[reason] = self._dropped.get(reason, 0) + n_records

    def finish(self) -> Read:
        """Return the table, and log what has been dropped.

        Raises:
            EmptyDatasetError: No row is left.
        """
        if self._n_rows == 0:
            raise EmptyDatasetError(f"{self.path}: holds a header and no rows.")
        n_dropped = sum(self._dropped.values())
        counts = ", ".join(
            f"{n:,} for {reason!r}" + (f" (first: {self._first[reason]})" if reason in self._first else "")
            for reason, n in self._dropped.items()
        )
        if n_dropped == self._n_rows:
            raise EmptyDatasetError(f"{self.path}: none of {self._n_rows:,} rows can be used; left out are {counts}.")
        if self._first:
            logger.warning(
                "%s: %s of %s rows are left out: %s.", self.path, f"{n_dropped:,}", f"{self._n_rows:,}", counts
            )
        # Without a copy, or pandas would hold everything twice for a moment.
        frame = pd.DataFrame({name: series.finish() for name, series in self._series.items()}, copy=False)
        places = None if self._lines is None else np.concatenate(self._lines)
        return Read(frame, self._n_rows, dict(self._dropped), dict(self._examples), places, self.unit)


def _spread(fault: Fault, places: np.ndarray, n_records: int) -> Fault:
    """Return a fault of the records at ``places`` as one of all records."""
    rows = np.zeros(n_records, dtype=bool)
    rows[places] = fault.rows
    return Fault(fault.reason, rows, lambda row: fault.message(int(np.searchsorted(places, row))))


class _Series(ABC):
    """One column as far as it has been read."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._blocks: list[pd.Series] = []
        self._fresh: list[pd.Series] = []

    def take(self, block: pd.Series) -> None:
        """Keep a block. Many make one large one, since what they free for that is used by the next ones."""
        self._fresh.append(block)
        if len(self._fresh) == _BLOCKS_IN_ONE:
            self._blocks.append(pd.concat(self._fresh, ignore_index=True))
            self._fresh.clear()

    @abstractmethod
    def convert(self, cells: Cells) -> tuple[pd.Series, list[Fault]]:
        """Return the fields of N records converted, and what is wrong with them."""

    @abstractmethod
    def finish(self) -> pd.Series:
        """Return the whole column; it is not kept."""

    def _joined(self) -> pd.Series:
        """Return all blocks as one, which frees them."""
        blocks = [*self._blocks, *self._fresh]
        self._blocks.clear()
        self._fresh.clear()
        return pd.concat(blocks, ignore_index=True)

    def _faults(self, cells: Cells, wrong: np.ndarray, reason: str, sentence: str) -> list[Fault]:
        """Return the fault of records whose value is marked in ``wrong``, (V,) bool."""
        if not wrong.any():
            return []
        return [
            Fault(
                f"{self.column.title} {reason}",
                cells.rows(wrong),
                lambda row: (
                    f"the {self.column.title} {sentence.format(value=shortened(cells.values[cells.codes[row]]))}"
                ),
            )
        ]

    def _missing(self, cells: Cells, absent: np.ndarray, reason: str) -> list[Fault]:
        """Return the fault of missing records and of those whose value is ``absent``, where there may be none."""
        rows = cells.rows(absent, missing=True)
        if self.column.may_be_missing or not rows.any():
            return []
        title = self.column.title
        return [Fault(f"{title} {reason}", rows, lambda row: f"the {title} {reason}.")]


class _Labels(_Series):
    """Texts, each kept once: (N,) int32 codes in the order of first appearance, -1 for a missing one."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self._codes: defaultdict[str, int] = defaultdict()
        self._codes.default_factory = self._codes.__len__

    def convert(self, cells: Cells) -> tuple[pd.Series, list[Fault]]:
        column = self.column
        is_id = column.kind == "id"
        empty = cells.values == ""
        absent = empty if is_id or column.may_be_missing else np.zeros_like(empty)
        faults = self._missing(cells, absent, "is empty" if is_id else "is missing")
        forbidden = _NOT_IN_IDS if is_id else _SURROGATE
        if forbidden.search("".join(cells.values)):
            odd = np.array([forbidden.search(value) is not None for value in cells.values])
            sentence = "{value!r} should hold no line end, tab, NUL or half of a surrogate pair."
            faults += self._faults(cells, odd, "holds a forbidden character", sentence)
        codes = np.full(len(cells.values) + 1, -1, dtype=np.int32)
        present = cells.values[~absent]
        codes[:-1][~absent] = np.fromiter(map(self._codes.__getitem__, present), np.int32, len(present))
        return pd.Series(codes[cells.codes]), faults

    def finish(self) -> pd.Series:
        cells = Cells(self._joined().to_numpy(), np.array(list(self._codes), dtype=object))
        if self.column.kind == "text":
            return pd.Series(np.append(cells.values, np.nan)[cells.codes], dtype=object)
        cells = cells.compact()  # Without the ids that stand in dropped rows alone.
        return pd.Series(pd.Categorical.from_codes(cells.codes, pd.Index(cells.values, dtype=object)))


class _Floats(_Series):
    """Finite numbers, NaN for a missing one."""

    def convert(self, cells: Cells) -> tuple[pd.Series, list[Fault]]:
        values = floats(cells.values)
        wrong = ~np.isfinite(values)
        if self.column.may_be_missing:
            wrong &= cells.values != ""
        faults = self._missing(cells, np.zeros_like(wrong), "is missing")
        faults += self._faults(cells, wrong, "is no finite number", "{value!r} should be a finite number.")
        return pd.Series(np.append(values, np.nan)[cells.codes]), faults

    def finish(self) -> pd.Series:
        return self._joined()


class _Wholes(_Series):
    """Whole numbers; in a nullable Int64 where some may be missing."""

    def convert(self, cells: Cells) -> tuple[pd.Series, list[Fault]]:
        values, wrong = wholes(cells.values)
        absent = cells.values == ""
        if self.column.may_be_missing:
            wrong &= ~absent
        faults = self._missing(cells, np.zeros_like(wrong), "is missing")
        faults += self._faults(cells, wrong, "is no whole number", "{value!r} should be a whole number.")
        numbers = np.append(values, 0)[cells.codes]
        if self.column.may_be_missing:
            return pd.Series(pd.arrays.IntegerArray(numbers, cells.rows(absent, missing=True))), faults
        return pd.Series(numbers), faults

    def finish(self) -> pd.Series:
        return self._joined()


_SERIES: Mapping[Kind, type[_Labels | _Floats | _Wholes]] = {
    "id": _Labels,
    "text": _Labels,
    "number": _Floats,
    "whole": _Wholes,
}
