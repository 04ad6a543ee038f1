"""Dot products of users' and items' vectors, and scores of many items panel by panel.

Shapes:
    B users, C items of each (or of all), D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

PANEL = 2048
"""Items that one product scores.

The last bits of a product can depend on how many columns it has. So the scores of many items are always computed in
panels of this width, of which only the last in the catalogue may be narrower: then they do not depend on how many
panels are asked for at a time.
"""


def dot_products(users: Tensor, items: Tensor) -> Tensor:
    """Return (B, C): ``users`` (B, D) times ``items``, (B, C, D) of each user's own or (C, D) the same for all."""
    if items.dim() == 2:
        return users @ items.T
    return _OwnProducts.apply(users, items)


class _OwnProducts(torch.autograd.Function):
    """Dot products (B, C) of ``users`` (B, D) and each user's own ``items`` (B, C, D).

    The gradients are autograd's, to rounding, in half the time: those of the users are added up candidate by candidate,
    without a tensor (B, C, D) of what is added.
    """

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(users, items)
        return (items * users[:, None, :]).sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        users, items = ctx.saved_tensors
        of_users = of_items = None
        if ctx.needs_input_grad[0]:
            of_users = torch.zeros_like(users)
            for candidate, each in zip(items.unbind(1), gradient.unbind(1), strict=True):
                of_users = of_users.addcmul_(candidate, each[:, None])
        if ctx.needs_input_grad[1]:
            of_items = gradient[:, :, None] * users[:, None, :]
        return of_users, of_items


def panel_products(users: Tensor, items: Tensor) -> Tensor:
    """Return (B, C): ``users`` (B, D) times ``items`` (C, D), panel by panel; without gradients."""
    if len(items) <= PANEL:
        return users @ items.T
    scores = users.new_empty(len(users), len(items))
    # A product written to its columns at once would take another path, with other last bits, in narrower scores.
    room = users.new_empty(len(users) * PANEL)
    for panel, columns in zip(items.split(PANEL), scores.split(PANEL, 1), strict=True):
        product = room[: columns.numel()].view_as(columns)
        columns.copy_(torch.mm(users, panel.T, out=product))
    return scores


def by_panels(scored: Callable[[Tensor], Tensor], items: Tensor) -> Tensor:
    """Return (B, C): what ``scored`` gives for the rows of ``items`` (C, ...), in (B, panel), panel by panel."""
    first, *others = items.split(PANEL)
    part = scored(first)
    if not others:
        return part
    scores = part.new_empty(len(part), len(items))
    start = 0
    for panel in (first, *others):
        scores[:, start : start + len(panel)] = part if start == 0 else scored(panel)
        start += len(panel)
    return scores
