"""The loops of ``recbench.total_order.BestSoFar``: the best items of each row, in a total order.

A heap holds the best so far, the worst of them on top; most columns are dismissed by comparing their score with that
one's, some columns at a time. A tie costs no more than any other column.

Shapes:
    B rows, C columns, I items, K + 1 items that a heap holds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import compiled

_LOW, _SIGN = np.int64(2**32 - 1), np.int32(2**31 - 1)
_ZERO, _NOTHING = np.float32(0), np.float32(-np.inf)
_AT_A_TIME = 32


@compiled
def see(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    items: NDArray[np.int64],
    offsets: NDArray[np.int64],
    hidden: NDArray[np.int64],
    place: NDArray[np.int32],
    start: NDArray[np.int32],
    keys: NDArray[np.int64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Add to the heaps of ``rows`` what is good enough.

    Args:
        rows: Whose.
        scores: (B, C); -inf is not listed.
        items: (B, C) what the columns stand for, or (1, C) where that is the same for all rows.
        offsets: (B + 1,) of the rows of ``hidden``.
        hidden: (N,) items that are not listed.
        place: (I,) of each item on the circle of ``TieOrder``.
        start: (B,) where each row begins to read it.
        keys: (B, K + 1) what the heaps go by: above the score, below, of equal scores, who comes first.
        held: (B, K + 1) the items.
        counts: (B,) how many a heap holds.
    """
    room, n_items, n_columns = keys.shape[1], len(place), scores.shape[1]
    value = np.empty(1, np.float32)
    bits = value.view(np.int32)
    hidden_from = np.full(n_items, -1, np.int64)
    for row in rows:
        for entry in range(offsets[row], offsets[row + 1]):
            hidden_from[hidden[entry]] = row
        line, of_columns, heap, of_heap, n = scores[row], items[row % len(items)], keys[row], held[row], counts[row]
        worst = _score(heap[0], bits) if n == room else _NOTHING
        for first in range(0, n_columns, _AT_A_TIME):
            last = min(first + _AT_A_TIME, n_columns)
            if _number_from(line[first:last], worst) == 0:
                continue
            for column in range(first, last):
                score = line[column]
                if not (score > _NOTHING and score >= worst):
                    continue
                item = of_columns[column]
                if hidden_from[item] == row:
                    continue
                value[0] = score
                if score == _ZERO:
                    value[0] = _ZERO  # Not minus zero, which is equal.
                # Bits of floats that are not negative order as whole numbers do, those of negative ones the other way.
                ordered = np.int64(bits[0] if bits[0] >= 0 else bits[0] ^ _SIGN)
                key = ordered * (_LOW + 1) + (_LOW - (place[item] - start[row]) % n_items)
                if n < room:
                    _rise(heap, of_heap, n, key, item)
                    n += 1
                elif key > heap[0]:
                    _sink(heap, of_heap, n, key, item)
                if n == room:
                    worst = _score(heap[0], bits)
        counts[row] = n


@compiled
def take(
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
    items: NDArray[np.int64],
    tied: NDArray[np.bool_],
) -> None:
    """Take the heaps of ``rows`` apart, into ``items`` (B, K), with -1 behind the end, and ``tied`` (B, K)."""
    for row in rows:
        items[row] = -1
        tied[row] = False
        after = np.int64(-1)
        for n in range(counts[row] - 1, -1, -1):
            best, key = held[row, 0], keys[row, 0]
            _sink(keys[row], held[row], n, keys[row, n], held[row, n])
            if n < items.shape[1]:
                items[row, n] = best
                tied[row, n] = n + 1 < counts[row] and key >> 32 == after >> 32
            after = key
        counts[row] = 0


@compiled
def _number_from(scores: NDArray[np.float32], least: np.float32) -> int:
    """Return how many of ``scores`` are at least ``least``."""
    n = 0
    for score in scores:
        n += score >= least
    return n


@compiled
def _score(key: np.int64, bits: NDArray[np.int32]) -> np.float32:
    """Return the score of a key; ``bits`` (1,) is room to work in."""
    bits[0] = key >> 32
    if bits[0] < 0:
        bits[0] ^= _SIGN
    return bits.view(np.float32)[0]


@compiled
def _rise(keys: NDArray[np.int64], held: NDArray[np.int64], n: int, key: np.int64, item: np.int64) -> None:
    """Add ``key`` and its ``item`` to the first ``n`` of a heap, of which the least is on top."""
    while n > 0 and keys[(n - 1) // 2] > key:
        keys[n], held[n] = keys[(n - 1) // 2], held[(n - 1) // 2]
        n = (n - 1) // 2
    keys[n], held[n] = key, item


@compiled
def _sink(keys: NDArray[np.int64], held: NDArray[np.int64], n: int, key: np.int64, item: np.int64) -> None:
    """Put ``key`` and its ``item`` in place of the least of the first ``n`` of a heap."""
    place = 0
    while 2 * place + 1 < n:
        lesser = 2 * place + 1
        if lesser + 1 < n and keys[lesser + 1] < keys[lesser]:
            lesser += 1
        if keys[lesser] >= key:
            break
        keys[place], held[place] = keys[lesser], held[lesser]
        place = lesser
    keys[place], held[place] = key, item
