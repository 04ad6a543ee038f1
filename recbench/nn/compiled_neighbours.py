"""Neighbours in compiled loops, on PyTorch's number of threads; no bit depends on how many.

Shapes:
    Q profiles that ask, P profiles that are asked, T terms, K neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recbench.data import Histories
from recbench.kernels import neighbours as loops
from recbench.kernels.compiling import dealt
from recbench.kernels.neighbours import Asked, Asking, Formula
from recbench.nn.profiles import ProfileConfig

_KINDS = {
    "cosine": loops.COSINE,
    "asymmetric": loops.ASYMMETRIC,
    "jaccard": loops.JACCARD,
    "dice": loops.DICE,
    "tversky": loops.TVERSKY,
}


def nearest(
    options: ProfileConfig, asking: Asking, asked: Asked, places: Tensor, k: int, alpha_of_asked: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the ``k`` nearest of each, (Q, K) int64, and the similarities, (Q, K) float64, nearest first.

    Args:
        options: How near they are.
        asking: Whose.
        asked: Among whom, in any numbering, which is that of ``asking.own`` and of the result.
        places: (P,) from ``precedence``: who wins a tie.
        k: At most P.
        alpha_of_asked: Whether ``alpha`` goes with those who are asked, and not with those who ask.
    """
    alpha, beta = options.alpha, options.beta
    if alpha_of_asked:
        alpha, beta = (1 - alpha, beta) if options.similarity == "asymmetric" else (beta, alpha)
    formula = Formula(_KINDS[options.similarity], alpha, beta, options.shrink)
    order = places.argsort()
    place, by_place = places.numpy(), order.numpy()
    asking = asking._replace(own=np.where(asking.own >= 0, place[asking.own], -1))
    asked = asked._replace(
        profiles=place.astype(np.uint32)[asked.profiles],
        weights=asked.weights[by_place],
        squares=asked.squares[by_place],
    )
    n_rows = len(asking.squares)
    indices, near = torch.empty(n_rows, k, dtype=torch.int64), torch.empty(n_rows, k, dtype=torch.float64)
    found = indices.numpy(), near.numpy()
    lengths = asking.offsets[1:] - asking.offsets[:-1]
    dealt(lambda rows: loops.nearest(rows, asking, asked, formula, *found), lengths, torch.get_num_threads())
    return order[indices], near


def add_rows(taken: Histories, weights: Tensor, table: Histories, values: Tensor, out: Tensor) -> Tensor:
    """Return ``out`` (Q, C) float32, filled with the sums of the rows of a sparse table that each of ``taken`` names.

    Args:
        taken: Q rows of numbers of rows of ``table``; one that is there twice counts once.
        weights: (N,) float32, of each entry of ``taken``.
        table: Rows of columns.
        values: (M,) float32, what stands there.
        out: Is filled.
    """
    rows_taken = (taken.offsets.numpy(), taken.items.numpy(), weights.numpy())
    vectors = (table.offsets.numpy(), table.items.numpy().astype(np.uint32), values.numpy())
    sums = out.numpy()
    dealt(lambda rows: loops.add_up(rows, *rows_taken, *vectors, sums), taken.counts.numpy(), torch.get_num_threads())
    return out
