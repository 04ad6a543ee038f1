"""Neural collaborative filtering over a batch and its gradient, in compiled loops around BLAS.

The gradient is written out by hand; tests hold it against autograd's.

Source: He et al., Neural Collaborative Filtering, WWW 2017, equations 7 (loss), 9 (the linear half), 10 (the tower) and
12 (both under one output).

Shapes:
    B users of a batch, C items of each, the first one observed, P = B * C pairs; G width of the linear half, T of a
    tower's vector, H1 .. HL widths of the tower's layers. A row of a table is [G | T].
    theta: all parameters but the tables, one after the other: of the first layer the weights of users (H1, T), of
    items (H1, T), and the bias (H1,); of each other layer weight (H, H') and bias (H,); of the output the weights (G,)
    and (HL,), and the bias.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recbench.compiled.adam import Table
from recbench.kernels.compiling import compiled_as_written

BCE, BPR = 0, 1
"""Losses, as in ``recbench.nn.losses``."""


class Network(NamedTuple):
    """What the network is.

    Attributes:
        linear: G.
        widths: H1 .. HL; empty where there is no tower.
        starts: Where each part of theta begins, and at last where theta ends.
        loss: ``BCE`` or ``BPR``.
    """

    linear: int
    widths: NDArray[np.int64]
    starts: NDArray[np.int64]
    loss: int


def network(linear: int, tower: int, widths: tuple[int, ...], loss: int) -> Network:
    """Return the network of G = ``linear``, T = ``tower`` and the layers' ``widths``; no widths, no tower."""
    sizes = [widths[0] * tower, widths[0] * tower, widths[0]] if widths else []
    for below, width in zip(widths, widths[1:]):
        sizes += [width * below, width]
    sizes += [linear, widths[-1] if widths else 0, 1]
    return Network(linear, np.array(widths, np.int64), np.cumsum([0, *sizes], dtype=np.int64), loss)


@compiled_as_written
def gradients(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    user_table: Table,
    item_table: Table,
    rest: Table,
    network: Network,
) -> float:
    """Return the loss of a batch, and add its gradient to the slopes.

    Args:
        users: (B,).
        items: (P,), the C items of each user one after the other.
        user_table: Rows (n_users, G + T).
        item_table: Rows (n_items, G + T).
        rest: One row, theta.
        network: What is computed.
    """
    theta, slope, starts, linear, widths = rest.values[0], rest.slope[0], network.starts, network.linear, network.widths
    each = len(items) // len(users)
    of_users, of_items = _rows(user_table.values, users, linear), _rows(item_table.values, items, linear)
    layers = _climb(of_users, of_items, theta, starts, widths, each)
    top = layers[len(layers) - len(items) * widths[-1] :] if len(widths) else layers
    hidden = top.reshape((len(items), len(top) // len(items)))
    of_linear, of_tower = theta[starts[-4] : starts[-3]], theta[starts[-3] : starts[-2]]

    scores = np.empty(len(items), np.float32)
    for pair in range(len(items)):
        user, item = user_table.values[users[pair // each]], item_table.values[items[pair]]
        score = theta[-1]
        for g in range(linear):
            score += of_linear[g] * user[g] * item[g]
        for h in range(hidden.shape[1]):
            score += of_tower[h] * hidden[pair, h]
        scores[pair] = score
    at_scores = np.zeros(len(items), np.float32)
    value = _bce(scores, each, at_scores) if network.loss == BCE else _bpr(scores, each, at_scores)

    at_linear, at_tower = slope[starts[-4] : starts[-3]], slope[starts[-3] : starts[-2]]
    at_hidden = np.empty_like(hidden)
    for pair in range(len(items)):
        user, item = user_table.values[users[pair // each]], item_table.values[items[pair]]
        at_user, at_item = user_table.slope[users[pair // each]], item_table.slope[items[pair]]
        at = at_scores[pair]
        slope[-1] += at
        for g in range(linear):
            at_linear[g] += at * user[g] * item[g]
            at_user[g] += at * of_linear[g] * item[g]
            at_item[g] += at * of_linear[g] * user[g]
        for h in range(hidden.shape[1]):
            at_tower[h] += at * hidden[pair, h]
            at_hidden[pair, h] = at * of_tower[h]
    if len(widths):
        at_users, at_items = _descend(of_users, of_items, theta, starts, widths, layers, at_hidden, slope)
        _add_rows(at_users, users, linear, user_table.slope)
        _add_rows(at_items, items, linear, item_table.slope)
    return value


@compiled_as_written
def _climb(
    of_users: NDArray[np.float32],
    of_items: NDArray[np.float32],
    theta: NDArray[np.float32],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    each: int,
) -> NDArray[np.float32]:
    """Return the layers' outputs (P, H), one after the other in one row; the first meets users and items apart."""
    n_pairs, tower = of_items.shape
    layers = np.empty(n_pairs * widths.sum(), np.float32)
    if not len(widths):
        return layers
    shared = np.dot(of_users, _matrix(theta, starts[0], widths[0], tower).T)
    hidden = _matrix(layers, 0, n_pairs, widths[0])
    np.dot(of_items, _matrix(theta, starts[1], widths[0], tower).T, hidden)
    for pair in range(n_pairs):
        for h in range(widths[0]):
            hidden[pair, h] = max(hidden[pair, h] + shared[pair // each, h] + theta[starts[2] + h], np.float32(0))
    begin = n_pairs * widths[0]
    for layer in range(1, len(widths)):
        above = _matrix(layers, begin, n_pairs, widths[layer])
        np.dot(hidden, _matrix(theta, starts[2 * layer + 1], widths[layer], widths[layer - 1]).T, above)
        bias = theta[starts[2 * layer + 2] : starts[2 * layer + 3]]
        for pair in range(n_pairs):
            for h in range(widths[layer]):
                above[pair, h] = max(above[pair, h] + bias[h], np.float32(0))
        begin += n_pairs * widths[layer]
        hidden = above
    return layers


@compiled_as_written
def _descend(
    of_users: NDArray[np.float32],
    of_items: NDArray[np.float32],
    theta: NDArray[np.float32],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    layers: NDArray[np.float32],
    at_hidden: NDArray[np.float32],
    slope: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the gradients of the users' (B, T) and items' vectors (P, T), given that of the last layer's output."""
    (n_users, tower), n_pairs = of_users.shape, len(of_items)
    end = len(layers)
    for layer in range(len(widths) - 1, -1, -1):
        width = widths[layer]
        hidden = _matrix(layers, end - n_pairs * width, n_pairs, width)
        end -= n_pairs * width
        bias = slope[starts[2 * layer + 2] : starts[2 * layer + 3]]
        for pair in range(n_pairs):
            output, at = hidden[pair], at_hidden[pair]
            for h in range(width):
                # A choice in place of a branch: many numbers at a time.
                at[h] = at[h] if output[h] > 0 else np.float32(0)
                bias[h] += at[h]
        if layer:
            below = _matrix(layers, end - n_pairs * widths[layer - 1], n_pairs, widths[layer - 1])
            np.dot(at_hidden.T, below, _matrix(slope, starts[2 * layer + 1], widths[layer], widths[layer - 1]))
            at_hidden = np.dot(at_hidden, _matrix(theta, starts[2 * layer + 1], widths[layer], widths[layer - 1]))
    each = n_pairs // n_users
    width = widths[0]
    shared = np.zeros((n_users, width), np.float32)
    for pair in range(n_pairs):
        of_user, at = shared[pair // each], at_hidden[pair]
        for h in range(width):
            of_user[h] += at[h]
    np.dot(shared.T, of_users, _matrix(slope, starts[0], widths[0], tower))
    np.dot(at_hidden.T, of_items, _matrix(slope, starts[1], widths[0], tower))
    at_users = np.dot(shared, _matrix(theta, starts[0], widths[0], tower))
    return at_users, np.dot(at_hidden, _matrix(theta, starts[1], widths[0], tower))


@compiled_as_written
def _bce(scores: NDArray[np.float32], each: int, at_scores: NDArray[np.float32]) -> float:
    """Return the mean binary cross entropy of the pairs; ``at_scores`` takes its gradient."""
    total = 0.0
    for pair in range(len(scores)):
        label = np.float32(pair % each == 0)
        signed = scores[pair] if label == 0 else -scores[pair]
        total += max(signed, np.float32(0)) + math.log1p(math.exp(-abs(signed)))
        at_scores[pair] = (np.float32(1) / (np.float32(1) + math.exp(-scores[pair])) - label) / np.float32(len(scores))
    return total / len(scores)


@compiled_as_written
def _bpr(scores: NDArray[np.float32], each: int, at_scores: NDArray[np.float32]) -> float:
    """Return the mean of minus log-sigmoid of the differences; ``at_scores``, zero before, takes its gradient."""
    total = 0.0
    n_differences = len(scores) // each * (each - 1)
    for pair in range(len(scores)):
        positive = pair - pair % each
        if pair != positive:
            difference = scores[pair] - scores[positive]
            total += max(difference, np.float32(0)) + math.log1p(math.exp(-abs(difference)))
            at = np.float32(1) / (np.float32(1) + math.exp(-difference)) / np.float32(n_differences)
            at_scores[pair] += at
            at_scores[positive] -= at
    return total / n_differences


@compiled_as_written
def _matrix(numbers: NDArray[np.float32], begin: int, height: int, width: int) -> NDArray[np.float32]:
    """Return the matrix (height, width) that begins at ``begin`` in a row of numbers, as a view."""
    return numbers[begin : begin + height * width].reshape((height, width))


@compiled_as_written
def _rows(table: NDArray[np.float32], rows: NDArray[np.int64], linear: int) -> NDArray[np.float32]:
    """Return the tower's vectors (n, T) of ``rows`` (n,)."""
    taken = np.empty((len(rows), table.shape[1] - linear), np.float32)
    for place in range(len(rows)):
        taken[place] = table[rows[place], linear:]
    return taken


@compiled_as_written
def _add_rows(values: NDArray[np.float32], rows: NDArray[np.int64], linear: int, slope: NDArray[np.float32]) -> None:
    """Add ``values`` (n, T) to the tower's part of ``slope`` at ``rows``."""
    for place in range(len(rows)):
        total = slope[rows[place]]
        for d in range(values.shape[1]):
            total[linear + d] += values[place, d]
