"""What every negative sampler is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from recbench.data import Interactions

DRAWN_TOGETHER = 2**18
"""Negatives that are drawn in one go, where a sampler allows it."""


@dataclass(frozen=True, eq=False)
class Negatives:
    """Items that stand for what the users did not take.

    Shapes:
        items: (B, n) int64, each user's own, or (C,) int64, the same for all users.
        keep: (B, n) or (B, C) bool, false where an item must not count as a negative; None keeps all.
        log_q: (n,), (C,) or (B, n) float32, log of the probability of the draw less that of a uniform one;
            None where the draw is uniform.
    """

    items: Tensor
    keep: Tensor | None = None
    log_q: Tensor | None = None

    def rows(self, some: slice) -> Negatives:
        """Return those of ``some`` users; what is the same for all stays."""
        items = self.items[some] if self.items.dim() == 2 else self.items
        log_q = self.log_q[some] if self.log_q is not None and self.log_q.dim() == 2 else self.log_q
        return Negatives(items, None if self.keep is None else self.keep[some], log_q)


class Sampler(ABC):
    """Draws negatives for a batch of observed pairs; all randomness comes from the generator it is given.

    Attributes:
        pair_by_pair: Whether each pair has negatives of its own that depend on nothing but the pair and the next
            numbers of the generator, so that those of several batches can be drawn together; how many a pair has is
            ``config.n_negatives`` then.
    """

    pair_by_pair: ClassVar[bool] = False
    config: Any

    def __init_subclass__(cls) -> None:
        """Take nothing for granted of a subclass that draws in a way of its own."""
        super().__init_subclass__()
        if "sample" in vars(cls) and "pair_by_pair" not in vars(cls):
            cls.pair_by_pair = False

    @abstractmethod
    def sample(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Negatives:
        """Return negatives for the pairs ``users`` (B,) and ``positives`` (B,)."""

    def n_together(self, batch_size: int) -> int:
        """Return of how many batches the negatives can be drawn together."""
        return max(1, DRAWN_TOGETHER // (batch_size * self.config.n_negatives)) if self.pair_by_pair else 1

    @abstractmethod
    def to(self, device: torch.device) -> Sampler:
        """Move the sampler's tables to ``device`` and return it."""


class SeenItems:
    """The training items of every user as one sorted key, so that a look-up is one binary search.

    Shapes:
        keys: (N,) int64, ``user * n_items + item``, ascending.
    """

    def __init__(self, train: Interactions) -> None:
        """Index the pairs of ``train``.

        Raises:
            OverflowError: users x items does not fit 63 bits.
        """
        if train.n_users * train.n_items >= 2**63:
            raise OverflowError(f"{train.n_users:,} users x {train.n_items:,} items do not fit 63 bits.")
        self.n_items = train.n_items
        self.keys = torch.sort(train.users * train.n_items + train.items).values

    def to(self, device: torch.device) -> SeenItems:
        """Move the keys to ``device`` and return the table."""
        self.keys = self.keys.to(device)
        return self

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """Return whether each user has taken the item, in the shape of the two broadcast together."""
        wanted = users * self.n_items + items
        place = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        return self.keys[place] == wanted
