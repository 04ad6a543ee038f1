"""Scores an item by the random walks of three steps that lead to it from the user, over a power of its popularity.

Source: Paudel et al., Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications, TiiS
2017 (RP3 beta); with the power alpha of the chances as in Cooper et al., Random Walks in Recommender Systems: Exact
Computation and Simulations, WWW 2014 companion.

Differs: as ``p3alpha`` does. The weights are divided before they are pruned, as in the code behind Ferrari Dacrema
et al., TOIS 2021, and not once the walk is done.
"""

from __future__ import annotations

from pydantic import Field

from recbench.data import Interactions
from recbench.models import register
from recbench.models.p3alpha import P3Alpha, P3AlphaConfig
from recbench.nn.matrices import binary_matrix
from recbench.nn.walks import walk_neighbours


class RP3BetaConfig(P3AlphaConfig):
    """Options of ``rp3beta``; the defaults did best on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(100, ge=1)
    """Items that each item keeps, first those that walks from it reach, then those from which it is reached; more
    than there are items keeps all."""

    beta: float = Field(0.4, ge=0, le=2)
    """Power of the scored item's popularity that divides the weights: 0 is ``p3alpha``, higher brings rare items."""


@register("rp3beta", config=RP3BetaConfig)
class RP3Beta(P3Alpha):
    """As ``P3Alpha``, with each weight of a walk divided by a power of the popularity of the item where it ends."""

    config: RP3BetaConfig

    def fit(self, train: Interactions) -> None:
        """Compute the walks from every item, some items at a time so that memory is bounded."""
        options, taken = self.config, binary_matrix(train)
        walks = walk_neighbours(taken, self.near.k, alpha=options.alpha, beta=options.beta, normalize=options.normalize)
        self.near.keep(*walks)
