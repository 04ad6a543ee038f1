"""Random walks between users and items, and the item-to-item weights that come of them.

A walk that stands on an item steps to one of the item's users and from there to one of the user's items, each with
the same chance. A power of the chances, entry by entry, makes the rare steps rarer still.

Source: Cooper et al., Random Walks in Recommender Systems: Exact Computation and Simulations, WWW 2014 companion
(P3 and P3 alpha); the penalty on popular items from Paudel et al., Updatable, Accurate, Diverse, and Scalable
Recommendations for Interactive Applications, TiiS 2017 (RP3 beta); the pruning of the item-to-item weights from the
code behind Ferrari Dacrema et al., A Troubling Analysis of Reproducibility and Progress in Recommender Systems
Research, TOIS 2021.

Differs: neither walk's authors prune. Of equal weights that code keeps whichever its sort leaves first.

Shapes:
    U users, I items, K neighbours.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbench.nn.neighbours import heaviest, precedence


def steps(taken: sp.csr_array, alpha: float) -> sp.csr_array:
    """Return ``(1 / row sum) ** alpha`` wherever the binary matrix ``taken`` has a 1; with ``alpha`` 0 all are 1."""
    counts = np.diff(taken.indptr)
    return sp.csr_array((np.repeat(counts, counts) ** -alpha, taken.indices, taken.indptr), shape=taken.shape)


def walk_neighbours(
    taken: sp.csr_array, k: int, *, alpha: float, beta: float = 0.0, normalize: bool
) -> tuple[Tensor, Tensor]:
    """Return from which items the heaviest walks reach each item, (I, K) int64, and their weights, (I, K) float64.

    The weight of the walk from item i to another item j is
    ``sum over u of (1 / users of i) ** alpha * (1 / items of u) ** alpha / (users of j) ** beta``. It is pruned
    twice: each start keeps the ``k`` heaviest ends, then each end the ``k`` heaviest starts, which after
    normalisation is another choice. Between equal weights the more popular item is kept, then the one with the
    lower index. An item without users is reached with weight 0.

    Args:
        taken: (U, I) binary.
        k: K, at most I.
        alpha: Power of the chances of each step.
        beta: Power of the popularity that divides the weight.
        normalize: Whether the weights that each start has kept are divided by their sum.
    """
    n_items = taken.shape[1]
    users_of, items_of = steps(taken.T.tocsr(), alpha), steps(taken, alpha)
    popularity = np.bincount(taken.indices, minlength=n_items)
    items_of.data *= popularity[items_of.indices] ** -beta
    places = precedence(torch.from_numpy(popularity))

    def walks(part: slice) -> Tensor:
        weights = torch.from_numpy((users_of[part] @ items_of).toarray())
        weights[:, part].fill_diagonal_(0.0)
        return weights

    ends, weights = heaviest(walks, places, k)
    if normalize:
        # An item whose users have nothing else leads nowhere.
        weights /= weights.sum(1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    by_start = (weights.numpy().ravel(), ends.numpy().ravel(), np.arange(0, n_items * k + 1, k))
    kept = sp.csr_array(by_start, shape=(n_items, n_items)).T.tocsr()
    return heaviest(lambda part: torch.from_numpy(kept[part].toarray()), places, k)
