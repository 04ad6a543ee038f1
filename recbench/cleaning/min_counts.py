"""Users and items with enough interactions, counted once."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from recbench.cleaning import Applied, Step, StepConfig, register
from recbench.cleaning.base import codes


class CountsConfig(StepConfig):
    """The least numbers of interactions."""

    users: int | None = Field(None, ge=1)
    """Interactions that a user must have; null sets no bound."""

    items: int | None = Field(None, ge=1)
    """Interactions that an item must have; null sets no bound."""

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.users is None and self.items is None:
            raise ValueError("has no effect: set users, items, or both.")
        return self


class MinCountsConfig(CountsConfig):
    """Options of the minimum counts."""


@register("min_counts", config=MinCountsConfig)
class MinCounts(Step):
    """Only users and items with at least so many interactions, counted once before any is left out.

    Afterwards some may have fewer again, since their counterparts are gone; ``k_core`` repeats it until none has.
    """

    config: MinCountsConfig

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows of users and items with enough interactions."""
        return Applied(table[enough(codes(table["user"]), codes(table["item"]), self.config)])


def enough(users: np.ndarray, items: np.ndarray, least: CountsConfig) -> np.ndarray:
    """Return which of N interactions belong to a user and to an item that have enough of them.

    Shapes:
        users, items: (N,) codes from 0.
        returns: (N,) bool.
    """
    kept = np.ones(len(users), dtype=bool)
    for of, bound in ((users, least.users), (items, least.items)):
        if bound is not None:
            kept &= (np.bincount(of) >= bound)[of]
    return kept
