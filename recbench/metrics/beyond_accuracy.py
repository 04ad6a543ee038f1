"""Metrics of what is recommended, whether it is relevant or not.

Shapes:
    U users, I items in the catalogue, L(u) the at most k items of the list of user u.

Places behind the end of a list that is shorter than k do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.data import Ranking
from recbench.metrics.base import register


@register("coverage", computes="lists")
def coverage(ranking: Ranking, k: int) -> Tensor:
    """Return the share of the catalogue that is in at least one list, ().

    The catalogue is all I items, with candidates too. It grows with U: compare it at equal U only.

    Source: Ge, Delgado-Battenfeld and Jannach, Beyond Accuracy: Evaluating Recommender Systems by Coverage and
    Serendipity, RecSys 2010 (catalog coverage).
    """
    return (_exposure(ranking, k) > 0).double().mean()


@register("gini", computes="lists", better="lower")
def gini(ranking: Ranking, k: int) -> Tensor:
    """Return how unequally the places of all lists fall on the items, (): 0 equal shares, 1 all on one item.

    sum over j of (2 j - I - 1) p(j) / (I - 1), where p(1) <= ... <= p(I) are the items' shares of the places;
    items in no list count, with share 0. A catalogue of one item gives 0; NaN where all lists are empty.

    Source: Castells, Hurley and Vargas, Novelty and Diversity in Recommender Systems, in: Recommender Systems
    Handbook, 2nd edition, 2015. The coefficient divided by I instead, as elsewhere, is (I - 1) / I of this one.
    """
    exposure = _exposure(ranking, k).double().sort().values
    n_items = len(exposure)
    weights = 2 * torch.arange(1, n_items + 1, dtype=torch.float64) - n_items - 1
    return (weights * exposure).sum() / (max(n_items - 1, 1) * exposure.sum())


@register("novelty")
def novelty(ranking: Ranking, k: int) -> Tensor:
    """Return the mean self-information of the listed items in bits, (U,).

    Mean over L(u) of -log2(popularity / number of users), from 0 (all took it) to log2(number of users), with the
    popularity in training. NaN for an empty list.

    Source: Zhou et al., Solving the Apparent Diversity-Accuracy Dilemma of Recommender Systems, PNAS 107(10), 2010;
    Vargas and Castells, Rank and Relevance in Novelty and Diversity Metrics for Recommender Systems, RecSys 2011,
    without discounts by rank and relevance.
    Differs: an item that nobody took in training counts as taken by one user; its self-information is infinite.
    """
    share = ranking.popularity.clamp(min=1).double() / ranking.n_train_users
    return _mean_of_listed(-torch.log2(share), ranking, k)


@register("mean_popularity", better="lower")
def mean_popularity(ranking: Ranking, k: int) -> Tensor:
    """Return the mean number of training interactions of the listed items, (U,); NaN for an empty list.

    Source: Abdollahpouri, Burke and Mobasher, Managing Popularity Bias in Recommender Systems with Personalized
    Re-Ranking, FLAIRS 2019 (average recommendation popularity).
    """
    return _mean_of_listed(ranking.popularity.double(), ranking, k)


def _listed(ranking: Ranking, k: int) -> Tensor:
    """Return the items at the first k places (U, k), -1 behind the end."""
    assert 1 <= k <= ranking.k, f"k = {k}: the lists of this ranking are {ranking.k} long."
    return ranking.items[:, :k]


def _exposure(ranking: Ranking, k: int) -> Tensor:
    """Return in how many lists each item is, (I,) int64."""
    items = _listed(ranking, k)
    return torch.bincount(items[items >= 0], minlength=len(ranking.popularity))


def _mean_of_listed(values: Tensor, ranking: Ranking, k: int) -> Tensor:
    """Return the mean of ``values`` (I,) float64 over each list, (U,)."""
    items = _listed(ranking, k)
    listed = items >= 0
    return torch.where(listed, values[items], 0.0).sum(1) / listed.sum(1)
