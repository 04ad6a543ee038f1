"""Scores an item by its similarity to the items of the user's history.

Source: Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001, sections 3.1.1 and
3.2.1; for ranking from binary data as in Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, TOIS
2004, section 4. Similarities and weights: see ``recbench.nn.profiles``. ``centred`` as in the code behind "ItemCF"
of Zhu et al., BARS: Towards Open Benchmarking for Recommender Systems, SIGIR 2022.

Differs: ratings are ignored, and the sum is not divided by the similarities, which would serve to predict
ratings, unless ``centred``. Of the second source, which keeps the k nearest of each item of the history: here each
*scored* item keeps its k nearest, as in the first source.

Shapes:
    B users, I items, C candidates, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.item_weights import ItemNeighbours
from recbench.nn.matrices import binary_matrix
from recbench.nn.profiles import ProfileConfig, Weights, nearest_profiles


class ItemKNNConfig(ProfileConfig):
    """Options of ``item_knn``; the defaults did well on validation parts of ML-100K, split 80/20 at random per user."""

    neighbours: int = Field(200, ge=1)
    """Nearest neighbours that each scored item keeps; more than there are items keeps all."""

    history: Literal["binary", "weighted"] = "binary"
    """Whether the items of a history count alike, or each by the weight that its profile has."""

    centred: bool = False
    """Whether an item's score is the share of users who have it plus the mean, weighted by similarity, of how its
    neighbours deviate from theirs: 1 - share where they are in the history, -share elsewhere. Otherwise it is the
    sum of the similarities to the items of the history."""

    @property
    def feels_profile_weights(self) -> bool:
        """Whether a factor on all terms of a profile changes anything."""
        return super().feels_profile_weights or self.history == "weighted"

    def _without_effect(self) -> Iterator[str]:
        yield from super()._without_effect()
        if self.history == "weighted" and (
            self.weighting == "none" or (self.weighting == "tfidf" and self.documents == "profiles")
        ):
            yield (
                "history='weighted' has no effect here: all profiles weigh the same without weighting='bm25' or "
                "documents='terms'; set one of them, or leave history alone."
            )


@register("item_knn", config=ItemKNNConfig)
class ItemKNN(Model):
    """Sum of the similarities between the scored item and those of the history that are among its neighbours.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere, or with ``centred`` what is common to all users. An item
    of the history adds nothing to its own score.
    """

    folds_in: ClassVar[bool] = True
    config: ItemKNNConfig
    bias: Tensor

    def __init__(self, config: ItemKNNConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.near = ItemNeighbours(self.n_items, config.neighbours)
        self.register_buffer("bias", torch.zeros(self.n_items))

    def fit(self, train: Interactions) -> None:
        """Find the neighbours of every item, some items at a time so that memory is bounded."""
        options, taken = self.config, binary_matrix(train).T
        neighbours, weights = nearest_profiles(options, taken, self.near.k, self.compiled)
        popularity = torch.from_numpy(taken.sum(1))
        counted = torch.ones(self.n_items)
        if options.history == "weighted":
            counted = Weights(options, *taken.shape, taken.nnz).of_profiles(popularity).float()
        if options.centred:
            sums = weights.sum(1, keepdim=True)
            weights = torch.where(sums > 0, weights / sums, torch.zeros_like(weights))
        weights *= counted[neighbours]
        if options.centred:
            means = popularity.float() / self.n_users
            self.bias.copy_(counted * means - (weights * means[neighbours]).sum(1))
        self.near.keep(neighbours, weights)

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        scores = self.near(batch.history, items, self.compiled)
        scores += self.bias if items is None else self.bias[items]
        return scores
