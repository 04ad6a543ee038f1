"""Parquet, where pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbench.errors import DataError
from recbench.formats.columns import BadRows, Column, Read, find
from recbench.formats.source import archive_of
from recbench.formats.table import Cells, Table
from recbench.progress import bar

_BATCH_ROWS = 1 << 18


def read_parquet(
    path: str | Path, columns: Sequence[Column], *, bad_rows: BadRows = "error", numbered: bool = False
) -> Read:
    """Return the ``columns`` of a Parquet file; it is read in batches, never whole.

    Ids and texts are strings or whole numbers, numbers may come as strings too. Null is a missing value.

    Args:
        path: A plain file.
        columns: What is wanted of it.
        bad_rows: Whether a row that is not as it should be is an error, or is left out, counted and logged.
        numbered: Whether the numbers of all rows are returned too, from 1.

    Raises:
        DataError: pyarrow is not installed, the file cannot be read, a column is missing, ambiguous or of a type that
            its kind forbids; or, unless dropped, a value is not what its column holds. The message names the row,
            counted from 1.
        EmptyDatasetError: The file has no rows, or nothing but bad ones.
    """
    path = Path(path)
    with _opened(path) as (file, types):
        schema = file.schema_arrow
        places = find(path, columns, schema.names)
        present = [column for column in columns if column.name in places]
        for column in present:
            _check_type(path, column, schema.field(places[column.name]).type, types)
        table = Table(path, present, bad_rows, numbered=numbered, unit="row")
        first = 1
        names = [schema.names[places[column.name]] for column in present]
        batches = file.iter_batches(_BATCH_ROWS, columns=names)
        for batch in bar(batches, f"reading {path.name}"):
            cells = {column.name: _cells(batch.column(name)) for column, name in zip(present, names)}
            table.add(cells, partial(np.add, first), len(batch))
            first += len(batch)
    return table.finish()


def sample_parquet(path: str | Path, n_rows: int) -> pd.DataFrame:
    """Return the first rows of a Parquet file as texts, empty where missing, in the columns that can be read.

    Args:
        path: A plain file.
        n_rows: How many at most.

    Raises:
        DataError: pyarrow is not installed, or the file cannot be read.
    """
    path = Path(path)
    with _opened(path) as (file, types):
        names = [field.name for field in file.schema_arrow if _holds(field.type, types, numbers=True)]
        batches = file.iter_batches(n_rows, columns=list(dict.fromkeys(names)))
        start = next(batches, None)
    if start is None:
        return pd.DataFrame(columns=names)
    return pd.DataFrame({name: _texts(start.column(name)) for name in start.schema.names}, dtype=object)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Give a Parquet file and ``pyarrow.types``; what goes wrong while it is read becomes a ``DataError``."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
        import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow, which is not installed. Run pip install pyarrow, or write the "
            "table as CSV."
        ) from None
    if path.is_dir():
        raise DataError(f"{path}: cannot be read (Is a directory).")
    if archive_of(path):
        raise DataError(f"{path}: Parquet is not read from within a zip archive. Unpack it first.")
    if not path.exists():
        raise DataError(f"{path}: there is no such file.")
    try:
        with pq.ParquetFile(path) as file:
            yield file, pa.types
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0].rstrip('.')}).") from None


def _check_type(path: Path, column: Column, kind: Any, types: Any) -> None:
    """Refuse an Arrow type that the column's kind forbids; ``types`` is ``pyarrow.types``."""
    numbers = column.kind in ("number", "whole")
    if not _holds(kind, types, numbers=numbers):
        wanted = "numbers" if numbers else "strings or whole numbers"
        raise DataError(
            f"{path}: the column {column.source!r} for the {column.name} holds {kind}; it should hold {wanted}. "
            "Convert it before writing the file."
        )


def _holds(kind: Any, types: Any, *, numbers: bool) -> bool:
    """Return whether an Arrow type is strings or whole numbers, or with ``numbers`` any numbers."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind):
        return True
    return numbers and bool(types.is_floating(kind) or types.is_decimal(kind))


def _texts(array: Any) -> np.ndarray:
    """Return the fields of an Arrow array as texts, empty ones for those that are missing."""
    cells = _cells(array)
    return np.append(cells.values, "")[cells.codes]


def _cells(array: Any) -> Cells:
    """Return the fields of an Arrow array as they would be written in text."""
    if hasattr(array, "dictionary"):
        array = array.cast(array.type.value_type)
    encoded = array.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Cells(codes, np.array([str(value) for value in encoded.dictionary.to_pylist()], dtype=object))
