"""Scores an item by the random walks of three steps that lead to it from the user, over a power of its popularity.

Source: Paudel et al., Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications, TiiS
2017 (RP3 beta); with the power alpha of the chances as in Cooper et al., Random Walks in Recommender Systems: Exact
Computation and Simulations, WWW 2014 companion.

Differs: as ``p3alpha`` does. The weights are divided before they are pruned, as in the code behind Ferrari Dacrema
et al., TOIS 2021, and not once the walk is done.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.item_neighbours import ItemNeighbours
from recbench.nn.matrices import binary_matrix
from recbench.nn.walks import walk_neighbours
from recbench.options import Config


class RP3BetaConfig(Config):
    """Options of ``rp3beta``; the defaults did best on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(100, ge=1)
    """Items that each item keeps, first those that walks from it reach, then those from which it is reached; more
    than there are items keeps all."""

    alpha: float = Field(1.0, ge=0, le=2)
    """Power of the chances of each step: 1 walks at random, above it prefers users and items with few interactions,
    0 counts common users. Above 2 the weights could fall below what float32 holds."""

    beta: float = Field(0.4, ge=0, le=2)
    """Power of the scored item's popularity that divides the weights: 0 is ``p3alpha``, higher brings rare items."""

    normalize: bool = True
    """Whether the weights that lead away from an item are divided by their sum after the first pruning."""


@register("rp3beta", config=RP3BetaConfig)
class RP3Beta(Model):
    """Sum of the weights of the walks from the items of the history to the scored item.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere. Walks that return to where they started do not count.
    """

    folds_in: ClassVar[bool] = True
    config: RP3BetaConfig

    def __init__(self, config: RP3BetaConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.near = ItemNeighbours(self.n_items, config.neighbours)

    def fit(self, train: Interactions) -> None:
        """Compute the walks from every item, some items at a time so that memory is bounded."""
        options, taken = self.config, binary_matrix(train)
        walks = walk_neighbours(taken, self.near.k, alpha=options.alpha, beta=options.beta, normalize=options.normalize)
        self.near.keep(*walks)

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        return self.near(batch.history, items)
