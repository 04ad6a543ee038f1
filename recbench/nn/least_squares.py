"""Solves many small least-squares problems at once: one a row, over the vectors of what the row holds.

Row r asks for the z that minimises

    sum over its entries e of (a_e (z . v_e)^2 - 2 b_e z . v_e)
    + everywhere * sum over ALL vectors v of (z . v)^2 + reg_r |z|^2,

which is A z = b with A = sum_e a_e v_e v_e^T + everywhere * G + reg_r I, b = sum_e b_e v_e and G = V^T V.

Source: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, equations 4 and 5
(all vectors enter through G, so that a row costs by its own entries alone); Takacs, Pilaszy and Tikk, Applications
of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering, RecSys 2011.

Shapes:
    R rows, N entries, V vectors, D their width; B rows of a block, L the longest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.data import Histories
from recbench.errors import DivergedError

BLOCK_NUMBERS = 2**19
"""Numbers in the largest tensor of a block of rows: few enough to stay near the processor."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """R problems over the same vectors.

    Shapes:
        rows: R rows of indices of vectors; their ``values`` are not looked at.
        quadratic: (N,) float32, a of each entry; None where all are 1.
        linear: (N,) float32, b of each entry; None where all are 1.
        reg: (R,) float32.

    Attributes:
        everywhere: Weight of the squares over all vectors.
    """

    rows: Histories
    quadratic: Tensor | None
    linear: Tensor | None
    everywhere: float
    reg: Tensor


def solve_exactly(problem: LeastSquares, vectors: Tensor) -> Tensor:
    """Return the solutions (R, D) by Cholesky factors; a row without entries has 0.

    Args:
        problem: What is asked.
        vectors: (V, D) float32.

    Raises:
        DivergedError: A matrix is not positive definite in float32.
    """
    solutions = torch.empty(len(problem.rows), vectors.shape[1], device=vectors.device)
    gram = problem.everywhere * (vectors.T @ vectors)
    for block in _blocks(problem, vectors):
        matrices = block.weighted.mT @ block.held + gram
        matrices.diagonal(dim1=1, dim2=2).add_(block.reg)
        solutions[block.index] = torch.cholesky_solve(block.wanted[:, :, None], _factor(matrices))[:, :, 0]
    return solutions


def approach(problem: LeastSquares, vectors: Tensor, start: Tensor, steps: int) -> Tensor:
    """Return what a few steps of conjugate gradients make of ``start``, (R, D).

    After D steps it would be the solution, were there no rounding.

    Args:
        problem: What is asked.
        vectors: (V, D) float32.
        start: (R, D) float32, such as the solutions of the epoch before.
        steps: At least 1.

    Raises:
        DivergedError: The part of the matrices that all rows share is not positive definite in float32.

    Differs: the problems are first rewritten for z' = C^T z, with C C^T the part of A that all rows share. That part
    is then the identity, and a step gets much further.
    """
    solutions = torch.empty_like(start)
    rewriting = Rewriting.of(problem, vectors)
    for block in _blocks(problem, vectors @ rewriting.inverse.T):
        own_reg = block.reg - rewriting.usual

        def product(rows: Tensor, block: _Block = block, own_reg: Tensor = own_reg) -> Tensor:
            dots = rows[:, None, :] @ block.held.mT
            return (dots @ block.weighted)[:, 0] + rows + own_reg * (rows @ rewriting.lengths)

        rewritten = _conjugate_gradients(product, block.wanted, start[block.index] @ rewriting.factor, steps)
        solutions[block.index] = rewritten @ rewriting.inverse
    return solutions


@dataclass(frozen=True, eq=False)
class Rewriting:
    """Problems in terms of z' = C^T z, of which the part of A that all rows share is the identity.

    Shapes:
        factor: (D, D), C; solutions (R, D) times it are the rewritten ones.
        inverse: (D, D), of C; rewritten solutions times it are the solutions, vectors times its transpose the vectors.
        usual: (), the ``reg`` that is in the identity.
    """

    factor: Tensor
    inverse: Tensor
    usual: Tensor

    @classmethod
    def of(cls, problem: LeastSquares, vectors: Tensor) -> Rewriting:
        """Return how ``problem`` over ``vectors`` (V, D) is rewritten.

        Raises:
            DivergedError: The shared part is not positive definite in float32.
        """
        identity = torch.eye(vectors.shape[1], device=vectors.device)
        usual = problem.reg.median()  # One of them: where all are the same, nothing is left beside it.
        factor = _factor(problem.everywhere * (vectors.T @ vectors) + usual * identity)
        return cls(factor, torch.linalg.solve_triangular(factor, identity, upper=False), usual)

    @property
    def lengths(self) -> Tensor:
        """What gives squared lengths, (D, D): |z|^2 is z' times it times z'."""
        return self.inverse @ self.inverse.T


def _conjugate_gradients(product: Callable[[Tensor], Tensor], wanted: Tensor, z: Tensor, steps: int) -> Tensor:
    """Return ``z`` (B, D) after ``steps`` steps towards ``product(z) = wanted``; rows that are there stay."""
    residual = wanted - product(z)
    direction, left = residual, residual.square().sum(1, keepdim=True)
    for _ in range(steps):
        bent = product(direction)
        length = _ratio(left, (direction * bent).sum(1, keepdim=True))
        z = z + length * direction
        residual = residual - length * bent
        before, left = left, residual.square().sum(1, keepdim=True)
        direction = residual + _ratio(left, before) * direction
    return z


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, and 0 over 0: where nothing is left to do."""
    return torch.where(denominator > 0, numerator / denominator, torch.zeros_like(numerator))


def _factor(matrices: Tensor) -> Tensor:
    """Return the lower Cholesky factors of (..., D, D)."""
    factors, failed = torch.linalg.cholesky_ex(matrices)
    if bool(failed.any()):
        raise DivergedError("a least-squares problem is not positive definite in float32. Raise model.reg.")
    return factors


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows of about the same length, filled up with vectors of 0.

    Shapes:
        index: (B,) int64, which rows.
        held: (B, L, D) vectors of the entries; ``weighted`` is a times them.
        wanted: (B, D), the right-hand sides.
        reg: (B, 1).
    """

    index: Tensor
    held: Tensor
    weighted: Tensor
    wanted: Tensor
    reg: Tensor


def _blocks(problem: LeastSquares, vectors: Tensor) -> Iterator[_Block]:
    """Yield all rows, the longest first, in blocks of bounded size."""
    rows, (n_vectors, dim) = problem.rows, vectors.shape
    padded = torch.cat([vectors, torch.zeros_like(vectors[:1])])
    lengths, order = torch.sort(rows.counts, descending=True, stable=True)
    lengths = lengths.cpu()
    begin = 0
    while begin < len(rows):
        length = int(lengths[begin])
        index = order[begin : begin + max(1, BLOCK_NUMBERS // (dim * max(dim, length)))]
        begin += len(index)
        within = torch.arange(length, device=vectors.device)
        inside = within < rows.counts[index, None]
        entries = torch.where(inside, rows.offsets[index, None] + within, 0)
        which = torch.where(inside, rows.items[entries], n_vectors)
        held = padded.index_select(0, which.flatten()).view(*which.shape, dim)
        weighted = held if problem.quadratic is None else held * problem.quadratic[entries][:, :, None]
        wanted = held if problem.linear is None else held * problem.linear[entries][:, :, None]
        yield _Block(index, held, weighted, wanted.sum(1), problem.reg[index, None])
