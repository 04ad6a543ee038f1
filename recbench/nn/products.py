"""Dot products of users' and items' vectors.

Shapes:
    B users, C items of each (or of all), D dimensions.
"""

from __future__ import annotations

from torch import Tensor


def dot_products(users: Tensor, items: Tensor) -> Tensor:
    """Return (B, C): ``users`` (B, D) times ``items``, (B, C, D) of each user's own or (C, D) the same for all."""
    if items.dim() == 2:
        return users @ items.T
    return (items * users[:, None, :]).sum(-1)
