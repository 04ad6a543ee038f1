"""What libraries compute under the names of our metrics, on one example small enough for a pencil.

Every rule is a formula of its own here, without a line of the engine. What a library gives was computed with that
version of it, by hand in an environment of its own where it does not go together with our versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log2

K, N_ITEMS = 3, 8
RELEVANT = {"a": (1, 3, 5, 6, 7), "b": (2,), "c": (4,)}
"""User to the places of the relevant items in the ranking of all eight."""

VERSIONS = {
    "pytrec_eval": "pytrec_eval-terrier 0.5.11",
    "ir_measures": "ir_measures 0.4.3",
    "scikit-learn": "scikit-learn 1.9.1",
    "ranx": "ranx 0.3.21",
    "torchmetrics": "torchmetrics 1.9.0",
    "RecTools": "RecTools 0.19.0",
    "RecBole": "RecBole 1.2.1",
    "LensKit": "LensKit 2025.8.1",
    "implicit": "implicit 0.7.3",
    "cornac": "cornac 3.0.1",
    "recpack": "recpack 0.3.6",
    "recommenders": "recommenders 1.2.1",
    "rs_metrics": "rs_metrics 0.6.0",
}


@dataclass(frozen=True)
class Rule:
    """One way to compute a measure.

    Attributes:
        measure: What it is called in speech.
        words: What tells it from the others.
        here: Its name here, or None where we have no such metric.
        of: The value of one user, from the places of the relevant items; None where users have no value of their own.
        elsewhere: Library to its name there.
        overall: The value of all users together, where that is not the mean of their values.
    """

    measure: str
    words: str
    here: str | None
    of: Callable[[tuple[int, ...]], float] | None
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    overall: float | None = None

    @property
    def per_user(self) -> list[float] | None:
        return None if self.of is None else [self.of(places) for places in RELEVANT.values()]

    @property
    def mean(self) -> float:
        return sum(self.per_user) / len(RELEVANT) if self.overall is None else self.overall


def n_hits(places):
    return sum(place <= K for place in places)


def gain(place):
    return 1 / log2(place + 1)


def gains(places):
    return sum(gain(place) for place in places if place <= K)


def ideal(n):
    return sum(gain(place) for place in range(1, n + 1))


def precisions(places, k=K):
    """Return the precision at each hit, summed."""
    return sum((number + 1) / place for number, place in enumerate(sorted(places)) if place <= k)


def lenskit_ndcg(places):
    def gain(place):
        return 1 / max(1, log2(place))

    return sum(gain(place) for place in places if place <= K) / sum(map(gain, range(1, min(K, len(places)) + 1)))


def pairs_won(places, n=N_ITEMS):
    """Return how often a relevant item comes before an irrelevant one, among the first n places."""
    return sum(good < bad for good in places for bad in range(1, n + 1) if bad not in places and good <= n)


def area(places):
    return pairs_won(places) / (len(places) * (N_ITEMS - len(places)))


def area_in_list(places):
    hits = n_hits(places)
    return pairs_won(places, K) / (hits * (K - hits)) if 0 < hits < K else 0.0


def implicit_area(places):
    """Pairs of the list as they are; the relevant items behind it are taken to lie half way through the rest."""
    hits, irrelevant = n_hits(places), N_ITEMS - len(places)
    listed = sum(sum(place < bad for place in places) for bad in range(1, K + 1) if bad not in places)
    return (listed + (hits + len(places)) / 2 * (irrelevant - (K - hits))) / (len(places) * irrelevant)


def pooled_area():
    """Return the share of pairs in the right order of all users' items together; equal places count one half."""
    good = [place for places in RELEVANT.values() for place in places]
    bad = [place for places in RELEVANT.values() for place in range(1, N_ITEMS + 1) if place not in places]
    return sum((one < other) + (one == other) / 2 for one in good for other in bad) / (len(good) * len(bad))


N_RELEVANT = sum(map(len, RELEVANT.values()))

RULES = (
    Rule(
        "recall",
        "hits / R",
        "recall",
        lambda p: n_hits(p) / len(p),
        {
            "pytrec_eval": "recall",
            "ir_measures": "R@k",
            "ranx": "recall",
            "torchmetrics": "RetrievalRecall",
            "RecTools": "Recall",
            "RecBole": "Recall",
            "cornac": "Recall",
            "recpack": "RecallK",
            "recommenders": "recall_at_k",
            "rs_metrics": "recall",
        },
    ),
    Rule(
        "recall",
        "hits / min(k, R)",
        "recall_capped",
        lambda p: n_hits(p) / min(K, len(p)),
        {"LensKit": "Recall", "recpack": "CalibratedRecallK"},
    ),
    Rule(
        "precision",
        "hits / k",
        "precision",
        lambda p: n_hits(p) / K,
        {
            "pytrec_eval": "P",
            "ir_measures": "P@k",
            "ranx": "precision",
            "torchmetrics": "RetrievalPrecision",
            "RecTools": "Precision",
            "RecBole": "Precision",
            "LensKit": "Precision",
            "cornac": "Precision",
            "recpack": "PrecisionK",
            "recommenders": "precision_at_k",
            "rs_metrics": "precision",
        },
    ),
    Rule(
        "precision",
        "all hits / the sum of min(k, R) over users",
        None,
        None,
        {"implicit": "precision"},
        sum(map(n_hits, RELEVANT.values())) / sum(min(K, len(p)) for p in RELEVANT.values()),
    ),
    Rule(
        "hit rate",
        "1 where there is a hit",
        "hr",
        lambda p: float(n_hits(p) > 0),
        {
            "pytrec_eval": "success",
            "ir_measures": "Success@k",
            "ranx": "hit_rate",
            "torchmetrics": "RetrievalHitRate",
            "RecTools": "HitRate",
            "RecBole": "Hit",
            "LensKit": "Hit",
            "cornac": "HitRatio",
            "rs_metrics": "hitrate",
        },
    ),
    Rule("hit rate", "the number of hits", None, n_hits, {"ranx": "hits", "recpack": "HitK"}),
    Rule(
        "reciprocal rank",
        "1 / first hit, 0 behind k",
        "mrr",
        lambda p: 1 / min(p) if min(p) <= K else 0.0,
        {
            "ir_measures": "RR@k",
            "ranx": "mrr",
            "torchmetrics": "RetrievalMRR",
            "RecTools": "MRR",
            "RecBole": "MRR",
            "LensKit": "RecipRank",
            "recpack": "ReciprocalRankK",
            "rs_metrics": "mrr",
        },
    ),
    Rule(
        "reciprocal rank",
        "1 / first hit, of all items",
        "mrr, k as long as the catalogue",
        lambda p: 1 / min(p),
        {"pytrec_eval": "recip_rank", "ir_measures": "RR", "cornac": "MRR"},
    ),
    Rule(
        "average precision",
        "sum / R",
        "map",
        lambda p: precisions(p) / len(p),
        {
            "pytrec_eval": "map_cut",
            "ir_measures": "AP@k",
            "ranx": "map",
            "RecTools": "MAP",
            "recommenders": "map",
            "rs_metrics": "mapr",
        },
    ),
    Rule(
        "average precision",
        "sum / min(k, R)",
        "map_capped",
        lambda p: precisions(p) / min(K, len(p)),
        {"RecBole": "MAP", "implicit": "map", "recommenders": "map_at_k"},
    ),
    Rule("average precision", "sum / k", "map_k", lambda p: precisions(p) / K, {"RecTools": "MAP(divide_by_k=True)"}),
    Rule(
        "average precision",
        "sum / hits",
        None,
        lambda p: precisions(p) / n_hits(p) if n_hits(p) else 0.0,
        {"torchmetrics": "RetrievalMAP"},
    ),
    Rule(
        "average precision",
        "sum / R, of all items",
        "map, k as long as the catalogue",
        lambda p: precisions(p, N_ITEMS) / len(p),
        {
            "pytrec_eval": "map",
            "ir_measures": "AP",
            "scikit-learn": "average_precision_score",
            "cornac": "MAP",
        },
    ),
    Rule(
        "NDCG",
        "ideal: min(k, R) hits",
        "ndcg",
        lambda p: gains(p) / ideal(min(K, len(p))),
        {
            "pytrec_eval": "ndcg_cut",
            "ir_measures": "nDCG@k",
            "scikit-learn": "ndcg_score",
            "ranx": "ndcg",
            "torchmetrics": "RetrievalNormalizedDCG",
            "RecTools": "NDCG(divide_by_achievable=True)",
            "RecBole": "NDCG",
            "implicit": "ndcg",
            "cornac": "NDCG",
            "recpack": "NDCGK",
            "recommenders": "ndcg_at_k",
            "rs_metrics": "ndcg",
        },
    ),
    Rule("NDCG", "ideal: R hits", "ndcg_uncut", lambda p: gains(p) / ideal(len(p))),
    Rule("NDCG", "ideal: k hits", "ndcg_ideal_k", lambda p: gains(p) / ideal(K), {"RecTools": "NDCG"}),
    Rule(
        "NDCG",
        "ideal: the list's own hits",
        "ndcg_retrieved",
        lambda p: gains(p) / ideal(n_hits(p)) if n_hits(p) else 0.0,
    ),
    Rule("NDCG", "discount 1 / max(1, log2 r)", None, lenskit_ndcg, {"LensKit": "NDCG"}),
    Rule(
        "AUC",
        "all items, mean over users",
        "auc",
        area,
        {"scikit-learn": "roc_auc_score", "torchmetrics": "RetrievalAUROC", "cornac": "AUC"},
    ),
    Rule("AUC", "of the list alone", None, area_in_list, {"torchmetrics": "RetrievalAUROC(top_k=3)"}),
    Rule("AUC", "behind k half way through the rest", None, implicit_area, {"implicit": "auc"}),
    Rule(
        "AUC",
        "mean weighted by R",
        None,
        None,
        {"RecBole": "GAUC"},
        sum(len(p) * area(p) for p in RELEVANT.values()) / N_RELEVANT,
    ),
    Rule("AUC", "pairs of all users together", None, None, {"RecBole": "AUC"}, pooled_area()),
)

COPIED = {
    ("torchmetrics", "RetrievalRecall"): ([0.4, 1, 0], 0.466667),
    ("torchmetrics", "RetrievalPrecision"): ([0.666667, 0.333333, 0], 0.333333),
    ("torchmetrics", "RetrievalHitRate"): ([1, 1, 0], 0.666667),
    ("torchmetrics", "RetrievalNormalizedDCG"): ([0.703918, 0.63093, 0], 0.444949),
    ("torchmetrics", "RetrievalMAP"): ([0.833333, 0.5, 0], 0.444444),
    ("torchmetrics", "RetrievalMRR"): ([1, 0.5, 0], 0.5),
    ("torchmetrics", "RetrievalAUROC"): (None, 0.653968),
    ("torchmetrics", "RetrievalAUROC(top_k=3)"): ([0.5, 0.5, 0], 0.333333),
    ("RecTools", "Recall"): ([0.4, 1, 0], 0.466667),
    ("RecTools", "Precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("RecTools", "HitRate"): ([1, 1, 0], 0.666667),
    ("RecTools", "MRR"): ([1, 0.5, 0], 0.5),
    ("RecTools", "MAP"): ([0.333333, 0.5, 0], 0.277778),
    ("RecTools", "MAP(divide_by_k=True)"): ([0.555556, 0.166667, 0], 0.240741),
    ("RecTools", "NDCG"): ([0.703918, 0.296082, 0], 0.333333),
    ("RecTools", "NDCG(divide_by_achievable=True)"): ([0.703918, 0.63093, 0], 0.444949),
    ("RecBole", "Recall"): ([0.4, 1, 0], 0.466667),
    ("RecBole", "Precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("RecBole", "Hit"): ([1, 1, 0], 0.666667),
    ("RecBole", "MRR"): ([1, 0.5, 0], 0.5),
    ("RecBole", "MAP"): ([0.555556, 0.5, 0], 0.351852),
    ("RecBole", "NDCG"): ([0.703918, 0.63093, 0], 0.444949),
    ("RecBole", "GAUC"): (None, 0.585034),
    ("RecBole", "AUC"): (None, 0.588235),
    ("LensKit", "Recall"): ([0.666667, 1, 0], 0.555556),
    ("LensKit", "Precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("LensKit", "Hit"): ([1, 1, 0], 0.666667),
    ("LensKit", "RecipRank"): ([1, 0.5, 0], 0.5),
    ("LensKit", "NDCG"): ([0.619906, 1, 0], 0.539969),
    ("implicit", "precision"): (None, 0.6),
    ("implicit", "map"): ([0.555556, 0.5, 0], 0.351852),
    ("implicit", "ndcg"): ([0.703918, 0.63093, 0], 0.444949),
    ("implicit", "auc"): ([0.533333, 0.857143, 0.285714], 0.55873),
    ("cornac", "Recall"): ([0.4, 1, 0], 0.466667),
    ("cornac", "Precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("cornac", "HitRatio"): ([1, 1, 0], 0.666667),
    ("cornac", "NDCG"): ([0.703918, 0.63093, 0], 0.444949),
    ("cornac", "MAP"): ([0.729524, 0.5, 0.25], 0.493175),
    ("cornac", "MRR"): ([1, 0.5, 0.25], 0.583333),
    ("cornac", "AUC"): ([0.533333, 0.857143, 0.571429], 0.653968),
    ("recpack", "RecallK"): ([0.4, 1, 0], 0.466667),
    ("recpack", "CalibratedRecallK"): ([0.666667, 1, 0], 0.555556),
    ("recpack", "PrecisionK"): ([0.666667, 0.333333, 0], 0.333333),
    ("recpack", "HitK"): ([2, 1, 0], 1),
    ("recpack", "NDCGK"): ([0.703918, 0.63093, 0], 0.444949),
    ("recpack", "ReciprocalRankK"): ([1, 0.5, 0], 0.5),
    ("recommenders", "recall_at_k"): ([0.4, 1, 0], 0.466667),
    ("recommenders", "precision_at_k"): ([0.666667, 0.333333, 0], 0.333333),
    ("recommenders", "map"): ([0.333333, 0.5, 0], 0.277778),
    ("recommenders", "map_at_k"): ([0.555556, 0.5, 0], 0.351852),
    ("recommenders", "ndcg_at_k"): ([0.703918, 0.63093, 0], 0.444949),
    ("rs_metrics", "recall"): ([0.4, 1, 0], 0.466667),
    ("rs_metrics", "precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("rs_metrics", "hitrate"): ([1, 1, 0], 0.666667),
    ("rs_metrics", "mrr"): ([1, 0.5, 0], 0.5),
    ("rs_metrics", "mapr"): ([0.333333, 0.5, 0], 0.277778),
    ("rs_metrics", "ndcg"): ([0.703918, 0.63093, 0], 0.444949),
    ("ranx", "recall"): ([0.4, 1, 0], 0.466667),
    ("ranx", "precision"): ([0.666667, 0.333333, 0], 0.333333),
    ("ranx", "hit_rate"): ([1, 1, 0], 0.666667),
    ("ranx", "hits"): ([2, 1, 0], 1),
    ("ranx", "mrr"): ([1, 0.5, 0], 0.5),
    ("ranx", "map"): ([0.333333, 0.5, 0], 0.277778),
    ("ranx", "ndcg"): ([0.703918, 0.63093, 0], 0.444949),
}
"""What each library that the tests do without gave for the users and for all of them, to six decimals."""
