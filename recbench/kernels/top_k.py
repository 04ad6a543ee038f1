"""The loops of ``recbench.total_order.BestSoFar``: the best items of each row, in a total order.

A heap holds the best so far, the worst of them on top; most columns are dismissed by comparing their score with that
one's, 64 columns at a time. A tie costs no more than any other column.

Shapes:
    B rows, C columns, I items, K + 1 items that a heap holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import compiled, inlined
from recbench.kernels.vectors import AT_A_TIME, at_least, keep_larger, lowest, not_finite

_LOW, _SIGN = np.int64(2**32 - 1), np.int32(2**31 - 1)
_ZERO, _NOTHING = np.float32(0), np.float32(-np.inf)
_NONE, _ONE = np.uint64(0), np.uint64(1)


@compiled
def see(
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    items: NDArray[np.int64],
    begin: int,
    offsets: NDArray[np.int64],
    hidden: NDArray[np.int64],
    place: NDArray[np.int32],
    start: NDArray[np.int32],
    keys: NDArray[np.int64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> bool:
    """Add to the heaps of ``rows`` what is good enough, and return whether all their scores are finite.

    Args:
        rows: Whose.
        scores: (B, C); -inf is not listed.
        items: (B, C) what the columns stand for, or (1, C) where that is the same for all rows.
        begin: The item of the first column, where ``hidden`` holds anything: then they are as many items in a row.
        offsets: (B + 1,) of the rows of ``hidden``.
        hidden: (N,) items that are not listed; others than those of the columns are passed over.
        place: (I,) of each item on the circle of ``TieOrder``.
        start: (B,) where each row begins to read it.
        keys: (B, K + 1) what the heaps go by: above the score, below, of equal scores, who comes first.
        held: (B, K + 1) the items.
        counts: (B,) how many a heap holds.
    """
    room, n_items, n_columns = keys.shape[1], len(place), scores.shape[1]
    whole = n_columns // AT_A_TIME * AT_A_TIME
    value = np.empty(1, np.float32)
    bits = value.view(np.int32)
    best, line = np.empty(AT_A_TIME, np.float32), np.empty(n_columns, np.float32)
    odd = _NONE
    for row in rows:
        # A copy stays in the nearest cache, and the model may still need what it gave.
        odd |= _copy(scores[row], line)
        for entry in range(offsets[row], offsets[row + 1]):
            column = hidden[entry] - begin
            if 0 <= column < n_columns:
                line[column] = _NOTHING
        of_columns, heap, of_heap, n = items[row % len(items)], keys[row], held[row], counts[row]
        worst = _score(heap[0], bits) if n == room else _floor(line, room, best)
        for first in range(0, n_columns, AT_A_TIME):
            good = at_least(line, first, worst) if first < whole else _last_at_least(line[first:], worst)
            while good != _NONE:
                column = first + lowest(good)
                good &= good - _ONE
                score, item = line[column], of_columns[column]
                # The worst may have become better since they were all compared with it.
                if score < worst or score == _NOTHING:
                    continue
                value[0] = score
                if score == _ZERO:
                    value[0] = _ZERO  # Not minus zero, which is equal.
                # Bits of floats that are not negative order as whole numbers do, those of negative ones the other way.
                ordered = np.int64(bits[0] if bits[0] >= 0 else bits[0] ^ _SIGN)
                after = np.int64(place[item]) - start[row]
                if after < 0:
                    after += n_items
                key = ordered * (_LOW + 1) + (_LOW - after)
                if n < room:
                    _rise(heap, of_heap, n, key, item)
                    n += 1
                elif key > heap[0]:
                    _sink(heap, of_heap, n, key, item)
                if n == room:
                    worst = _score(heap[0], bits)
        counts[row] = n
    return odd == _NONE


@compiled
def part(offsets: NDArray[np.int64], items: NDArray[np.int64], n_items: int, width: int) -> tuple[Any, Any]:
    """Return the items of all rows by ranges of so many items, and where each row of each range begins.

    Args:
        offsets: (B + 1,) of the rows of ``items``.
        items: (N,).
        n_items: How many there are; others than these are passed over.
        width: Of a range; the last one may be narrower.

    Returns:
        (R, B + 1) offsets, and the items that they are of, in each row in the order that they had.
    """
    n_rows, n_ranges = len(offsets) - 1, -(-n_items // width)
    range_of = np.empty(n_items, np.int32)
    for item in range(n_items):
        range_of[item] = item // width
    starts = np.zeros((n_ranges, n_rows + 1), np.int64)
    for row in range(n_rows):
        for entry in range(offsets[row], offsets[row + 1]):
            if 0 <= items[entry] < n_items:
                starts[range_of[items[entry]], row + 1] += 1
    total = 0
    for of_range in range(n_ranges):
        for row in range(n_rows + 1):
            total += starts[of_range, row]
            starts[of_range, row] = total
    parted, place = np.empty_like(items), starts.copy()
    for row in range(n_rows):
        for entry in range(offsets[row], offsets[row + 1]):
            if 0 <= items[entry] < n_items:
                of_range = range_of[items[entry]]
                parted[place[of_range, row]] = items[entry]
                place[of_range, row] += 1
    return starts, parted[:total]


@compiled
def _copy(scores: NDArray[np.float32], line: NDArray[np.float32]) -> np.uint64:
    """Copy ``scores`` (C,) into ``line`` (C,), and return 0 if all are finite."""
    whole = len(scores) // AT_A_TIME * AT_A_TIME
    odd = _NONE
    for column in range(len(scores)):
        line[column] = scores[column]
    for first in range(0, whole, AT_A_TIME):
        odd |= not_finite(line, first)
    for column in range(whole, len(scores)):
        odd |= _NONE if np.isfinite(line[column]) else _ONE
    return odd


@compiled
def _floor(scores: NDArray[np.float32], wanted: int, best: NDArray[np.float32]) -> np.float32:
    """Return a number that at least ``wanted`` of ``scores`` are not below: the least of the best of so many groups.

    Args:
        scores: (C,).
        wanted: With more than 64 it is -inf.
        best: (64,) room to work in.
    """
    best[:] = _NOTHING
    for first in range(0, len(scores) // AT_A_TIME * AT_A_TIME, AT_A_TIME):
        keep_larger(best, scores, first)
    floor = np.float32(np.inf)
    for group in range(wanted):
        best_of_group = _NOTHING
        for place in range(group, AT_A_TIME, wanted):
            best_of_group = max(best_of_group, best[place])
        floor = min(floor, best_of_group)
    return floor


@inlined
def _last_at_least(scores: NDArray[np.float32], least: np.float32) -> np.uint64:
    """Return which of less than 64 ``scores`` are at least ``least``."""
    good = _NONE
    for column in range(len(scores)):
        if scores[column] >= least:
            good |= _ONE << np.uint64(column)
    return good


@compiled
def take(
    rows: NDArray[np.int64],
    keys: NDArray[np.int64],
    held: NDArray[np.int64],
    counts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    relevant: NDArray[np.int64],
    n_items: int,
    items: NDArray[np.int64],
    hits: NDArray[np.bool_],
    tied: NDArray[np.bool_],
) -> None:
    """Take the heaps of ``rows`` apart.

    Args:
        rows: Whose.
        keys: (B, K + 1), as ``held`` and ``counts`` what ``see`` filled.
        held: (B, K + 1).
        counts: (B,).
        offsets: (B + 1,) of the rows of ``relevant``.
        relevant: (N,) items that are hits.
        n_items: How many there are.
        items: (B, K) is filled, best first, with -1 behind the end.
        hits: (B, K) is filled, whether the item is one.
        tied: (B, K) is filled, whether the next one's score is the same.
    """
    sought_by = np.full(n_items, -1, np.int64)
    for row in rows:
        for entry in range(offsets[row], offsets[row + 1]):
            sought_by[relevant[entry]] = row
        items[row], hits[row], tied[row] = -1, False, False
        after = np.int64(-1)
        for n in range(counts[row] - 1, -1, -1):
            best, key = held[row, 0], keys[row, 0]
            _sink(keys[row], held[row], n, keys[row, n], held[row, n])
            if n < items.shape[1]:
                items[row, n] = best
                hits[row, n] = sought_by[best] == row
                tied[row, n] = n + 1 < counts[row] and key >> 32 == after >> 32
            after = key
        counts[row] = 0


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
