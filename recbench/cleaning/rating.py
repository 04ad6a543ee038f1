"""Which ratings count."""

from __future__ import annotations

from typing import Self

import pandas as pd
from pydantic import model_validator

from recbench.cleaning import Applied, Step, StepConfig, register


class RatingConfig(StepConfig):
    """Options of the threshold."""

    min: float | None = None
    """The lowest rating that is kept; null sets no bound."""

    max: float | None = None
    """The highest rating that is kept; null sets no bound."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("has no effect: set min, max, or both.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min}: should be at most max = {self.max}.")
        return self


@register("rating", config=RatingConfig)
class Rating(Step):
    """Only rows whose rating lies between two bounds, both included.

    This is how ratings become positives: whatever is kept counts as one. ``dataset.min_rating=4`` is short for
    ``{step: rating, min: 4}`` in front of all other steps.
    """

    config: RatingConfig

    @property
    def needs(self) -> tuple[str, ...]:
        """Ratings."""
        return ("rating",)

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows within the bounds, and the range of the ratings that there were."""
        ratings = table["rating"]
        kept = pd.Series(True, index=table.index)
        if self.config.min is not None:
            kept &= ratings >= self.config.min
        if self.config.max is not None:
            kept &= ratings <= self.config.max
        details = {"lowest rating": float(ratings.min()), "highest rating": float(ratings.max())}
        return Applied(table[kept], details)
