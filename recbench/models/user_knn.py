"""Scores an item by the similarities of those nearest users who have it.

Source: Herlocker et al., An Algorithmic Framework for Performing Collaborative Filtering, SIGIR 1999, sections 5
to 7; for ranking from binary data as in Sarwar et al., Analysis of Recommendation Algorithms for E-Commerce, EC
2000, section 3. Similarities and weights: see ``recbench.nn.profiles``. ``prune_axis=column``, with the items as
documents (``documents=terms``), is what the code behind Ferrari Dacrema et al., TOIS 2021, does.

Differs: similarities of binary data in place of Pearson's correlation, and no deviations from means.

Shapes:
    B users, U training users, I items, C candidates, K neighbours, N training interactions.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from recbench.data import Histories, Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.matrices import binary_matrix
from recbench.nn.neighbours import nearest, precedence
from recbench.nn.profiles import ProfileConfig, Weights, nearest_profiles, similarities

_BLOCK_ENTRIES = 2**23  # of a matrix of asking users by training users, or by items, in memory at a time


class UserKNNConfig(ProfileConfig):
    """Options of ``user_knn``; the defaults did best on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(100, ge=1)
    """Nearest training users of a user; more than there are users takes all."""

    prune_axis: Literal["row", "column"] = "row"
    """Whom a user asks, in the matrix of similarities with a row for each user: those nearest to the user (row), or
    those who have the user among their own nearest (column)."""


@register("user_knn", config=UserKNNConfig)
class UserKNN(Model):
    """Sum over the training users who are asked of their similarity to the history, where they have the item.

    A user is compared by the history given, which at test time includes validation items, and never with
    themselves; an unknown user is compared with all, and an empty history gives 0 everywhere. Some users at a time
    are compared, so that memory is bounded. With ``prune_axis=column`` a user is among a training user's nearest
    who, by the history given, is at least as similar as the K-th nearest of the training users.
    """

    folds_in: ClassVar[bool] = True
    config: UserKNNConfig
    taken: Tensor
    taken_offsets: Tensor
    takers: Tensor
    takers_offsets: Tensor
    terms: Tensor
    profiles: Tensor
    squares: Tensor
    places: Tensor
    reach: Tensor

    def __init__(self, config: UserKNNConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.k = min(config.neighbours, self.n_users)
        pairs = binary_matrix(train).tocoo()
        users, items = (torch.from_numpy(axis).long() for axis in pairs.coords)
        by_user = Histories.from_pairs(users, items, self.n_users)
        by_item = Histories.from_pairs(items, users, self.n_items)
        self.weights = Weights(config, self.n_users, self.n_items, len(users))
        terms, profiles = self.weights.of_terms(by_item.counts), self.weights.of_profiles(by_user.counts)
        tables = {
            "taken": by_user.items,
            "taken_offsets": by_user.offsets,
            "takers": by_item.items,
            "takers_offsets": by_item.offsets,
            "terms": terms,
            "profiles": profiles,
            "squares": torch.bincount(users, (profiles[users] * terms[items]) ** 2, minlength=self.n_users),
            "places": precedence(by_user.counts),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        if config.prune_axis == "column":
            self.register_buffer("reach", torch.zeros(self.n_users))

    def fit(self, train: Interactions) -> None:
        """Find how near the last neighbour of each training user is, where that matters.

        Apart from that the constructor has the training interactions already.
        """
        if self.config.prune_axis == "column":
            _, near = nearest_profiles(self.config, binary_matrix(train), self.k, self.compiled)
            self.reach.copy_(near[:, -1])

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        if self.compiled and self.config.prune_axis == "row":
            scores = self._compiled_sums(batch)
            return scores if items is None else scores.gather(1, items)
        size = max(1, _BLOCK_ENTRIES // max(self.n_users, self.n_items))
        parts = torch.arange(len(batch), device=self.device).split(size)
        blocks = (UserBatch(batch.users[part], batch.history.rows(part)) for part in parts)
        scores = torch.cat([self._sums(self.votes(block)) for block in blocks])
        return scores if items is None else scores.gather(1, items)

    def _sums(self, votes: Tensor) -> Tensor:
        """Return the sum (B, I) of the ``votes`` (B, U) of those who have each item."""
        columns = votes.T.contiguous()
        return F.embedding_bag(self.takers, columns, self.takers_offsets, mode="sum", include_last_offset=True).T

    def votes(self, batch: UserBatch) -> Tensor:
        """Return the similarity (B, U) float32 of each training user who is asked, and 0 for those who are not."""
        mask = batch.history.mask(self.n_items)
        values = mask * self.terms * self.weights.of_profiles(mask.sum(1))[:, None]
        # In float64, so that no rounding decides between neighbours that are equally near.
        weighted = (values * self.terms).T.contiguous()
        dots = F.embedding_bag(self.taken, weighted, self.taken_offsets, mode="sum", include_last_offset=True).T
        squares = (values**2).sum(1, keepdim=True)
        near = similarities(self.config, dots * self.profiles, self.squares, squares)
        known = torch.nonzero(batch.users >= 0).flatten()
        near[known, batch.users[known]] = 0.0
        if self.config.prune_axis == "column":
            near = near.float()
            return torch.where(near >= self.reach, near, torch.zeros_like(near))
        users, kept = nearest(near, self.places, self.k)
        return torch.zeros(len(batch), self.n_users, device=self.device).scatter_(1, users, kept)

    def _compiled_sums(self, batch: UserBatch) -> Tensor:
        """Return the scores (B, I) by compiled loops: a user costs by those who have an item of the history."""
        # Imports numba, which takes a second and need not be there.
        from recbench.kernels.neighbours import Asked, Asking
        from recbench.nn.compiled_neighbours import add_rows, nearest

        history = batch.history.distinct(self.n_items)
        weights = self.weights.of_profiles(history.counts)
        squares = torch.zeros(len(batch), dtype=torch.float64)
        squares.index_add_(0, history.row_of_each(), self.terms[history.items] ** 2)
        columns = (history.offsets, history.items, batch.users, weights, weights**2 * squares)
        tables = (self.takers_offsets, self.takers, self.terms**2, self.profiles, self.squares)
        asking = Asking(*(column.numpy() for column in columns))
        asked = Asked(*(table.numpy() for table in tables))
        users, near = nearest(self.config, asking, asked, self.places, self.k, alpha_of_asked=True)
        everybody = torch.arange(0, users.numel() + 1, self.k)
        return add_rows(
            Histories(everybody, users.flatten()),
            near.flatten().float(),
            Histories(self.taken_offsets, self.taken),
            torch.ones(len(self.taken)),
            torch.empty(len(batch), self.n_items),
        )
