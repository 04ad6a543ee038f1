"""Negatives drawn in proportion to a power of their popularity."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import Interactions
from recbench.negatives import Negatives, Sampler, SeenItems, register
from recbench.options import Config


class PopularityNegativesConfig(Config):
    """Options of ``popularity``."""

    n_negatives: int = Field(4, ge=1)
    """Negatives drawn for each positive."""

    alpha: float = Field(0.75, ge=0, le=2)
    """Power of the item's number of training interactions; 0 is uniform, 1 proportional."""


@register("popularity", config=PopularityNegativesConfig)
class PopularityNegatives(Sampler):
    """Draws negatives by popularity to the power ``alpha``; a draw that the user has seen does not count.

    Source: Mikolov et al., Distributed Representations of Words and Phrases and their Compositionality, NIPS
    2013, section 2.2 (alpha = 0.75).
    """

    pair_by_pair: ClassVar[bool] = True

    def __init__(self, config: PopularityNegativesConfig, train: Interactions) -> None:
        self.config = config
        self.seen = SeenItems(train)
        weights = train.popularity.double() ** config.alpha
        weights = torch.where(train.popularity > 0, weights, torch.zeros_like(weights))
        self.cumulative = torch.cumsum(weights / weights.sum(), 0)
        self.log_q = torch.log(weights / weights.sum() * train.n_items).float()

    def to(self, device: torch.device) -> PopularityNegatives:
        """Move the tables to ``device`` and return the sampler."""
        self.seen.to(device)
        self.cumulative = self.cumulative.to(device)
        self.log_q = self.log_q.to(device)
        return self

    def sample(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Negatives:
        """Return (B, n_negatives) items with what they were drawn with."""
        shape = (len(users), self.config.n_negatives)
        uniform = torch.rand(shape, generator=generator, device=users.device, dtype=torch.float64)
        # The last sum may fall short of 1 by rounding; the draw stays below it.
        items = torch.searchsorted(self.cumulative, uniform * self.cumulative[-1], right=True)
        return Negatives(items, ~self.seen.contains(users[:, None], items), self.log_q[items])
