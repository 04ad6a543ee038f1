"""Scores without any knowledge: the floor that every model must leave below it.

Source: none; the mixing function is splitmix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014, figure 16).

Shapes:
    B users, I items, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.options import Config
from recbench.randomness import derive

# The odd constants of the source, as the signed numbers that int64 arithmetic wants.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64
_BITS = 24  # what a float32 in [0, 1) can hold evenly


class RandomConfig(Config):
    """Options of ``random``: there are none; the run's seed is all."""


@register("random", config=RandomConfig)
class Random(Model):
    """Uniform scores in [0, 1), a function of (seed, user, item) alone.

    So they are the same in any block and for any candidates. All unknown users (index -1) get the same scores;
    the history does not matter.
    """

    stochastic: ClassVar[bool] = True
    folds_in: ClassVar[bool] = True
    in_ranges: ClassVar[bool] = True
    expected_failures: ClassVar[Mapping[str, str]] = {
        "learns_checkerboard": "it learns nothing",
        "beats_popularity": "it learns nothing",
    }
    key: Tensor

    def __init__(self, config: RandomConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.register_buffer("key", torch.tensor(derive(seed, "random")))

    def fit(self, train: Interactions) -> None:
        """Learn nothing."""

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        return self.score_range(batch, 0, self.n_items) if items is None else self._drawn(batch, items)

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return (B, last - first) scores; see ``Model.score_range``."""
        return self._drawn(batch, torch.arange(first, last, device=self.device)[None])

    def _drawn(self, batch: UserBatch, items: Tensor) -> Tensor:
        """Return the scores (B, C) of ``items`` (B, C), or (1, C) the same for all."""
        rows = _mixed(self.key + (batch.users + 1) * _GOLDEN)
        mixed = _mixed(rows[:, None] + (items + 1) * _GOLDEN)
        return _shifted(mixed, 64 - _BITS).float().div(2**_BITS)


def _mixed(numbers: Tensor) -> Tensor:
    """Return int64 numbers whose every bit depends on every bit of the given ones."""
    numbers = (numbers ^ _shifted(numbers, 30)) * _FIRST
    numbers = (numbers ^ _shifted(numbers, 27)) * _SECOND
    return torch.bitwise_xor(numbers, _shifted(numbers, 31))


def _shifted(numbers: Tensor, by: int) -> Tensor:
    """Return the numbers shifted right as if they had no sign."""
    return (numbers >> by) & (2 ** (64 - by) - 1)
