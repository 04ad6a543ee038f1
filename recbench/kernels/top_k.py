"""The loop of ``recbench.total_order.top_k``: the best columns of each row, in a total order.

A heap holds the best so far, the worst of them on top; most columns are dismissed by comparing their score with that
one's. A tie costs no more than any other column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import compiled

_LOW, _SIGN = np.int64(2**32 - 1), np.int32(2**31 - 1)
_ZERO, _NOTHING = np.float32(0), np.float32(-np.inf)


@compiled
def top_k(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    items: NDArray[np.int64],
    place: NDArray[np.int32],
    start: NDArray[np.int32],
    columns: NDArray[np.int64],
    tied: NDArray[np.bool_],
) -> None:
    """Fill ``columns`` (B, K) and ``tied`` (B, K) at ``rows``; see ``TopK``.

    Args:
        rows: Which to fill.
        scores: (B, C); -inf is not listed.
        items: (B, C) what the columns stand for, or (1, C) where that is the same for all rows.
        place: (I,) of each item on the circle of ``TieOrder``.
        start: (B,) where each row begins to read it.
        columns: Is filled, with -1 behind the end.
        tied: Is filled.
    """
    k, n_items = columns.shape[1], len(place)
    # One more than is listed, to tell whether the last is tied.
    keys, held = np.empty(k + 1, np.int64), np.empty(k + 1, np.int64)
    value = np.empty(1, np.float32)
    bits = value.view(np.int32)
    for row in rows:
        n, worst = 0, _NOTHING
        for column in range(scores.shape[1]):
            score = scores[row, column]
            if not (score > _NOTHING and score >= worst):
                continue
            value[0] = score
            if score == _ZERO:
                value[0] = _ZERO  # Not minus zero, which is equal.
            # Bits of floats that are not negative order as whole numbers do, those of negative ones the other way.
            ordered = np.int64(bits[0] if bits[0] >= 0 else bits[0] ^ _SIGN)
            precedence = (place[items[row % len(items), column]] - start[row]) % n_items
            key = ordered * (_LOW + 1) + (_LOW - precedence)
            if n <= k:
                _rise(keys, held, n, key, column)
                n += 1
            elif key > keys[0]:
                _sink(keys, held, n, key, column)
            if n > k:
                worst = scores[row, held[0]]
        columns[row] = -1
        tied[row] = False
        after = -1
        while n > 0:
            n -= 1
            best = held[0]
            _sink(keys, held, n, keys[n], held[n])
            if n < k:
                columns[row, n] = best
                tied[row, n] = after >= 0 and scores[row, best] == scores[row, after]
            after = best


@compiled
def _rise(keys: NDArray[np.int64], held: NDArray[np.int64], n: int, key: np.int64, column: int) -> None:
    """Add ``key`` and its ``column`` to the first ``n`` of a heap, of which the least is on top."""
    while n > 0 and keys[(n - 1) // 2] > key:
        keys[n], held[n] = keys[(n - 1) // 2], held[(n - 1) // 2]
        n = (n - 1) // 2
    keys[n], held[n] = key, column


@compiled
def _sink(keys: NDArray[np.int64], held: NDArray[np.int64], n: int, key: np.int64, column: int) -> None:
    """Put ``key`` and its ``column`` in place of the least of the first ``n`` of a heap."""
    place = 0
    while 2 * place + 1 < n:
        lesser = 2 * place + 1
        if lesser + 1 < n and keys[lesser + 1] < keys[lesser]:
            lesser += 1
        if keys[lesser] >= key:
            break
        keys[place], held[place] = keys[lesser], held[lesser]
        place = lesser
    keys[place], held[place] = key, column
