"""The scale that ratings were brought to, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, eq=False)
class RatingScale:
    """``normalised = (rating - offset) / factor``, with a pair of numbers a user, an item, or for all.

    Shapes:
        offset, factor: (n_users,), (n_items,) or (1,) float32, learnt from training ratings alone; factors are
            above 0.
    """

    of: Literal["user", "item", "all"]
    offset: Tensor
    factor: Tensor

    def normalise(self, users: Tensor, items: Tensor, ratings: Tensor) -> Tensor:
        """Return the normalised ratings (N,) of N pairs."""
        rows = self._rows(users, items)
        return (ratings - self.offset.to(ratings.device)[rows]) / self.factor.to(ratings.device)[rows]

    def invert(self, users: Tensor, items: Tensor, normalised: Tensor) -> Tensor:
        """Return the ratings (N,) that normalised ones of N pairs stand for."""
        rows = self._rows(users, items)
        return normalised * self.factor.to(normalised.device)[rows] + self.offset.to(normalised.device)[rows]

    def _rows(self, users: Tensor, items: Tensor) -> Tensor:
        return {"user": users, "item": items, "all": users * 0}[self.of]
