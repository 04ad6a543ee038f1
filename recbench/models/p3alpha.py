"""Scores an item by the random walks of three steps that lead to it from the user.

Source: Cooper et al., Random Walks in Recommender Systems: Exact Computation and Simulations, WWW 2014 companion
(P3 alpha).

Differs: the matrix of the last two steps, from item to item, is pruned and may be normalised, as in the code
behind Ferrari Dacrema et al., TOIS 2021 (see ``recbench.nn.walks``). The first step, from the user, has weight 1 to
each item of the history, which changes the order of no user's scores.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.item_weights import ItemNeighbours
from recbench.nn.matrices import binary_matrix
from recbench.nn.walks import walk_neighbours
from recbench.options import Config


class P3AlphaConfig(Config):
    """Options of ``p3alpha``; the defaults did well on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(200, ge=1)
    """Items that each item keeps, first those that walks from it reach, then those from which it is reached; more
    than there are items keeps all."""

    alpha: float = Field(1.0, ge=0, le=2)
    """Power of the chances of each step: 1 walks at random, above it prefers users and items with few interactions,
    0 counts common users. Above 2 the weights could fall below what float32 holds."""

    normalize: bool = True
    """Whether the weights that lead away from an item are divided by their sum after the first pruning."""


@register("p3alpha", config=P3AlphaConfig)
class P3Alpha(Model):
    """Sum of the weights of the walks from the items of the history to the scored item.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere. Walks that return to where they started do not count.
    """

    folds_in: ClassVar[bool] = True
    config: P3AlphaConfig

    def __init__(self, config: P3AlphaConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.near = ItemNeighbours(self.n_items, config.neighbours)

    def fit(self, train: Interactions) -> None:
        """Compute the walks from every item, some items at a time so that memory is bounded."""
        options, taken = self.config, binary_matrix(train)
        self.near.keep(*walk_neighbours(taken, self.near.k, alpha=options.alpha, normalize=options.normalize))

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        return self.near(batch.history, items)
