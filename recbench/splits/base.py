"""What every splitting protocol is: options and a part for each interaction."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from recbench.data import Interactions, Split
from recbench.options import Config


class Splitter(ABC):
    """A protocol; it depends on the data and its options, never on a model or the run's seed."""

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether there can be a validation part with these options."""
        return True

    @abstractmethod
    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8 of ``TRAIN``, ``VALID`` and ``TEST``."""

    def apply(self, interactions: Interactions) -> Split:
        """Return the split of ``interactions``."""
        return Split.from_parts(interactions, self.assign(interactions))
