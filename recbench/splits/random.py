"""Interactions drawn at random for test and validation."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.options import Config
from recbench.randomness import generator
from recbench.splits import Splitter, register

logger = logging.getLogger(__name__)


class RandomConfig(Config):
    """Options of the random split."""

    test: float = Field(0.2, ge=0, lt=1)
    """Share of the interactions for test."""

    valid: float = Field(0.1, ge=0, lt=1)
    """Share of the rest for validation."""

    scope: Literal["user", "global"] = "user"
    """Whether the shares hold for each user or for all interactions together."""

    seed: int = Field(0, ge=0)
    """Of the draw; another one gives another split."""


@register("random", config=RandomConfig)
class Random(Splitter):
    """Random shares of each user's interactions, or of all, for test and validation.

    Of n interactions ``floor(test * n + 0.5)`` go to test and ``floor(valid * rest + 0.5)`` to validation.
    Which ones go to test does not depend on the share of validation.
    """

    def __init__(self, config: RandomConfig) -> None:
        self.config = config

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether a share is set aside for validation."""
        return isinstance(config, RandomConfig) and config.valid > 0

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8."""
        config, groups = self.config, interactions.users
        if config.scope == "global":
            groups = torch.zeros_like(groups)
        sizes = torch.bincount(groups)
        n_test = portion(config.test, sizes)
        n_valid = portion(config.valid, sizes - n_test)
        place = shuffled_place(groups, config.seed)
        parts = torch.full_like(groups, TRAIN, dtype=torch.int8)
        parts[place < (n_test + n_valid)[groups]] = VALID
        parts[place < n_test[groups]] = TEST
        n_untrained = interactions.n_users - len(interactions.users[parts == TRAIN].unique())
        if n_untrained:
            logger.warning("split random: %s users have no training interaction.", f"{n_untrained:,}")
        return parts


def portion(share: float, sizes: Tensor) -> Tensor:
    """Return ``floor(share * size + 0.5)`` for each size, (G,) int64."""
    return (share * sizes.double() + 0.5).floor().long()


def shuffled_place(groups: Tensor, seed: int) -> Tensor:
    """Return the place of each entry in a random order of its group, from 0.

    Shapes:
        groups: (N,) int64, ascending.
        returns: (N,) int64.
    """
    shuffle = torch.randperm(len(groups), generator=generator(seed, "split"))
    order = shuffle[groups[shuffle].argsort(stable=True)]
    sizes = torch.bincount(groups)
    first = (sizes.cumsum(0) - sizes)[groups]
    place = torch.empty_like(groups)
    place[order] = torch.arange(len(groups)) - first
    return place
