"""Ratings on a common scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch

from recbench.cleaning import Applied, Step, StepConfig, register
from recbench.cleaning.base import codes
from recbench.data import RatingScale


class NormaliseConfig(StepConfig):
    """Options of the normalisation."""

    after_split: Literal[True] = True
    """Always after: before, it would be learnt from the ratings of the test part too."""

    by: Literal["user", "item", "all"] = "user"
    """Whether each user, each item, or all together have a scale of their own."""

    to: Literal["mean", "z_score", "min_max"] = "mean"
    """Mean: the mean becomes 0. Z-score: then the standard deviation (over n) becomes 1. Min-max: the lowest rating
    becomes 0 and the highest 1."""


@register("normalise", config=NormaliseConfig)
class Normalise(Step):
    """All ratings brought to a scale that is learnt from the training part alone.

    ``normalised = (rating - offset) / factor``. A user (or item) without a training rating has the offset and factor
    of all training ratings together; one whose ratings are all the same has the factor 1. Predicted ratings, rmse and
    mae are brought back to the scale of the data.
    """

    config: NormaliseConfig

    @property
    def needs(self) -> tuple[str, ...]:
        """Ratings."""
        return ("rating",)

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the training part as it is with the scale that it teaches."""
        by = self.config.by
        ratings = table["rating"].to_numpy(dtype=np.float64)
        together = np.zeros(len(table), dtype=np.int64)
        offset, factor, _ = self._learnt(ratings, together, 1)
        details: dict[str, int | float] = {}
        if by != "all":
            overall = offset[0], factor[0]
            rows, n_rows = codes(table[by]), len(table[by].cat.categories)
            offset, factor, counts = self._learnt(ratings, rows, n_rows)
            offset[counts == 0], factor[counts == 0] = overall
            details = {f"{by}s without a training rating": int((counts == 0).sum())}
        tensors = (torch.from_numpy(column.astype(np.float32)) for column in (offset, factor))
        return Applied(table, details, RatingScale(by, *tensors))

    def _learnt(self, ratings: np.ndarray, rows: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return offset, factor and number of ratings of each row, (n_rows,) each; of an empty one 0, 1 and 0."""
        counts = np.bincount(rows, minlength=n_rows)
        ones = np.ones(n_rows)
        lowest, highest = np.full(n_rows, np.inf), np.full(n_rows, -np.inf)
        np.minimum.at(lowest, rows, ratings)
        np.maximum.at(highest, rows, ratings)
        spread = highest > lowest
        if self.config.to == "min_max":
            return np.where(counts, lowest, 0), np.where(spread, highest - lowest, ones), counts
        some = np.maximum(counts, 1)
        mean = np.bincount(rows, ratings, n_rows) / some
        if self.config.to == "mean":
            return mean, ones, counts
        deviation = np.sqrt(np.bincount(rows, (ratings - mean[rows]) ** 2, n_rows) / some)
        return mean, np.where(spread, deviation, ones), counts
