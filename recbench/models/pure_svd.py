"""Scores items by the history's projection onto the main directions of the user-item matrix.

Source: Cremonesi, Koren and Turrin, Performance of Recommender Algorithms on Top-N Recommendation Tasks, RecSys 2010
(PureSVD).

Differs: ratings are ignored, and the singular value decomposition is computed to the precision of float64, where
the code behind Ferrari Dacrema et al., TOIS 2021, takes a randomised one.

Shapes:
    B users, I items, C candidates, D dimensions.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse.linalg import svds
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.models import Model, register
from recbench.nn.matrices import binary_matrix
from recbench.nn.products import dot_products, panel_products
from recbench.options import Config
from recbench.randomness import generator

_NOTHING = 1e-7  # of the largest singular value: what the decomposition may give in place of 0


class PureSVDConfig(Config):
    """Options of ``pure_svd``; the default did well on validation parts of ML-100K, split 80/20 at random per user."""

    dim: int = Field(10, ge=1)
    """Directions that are kept, those with the largest singular values."""


@register("pure_svd", config=PureSVDConfig)
class PureSVD(Model):
    """Dot product of the history's vector, the sum of its items' right singular vectors, and the scored item's.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere. Directions beyond the rank of the matrix are zero.
    """

    folds_in: ClassVar[bool] = True
    in_ranges: ClassVar[bool] = True
    config: PureSVDConfig
    directions: Tensor

    def __init__(self, config: PureSVDConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        least = min(self.n_users, self.n_items)
        if config.dim >= least:
            raise ConfigError(
                f"pure_svd cannot keep dim = {config.dim} directions of {self.n_users} users and {self.n_items} items: "
                f"with all of them every unseen item would score 0. Write a dim below {least}."
            )
        self.register_buffer("directions", torch.zeros(self.n_items, config.dim))

    def fit(self, train: Interactions) -> None:
        """Find the right singular vectors by Lanczos iterations from a start that is always the same."""
        matrix = binary_matrix(train)
        start = torch.rand(min(matrix.shape), generator=generator(0, "start"), dtype=torch.float64)
        # With the usual 2 dim + 1 vectors the iteration can break down where many singular values are equal.
        n_vectors = 3 * self.config.dim + 5
        usual = n_vectors >= min(matrix.shape)
        _, values, directions = svds(matrix, k=self.config.dim, v0=start.numpy(), ncv=None if usual else n_vectors)
        directions[values <= _NOTHING * values.max()] = 0.0
        self.directions.copy_(torch.from_numpy(directions.T.copy()))

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        if items is None:
            return self.score_range(batch, 0, self.n_items)
        return dot_products(self._vectors(batch), self.directions[items])

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return (B, last - first) scores; see ``Model.score_range``."""
        return panel_products(self._vectors(batch), self.directions[first:last])

    def _vectors(self, batch: UserBatch) -> Tensor:
        """Return the vectors (B, D) of the histories, in which an item counts once."""
        history = batch.history.distinct(self.n_items)
        return F.embedding_bag(history.items, self.directions, history.offsets[:-1], mode="sum")

    def item_vectors(self) -> Tensor:
        """Return the right singular vectors, (I, D)."""
        return self.directions
