"""Interactions drawn at random for test and validation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.options import Config
from recbench.splits import Splitter, register
from recbench.splits.shares import at_most, portion, refuse_empty, shuffled_place


class RandomConfig(Config):
    """Options of the random split."""

    test: float = Field(0.2, ge=0, lt=1)
    """Share of the interactions for test."""

    valid: float = Field(0.1, ge=0, lt=1)
    """Share of the rest for validation."""

    scope: Literal["user", "global"] = "user"
    """Whether the shares hold for each user or for all interactions together."""

    rounding: Literal["nearest", "down"] = "nearest"
    """How a share of a number of interactions becomes whole: to the nearest, half up, or down, as RecBole does."""

    seed: int = Field(0, ge=0)
    """Of the draw; another one gives another split."""


@register("random", config=RandomConfig)
class Random(Splitter):
    """Random shares of each user's interactions, or of all, for test and validation.

    Of n interactions ``floor(test * n + 0.5)`` go to test and ``floor(valid * rest + 0.5)`` to validation, with
    ``rounding=down`` without the half. Which ones go to test does not depend on the share of validation. Times play no
    role, so the protocol **leaks across time**, within a user and across users.
    """

    config: RandomConfig

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether a share is set aside for validation."""
        return isinstance(config, RandomConfig) and config.valid > 0

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8.

        Raises:
            ConfigError: A share is so small that its part is empty.
        """
        config, groups = self.config, interactions.users
        if config.scope == "global":
            groups = torch.zeros_like(groups)
        sizes = torch.bincount(groups)
        whole = at_most if config.rounding == "down" else portion
        n_test = whole(config.test, sizes)
        n_valid = whole(config.valid, sizes - n_test)
        place = shuffled_place(groups, config.seed)
        parts = torch.full_like(groups, TRAIN, dtype=torch.int8)
        parts[place < (n_test + n_valid)[groups]] = VALID
        parts[place < n_test[groups]] = TEST
        refuse_empty(parts, TEST, "test", config.test)
        refuse_empty(parts, VALID, "valid", config.valid)
        return parts
