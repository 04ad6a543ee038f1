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

    binarise: bool = False
    """Whether the ratings are forgotten afterwards, so that all interactions that are kept are alike: plain positives.
    Losses and metrics that compare with ratings are refused then."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None and not self.binarise:
            raise ValueError("has no effect: set min, max, or both, or binarise=true.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min}: should be at most max = {self.max}.")
        if self.binarise and self.after_split:
            raise ValueError(
                "binarise = True: holds for all parts, and after_split for the training part alone; leave one of them "
                "out."
            )
        return self


@register("rating", config=RatingConfig)
class Rating(Step):
    """Only rows whose rating lies between two bounds, both included; with ``binarise`` without their ratings.

    What ranks takes each interaction for a positive, whatever its rating, so that a threshold suffices there. What
    learns ratings would still tell a 4 from a 5: ``{step: rating, min: 4, binarise: true}`` leaves positives alone.
    There are no ratings then, rather than ones: of ones the only thing to learn is that all are 1.

    ``dataset.min_rating=4`` is short for ``{step: rating, min: 4}`` in front of all other steps.
    """

    config: RatingConfig

    @property
    def needs(self) -> tuple[str, ...]:
        """Ratings."""
        return ("rating",)

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows within the bounds, without ratings where asked, and the range of those that there were."""
        ratings = table["rating"]
        kept = pd.Series(True, index=table.index)
        if self.config.min is not None:
            kept &= ratings >= self.config.min
        if self.config.max is not None:
            kept &= ratings <= self.config.max
        details = {"lowest rating": float(ratings.min()), "highest rating": float(ratings.max())}
        table = table[kept]
        return Applied(table.drop(columns="rating") if self.config.binarise else table, details)
