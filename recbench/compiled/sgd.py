"""The loops of ``mf`` by plain gradient descent, compiled by numba; all of them in one file, which is what is cached.

One example is a group of a user and m items that are scored, and move, together: a positive and its n negatives, or
with ``bce_sum`` each of these alone. Tables are float32, one row a user or item, padded with zeros, which no step
moves, to whole cache lines: two threads that move different rows never share one. Items are numbered anew in each
epoch, so that those of a block follow one another, and so do their biases.

Shapes:
    W numbers a row, a whole number of cache lines.
    user_rows (n_users, W), item_rows (n_items, W); user_biases (n_users,), item_biases (n_items,), not read where
    there are no biases.

Random numbers are counter-based: splitmix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014) from a key of the seed and the epoch, the user, and the turn.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from recbench.kernels.compiling import LINE, Float32, compiled, in_llvm, inlined

BPR, BCE, BCE_SUM = 0, 1, 2
CHUNK = 16
"""Positives whose negatives are drawn before their steps are taken, so that rows can be fetched ahead of use."""
_GAMMA, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_ZERO, _ONE = np.float32(0), np.float32(1)
_FAR = np.float32(-30)
_FOLD = 1e-200


class Options(NamedTuple):
    """What stays the same for all steps.

    Attributes:
        lines: As many zeros as a row has cache lines: since that is part of a tuple's type, the loops over a row are
            compiled for this very length.
        biased: Whether there are biases.
        loss: ``BPR``, ``BCE`` or ``BCE_SUM``.
        lr: Learning rate.
        reg: L2 on all that an example looks up, half of it times the squares.
        n_negatives: Drawn for each positive.
        reject_seen: Whether no item of the user's history is a negative.
    """

    lines: tuple[int, ...]
    biased: bool
    loss: int
    lr: Float32
    reg: Float32
    n_negatives: int
    reject_seen: bool


@in_llvm
def _prefetch(context: Any, rows: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of ``rows[row, column]``, which will be written to; changes nothing but the time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = [
            context.cast(builder, index, kind, types.intp) for index, kind in zip(arguments[1:], signature.args[1:])
        ]
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, place)
        pointer = builder.bitcast(pointer, cgutils.voidptr_t)
        flags = [cgutils.int32_t(flag) for flag in (1, 3, 1)]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, *[flag.type for flag in flags]])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind), [pointer, *flags])
        return context.get_dummy_value()

    return types.void(rows, row, column), generate


@compiled
def _mixed(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


@compiled
def _stream(key: np.uint64, user: int, turn: int) -> np.uint64:
    """Return the state in which the random numbers of a user's turn begin."""
    return _mixed(_mixed(key + np.uint64(user) * _GAMMA) + np.uint64(turn) * _GAMMA)


@compiled
def _below(bits: np.uint64, n: int) -> np.int64:
    """Return one of 0 .. n - 1 by the 32 low ``bits``, each as likely as the others to within n / 2**32."""
    return np.int64(((bits & _LOW) * np.uint64(n)) >> np.uint64(32))


@compiled
def _block(item: int, n_blocks: int, n_items: int) -> int:
    """Return the block of an item, the b with b * n_items // n_blocks <= item < (b + 1) * n_items // n_blocks."""
    return ((item + 1) * n_blocks - 1) // n_items


@compiled
def arrange(
    key: np.uint64,
    users: NDArray[np.int64],
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    number: NDArray[np.int32],
    n_blocks: int,
    first: int,
    order: NDArray[np.int32],
    longest: int,
) -> None:
    """Shuffle each user's items into ``order``, those of block ``first`` before those of the next, and so on around.

    Shapes:
        users: those to arrange; offsets (n_users + 1,), items (N,): the histories; order (N,): is filled with the
            items' numbers.
        number: (n_items,) of each item. longest: length of the longest history.
    """
    row = np.empty(longest, np.int32)
    starts = np.empty(n_blocks + 1, np.int64)
    # Which block, counted from ``first``, an item is in: a division costs as much as many a step.
    block_of = np.empty(len(number), np.int32)
    for item in range(len(number)):
        block_of[item] = (_block(item, n_blocks, len(number)) - first) % n_blocks
    for user in users:
        begin, n = offsets[user], offsets[user + 1] - offsets[user]
        state = _stream(key, user, 0)
        for k in range(n):
            state += _GAMMA
            other = _below(_mixed(state), k + 1)
            row[k] = row[other]
            row[other] = number[items[begin + k]]
        starts[:] = 0
        for k in range(n):
            starts[block_of[row[k]] + 1] += 1
        for block in range(n_blocks):
            starts[block + 1] += starts[block]
        for k in range(n):
            block = block_of[row[k]]
            order[begin + starts[block]] = row[k]
            starts[block] += 1


@inlined
def _pair(
    user: int,
    positive: int,
    negative: int,
    user_rows: NDArray[np.float32],
    item_rows: NDArray[np.float32],
    user_biases: NDArray[np.float32],
    item_biases: NDArray[np.float32],
    bias: Float32,
    squares: NDArray[np.float32],
    options: Options,
    likelihood: float,
    far: float,
) -> tuple[Float32, float, float, float]:
    """Do what ``_example`` does for ``BPR`` with one negative that is not the positive, in one pass over three rows."""
    width = LINE * len(options.lines)
    lr, reg = options.lr, options.reg
    margin, of_biases = _ZERO, _ZERO
    for d in range(width):
        mine, one, other = user_rows[user, d], item_rows[positive, d], item_rows[negative, d]
        margin += mine * (one - other)
        squares[d] += mine * mine + one * one + other * other
    if options.biased:
        mine, one, other = user_biases[user], item_biases[positive], item_biases[negative]
        margin += one - other
        of_biases = bias * bias + mine * mine + one * one + other * other
    wrong, likelihood, far = _judged(margin, likelihood, far)
    kept, step = _ONE - lr * reg, lr * wrong
    for d in range(width):
        mine, one, other = user_rows[user, d], item_rows[positive, d], item_rows[negative, d]
        user_rows[user, d] = kept * mine + step * (one - other)
        item_rows[positive, d] = kept * one + step * mine
        item_rows[negative, d] = kept * other - step * mine
    if options.biased:
        item_biases[positive] = kept * item_biases[positive] + step
        item_biases[negative] = kept * item_biases[negative] - step
        user_biases[user] *= kept
        bias *= kept
    return bias, likelihood, far, np.float64(of_biases)


@inlined
def _example(
    user: int,
    chosen: NDArray[np.int32],
    label: Float32,
    user_rows: NDArray[np.float32],
    item_rows: NDArray[np.float32],
    user_biases: NDArray[np.float32],
    item_biases: NDArray[np.float32],
    bias: Float32,
    scores: NDArray[np.float32],
    moves: NDArray[np.float32],
    squares: NDArray[np.float32],
    options: Options,
    likelihood: float,
    far: float,
) -> tuple[Float32, float, float, float]:
    """Score and move the rows of one example: of a user and of m items.

    Args:
        user: Row of the users.
        chosen: (m,) rows of the items.
        label: With ``BCE_SUM``, whether the one item is a positive (1) or a negative (0); else the first one is.
        user_rows: Are moved, as the three that follow.
        item_rows: See the module.
        user_biases: See the module.
        item_biases: See the module.
        bias: Of all pairs.
        scores: At least m numbers to work in.
        moves: As many numbers to work in as a row has.
        squares: As many numbers, to whose sum the squares of all rows are added.
        options: How.
        likelihood: Product of the probabilities of what was observed, of the examples so far.
        far: What it is without, minus its logarithm: of factors so small that the product would vanish.

    Returns:
        The bias as moved, ``likelihood`` and ``far`` with this example in them, and the squares of the biases. (Were
        they added to one of ``squares``, all that are read with it would have to wait for it.)
    """
    width, m = LINE * len(options.lines), len(chosen)
    lr, loss, biased = options.lr, options.loss, options.biased
    of_all, of_biases = _ZERO, _ZERO
    for d in range(width):
        squares[d] += user_rows[user, d] * user_rows[user, d]
        moves[d] = 0
    if biased:
        of_all = bias + user_biases[user]
        of_biases += bias * bias + user_biases[user] * user_biases[user]
    for k in range(m):
        item, score = chosen[k], _ZERO
        for d in range(width):
            score += user_rows[user, d] * item_rows[item, d]
            squares[d] += item_rows[item, d] * item_rows[item, d]
        if biased:
            score += of_all + item_biases[item]
            of_biases += item_biases[item] * item_biases[item]
        scores[k] = score

    # From here on, scores are the slopes of the loss along them.
    slope_of_all = _ZERO
    if loss == BPR:
        share = _ONE / np.float32(m - 1)
        positive = scores[0]
        for k in range(1, m):
            wrong, likelihood, far = _judged(positive - scores[k], likelihood, far)
            scores[k] = share * wrong
            slope_of_all += scores[k]
        scores[0] = -slope_of_all
        slope_of_all = _ZERO
    else:
        share = _ONE if loss == BCE_SUM else _ONE / np.float32(m)
        for k in range(m):
            observed = label if loss == BCE_SUM or k == 0 else _ZERO
            wrong, likelihood, far = _judged(scores[k] if observed == _ONE else -scores[k], likelihood, far)
            scores[k] = -share * wrong if observed == _ONE else share * wrong
            slope_of_all += scores[k]

    kept = _ONE - lr * options.reg
    for k in range(m):
        item, slope = chosen[k], scores[k]
        step = lr * slope
        for d in range(width):
            moves[d] += slope * item_rows[item, d]
            item_rows[item, d] = kept * item_rows[item, d] - step * user_rows[user, d]
        if biased:
            item_biases[item] = kept * item_biases[item] - step
    for d in range(width):
        user_rows[user, d] = kept * user_rows[user, d] - lr * moves[d]
    if biased:
        user_biases[user] = kept * user_biases[user] - lr * slope_of_all
        bias = kept * bias - lr * slope_of_all
    return bias, likelihood, far, np.float64(of_biases)


@inlined
def _judged(margin: Float32, likelihood: float, far: float) -> tuple[Float32, float, float]:
    """Return the sigmoid of -``margin``, and ``likelihood`` times that of ``margin``; one logarithm for many pairs."""
    odds: Float32 = math.exp(margin)
    wrong: Float32 = _ONE / (_ONE + odds)
    if margin < _FAR:
        far -= margin
    else:
        likelihood *= odds * wrong if margin < _ZERO else _ONE - wrong
        if likelihood < _FOLD:
            far -= math.log(likelihood)
            likelihood = 1.0
    return wrong, likelihood, far


@compiled
def train(
    key: np.uint64,
    turn: int,
    users: NDArray[np.int64],
    offsets: NDArray[np.int64],
    order: NDArray[np.int32],
    cursor: NDArray[np.int64],
    pool: tuple[int, int],
    left: NDArray[np.bool_],
    rest: bool,
    user_rows: NDArray[np.float32],
    item_rows: NDArray[np.float32],
    user_biases: NDArray[np.float32],
    item_biases: NDArray[np.float32],
    bias: Float32,
    options: Options,
) -> tuple[Float32, float, float, int]:
    """Take the steps of some users over their items in one block, or over the rest of their items.

    Args:
        key: Of the epoch's random numbers.
        turn: Which of the epoch's this is; with ``key`` and the user it names the random numbers.
        users: Whose; no other thread may have them, nor the items of the block, at the same time.
        offsets: (n_users + 1,) where in ``order`` each user's items begin.
        order: (N,) items, as ``arrange`` leaves them.
        cursor: (n_users,) where in ``order`` each user's block begins; is moved to where the next one does.
        pool: The first item of the block and the first one behind it; negatives are drawn from it.
        left: (N,) which of ``order`` are left, as their block holds no item that the user has not seen.
        rest: Whether to train on those alone, with a ``pool`` of all items.
        user_rows: Are moved, as the three that follow.
        item_rows: See the module.
        user_biases: See the module.
        item_biases: See the module.
        bias: Of all pairs; 0 where there are no biases.
        options: How.

    Returns:
        The bias as moved, the sum of the minus log-likelihoods and of the squares of all steps, and the number of
        positives.
    """
    group, n_lines, reject_seen = options.n_negatives + 1, len(options.lines), options.reject_seen
    together = 1 if options.loss == BCE_SUM else group
    paired = options.loss == BPR and group == 2
    (first, behind), n_items = pool, len(item_rows)
    n_pool = behind - first
    chosen = np.empty(CHUNK * group, np.int32)
    scores = np.empty(group, np.float32)
    moves, of_chunk = np.empty(LINE * n_lines, np.float32), np.zeros(LINE * n_lines, np.float32)
    stamps = np.full(n_items, -1, np.int32)
    likelihood, far, squares, n_positives = 1.0, 0.0, 0.0, 0
    for number in range(len(users)):
        user = users[number]
        begin, end = cursor[user], offsets[user + 1]
        if not rest:
            end = begin
            while end < offsets[user + 1] and first <= order[end] < behind:
                end += 1
            cursor[user] = end
        if reject_seen:
            n_seen = 0
            for k in range(begin, end):
                if stamps[order[k]] != number:
                    stamps[order[k]] = number
                    n_seen += 1
            if n_seen == n_pool:
                left[begin:end] = True
                continue
        state = _stream(key, user, turn)
        while begin < end:
            n_chosen = 0
            while begin < end and n_chosen < CHUNK * group:
                positive = order[begin]
                begin += 1
                if rest and not left[begin - 1]:
                    continue
                chosen[n_chosen] = positive
                n_chosen += 1
                for _ in range(options.n_negatives):
                    state += _GAMMA
                    bits = _mixed(state)
                    if reject_seen:
                        item = first + _below(bits, n_pool)
                        while stamps[item] == number:
                            state += _GAMMA
                            item = first + _below(_mixed(state), n_pool)
                    elif _below(bits >> np.uint64(32), n_items) == 0:
                        # So that all items are as likely as each other, also where the pool is but the part of the
                        # catalogue that has the positive in it for certain, and any other item by chance.
                        item = positive
                    else:
                        item = first + _below(bits, n_pool - 1)
                        item += item >= positive
                    chosen[n_chosen] = item
                    n_chosen += 1
            n_positives += n_chosen // group
            for at in range(0, n_chosen, together):
                for k in range(at + 2 * together, min(at + 3 * together, n_chosen)):
                    for line in range(n_lines):
                        _prefetch(item_rows, chosen[k], LINE * line)
                if paired and chosen[at] != chosen[at + 1]:
                    bias, likelihood, far, of_biases = _pair(
                        user,
                        chosen[at],
                        chosen[at + 1],
                        user_rows,
                        item_rows,
                        user_biases,
                        item_biases,
                        bias,
                        of_chunk,
                        options,
                        likelihood,
                        far,
                    )
                else:
                    bias, likelihood, far, of_biases = _example(
                        user,
                        chosen[at : at + together],
                        _ONE if at % group == 0 else _ZERO,
                        user_rows,
                        item_rows,
                        user_biases,
                        item_biases,
                        bias,
                        scores,
                        moves,
                        of_chunk,
                        options,
                        likelihood,
                        far,
                    )
                squares += of_biases
            for d in range(LINE * n_lines):
                squares += np.float64(of_chunk[d])
                of_chunk[d] = 0
    return bias, far - math.log(likelihood), squares, n_positives
