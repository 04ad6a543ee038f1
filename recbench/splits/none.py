"""Everything for training."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.data import TRAIN, Interactions
from recbench.options import Config
from recbench.splits import Splitter, register


class NoSplitConfig(Config):
    """There is nothing to set."""


@register("none", config=NoSplitConfig)
class NoSplit(Splitter):
    """Everything for training, nothing to evaluate: for a model that is to be used."""

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return False."""
        return False

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8."""
        return torch.full((len(interactions),), TRAIN, dtype=torch.int8)
