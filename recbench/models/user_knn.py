"""Scores an item by the similarities of those nearest users who have it.

Source: Herlocker et al., An Algorithmic Framework for Performing Collaborative Filtering, SIGIR 1999, sections 5
to 7; for ranking from binary data as in Sarwar et al., Analysis of Recommendation Algorithms for E-Commerce, EC
2000, section 3. Weights and shrinkage: see ``recbench.nn.neighbours``.

Differs: cosine in place of Pearson's correlation, and no deviations from means, since the data are binary. The
code behind Ferrari Dacrema et al., TOIS 2021, weighs its users' profiles with the items as documents, and asks
those users who have the user among *their* k nearest; here the user's profile is the document, and the user's own
k nearest are asked.

Shapes:
    B users, U training users, I items, C candidates, K neighbours, N training interactions.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import Histories, Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.neighbours import (
    BM25_B,
    BM25_K1,
    Weighting,
    cosine,
    nearest,
    precedence,
    profile_weights,
    refuse_unused_bm25,
    term_weights,
)
from recbench.options import Config


class UserKNNConfig(Config):
    """Options of ``user_knn``; the defaults did best on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(100, ge=1)
    """Nearest training users who are asked; more than there are users asks all."""

    shrink: float = Field(0.0, ge=0)
    """Added to the denominator of the cosine, so that similarities resting on few items count less."""

    weighting: Weighting = "tfidf"
    """Weights of the items in a user's profile: none, tfidf (rare items count more), bm25 (also long profiles
    count less; only felt with shrink, since cosine divides by the length)."""

    k1: float = Field(BM25_K1, ge=0)
    """BM25's saturation; with bm25 and shrink only."""

    b: float = Field(BM25_B, ge=0, le=1)
    """BM25's normalisation by length; with bm25 and shrink only."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        refuse_unused_bm25(self.weighting, self.shrink, self.k1, self.b)
        return self


@register("user_knn", config=UserKNNConfig)
class UserKNN(Model):
    """Sum over the K training users nearest to the history of their similarity, where they have the item.

    The training interactions are the model; nothing is learnt beside them. A user is compared by the history
    given, which at test time includes validation items, and never with themselves; an unknown user is compared
    with all, and an empty history gives 0 everywhere. Scoring takes memory for B x U similarities.
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

    def __init__(self, config: UserKNNConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        by_user = train.histories
        by_item = Histories.from_pairs(train.items, train.users, self.n_items)
        self.mean_length = len(train) / self.n_users
        terms = term_weights(config.weighting, train.popularity, self.n_users)
        profiles = profile_weights(config.weighting, by_user.counts, self.mean_length, config.k1, config.b)
        values = profiles[train.users] * terms[train.items]
        tables = {
            "taken": by_user.items,
            "taken_offsets": by_user.offsets,
            "takers": by_item.items,
            "takers_offsets": by_item.offsets,
            "terms": terms,
            "profiles": profiles,
            "squares": torch.bincount(train.users, values**2, minlength=self.n_users),
            "places": precedence(by_user.counts),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def fit(self, train: Interactions) -> None:
        """Learn nothing: the constructor has the training interactions already."""

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        nearest_users, similarities = self.neighbours_of(batch)
        table = torch.zeros(len(batch), self.n_users, device=self.device)
        table = table.scatter_(1, nearest_users, similarities).T.contiguous()
        scores = F.embedding_bag(self.takers, table, self.takers_offsets, mode="sum", include_last_offset=True).T
        return scores.contiguous() if items is None else scores.gather(1, items)

    def neighbours_of(self, batch: UserBatch) -> tuple[Tensor, Tensor]:
        """Return the nearest training users (B, K) int64 of each user and their similarities (B, K) float32."""
        options = self.config
        counts = batch.history.counts
        profiles = profile_weights(options.weighting, counts, self.mean_length, options.k1, options.b)
        values = batch.history.mask(self.n_items) * self.terms * profiles[:, None]
        # In float64, so that no rounding decides between neighbours that are equally near.
        weighted = (values * self.terms).T.contiguous()
        dots = F.embedding_bag(self.taken, weighted, self.taken_offsets, mode="sum", include_last_offset=True).T
        squares = (values**2).sum(1, keepdim=True)
        similarities = cosine(dots * self.profiles, squares, self.squares, options.shrink)
        known = torch.nonzero(batch.users >= 0).flatten()
        similarities[known, batch.users[known]] = 0.0
        return nearest(similarities, self.places, min(options.neighbours, self.n_users))
