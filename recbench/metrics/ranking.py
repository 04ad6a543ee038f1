"""Metrics of relevance: how many of a user's relevant items are in the list, and how far up.

Shapes:
    U users; k items a list; R = ``n_relevant`` (U,), at least 1; rel(r) is 1 where the item at rank r is
    relevant (a hit), else 0; ranks begin at 1.

Behind the end of a list that is shorter than k there are no hits, and k stays k. A list without hits gives 0.
What other conventions of a metric exist under the same name elsewhere is a metric of its own here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.data import Ranking
from recbench.errors import ConfigError
from recbench.metrics.base import register


@register("recall")
def recall(ranking: Ranking, k: int) -> Tensor:
    """Return the share of the relevant items that are in the list, (U,): sum rel(r) / R.

    At most k / R, thus below 1 for a perfect list where a user has more than k relevant items.

    Source: Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 2008, section 8.3.
    """
    return _hits(ranking, k).sum(1) / ranking.n_relevant


@register("recall_capped")
def recall_capped(ranking: Ranking, k: int) -> Tensor:
    """Return the share of the hits that a list of k can have, (U,): sum rel(r) / min(k, R).

    Source: Liang, Krishnan, Hoffman and Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018,
    section 4.2 (there called Recall@R).
    """
    return _hits(ranking, k).sum(1) / ranking.n_relevant.clamp(max=k)


@register("precision")
def precision(ranking: Ranking, k: int) -> Tensor:
    """Return the share of the k places that hold a relevant item, (U,): sum rel(r) / k.

    The divisor is k for a list shorter than k too.

    Source: Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return _hits(ranking, k).mean(1)


@register("hr")
def hr(ranking: Ranking, k: int) -> Tensor:
    """Return 1 where the list holds a relevant item, else 0, (U,): the hit rate, not the number of hits.

    Source: Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, TOIS 22(1), 2004.
    Differs: they hide one item a user; with several relevant items one hit is enough.
    """
    return _hits(ranking, k).amax(1)


@register("mrr")
def mrr(ranking: Ranking, k: int) -> Tensor:
    """Return 1 / rank of the first hit among the first k, (U,).

    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999 (reciprocal answer rank, cut at 5 there).
    """
    return (_hits(ranking, k) / _ranks(k)).amax(1)


@register("map")
def map_(ranking: Ranking, k: int) -> Tensor:
    """Return the average precision cut at k over all relevant items, (U,): sum rel(r) P(r) / R.

    P(r) is the precision of the first r places. At most k / R. Equals ``map_cut`` of trec_eval.

    Source: Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return _summed_precision(ranking, k) / ranking.n_relevant


@register("map_capped")
def map_capped(ranking: Ranking, k: int) -> Tensor:
    """Return the average precision over what a list of k can hold, (U,): sum rel(r) P(r) / min(k, R).

    1 for a perfect list, whatever R is.

    Source: as ``map``; the divisor is that of many recommender libraries.
    """
    return _summed_precision(ranking, k) / ranking.n_relevant.clamp(max=k)


@register("map_k")
def map_k(ranking: Ranking, k: int) -> Tensor:
    """Return the average precision over the k places, (U,): sum rel(r) P(r) / k.

    At most R / k, thus below 1 for a perfect list where a user has fewer than k relevant items.

    Source: as ``map``; the divisor is that of some published tables.
    """
    return _summed_precision(ranking, k) / k


@register("ndcg")
def ndcg(ranking: Ranking, k: int) -> Tensor:
    """Return the discounted gain over that of a perfect list of k, (U,): DCG / IDCG(min(k, R)).

    DCG = sum rel(r) / log2(r + 1); IDCG(n) is the DCG of n hits in a row.

    Source: Jarvelin and Kekalainen, Cumulated Gain-Based Evaluation of IR Techniques, TOIS 20(4), 2002, with the
    discount of Burges et al., Learning to Rank Using Gradient Descent, ICML 2005.
    """
    return _ndcg(ranking, k, ranking.n_relevant.clamp(max=k))


@register("ndcg_uncut")
def ndcg_uncut(ranking: Ranking, k: int) -> Tensor:
    """Return the discounted gain over that of all relevant items in a row, (U,): DCG / IDCG(R).

    Below 1 for a perfect list where a user has more than k relevant items.

    Source: as ``ndcg``; only the list is cut, not the ideal.
    """
    return _ndcg(ranking, k, ranking.n_relevant)


@register("ndcg_ideal_k")
def ndcg_ideal_k(ranking: Ranking, k: int) -> Tensor:
    """Return the discounted gain over that of k hits, (U,): DCG / IDCG(k).

    Below 1 for a perfect list where a user has fewer than k relevant items.

    Source: as ``ndcg``; the ideal is the same for all users.
    """
    return _ndcg(ranking, k, torch.full_like(ranking.n_relevant, k))


@register("ndcg_retrieved")
def ndcg_retrieved(ranking: Ranking, k: int) -> Tensor:
    """Return the discounted gain over that of the list's own hits moved to the top, (U,): DCG / IDCG(hits).

    It rewards no further hit: one hit at rank 1 gives 1. For comparison with published tables only.

    Source: Wang, He, Wang, Feng and Chua, Neural Graph Collaborative Filtering, SIGIR 2019 (the numbers in print).
    """
    return _ndcg(ranking, k, _hits(ranking, k).sum(1).long())


@register("auc", cut=False)
def auc(ranking: Ranking, k: None = None) -> Tensor:
    """Return the share of (relevant, irrelevant) pairs of items in the right order, (U,); equal scores count 1/2.

    Over all items that are ranked, not over the list. NaN for a user with nothing irrelevant to rank.

    Raises:
        ConfigError: The ranking was made without it.

    Source: Rendle, Freudenthaler, Gantner and Schmidt-Thieme, BPR: Bayesian Personalized Ranking from Implicit
    Feedback, UAI 2009. Differs: there equal scores count 0, here as in Hanley and McNeil, The Meaning
    and Use of the Area under a ROC Curve, Radiology 143, 1982.
    """
    if ranking.auc is None:
        raise ConfigError(
            "metric 'auc': needs the scores of all items, and this ranking kept only the lists; "
            "write rank(..., with_auc=True)."
        )
    return ranking.auc


def _hits(ranking: Ranking, k: int) -> Tensor:
    """Return rel (U, k) float64."""
    assert 1 <= k <= ranking.k, f"k = {k}: the lists of this ranking are {ranking.k} long."
    return ranking.hits[:, :k].double()


def _ranks(n: int) -> Tensor:
    """Return 1 .. n, (n,) float64."""
    return torch.arange(1, n + 1, dtype=torch.float64)


def _summed_precision(ranking: Ranking, k: int) -> Tensor:
    """Return the precision at each hit, summed, (U,)."""
    hits = _hits(ranking, k)
    return (hits * hits.cumsum(1) / _ranks(k)).sum(1)


def _ndcg(ranking: Ranking, k: int, n_ideal: Tensor) -> Tensor:
    """Return DCG / IDCG(``n_ideal`` (U,)), 0 where the ideal has no hit."""
    discounts = 1 / torch.log2(_ranks(max(k, int(n_ideal.max()))) + 1)
    # Both sums run in the same order, so that a perfect list gives exactly 1.
    dcg = (_hits(ranking, k) * discounts[:k]).cumsum(1)[:, -1]
    idcg = discounts.cumsum(0)[n_ideal.clamp(min=1) - 1]
    return dcg / idcg
