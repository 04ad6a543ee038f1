"""Tables of vectors, one a row, whose gradients are added up row by row.

Shapes:
    B users, C items of each (or of all), M rows looked up, N rows in a table, D dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbench.data.grouping import order_by, starts_of
from recbench.nn.products import dot_products

BLOCK = 2**18
"""Numbers of items' rows that are multiplied at a time: they are read while they are in the cache."""


class Table(nn.Embedding):
    """An embedding (N, D) with torch's own bits, whose dense gradient takes less time on a CPU, once differentiable."""

    @property
    def adds_up(self) -> bool:
        """Whether gradients are wanted, are dense, and are added up here."""
        plain = self.padding_idx is None and self.max_norm is None and not (self.scale_grad_by_freq or self.sparse)
        return plain and torch.is_grad_enabled() and self.weight.device.type == "cpu"

    def forward(self, rows: Tensor) -> Tensor:
        """Return (..., D): the vectors of ``rows`` (...)."""
        return _LookUp.apply(self.weight, rows) if self.adds_up else super().forward(rows)

    def squares(self, rows: Tensor) -> Tensor:
        """Return the sum of squares of the vectors of ``rows`` (...), once an occurrence: a scalar."""
        if not self.adds_up or rows.numel() < len(self.weight):
            return self(rows).square().sum()
        times = torch.bincount(rows.flatten(), minlength=len(self.weight)).to(self.weight.dtype)
        return times @ self.weight.square().sum(1)


def products_of_rows(of_users: Table, of_items: Table, users: Tensor, items: Tensor) -> Tensor:
    """Return (B, C): rows ``users`` (B,) times rows ``items``, (B, C) of each user's own or (C,) the same for all.

    Where both tables add gradients up, there is no tensor (B, C, D), neither of rows nor of their gradients.

    Raises:
        IndexError: A row is in none of the tables.
        ValueError: The tables have vectors of different widths, or there are other users than rows of items.
    """
    if of_users.embedding_dim != of_items.embedding_dim:
        raise ValueError(
            f"vectors of {of_users.embedding_dim} and of {of_items.embedding_dim} numbers have no product."
        )
    if items.dim() == 2 and len(items) != len(users):
        raise ValueError(f"{len(users)} users, and items for {len(items)} of them.")
    if items.dim() == 2 and of_users.adds_up and of_items.adds_up:
        return _Products.apply(of_users.weight, of_items.weight, users, items)
    return dot_products(of_users(users), of_items(items))


class _LookUp(torch.autograd.Function):
    """Rows of a table."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.n_rows = len(table)
        return F.embedding(rows, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        whole = gradient.new_zeros(ctx.n_rows, gradient.shape[-1])
        return whole.index_add_(0, rows.flatten(), gradient.reshape(-1, gradient.shape[-1])), None


class _Products(torch.autograd.Function):
    """Dot products (B, C) of rows of two tables.

    The gradient of a row is the sum of those of the other table that it met, each times the gradient of their product.
    """

    @staticmethod
    def forward(ctx: Any, of_users: Tensor, of_items: Tensor, users: Tensor, items: Tensor) -> Tensor:
        ctx.save_for_backward(of_users, of_items, users, items)
        products = of_users.new_empty(items.shape)
        size = max(1, BLOCK // max(1, items.shape[1] * of_items.shape[1]))
        for some, their, of_some in zip(users.split(size), items.split(size), products.split(size), strict=True):
            rows = F.embedding(their, of_items).mul_(F.embedding(some, of_users)[:, None, :])
            torch.sum(rows, -1, out=of_some)
        return products

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        of_users, of_items, users, items = ctx.saved_tensors
        n_candidates = items.shape[1]
        by_user = by_item = None
        if ctx.needs_input_grad[0]:
            order, starts = order_by(users, len(of_users)), starts_of(users, len(of_users))
            met, weights = items.index_select(0, order).flatten(), gradient.index_select(0, order).flatten()
            by_user = _weighted_sums(of_items, met, weights, starts * n_candidates)
        if ctx.needs_input_grad[1]:
            asked = items.flatten()
            order, starts = order_by(asked, len(of_items)), starts_of(asked, len(of_items))
            met = users.index_select(0, order.div(n_candidates, rounding_mode="floor"))
            by_item = _weighted_sums(of_users, met, gradient.flatten().index_select(0, order), starts)
        return by_user, by_item, None, None


def _weighted_sums(table: Tensor, rows: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
    """Return (N, D): for each of N ranges, of which ``starts`` (N + 1,) tells, the sum of its rows times weights."""
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)
