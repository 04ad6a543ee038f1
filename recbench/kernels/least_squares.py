"""The loops of ``recbench.compiled.least_squares``: one problem after the other.

Shapes:
    R rows, N entries, V vectors, D their width, or W where it is filled up with zeros to whole cache lines; see
    ``recbench.nn.least_squares``, whose problems these are.
    rows: of which to solve; offsets (R + 1,), entries (N,): row r holds the vectors entries[offsets[r]:offsets[r + 1]].
    quadratic, linear: (N,), a and b of each entry, or (0,) where all are 1. reg: (R,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import LINE, Float32, compiled, inlined
from recbench.kernels.lapack import Routine

_CHUNK = 256
"""Vectors that are gathered before their products are taken: few enough to stay in the cache."""

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def solve(
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    entries: NDArray[np.int64],
    quadratic: NDArray[np.float32],
    linear: NDArray[np.float32],
    reg: NDArray[np.float32],
    vectors: NDArray[np.float32],
    shared: NDArray[np.float32],
    solutions: NDArray[np.float32],
    ssyrk: Routine,
    sposv: Routine,
    lower: NDArray[np.uint8],
    as_it_is: NDArray[np.uint8],
) -> tuple[float, bool]:
    """Fill ``solutions`` (R, D) at ``rows`` by Cholesky factors.

    Args:
        rows: See the module.
        offsets: See the module.
        entries: See the module.
        quadratic: Not negative.
        linear: See the module.
        reg: See the module.
        vectors: (V, D).
        shared: (D, D), the part of the matrices that all rows have.
        solutions: Is filled.
        ssyrk: Of ``lapack``, as the rest.
        sposv: Solves.
        lower: Names the half of a matrix that is used.
        as_it_is: Says that nothing is transposed.

    Returns:
        The sum over ``rows`` of z . b, which is by how much each solution z lowers its objective, and whether all
        matrices were positive definite.
    """
    dim = vectors.shape[1]
    held, matrix = np.empty((_CHUNK, dim), np.float32), np.empty((dim, dim), np.float32)
    wanted, one, info = np.empty(dim, np.float32), np.ones(1, np.float32), np.zeros(1, np.intc)
    width, n_held, single = np.full(1, dim, np.intc), np.zeros(1, np.intc), np.ones(1, np.intc)
    gained = 0.0
    for row in rows:
        wanted[:] = _ZERO
        for d in range(dim):
            for other in range(dim):
                matrix[d, other] = shared[d, other]
            matrix[d, d] += reg[row]
        for begin in range(offsets[row], offsets[row + 1], _CHUNK):
            end = min(begin + _CHUNK, offsets[row + 1])
            for entry in range(begin, end):
                vector, place = vectors[entries[entry]], held[entry - begin]
                root, weight = np.sqrt(_weight(quadratic, entry)), _weight(linear, entry)
                for d in range(dim):
                    place[d] = root * vector[d]
                    wanted[d] += weight * vector[d]
            n_held[0] = end - begin
            ssyrk(  # type: ignore[operator]
                lower.ctypes,
                as_it_is.ctypes,
                width.ctypes,
                n_held.ctypes,
                one.ctypes,
                held.ctypes,
                width.ctypes,
                one.ctypes,
                matrix.ctypes,
                width.ctypes,
            )
        solution = solutions[row]
        solution[:] = wanted
        sposv(  # type: ignore[operator]
            lower.ctypes,
            width.ctypes,
            single.ctypes,
            matrix.ctypes,
            width.ctypes,
            solution.ctypes,
            width.ctypes,
            info.ctypes,
        )
        if info[0] != 0:
            return gained, False
        for d in range(dim):
            gained += solution[d] * wanted[d]
    return gained, True


@compiled
def approach(
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    entries: NDArray[np.int64],
    quadratic: NDArray[np.float32],
    linear: NDArray[np.float32],
    reg: NDArray[np.float32],
    vectors: NDArray[np.float32],
    lengths: NDArray[np.float32],
    solutions: NDArray[np.float32],
    steps: int,
    lines: tuple[int, ...],
) -> float:
    """Move ``solutions`` (R, W) at ``rows`` by a few steps of conjugate gradients.

    Args:
        rows: See the module.
        offsets: See the module.
        entries: See the module.
        quadratic: See the module.
        linear: See the module.
        reg: Beyond what is in the identity.
        vectors: (V, W), rewritten so that the part of the matrices that all rows have is the identity.
        lengths: (W, W), what ``reg`` is multiplied with.
        solutions: Are moved.
        steps: How many.
        lines: As many zeros as W has cache lines: since that is part of a tuple's type, the loops over a vector are
            compiled for this very length.

    Returns:
        The sum over ``rows`` of z . (b + r), r what is left of b: by how much each z lowers its objective. (To add up
        what each step lowers it by would do without b, and lose digits where the start is far off.)
    """
    width = LINE * len(lines)
    wanted, left_over = np.empty(width, np.float32), np.empty(width, np.float32)
    direction, bent = np.empty(width, np.float32), np.empty(width, np.float32)
    gained = 0.0
    for row in rows:
        begin, end, own = offsets[row], offsets[row + 1], reg[row]
        z = solutions[row]
        _by_what_all_share(z, own, lengths, bent, lines)
        wanted[:] = _ZERO
        for entry in range(begin, end):
            vector = vectors[entries[entry]]
            dot = _ZERO
            for d in range(LINE * len(lines)):
                dot += vector[d] * z[d]
            bending, weight = _weight(quadratic, entry) * dot, _weight(linear, entry)
            for d in range(LINE * len(lines)):
                bent[d] += bending * vector[d]
                wanted[d] += weight * vector[d]
        left = _ZERO
        for d in range(LINE * len(lines)):
            left_over[d] = wanted[d] - bent[d]
            direction[d] = left_over[d]
            left += left_over[d] * left_over[d]
        for _ in range(steps):
            _by_what_all_share(direction, own, lengths, bent, lines)
            for entry in range(begin, end):
                vector = vectors[entries[entry]]
                dot = _ZERO
                for d in range(LINE * len(lines)):
                    dot += vector[d] * direction[d]
                bending = _weight(quadratic, entry) * dot
                for d in range(LINE * len(lines)):
                    bent[d] += bending * vector[d]
            along = _ZERO
            for d in range(LINE * len(lines)):
                along += direction[d] * bent[d]
            if not along > _ZERO:
                break  # Nothing is left to do.
            step: Float32 = left / along
            before = left
            left = _ZERO
            for d in range(LINE * len(lines)):
                z[d] += step * direction[d]
                left_over[d] -= step * bent[d]
                left += left_over[d] * left_over[d]
            turn = left / before
            for d in range(LINE * len(lines)):
                direction[d] = left_over[d] + turn * direction[d]
        for d in range(LINE * len(lines)):
            gained += z[d] * (wanted[d] + left_over[d])
    return gained


@inlined
def _weight(weights: NDArray[np.float32], entry: int) -> Float32:
    """Return a or b of an entry, 1 where none are given."""
    return weights[entry] if len(weights) else _ONE


@inlined
def _by_what_all_share(
    vector: NDArray[np.float32],
    own: Float32,
    lengths: NDArray[np.float32],
    out: NDArray[np.float32],
    lines: tuple[int, ...],
) -> None:
    """Fill ``out`` (W,) with ``vector`` times (identity + own * lengths)."""
    for d in range(LINE * len(lines)):
        out[d] = vector[d]
    if own == _ZERO:
        return
    for other in range(LINE * len(lines)):
        factor = own * vector[other]
        for d in range(LINE * len(lines)):
            out[d] += factor * lengths[other, d]
