"""Scores each item by how many training interactions it has, for everyone alike.

Source: the usual baseline; e.g. Cremonesi, Koren and Turrin, Performance of Recommender Algorithms on Top-N
Recommendation Tasks, RecSys 2010, section 3.1 (TopPop).

Shapes:
    B users, I items, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.options import Config


class PopularityConfig(Config):
    """Options of ``popularity``: there are none."""


@register("popularity", config=PopularityConfig)
class Popularity(Model):
    """Number of training interactions of each item.

    Equally popular items have equal scores; ranking orders ties. User and history do not matter.
    """

    folds_in: ClassVar[bool] = True
    in_ranges: ClassVar[bool] = True
    expected_failures: ClassVar[Mapping[str, str]] = {
        "learns_checkerboard": "it gives the same list to everyone",
        "beats_popularity": "it is what is to be beaten",
    }
    counts: Tensor

    def __init__(self, config: PopularityConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.register_buffer("counts", torch.zeros(self.n_items))

    def fit(self, train: Interactions) -> None:
        """Count."""
        self.counts.copy_(train.popularity)

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        return self.score_range(batch, 0, self.n_items) if items is None else self.counts[items]

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return (B, last - first) scores; see ``Model.score_range``."""
        return self.counts[first:last].repeat(len(batch), 1)
