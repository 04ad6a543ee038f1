"""Negatives drawn uniformly, anew in each epoch."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import Interactions
from recbench.errors import ConfigError
from recbench.negatives import Negatives, Sampler, SeenItems, register
from recbench.options import Config

WORTH_SORTING = 2**15
"""Searches at a time from which it is faster to put them into order first."""


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

    pair_by_pair: ClassVar[bool] = True

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
        self.train = train
        self.n_unseen = train.n_items - counts
        self.first = train.histories.offsets[:-1]

    @cached_property
    def keys(self) -> Tensor:
        """The sorted ``user * (n_items + 1) + seen[j] - j`` (N,), where the other tables are.

        They are made when the first negative is drawn: compiled loops that draw their own need none.
        """
        keys = SeenItems(self.train).keys
        counts = self.train.histories.counts
        users = torch.repeat_interleave(torch.arange(len(counts)), counts)
        # user * n_items + seen[j], and with it user; less the place of j among all, and the user's first place more.
        keys += users
        keys -= torch.arange(len(keys))
        keys += self.train.histories.offsets[users]
        return keys.to(self.first.device)

    def to(self, device: torch.device) -> Uniform:
        """Move the tables to ``device`` and return the sampler."""
        self.n_unseen = self.n_unseen.to(device)
        self.first = self.first.to(device)
        if "keys" in vars(self):
            self.keys = self.keys.to(device)
        return self

    def sample(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Negatives:
        """Return (B, n_negatives) items, each with its own draw."""
        shape = (len(users), self.config.n_negatives)
        if not self.config.reject_seen:
            return Negatives(torch.randint(self.n_items, shape, generator=generator, device=users.device))
        uniform = torch.rand(shape, generator=generator, device=users.device, dtype=torch.float64)
        drawn = (uniform * self.n_unseen.index_select(0, users)[:, None]).long()
        drawn += _n_through(self.keys, users[:, None] * (self.n_items + 1) + drawn)
        drawn -= self.first.index_select(0, users)[:, None]
        return Negatives(drawn)


def _n_through(keys: Tensor, wanted: Tensor) -> Tensor:
    """Return how many of the sorted ``keys`` (N,) are at most each of ``wanted``, in its shape."""
    if wanted.device.type != "cpu" or wanted.numel() < WORTH_SORTING:
        return torch.searchsorted(keys, wanted, right=True)
    # Searches in order find in the cache what the ones before have fetched.
    ordered, order = wanted.flatten().sort()
    found = torch.searchsorted(keys, ordered, right=True)
    return torch.empty_like(found).scatter_(0, order, found).view_as(wanted)
