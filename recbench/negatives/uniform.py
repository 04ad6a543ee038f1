"""Negatives drawn uniformly, anew in each epoch."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import Interactions
from recbench.errors import ConfigError
from recbench.negatives import Negatives, Sampler, SeenItems, register
from recbench.options import Config


class UniformConfig(Config):
    """Options of ``uniform``."""

    n_negatives: int = Field(4, ge=1)
    """Negatives drawn for each positive."""

    reject_seen: bool = True
    """Whether an item that the user has in training can never be a negative."""


@register("uniform", config=UniformConfig)
class Uniform(Sampler):
    """Draws each negative uniformly from the items that the user has not seen (or from all items).

    The r-th unseen item of a user is found by one binary search over ``seen[j] - j``, which never falls: no
    drawing twice, and the same cost for every user.
    """

    def __init__(self, config: UniformConfig, train: Interactions) -> None:
        self.config = config
        self.n_items = train.n_items
        counts = train.histories.counts
        if config.reject_seen and int(counts.max()) >= train.n_items:
            user = train.user_vocabulary.ids[int(counts.argmax())]
            raise ConfigError(
                f"user {user!r} has taken all {train.n_items:,} items, so there is no negative for them; "
                "set negatives.reject_seen=false."
            )
        self.n_unseen = train.n_items - counts
        self.first = train.histories.offsets[:-1]
        seen = SeenItems(train).keys
        users = seen // train.n_items
        place_within_user = torch.arange(len(seen)) - self.first[users]
        self.keys = users * (train.n_items + 1) + seen % train.n_items - place_within_user

    def to(self, device: torch.device) -> Uniform:
        """Move the tables to ``device`` and return the sampler."""
        self.n_unseen = self.n_unseen.to(device)
        self.first = self.first.to(device)
        self.keys = self.keys.to(device)
        return self

    def sample(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Negatives:
        """Return (B, n_negatives) items, each with its own draw."""
        shape = (len(users), self.config.n_negatives)
        if not self.config.reject_seen:
            return Negatives(torch.randint(self.n_items, shape, generator=generator, device=users.device))
        uniform = torch.rand(shape, generator=generator, device=users.device, dtype=torch.float64)
        drawn = (uniform * self.n_unseen[users][:, None]).long()
        through = torch.searchsorted(self.keys, users[:, None] * (self.n_items + 1) + drawn, right=True)
        return Negatives(drawn + through - self.first[users][:, None])
