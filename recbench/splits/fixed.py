"""The split that comes with the data."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import TRAIN, VALID, Interactions
from recbench.errors import ConfigError
from recbench.options import Config
from recbench.splits import Splitter, register
from recbench.splits.shares import portion, refuse_empty, shuffled_place


class FixedConfig(Config):
    """Options of the published split."""

    valid: float = Field(0.0, ge=0, lt=1)
    """Share of each user's training interactions for validation, where the data has no validation part."""

    seed: int = Field(0, ge=0)
    """Of the draw for validation."""


@register("fixed", config=FixedConfig)
class Fixed(Splitter):
    """The parts that the data set itself gives; validation may be drawn from its training part.

    Whether it leaks across time is up to those who published it.
    """

    config: FixedConfig

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8.

        Raises:
            ConfigError: The data has no split of its own, or has a validation part and is asked for another, or the
                share is so small that the validation part is empty.
        """
        if interactions.parts is None:
            raise ConfigError(
                "split=fixed: the data set has no split of its own. Choose another split, or give the files of one: "
                "dataset=files dataset.train=PATH dataset.test=PATH."
            )
        parts = interactions.parts.clone()
        if self.config.valid == 0:
            return parts
        if bool((parts == VALID).any()):
            raise ConfigError(
                f"split.valid = {self.config.valid}: the data set has a validation part of its own. "
                "Leave split.valid out."
            )
        trained = torch.nonzero(parts == TRAIN).flatten()
        users = interactions.users[trained]
        n_valid = portion(self.config.valid, torch.bincount(users, minlength=interactions.n_users))
        parts[trained[shuffled_place(users, self.config.seed) < n_valid[users]]] = VALID
        refuse_empty(parts, VALID, "valid", self.config.valid)
        return parts
