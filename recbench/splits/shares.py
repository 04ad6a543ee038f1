"""How many interactions of each group go to a part, and which."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.errors import ConfigError
from recbench.randomness import generator

_ROUNDING = 1e-9


def portion(share: float, sizes: Tensor) -> Tensor:
    """Return ``floor(share * size + 0.5)`` for each size, (G,) int64."""
    return (share * sizes.double() + 0.5).floor().long()


def at_most(share: float, sizes: Tensor) -> Tensor:
    """Return ``floor(share * size)`` for each size, (G,) int64."""
    # A share such as 1 - 0.8 is a little less than the 0.2 it stands for.
    return (share * sizes.double() + _ROUNDING).floor().long()


def shuffled_place(groups: Tensor, seed: int, *purpose: str | int) -> Tensor:
    """Return the place of each entry in a random order of its group, from 0.

    Shapes:
        groups: (N,) int64, ascending.
        returns: (N,) int64.
    """
    shuffle = torch.randperm(len(groups), generator=generator(seed, "split", *purpose))
    order = shuffle[groups[shuffle].argsort(stable=True)]
    sizes = torch.bincount(groups)
    first = (sizes.cumsum(0) - sizes)[groups]
    place = torch.empty_like(groups)
    place[order] = torch.arange(len(groups)) - first
    return place


def refuse_empty(parts: Tensor, part: int, option: str, value: float) -> None:
    """Refuse a value above 0 that gives its part no interaction at all.

    Args:
        parts: (N,) int8.
        part: That which the option is for.
        option: Its name, such as ``test``; 0 does without the part.
        value: What it is set to.

    Raises:
        ConfigError: The part is empty.
    """
    if value > 0 and not bool((parts == part).any()):
        raise ConfigError(
            f"split.{option} = {value}: not one of the {len(parts):,} interactions falls to that part. "
            f"Set a larger value, or split.{option}=0 to do without the part."
        )
