"""The one place that reads NumPy's files, without running any code that one may hold."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

_UNSOUND = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError),
    *(MemoryError, SyntaxError, TokenError, SystemError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What NumPy and the modules below it raise of files that are damaged or of another kind, once they are open."""
_LARGEST_LETTER = 0x10FFFF


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by their names, or that of an .npy file under the name ``""``.

    Raises:
        OSError: There is no such file, or it may not be read.
        ValueError: It is damaged, or holds something else than plain arrays. The message is not for people: what NumPy
            says of some such files advises to let them run code.
    """
    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
            found = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
        except _UNSOUND as error:
            raise ValueError(f"{path}: {error}") from None
    odd = [name for name, array in found.items() if not (isinstance(array, np.ndarray) and _is_plain(array))]
    if odd:
        raise ValueError(f"{path}: {odd[0]!r} is no array of plain values.")
    return found


def read_array(path: Path) -> np.ndarray:
    """Return the array of an .npy file.

    Raises:
        OSError, ValueError: As ``read_arrays``; or there are several.
    """
    found = read_arrays(path)
    if "" not in found:
        raise ValueError(f"{path}: holds several arrays.")
    return found[""]


def _is_plain(array: np.ndarray) -> bool:
    """Return whether texts, where there are any, are of letters that there are."""
    if array.dtype.kind != "U" or array.size == 0 or array.dtype.itemsize == 0:
        return True
    number = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
    letters = np.ascontiguousarray(array).view(number)
    return int(letters.max()) <= _LARGEST_LETTER
