"""Sparse matrices of weights between items, of which each scored item keeps only its K heaviest.

Shapes:
    B users, I items, C candidates, K neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbench.data import Histories
from recbench.nn.neighbours import nearest
from recbench.progress import bar

_BLOCK_ENTRIES = 2**22  # of the dense part of a matrix of items by items that is in memory at a time


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


def heaviest(rows: Callable[[slice], Tensor], places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return where the ``k`` largest entries of each row are, (I, K) int64, and the entries, (I, K) float64.

    Entries are compared in float32, so that no rounding decides between those that should be equal.

    Args:
        rows: Gives the rows of a slice of an (I, I) matrix, float64 and not negative, as a dense tensor; called with
            a few rows at a time so that memory is bounded.
        places: (I,) from ``precedence``, which decides between equal entries.
        k: At most I.
    """
    n_items = len(places)
    columns, entries = torch.empty(n_items, k, dtype=torch.int64), torch.empty(n_items, k, dtype=torch.float64)
    size = max(1, _BLOCK_ENTRIES // n_items)
    for start in bar(range(0, n_items, size), "fit"):
        part = slice(start, min(start + size, n_items))
        block = rows(part)
        columns[part], _ = nearest(block, places, k)
        entries[part] = block.gather(1, columns[part])
    return columns, entries
