"""Adam over all rows of a table at the price of the rows of the batch, in compiled loops.

Adam moves every row in every step, also those without a gradient, since their moments fade. A row that is in no batch
meanwhile is not looked at, so its steps can wait until it is looked up: they are taken then, one after the other, with
the row in the cache. That is the same arithmetic without a pass over whole tables in every step, which for small
batches takes most of the time.

Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1.
Differs: steps of a row beyond ``HORIZON`` since its last gradient only shrink its moments; together they would move it
by less than 1e-10 of what the first of them does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recbench.kernels.compiling import compiled_as_written

HORIZON = 256
"""Steps without a gradient that still move a row; 0.9 ** 256 is 2e-12, and ten times that are all later ones."""

BETA1, BETA2, EPS = np.float32(0.9), np.float32(0.999), np.float32(1e-8)

NEVER = -1
"""In place of the steps that a row has taken: it has had no gradient yet, and none moves it."""

_REST1, _REST2 = np.float32(1) - BETA1, np.float32(1) - BETA2


class Table(NamedTuple):
    """Parameters with what moves them.

    Shapes:
        values: (R, D).
        slope: (R, D), the gradient of the batch; zero between steps.
        first, second: (R, D), moments of the gradients.
        taken: (R,), steps that each row has taken; ``NEVER`` where it has had no gradient.
    """

    values: NDArray[np.float32]
    slope: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    taken: NDArray[np.int64]


def table(values: NDArray[np.float32]) -> Table:
    """Return a table of ``values`` (R, D) that has taken no step."""
    slope, first, second = (np.zeros_like(values) for _ in range(3))
    return Table(values, slope, first, second, np.full(len(values), NEVER))


class Rates(NamedTuple):
    """How far the steps of an epoch go.

    Attributes:
        begun: Steps before the epoch; at its start every row has taken them.
        sizes: Learning rate of each step of the epoch over the first correction, 1 - BETA1 ** step.
        roots: 1 over the root of the second correction of each step, 1 - BETA2 ** step.
    """

    begun: int
    sizes: NDArray[np.float32]
    roots: NDArray[np.float32]


def rates(lr: float, begun: int, n_steps: int) -> Rates:
    """Return the rates of ``n_steps`` steps after ``begun``, with learning rate ``lr``."""
    steps = np.arange(begun + 1, begun + n_steps + 1)
    sizes, roots = lr / (1 - float(BETA1) ** steps), 1 / np.sqrt(1 - float(BETA2) ** steps)
    return Rates(begun, sizes.astype(np.float32), roots.astype(np.float32))


@compiled_as_written
def catch_up(table: Table, rows: NDArray[np.int64], now: int, rates: Rates) -> None:
    """Take the steps up to ``now`` that ``rows`` (n,) have missed; a row may stand there several times."""
    for row in rows:
        since = table.taken[row]
        if since in (NEVER, now):
            continue
        table.taken[row] = now
        values, first, second = table.values[row], table.first[row], table.second[row]
        last = min(now, since + HORIZON)
        for step in range(since - rates.begun, last - rates.begun):
            size, root = rates.sizes[step], rates.roots[step]
            for d in range(len(values)):
                first[d] = BETA1 * first[d]
                second[d] = BETA2 * second[d]
                values[d] -= size * first[d] / (math.sqrt(second[d]) * root + EPS)
        if last < now:
            fade1, fade2 = np.float32(BETA1 ** (now - last)), np.float32(BETA2 ** (now - last))
            for d in range(len(values)):
                first[d] *= fade1
                second[d] *= fade2


@compiled_as_written
def move(table: Table, rows: NDArray[np.int64], now: int, rates: Rates) -> None:
    """Take step ``now``, counted from 1, with the ``rows`` (n,) of a batch, which have taken all before it."""
    size, root = rates.sizes[now - 1 - rates.begun], rates.roots[now - 1 - rates.begun]
    for row in rows:
        if table.taken[row] == now:
            continue
        table.taken[row] = now
        values, slope, first, second = table.values[row], table.slope[row], table.first[row], table.second[row]
        for d in range(len(values)):
            first[d] = BETA1 * first[d] + _REST1 * slope[d]
            second[d] = BETA2 * second[d] + _REST2 * slope[d] * slope[d]
            values[d] -= size * first[d] / (math.sqrt(second[d]) * root + EPS)
            slope[d] = np.float32(0)
