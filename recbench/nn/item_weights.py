"""What linear models between items share: how often items meet, and scores from a matrix of weights.

Shapes:
    B users, I items, C candidates.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recbench.data import Histories, Interactions
from recbench.progress import bar

_BLOCK_ENTRIES = 2**22  # of the dense matrix that are computed at a time


def fill_gram(train: Interactions, out: Tensor) -> None:
    """Fill ``out`` (I, I) with ``X^T X``, the number of users who took both items; X is 1 where a user took an item.

    Nothing else of that size is in memory. Ratings and repeated pairs do not count.
    """
    pairs = (train.users.numpy(), train.items.numpy())
    matrix = sp.csr_array((np.ones(len(train), np.float32), pairs), shape=(train.n_users, train.n_items))
    matrix.data[:] = 1  # A repeated pair has been summed.
    transposed = matrix.T.tocsr()
    block = max(1, _BLOCK_ENTRIES // train.n_items)
    for start in bar(range(0, train.n_items, block), "count"):
        counts = (transposed[start : start + block] @ matrix).toarray()
        out[start : start + block] = torch.from_numpy(counts)


def history_scores(history: Histories, weights: Tensor, items: Tensor | None) -> Tensor:
    """Return (B, I), or (B, C) for candidates: each user's sum of ``weights[i]`` over the items i of the history.

    An empty history gives 0 everywhere; an item that occurs twice in a history counts once.

    Args:
        history: B rows.
        weights: (I, I) float32, row i what item i of a history adds to the score of each item.
        items: Candidates (B, C) int64, or None for all items.
    """
    n_items = len(weights)
    # Sorted, so that the order of a history, which is another with other indices, moves no sum by much.
    pairs = torch.unique(history.row_of_each() * n_items + history.items)
    offsets = torch.searchsorted(pairs, torch.arange(len(history) + 1, device=pairs.device) * n_items)
    scores = F.embedding_bag(pairs % n_items, weights, offsets, mode="sum", include_last_offset=True)
    return scores if items is None else scores.gather(1, items)
