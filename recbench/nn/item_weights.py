"""Scores of histories by weights between items: all of them, or the K neighbours of each scored item.

An item that occurs twice in a history counts once, and an empty history gives 0 everywhere.

Shapes:
    B users, I items, C candidates, K neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbench.data import Histories


def history_scores(history: Histories, weights: Tensor, items: Tensor | None) -> Tensor:
    """Return (B, I), or (B, C) for candidates: each user's sum of ``weights[i]`` over the items i of the history.

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


class ItemNeighbours(nn.Module):
    """K neighbours of each item and their weights; a user's score is the sum of the weights to their history."""

    neighbours: Tensor
    weights: Tensor

    def __init__(self, n_items: int, k: int) -> None:
        """Make it with weights of 0.

        Args:
            n_items: I.
            k: Neighbours of each item; more than there are items keeps all.
        """
        super().__init__()
        self.n_items = n_items
        self.k = min(k, n_items)
        self.register_buffer("neighbours", torch.zeros(n_items, self.k, dtype=torch.int64))
        self.register_buffer("weights", torch.zeros(n_items, self.k))

    def keep(self, neighbours: Tensor, weights: Tensor) -> None:
        """Take over neighbours and weights, (I, K) each, to wherever this lives."""
        self.neighbours.copy_(neighbours)
        self.weights.copy_(weights)

    def forward(self, history: Histories, items: Tensor | None = None) -> Tensor:
        """Return the scores (B, I) of B histories, or (B, C) of candidates ``items`` (B, C)."""
        taken = history.mask(self.n_items).T.float().contiguous()
        scores = F.embedding_bag(self.neighbours, taken, per_sample_weights=self.weights, mode="sum").T
        return scores.contiguous() if items is None else scores.gather(1, items)
