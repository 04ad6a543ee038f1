"""The lists that a model recommends, with all that a ranking metric may look at."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
    """

    users: Tensor
    items: Tensor
    hits: Tensor
    n_relevant: Tensor
    tied: Tensor
    popularity: Tensor
    n_train_users: int
    auc: Tensor | None = None

    @property
    def k(self) -> int:
        """The length K at which the lists are cut."""
        return self.items.shape[1]
