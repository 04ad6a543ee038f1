"""What every splitting protocol is: options and a part for each interaction."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from recbench.data import Interactions, Split
from recbench.options import Config


class Splitter(ABC):
    """A protocol; it depends on the data and its options, never on a model or the run's seed."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether there can be a validation part with these options."""
        return True

    @classmethod
    def folds_in(cls, config: Config) -> bool:
        """Return whether the users asked are kept out of training, so that a model must go by their history alone."""
        return False

    @abstractmethod
    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8 of ``TRAIN, VALID, TEST, FOLD_IN, UNUSED``."""

    def cut(self, interactions: Interactions, parts: Tensor) -> Split:
        """Return the split of ``interactions`` by ``parts`` (N,) int8, which ``assign`` gave for them.

        Raises:
            EmptyDatasetError: Nothing is left to train on.
        """
        return Split.from_parts(interactions, parts)

    def apply(self, interactions: Interactions) -> Split:
        """Return the split of ``interactions``.

        Raises:
            ConfigError: The options do not fit the data.
            EmptyDatasetError: Nothing is left to train on.
        """
        return self.cut(interactions, self.assign(interactions))
