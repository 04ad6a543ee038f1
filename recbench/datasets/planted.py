"""Generated data with a known truth: low-rank tastes in clusters, and a slope of popularity.

An item's affinity to a user is the product of their vectors, which scatter around the centres of clusters. A user
takes items without replacement with probabilities proportional to ``popularity * exp(affinity / noise)``,
by the Gumbel top-k trick (Source: Kool, van Hoof, Welling: Stochastic Beams and Where to Find Them. ICML 2019,
section 2.3, https://arxiv.org/abs/1903.06059). Ratings show the affinity alone, times do not depend on it.

Shapes:
    U users, I items, D latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data.feature_config import CategoricalConfig, TextConfig
from recbench.datasets import Card, Dataset, DatasetConfig, Tables, register
from recbench.randomness import generator

_ACTIVITY_RATIO = 4
_BLOCK_SCORES = 2_000_000
_START_SECONDS, _STEP_SECONDS = 1_000_000_000, 60
_SCATTER = 0.5
_RATING_OF_INDIFFERENCE = 2


class PlantedConfig(DatasetConfig):
    """Options of generated data."""

    n_users: int = Field(200, ge=1)
    """Number of users."""

    n_items: int = Field(300, ge=8)
    """Number of items in the catalogue; those that nobody takes do not occur in the data."""

    n_interactions: int | None = Field(None, ge=1)
    """Number of interactions; null is 30 a user, or as many as fit. The most active user has at most four times as
    many as the least active one."""

    dim: int = Field(8, ge=1)
    """Dimensions of the tastes."""

    n_clusters: int = Field(5, ge=1)
    """Number of clusters of users, and of items."""

    popularity_slope: float = Field(0.7, ge=0)
    """An item's popularity is its rank to the power of minus this; 0 makes all alike."""

    noise: float = Field(0.5, gt=0)
    """How little the tastes decide: near 0 users take the best items only, far above 1 the popular ones."""

    seed: int = Field(0, ge=0)
    """Of everything that is drawn."""

    @property
    def total(self) -> int:
        """The number of interactions that is drawn."""
        return self.n_interactions or min(30 * self.n_users, self.n_users * self.n_items // _ACTIVITY_RATIO)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        most = self.n_users * self.n_items // _ACTIVITY_RATIO
        if not self.n_users <= self.total <= most:
            raise ValueError(
                f"n_interactions = {self.n_interactions}: should be from n_users = {self.n_users} "
                f"to n_users * n_items / {_ACTIVITY_RATIO} = {most}."
            )
        return self


@dataclass(frozen=True, eq=False)
class Truth:
    """What the data is drawn from.

    Shapes:
        users: (U, D) float64 tastes; the affinities are ``users @ items.T``, whose mean square is 1.
        items: (I, D) float64.
        user_clusters: (U,) int64.
        item_clusters: (I,) int64.
        log_popularity: (I,) float64.
    """

    users: Tensor
    items: Tensor
    user_clusters: Tensor
    item_clusters: Tensor
    log_popularity: Tensor


@register("planted", config=PlantedConfig)
class Planted(Dataset):
    """Generated data with known tastes, clusters and popularity; needs no network."""

    config: PlantedConfig
    card = Card(
        description="Generated ratings with a known truth: low-rank tastes in clusters, a slope of popularity.",
        homepage="",
        licence="none needed",
        citation="none needed",
        time="seconds",
    )

    def truth(self) -> Truth:
        """Return what the data is drawn from."""
        config = self.config
        draw = generator(config.seed, "planted", "truth")
        centres = torch.randn(config.n_clusters, config.dim, generator=draw, dtype=torch.float64)

        def vectors(n: int) -> tuple[Tensor, Tensor]:
            clusters = torch.randint(config.n_clusters, (n,), generator=draw)
            scatter = torch.randn(n, config.dim, generator=draw, dtype=torch.float64)
            return clusters, centres[clusters] + _SCATTER * scatter

        user_clusters, users = vectors(config.n_users)
        item_clusters, items = vectors(config.n_items)
        # The mean of the squared products over all pairs, from the two D x D matrices of second moments.
        mean_square = ((users.T @ users / config.n_users) * (items.T @ items / config.n_items)).sum()
        items = items / mean_square.sqrt()
        rank = torch.randperm(config.n_items, generator=draw) + 1
        return Truth(users, items, user_clusters, item_clusters, -config.popularity_slope * rank.double().log())

    def read(self) -> Tables:
        """Return the interactions, and as features the clusters."""
        config, truth = self.config, self.truth()
        counts = self._activity()
        users = torch.repeat_interleave(torch.arange(config.n_users), counts)
        items = self._choices(truth, counts)
        affinity = (truth.users[users] * truth.items[items]).sum(1)
        moments = generator(config.seed, "planted", "moments")
        order = torch.rand(len(users), generator=moments, dtype=torch.float64)
        user_ids, item_ids = _ids("u", config.n_users), _ids("i", config.n_items)
        return Tables(
            interactions=pd.DataFrame(
                {
                    "user": user_ids[users.numpy()],
                    "item": item_ids[items.numpy()],
                    "rating": (affinity + _RATING_OF_INDIFFERENCE).round().clamp(1, 5).numpy(),
                    "timestamp": _START_SECONDS + _STEP_SECONDS * order.argsort().argsort().numpy(),
                }
            ),
            users=pd.DataFrame({"user": user_ids, "cluster": truth.user_clusters.numpy()}),
            items=pd.DataFrame(
                {
                    "item": item_ids,
                    "title": "Planted " + pd.Series(item_ids),
                    "cluster": truth.item_clusters.numpy(),
                }
            ),
            user_columns=(CategoricalConfig(name="cluster"),),
            item_columns=(TextConfig(name="title"), CategoricalConfig(name="cluster")),
        )

    def _activity(self) -> Tensor:
        """Return how many items each user takes, (U,) int64: at least 1, together ``total``."""
        config = self.config
        draw = generator(config.seed, "planted", "activity")
        weights = 1 + (_ACTIVITY_RATIO - 1) * torch.rand(config.n_users, generator=draw, dtype=torch.float64)
        shares = weights.cumsum(0) / weights.sum()
        ends = (shares * (config.total - config.n_users)).round().long()
        return 1 + torch.diff(ends, prepend=torch.zeros(1, dtype=torch.int64))

    def _choices(self, truth: Truth, counts: Tensor) -> Tensor:
        """Return the items that each user takes, user by user, (N,) int64, in blocks of bounded memory."""
        config = self.config
        draw = generator(config.seed, "planted", "choices")
        chosen = []
        n_rows = max(1, _BLOCK_SCORES // config.n_items)
        for start in range(0, config.n_users, n_rows):
            block = slice(start, start + n_rows)
            logits = truth.users[block] @ truth.items.T / config.noise + truth.log_popularity
            uniform = torch.rand(logits.shape, generator=draw, dtype=torch.float64)
            gumbel = -(-uniform.clamp(min=1e-300).log()).log()
            width = int(counts[block].max())
            best = (logits + gumbel).topk(width, dim=1).indices
            chosen.append(best[torch.arange(width) < counts[block, None]])
        return torch.cat(chosen)


def _ids(letter: str, n: int) -> np.ndarray:
    """Return n ids of equal width, counted from 1, so that their order is the order of the numbers."""
    width = max(4, int(math.log10(n)) + 1)
    return np.array([f"{letter}{number:0{width}d}" for number in range(1, n + 1)], dtype=object)
