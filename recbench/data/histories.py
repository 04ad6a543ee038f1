"""Ragged rows of item indices in compressed form (CSR)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.data.grouping import order_by, starts_of


@dataclass(frozen=True, eq=False)
class Histories:
    """R rows of item indices.

    Shapes:
        offsets: (R + 1,) int64; row r is ``items[offsets[r]:offsets[r + 1]]``.
        items: (N,) int64, within a row in order of time (or of the file where there is no time).
        values: (N,) float32, the ratings of the items, or None.
    """

    offsets: Tensor
    items: Tensor
    values: Tensor | None = None

    @classmethod
    def from_pairs(cls, rows: Tensor, items: Tensor, n_rows: int, values: Tensor | None = None) -> Histories:
        """Group ``items`` (N,) by ``rows`` (N,), which lie in [0, n_rows); the order within a row is kept.

        Items whose rows are in order already are not copied.
        """
        offsets = starts_of(rows, n_rows)
        if bool((rows[1:] >= rows[:-1]).all()):
            return cls(offsets, items, values)
        order = order_by(rows, n_rows)
        return cls(offsets, items[order], None if values is None else values[order])

    @classmethod
    def empty(cls, n_rows: int) -> Histories:
        """Return ``n_rows`` rows without an item."""
        return cls(torch.zeros(n_rows + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Tensor:
        """Length of each row, (R,) int64."""
        return self.offsets[1:] - self.offsets[:-1]

    def row_of_each(self) -> Tensor:
        """Row of each entry, (N,) int64."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.items.device), self.counts)

    def rows(self, index: Tensor | slice) -> Histories:
        """Return the rows ``index`` (R',), in that order; a negative index gives an empty row.

        Those of a slice, from one row up to another, are not copied.
        """
        if isinstance(index, slice):
            offsets = self.offsets[index.start : index.stop + 1]
            first, last = int(offsets[0]), int(offsets[-1])
            return Histories(
                offsets - first, self.items[first:last], None if self.values is None else self.values[first:last]
            )
        known = index >= 0
        safe = index.clamp(min=0)
        counts = torch.where(known, self.counts[safe], torch.zeros_like(index))
        offsets = torch.zeros(len(index) + 1, dtype=torch.int64, device=self.items.device)
        torch.cumsum(counts, 0, out=offsets[1:])
        place = torch.arange(int(offsets[-1]), device=self.items.device)
        place += torch.repeat_interleave(self.offsets[:-1][safe] - offsets[:-1], counts)
        return Histories(offsets, self.items[place], None if self.values is None else self.values[place])

    def distinct(self, n_items: int) -> Histories:
        """Return the rows with each of their items, below ``n_items``, once, in ascending order and without values."""
        pairs = torch.unique(self.row_of_each() * n_items + self.items)
        starts = torch.arange(len(self) + 1, device=pairs.device) * n_items
        return Histories(torch.searchsorted(pairs, starts), pairs % n_items)

    def mask(self, n_items: int) -> Tensor:
        """Return (R, n_items) bool, true where the row holds the item."""
        mask = torch.zeros(len(self), n_items, dtype=torch.bool, device=self.items.device)
        mask[self.row_of_each(), self.items] = True
        return mask

    def to(self, device: torch.device | str) -> Histories:
        """Return the same rows on ``device``."""
        values = None if self.values is None else self.values.to(device)
        return Histories(self.offsets.to(device), self.items.to(device), values)
