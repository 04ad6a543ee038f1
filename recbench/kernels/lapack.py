"""BLAS and LAPACK of scipy, to be called from within compiled loops.

A routine is handed to a loop as an argument: then its address, which is another in each process, is no part of the
code that is kept. Arrays stand for all of its arguments, as in Fortran: numbers are arrays of one.
"""

from __future__ import annotations

import numba.experimental.function_type  # noqa: F401  (lets functions be arguments)
import numpy as np
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import get_cython_function_address

_TEXT, _INT, _FLOAT = (types.CPointer(kind) for kind in (types.uint8, types.intc, types.float32))


class Routine(types.WrapperAddressProtocol):
    """A function of a module of scipy that has been compiled by Cython."""

    def __init__(self, module: str, name: str, *arguments: types.Type) -> None:
        """Find ``name``, which takes pointers of the types ``arguments``, in ``module``."""
        self.address = get_cython_function_address(module, name)
        self.takes = types.void(*arguments)

    def __wrapper_address__(self) -> int:
        """Return where the code is."""
        return self.address

    def signature(self) -> Signature:
        """Return the types of the arguments."""
        return self.takes


ssyrk = Routine(
    "scipy.linalg.cython_blas", "ssyrk", _TEXT, _TEXT, _INT, _INT, _FLOAT, _FLOAT, _INT, _FLOAT, _FLOAT, _INT
)
"""C := alpha A A^T + beta C; takes uplo, trans, n, k, alpha, A, lda, beta, C, ldc."""

sposv = Routine("scipy.linalg.cython_lapack", "sposv", _TEXT, _INT, _INT, _FLOAT, _INT, _FLOAT, _INT, _INT)
"""Solves A X = B for a positive definite A; takes uplo, n, nrhs, A, lda, B, ldb, info."""

LOWER, AS_IT_IS = (np.frombuffer(letter, np.uint8).copy() for letter in (b"L", b"N"))
