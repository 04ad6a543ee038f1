"""Each user's last k interactions for test, the k before for validation."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.options import Config
from recbench.splits import Splitter, register
from recbench.splits.shares import shuffled_place


class LeaveOutConfig(Config):
    """Options of all protocols that leave a number of interactions of each user out."""

    by: Literal["time", "random"] = "time"
    """Whether a user's latest interactions are left out, or some drawn at random."""

    valid: bool = True
    """Whether as many interactions go to validation; otherwise they stay in training."""

    seed: int = Field(0, ge=0)
    """Of the draw with by=random."""

    @model_validator(mode="after")
    def _seed_has_effect(self) -> Self:
        if self.by == "time" and self.seed != 0:
            raise ValueError(f"seed = {self.seed}: has no effect with by='time'; leave it out, or set by=random.")
        return self


class LeaveKOutConfig(LeaveOutConfig):
    """Options of leave-k-out."""

    k: int = Field(2, ge=1)
    """Number of interactions of each user for test."""


class LeaveOut(Splitter):
    """A number of interactions of each user for test, as many for validation, the rest for training.

    With ``by=time`` the order is the canonical one: by time, then item; without timestamps that of the file. Users
    are cut one by one, so one user's training interaction may be later than another's test interaction: the
    protocol **leaks across users in time**. With ``by=random`` it leaks within a user too.

    Of a user's n interactions k go to test where n > k, and k to validation where n > 2k; other users stay in
    training and are not evaluated, or have no validation. Their numbers are logged. Which interactions go to test
    does not depend on ``valid``.
    """

    config: LeaveOutConfig

    @property
    def k(self) -> int:
        """The number of interactions."""
        return 1

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether something is set aside for validation."""
        return isinstance(config, LeaveOutConfig) and config.valid

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8."""
        config, users, k = self.config, interactions.users, self.k
        sizes = torch.bincount(users, minlength=interactions.n_users)
        if config.by == "random":
            from_end = shuffled_place(users, config.seed)
        else:
            from_end = sizes.cumsum(0)[users] - 1 - torch.arange(len(users))
        parts = torch.full((len(users),), TRAIN, dtype=torch.int8)
        parts[(from_end < k) & (sizes[users] > k)] = TEST
        if config.valid:
            parts[(from_end >= k) & (from_end < 2 * k) & (sizes[users] > 2 * k)] = VALID
        return parts


@register("leave_k_out", config=LeaveKOutConfig)
class LeaveKOut(LeaveOut):
    """Each user's last k interactions for test, the k before for validation, the rest for training."""

    config: LeaveKOutConfig

    @property
    def k(self) -> int:
        """The number of interactions."""
        return self.config.k
