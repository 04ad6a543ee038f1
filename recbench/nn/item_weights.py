"""Scores of histories by weights between items: all of them, or the K neighbours of each scored item.

An item that occurs twice in a history counts once, and an empty history gives 0 everywhere.

Shapes:
    B users, I items, C candidates, K neighbours.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
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
    # Sorted, so that the order of a history, which is another with other indices, moves no sum by much.
    rows = history.distinct(len(weights))
    scores = F.embedding_bag(rows.items, weights, rows.offsets, mode="sum", include_last_offset=True)
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
        self._by_neighbour: tuple[tuple[int, int], Histories] | None = None

    def keep(self, neighbours: Tensor, weights: Tensor) -> None:
        """Take over neighbours and weights, (I, K) each, to wherever this lives."""
        self.neighbours.copy_(neighbours)
        self.weights.copy_(weights)

    def forward(self, history: Histories, items: Tensor | None = None, compiled: bool = False) -> Tensor:
        """Return the scores of B histories.

        Args:
            history: B rows.
            items: Candidates (B, C) int64, or None for all items.
            compiled: Whether by compiled loops, which give the same but for rounding: they go by the items of a history
                and whose neighbours those are, and not by all items.

        Returns:
            (B, I), or (B, C) for candidates.
        """
        if compiled:
            # Imports numba, which takes a second and need not be there.
            from recbench.nn.compiled_neighbours import add_rows

            table, out = self.by_neighbour(), torch.empty(len(history), self.n_items)
            assert table.values is not None
            scores = add_rows(history, torch.ones(len(history.items)), table, table.values, out)
            return scores if items is None else scores.gather(1, items)
        taken = history.mask(self.n_items).T.float().contiguous()
        scores = F.embedding_bag(self.neighbours, taken, per_sample_weights=self.weights, mode="sum").T
        return scores.contiguous() if items is None else scores.gather(1, items)

    def by_neighbour(self) -> Histories:
        """Return I rows: of which items each item is a neighbour, in ascending order, and with which weights not 0."""
        version = self.neighbours._version, self.weights._version
        if self._by_neighbour is None or self._by_neighbour[0] != version:
            ends = np.arange(0, self.weights.numel() + 1, self.k)
            entries = (self.weights.numpy().ravel(), self.neighbours.numpy().ravel(), ends)
            columns = sp.csr_array(entries, shape=(self.n_items, self.n_items)).tocsc()
            columns.eliminate_zeros()
            offsets, scored = (torch.from_numpy(part.astype(np.int64)) for part in (columns.indptr, columns.indices))
            self._by_neighbour = version, Histories(offsets, scored, torch.from_numpy(columns.data))
        return self._by_neighbour[1]
