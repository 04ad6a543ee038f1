"""``recbench.nn.least_squares`` in compiled loops on one or more threads.

Rows are solved one by one, each by one thread, the longest dealt first: how many threads there are changes no bit of
the loops' own (PyTorch multiplies the tables that all rows share, on its own number of threads).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from recbench.errors import DivergedError
from recbench.kernels import least_squares as loops
from recbench.kernels.compiling import LINE, dealt
from recbench.kernels.lapack import AS_IT_IS, LOWER, sposv, ssyrk
from recbench.nn.least_squares import LeastSquares, Rewriting


@dataclass(frozen=True, eq=False)
class Solved:
    """What was found for R problems.

    Shapes:
        solutions: (R, D) float32.

    Attributes:
        gained: By how much the solutions lower the sum of the problems' objectives from where all are 0.
    """

    solutions: Tensor
    gained: float


def solve_exactly(problem: LeastSquares, vectors: Tensor, threads: int) -> Solved:
    """Return the solutions by Cholesky factors; a row without entries has 0.

    Args:
        problem: What is asked, with ``quadratic`` not negative.
        vectors: (V, D) float32 on the CPU.
        threads: At least 1.

    Raises:
        DivergedError: A matrix is not positive definite in float32.
    """
    solutions = torch.empty(len(problem.rows), vectors.shape[1])
    shared = problem.everywhere * (vectors.T @ vectors)

    def solve(rows: NDArray[np.int64]) -> tuple[float, bool]:
        return loops.solve(
            rows,
            problem.rows.offsets.numpy(),
            problem.rows.items.numpy(),
            _weights(problem.quadratic),
            _weights(problem.linear),
            problem.reg.numpy(),
            vectors.numpy(),
            shared.numpy(),
            solutions.numpy(),
            ssyrk,
            sposv,
            LOWER,
            AS_IT_IS,
        )

    # Each thread solves problems of its own: within one, BLAS gets no others.
    with threadpool_limits(1, "blas"):
        parts = dealt(solve, problem.rows.counts.numpy(), threads)
    if not all(solved for _, solved in parts):
        raise DivergedError("a least-squares problem is not positive definite in float32. Raise model.reg.")
    return Solved(solutions, sum(gained for gained, _ in parts))


def approach(problem: LeastSquares, vectors: Tensor, start: Tensor, steps: int, threads: int) -> Solved:
    """Return what a few steps of conjugate gradients make of ``start``, (R, D).

    Args:
        problem: What is asked.
        vectors: (V, D) float32 on the CPU.
        start: (R, D) float32, such as the solutions of the epoch before.
        steps: At least 1.
        threads: At least 1.

    Raises:
        DivergedError: The part of the matrices that all rows share is not positive definite in float32.
    """
    rewriting, dim = Rewriting.of(problem, vectors), vectors.shape[1]
    n_lines = -(-dim // LINE)
    solutions, rewritten = _filled_up(start @ rewriting.factor), _filled_up(vectors @ rewriting.inverse.T)
    lengths = _filled_up(_filled_up(rewriting.lengths).T)

    def move(rows: NDArray[np.int64]) -> float:
        return loops.approach(
            rows,
            problem.rows.offsets.numpy(),
            problem.rows.items.numpy(),
            _weights(problem.quadratic),
            _weights(problem.linear),
            (problem.reg - rewriting.usual).numpy(),
            rewritten.numpy(),
            lengths.numpy(),
            solutions.numpy(),
            steps,
            (0,) * n_lines,
        )

    gained = sum(dealt(move, problem.rows.counts.numpy(), threads))
    return Solved(solutions[:, :dim] @ rewriting.inverse, gained)


def _weights(given: Tensor | None) -> NDArray[np.float32]:
    """Return a or b of each entry (N,), nothing where all are 1."""
    return np.empty(0, np.float32) if given is None else given.numpy()


def _filled_up(rows: Tensor) -> Tensor:
    """Return ``rows`` (R, D) with columns of 0 up to a whole number of cache lines, (R, W)."""
    missing = -rows.shape[1] % LINE
    return torch.nn.functional.pad(rows, (0, missing)) if missing else rows.contiguous()
