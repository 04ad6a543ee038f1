"""Each user's last interaction for test, the one before for validation."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.options import Config
from recbench.splits import Splitter, register

logger = logging.getLogger(__name__)


class LeaveOneOutConfig(Config):
    """Options of leave-one-out."""

    valid: bool = True
    """Whether the last but one interaction goes to validation; otherwise it stays in training."""


@register("leave_one_out", config=LeaveOneOutConfig)
class LeaveOneOut(Splitter):
    """Each user's last interaction for test, the one before for validation, the rest for training.

    The order is the canonical one: by time, then item; without timestamps that of the file. Users are cut one by
    one, so one user's training interaction may be later than another's test interaction: the protocol **leaks
    across users in time**.

    A user with one interaction stays in training and is not evaluated; one with two has no validation. Their
    numbers are logged.
    """

    def __init__(self, config: LeaveOneOutConfig) -> None:
        self.config = config

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether a share is set aside for validation."""
        return isinstance(config, LeaveOneOutConfig) and config.valid

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8."""
        sizes = torch.bincount(interactions.users, minlength=interactions.n_users)
        size = sizes[interactions.users]
        from_end = sizes.cumsum(0)[interactions.users] - 1 - torch.arange(len(interactions))
        parts = torch.full((len(interactions),), TRAIN, dtype=torch.int8)
        parts[(from_end == 0) & (size >= 2)] = TEST
        if self.config.valid:
            parts[(from_end == 1) & (size >= 3)] = VALID
        not_tested = int((sizes < 2).sum())
        not_validated = int((sizes < 3).sum()) if self.config.valid else 0
        if not_tested or not_validated:
            logger.info(
                "split leave_one_out: %s users have too few interactions for test, %s for validation.",
                f"{not_tested:,}",
                f"{not_validated:,}",
            )
        return parts
