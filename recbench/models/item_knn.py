"""Scores an item by its similarity to the items of the user's history.

Source: Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001, sections 3.1.1 and
3.2.1; for ranking from binary data as in Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, TOIS
2004, section 4. Weights and shrinkage: see ``recbench.nn.neighbours``.

Differs: ratings are ignored, and the sum is not divided by the similarities, which would serve to predict
ratings. Of the second source, which keeps the k nearest of each item of the history: here each *scored* item
keeps its k nearest, as in the first source.

Shapes:
    B users, I items, C candidates, K neighbours.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import Interactions, UserBatch
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
from recbench.progress import bar

_BLOCK_ENTRIES = 2**22  # of the dense part of the similarity matrix that is in memory at a time


class ItemKNNConfig(Config):
    """Options of ``item_knn``; the defaults did well on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(200, ge=1)
    """Nearest neighbours that each scored item keeps; more than there are items keeps all."""

    shrink: float = Field(0.0, ge=0)
    """Added to the denominator of the cosine, so that similarities resting on few users count less."""

    weighting: Weighting = "tfidf"
    """Weights of the users in an item's profile: none, tfidf (users with few items count more), bm25 (also long
    profiles count less; only felt with shrink, since cosine divides by the length)."""

    k1: float = Field(BM25_K1, ge=0)
    """BM25's saturation; with bm25 and shrink only."""

    b: float = Field(BM25_B, ge=0, le=1)
    """BM25's normalisation by length; with bm25 and shrink only."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        refuse_unused_bm25(self.weighting, self.shrink, self.k1, self.b)
        return self


@register("item_knn", config=ItemKNNConfig)
class ItemKNN(Model):
    """Sum of the similarities between the scored item and those of the history that are among its neighbours.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere. An item of the history adds nothing to its own score.
    """

    folds_in: ClassVar[bool] = True
    config: ItemKNNConfig
    neighbours: Tensor
    weights: Tensor

    def __init__(self, config: ItemKNNConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        k = min(config.neighbours, self.n_items)
        self.register_buffer("neighbours", torch.zeros(self.n_items, k, dtype=torch.int64))
        self.register_buffer("weights", torch.zeros(self.n_items, k))

    def fit(self, train: Interactions) -> None:
        """Find the neighbours of every item, some items at a time so that memory is bounded."""
        options, lengths = self.config, train.popularity
        mean_length = len(train) / self.n_items
        terms = term_weights(options.weighting, train.histories.counts, self.n_items)
        profiles = profile_weights(options.weighting, lengths, mean_length, options.k1, options.b)
        values = (profiles[train.items] * terms[train.users]).numpy()
        squares = torch.bincount(train.items, torch.from_numpy(values**2), minlength=self.n_items)
        matrix = sp.csr_array((values, (train.items.numpy(), train.users.numpy())), shape=(self.n_items, self.n_users))
        transposed = matrix.T.tocsr()
        places = precedence(lengths)
        block = max(1, _BLOCK_ENTRIES // self.n_items)
        for start in bar(range(0, self.n_items, block), "fit"):
            rows = torch.arange(start, min(start + block, self.n_items))
            dots = torch.from_numpy(np.asarray((matrix[rows.numpy()] @ transposed).todense()))
            similarities = cosine(dots, squares[rows, None], squares, options.shrink)
            similarities[rows - start, rows] = 0.0
            nearby, weights = nearest(similarities, places, self.neighbours.shape[1])
            # Slices are copied to wherever the model lives.
            self.neighbours[start : start + len(rows)] = nearby
            self.weights[start : start + len(rows)] = weights

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        taken = batch.history.mask(self.n_items).T.float().contiguous()
        scores = F.embedding_bag(self.neighbours, taken, per_sample_weights=self.weights, mode="sum").T
        return scores.contiguous() if items is None else scores.gather(1, items)
