"""The loops of neighbours: who is nearest, by the terms that profiles share, and what their weights add up to.

Shapes:
    Q profiles that ask, P profiles that are asked, T terms, K neighbours; see ``recbench.nn.profiles``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import compiled, inlined
from recbench.kernels.vectors import AT_A_TIME, at_least, lowest

COSINE, ASYMMETRIC, JACCARD, DICE, TVERSKY = range(5)

_ABOVE = np.int64(2**32)
_BELOW = 1 - 1e-6
_NONE, _ONE = np.uint64(0), np.uint64(1)


class Formula(NamedTuple):
    """How a similarity is computed; see ``recbench.nn.profiles.similarities``, which this equals.

    Attributes:
        kind: ``COSINE`` to ``TVERSKY``.
        alpha: Of ``ASYMMETRIC`` and ``TVERSKY``.
        beta: Of ``TVERSKY``.
        shrink: Added to the denominator.
    """

    kind: int
    alpha: float
    beta: float
    shrink: float


class Asking(NamedTuple):
    """Profiles whose neighbours are wanted.

    Shapes:
        offsets: (Q + 1,); terms: row q has the terms terms[offsets[q]:offsets[q + 1]]; one that occurs twice counts
            once.
        own: (Q,) which profile each of them is and cannot be near to, or -1.
        weights, squares: (Q,) weight of each profile, and its squared length.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int64]
    own: NDArray[np.int64]
    weights: NDArray[np.float64]
    squares: NDArray[np.float64]


class Asked(NamedTuple):
    """Profiles that are neighbours.

    In the loops they are numbered so that of two that are equally near the lower one is taken. Those that are near to
    many have low numbers best: the sooner the nearest are found, the less is done for the rest.

    Shapes:
        offsets: (T + 1,); profiles: term t is in profiles[offsets[t]:offsets[t + 1]], each of them once. They are
            read more often than all else: narrow ones are faster, and so are those without a sign, of which numba need
            not ask whether they count from the end.
        terms: (T,) the squared weight of each term.
        weights, squares: (P,) weight of each profile, and its squared length.
    """

    offsets: NDArray[np.int64]
    profiles: NDArray[np.uint32]
    terms: NDArray[np.float64]
    weights: NDArray[np.float64]
    squares: NDArray[np.float64]


@compiled
def nearest(
    rows: NDArray[np.int64],
    asking: Asking,
    asked: Asked,
    formula: Formula,
    indices: NDArray[np.int64],
    near: NDArray[np.float64],
) -> None:
    """Fill ``indices`` (Q, K) and ``near`` (Q, K) at ``rows`` with the K nearest and their similarities, nearest first.

    They are compared in float32, and in a tie by number. A heap holds the best K so far, the worst of them on top, so
    that most of the others are dismissed by one comparison, 64 at a time.
    """
    # Taken out of their tuples once: that costs as much as some steps of the loops.
    begins, terms, own = asking.offsets, asking.terms, asking.own
    offsets, profiles, term_weights = asked.offsets, asked.profiles, asked.terms
    n_profiles, k = len(asked.weights), indices.shape[1]
    # What stands behind the last profile is below all others.
    similar = np.full((n_profiles + AT_A_TIME - 1) // AT_A_TIME * AT_A_TIME, -1.0)
    seen = np.full(len(term_weights), -1)
    keys = np.empty(k, np.int64)
    value = np.empty(1, np.float32)
    bits = value.view(np.int32)
    for row in rows:
        similar[:n_profiles] = 0
        for entry in range(begins[row], begins[row + 1]):
            term = terms[entry]
            if seen[term] == row:
                continue
            seen[term] = row
            weight = term_weights[term]
            for place in range(offsets[term], offsets[term + 1]):
                similar[profiles[place]] += weight
        if own[row] >= 0:
            similar[own[row]] = 0
        _similarities(formula, similar, asking.weights[row], asked.weights, asking.squares[row], asked.squares)
        for profile in range(k):
            value[0] = similar[profile]
            _rise(keys, profile, _key(bits[0], profile))
        # Others that round to the same float32 are as near.
        least = _BELOW * similar[_profile(keys[0])]
        for first in range(k // AT_A_TIME * AT_A_TIME, n_profiles, AT_A_TIME):
            good = at_least(similar, first, least)
            while good != _NONE:
                profile = first + lowest(good)
                good &= good - _ONE
                value[0] = similar[profile]
                key = _key(bits[0], profile)
                if key > keys[0] and profile >= k:
                    _sink(keys, k, key)
                    least = _BELOW * similar[_profile(keys[0])]
        for last in range(k - 1, -1, -1):
            worst, key = keys[0], keys[last]
            _sink(keys, last, key)
            indices[row, last] = _profile(worst)
            near[row, last] = similar[_profile(worst)]


@inlined
def _key(bits: np.int32, profile: int) -> np.int64:
    """Return what orders profiles; the bits of floats that are not negative order as whole numbers do."""
    return np.int64(bits) * _ABOVE - profile


@inlined
def _profile(key: np.int64) -> np.int64:
    """Return whose ``key`` it is."""
    return -key % _ABOVE


@inlined
def _similarities(
    formula: Formula,
    dots: NDArray[np.float64],
    weight: float,
    weights: NDArray[np.float64],
    square: float,
    squares: NDArray[np.float64],
) -> None:
    """Turn ``dots``, the first P, still without the weights of the profiles, into similarities; without branches."""
    for profile in range(len(weights)):
        dot = dots[profile] * weight * weights[profile]
        near = dot / (_size(formula, dot, square, squares[profile]) + formula.shrink)
        dots[profile] = near if dot > 0 else 0.0


@inlined
def _size(formula: Formula, dot: float, square: float, other: float) -> float:
    """Return what the dot product of two profiles is divided by, beside ``shrink``."""
    if formula.kind == COSINE:
        size = np.sqrt(square * other)
    elif formula.kind == ASYMMETRIC:
        size = square**formula.alpha * other ** (1 - formula.alpha)
    elif formula.kind == JACCARD:
        size = square + other - dot
    elif formula.kind == DICE:
        size = square + other
    else:
        size = dot + formula.alpha * (square - dot) + formula.beta * (other - dot)
    return size


@compiled
def _rise(heap: NDArray[np.int64], n: int, key: np.int64) -> None:
    """Add ``key`` to the first ``n`` of ``heap``, of which the least is on top."""
    while n > 0 and heap[(n - 1) // 2] > key:
        heap[n] = heap[(n - 1) // 2]
        n = (n - 1) // 2
    heap[n] = key


@compiled
def _sink(heap: NDArray[np.int64], n: int, key: np.int64) -> None:
    """Put ``key`` in place of the least of the first ``n`` of ``heap``."""
    place = 0
    while 2 * place + 1 < n:
        lesser = 2 * place + 1
        if lesser + 1 < n and heap[lesser + 1] < heap[lesser]:
            lesser += 1
        if heap[lesser] >= key:
            break
        heap[place] = heap[lesser]
        place = lesser
    if n > 0:
        heap[place] = key


@compiled
def add_up(
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    entries: NDArray[np.int64],
    weights: NDArray[np.float32],
    begins: NDArray[np.int64],
    columns: NDArray[np.uint32],
    values: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:
    """Fill ``sums`` (Q, C) at ``rows`` with the weighted sums of the entries' sparse vectors.

    They are added in float64, where numbers of float32 of about one size do not round: so the order of the entries
    hardly ever matters.

    Args:
        rows: Which to fill.
        offsets: (Q + 1,) where each row's entries begin.
        entries: (N,) numbers of vectors; one that occurs twice in a row counts once.
        weights: (N,) of each entry.
        begins: (V + 1,) where each vector begins.
        columns: (M,) where its values stand in it.
        values: (M,) what they are.
        sums: Is filled.
    """
    total = np.zeros(sums.shape[1])
    seen = np.full(len(begins) - 1, -1)
    for row in rows:
        total[:] = 0
        for entry in range(offsets[row], offsets[row + 1]):
            vector = entries[entry]
            if seen[vector] == row:
                continue
            seen[vector] = row
            weight = np.float64(weights[entry])
            for place in range(begins[vector], begins[vector + 1]):
                total[columns[place]] += weight * values[place]
        for column in range(len(total)):
            sums[row, column] = total[column]
