"""The lists that a model recommends, with all that a ranking metric may look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.errors import DataError


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best K items of U users.

    Shapes:
        users: (U,) int64.
        items: (U, K) int64, best first; -1 behind the end of a list that is shorter than K.
        hits: (U, K) bool, true where the item is relevant.
        n_relevant: (U,) int64, at least 1.
        tied: (U, K) bool, true where the item's score equals that of the next one.
        popularity: (I,) int64, training interactions of each item.
        n_train_users: Number of users in the vocabulary.
        auc: (U,) float64 over all ranked items, or None where it was not asked for; NaN for a user
            with nothing irrelevant to rank.
        user_block: Users that were scored at a time, in the smallest block where the memory did not suffice for
            the configured one; None where nothing was scored.
        item_block: Items that were scored at a time for them, in the smallest block; no bit depends on it. None where
            candidates were scored, or nothing.

    Raises:
        DataError: An item stands in a list twice, where it would count twice.
    """

    users: Tensor
    items: Tensor
    hits: Tensor
    n_relevant: Tensor
    tied: Tensor
    popularity: Tensor
    n_train_users: int
    auc: Tensor | None = None
    user_block: int | None = None
    item_block: int | None = None

    def __post_init__(self) -> None:
        """Refuse lists that name an item twice."""
        ordered = self.items.sort(1).values
        again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        wrong = torch.nonzero(again.any(1)).flatten()
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"item {int(ordered[row, 1:][again[row]][0])} stands more than once in the list of user "
                f"{int(self.users[row])} (indices); {len(wrong):,} of {len(self.users):,} lists are so. List each item "
                "once: its hits would count twice."
            )

    @property
    def k(self) -> int:
        """The length K at which the lists are cut."""
        return self.items.shape[1]
