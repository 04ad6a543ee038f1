"""Reading vectors of published ids, without running any code that a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from recbench.data.arrays import read_array, read_arrays
from recbench.errors import DataError

Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector for each of N ids.

    Shapes:
        ids: (N,) object array of str, each once.
        values: (N, D) float32, finite.
    """

    ids: np.ndarray
    values: np.ndarray


def read_vectors(path: str | Path) -> Vectors:
    """Return the vectors in ``path``: .npz with ``ids`` and ``vectors``, or .npy beside NAME.ids.txt.

    Raises:
        DataError: A file is missing or damaged, holds Python objects, or does not hold one finite vector for each id;
            an id occurs twice.
    """
    path = Path(path)
    if path.suffix == ".npz":
        ids, values = _archived(path)
    else:
        ids, values = _id_lines(path.with_suffix(".ids.txt")), _loaded(path, read_array)
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] == 0:
        raise DataError(
            f"{path}: the vectors are {values.dtype} of shape {values.shape}; they should be numbers of shape (N, D)."
        )
    if len(ids) != len(values):
        raise DataError(f"{path}: {len(ids):,} ids and {len(values):,} vectors; there should be as many of both.")
    unique, first, counts = np.unique(ids, return_index=True, return_counts=True)
    if len(unique) < len(ids):
        raise DataError(f"{path}: the id {ids[first[np.argmax(counts > 1)]]!r} occurs more than once.")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise DataError(f"{path}: the vector of {ids[np.argmax(wrong)]!r} should hold finite float32 numbers only.")
    return Vectors(ids, values)


def _archived(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = _loaded(path, read_arrays)
    if "" in content:
        raise DataError(f"{path}: is a single array; an .npz file should hold the arrays ids and vectors.")
    if not {"ids", "vectors"} <= content.keys():
        held = ", ".join(content) or "none"
        raise DataError(f"{path}: holds the arrays {held}; it should hold ids and vectors.")
    ids, vectors = content["ids"], content["vectors"]
    if ids.ndim != 1 or ids.dtype.kind not in "Uiu":
        raise DataError(
            f"{path}: the ids are {ids.dtype} of shape {ids.shape}; they should be text or whole numbers of shape (N,)."
        )
    return ids.astype(str).astype(object), vectors


def _id_lines(path: Path) -> np.ndarray:
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except OSError as error:
        raise DataError(f"{path}: the ids of the vectors, one a line, cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}).") from None
    return np.array(lines, dtype=object)


def _loaded(path: Path, read: Callable[[Path], Content]) -> Content:
    try:
        return read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise DataError(
            f"{path}: cannot be read as arrays of numbers and text; write it anew with numpy.save or savez."
        ) from None
