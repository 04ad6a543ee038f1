"""Metrics against libraries of other people, value by value.

Where scores are equal our rule decides first, and the libraries are handed ranks: each has a rule of its own.
``pip install '.[conformance]'`` brings those that the tests can do without.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from given_scores import case
from random_rankings import KINDS, assert_equal, assert_mean_over_ties, evaluate, solved

# Their names for what we call otherwise.
IR_MEASURES = {"recall": "R", "precision": "P", "hr": "Success", "ndcg": "nDCG", "map": "AP", "mrr": "RR"}
RANX = {"recall": "recall", "precision": "precision", "hr": "hit_rate", "ndcg": "ndcg", "map": "map", "mrr": "mrr"}


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[conformance]'")


def judged_and_listed(users):
    """Return relevant items and ranks as scores, as the libraries of information retrieval want them."""
    judged = {str(user): {str(item): 1 for item in relevant} for user, (_, relevant, _, _) in enumerate(users)}
    listed = {
        str(user): {str(item): float(len(order) - rank) for rank, item in enumerate(order)}
        for user, (*_, order) in enumerate(users)
    }
    return judged, listed


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_agree_with_ir_measures(kind):
    ir_measures = library("ir_measures")
    for number, k, ranking, users, _ in solved(kind):
        judged, listed = judged_and_listed(users)
        measures = {getattr(ir_measures, name) @ k: ours for ours, name in IR_MEASURES.items()}
        found = {ours: [None] * len(users) for ours in IR_MEASURES}
        for value in ir_measures.iter_calc(list(measures), judged, listed):
            found[measures[value.measure]][int(value.query_id)] = value.value
        for ours, expected in found.items():
            assert_equal(evaluate(ours, ranking, k), expected, f"{ours}@{k} of {kind} {number}", within=1e-9)


def ranks_for_sklearn(relevant, order, hidden, k):
    """Return gains and scores: the list, then k places without an item, then what must not be listed."""
    items = [*order, *[None] * k, *sorted(hidden)]
    return [item in relevant for item in items], list(range(len(items), 0, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_ndcg_and_average_precision_agree_with_scikit_learn(kind):
    sklearn = library("sklearn.metrics")
    for number, k, ranking, users, train in solved(kind, n_cases=15):
        whole = k >= train.n_items
        ndcg, average_precision = [], []
        for _, relevant, hidden, order in users:
            gains, scores = ranks_for_sklearn(relevant, order, hidden, k)
            ndcg.append(sklearn.ndcg_score([gains], [scores], k=k))
            if whole and not relevant & hidden:
                average_precision.append(sklearn.average_precision_score(gains, scores))
        assert_equal(evaluate("ndcg", ranking, k), ndcg, f"ndcg@{k} of {kind} {number}", within=1e-9)
        if average_precision and len(average_precision) == len(users):
            assert_equal(evaluate("map", ranking, k), average_precision, f"map@{k} of {kind} {number}", within=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_auc_agrees_with_scikit_learn(kind):
    """Of the scores themselves: equal ones count one half there too."""
    sklearn = library("sklearn.metrics")
    for number, _, ranking, users, _ in solved(kind, n_cases=15):
        expected = []
        for scores, relevant, hidden, _ in users:
            shown = sorted(set(range(len(scores))) - hidden)
            gains = [item in relevant for item in shown]
            defined = 0 < sum(gains) < len(gains)
            expected.append(sklearn.roc_auc_score(gains, [scores[item] for item in shown]) if defined else None)
        assert_equal(evaluate("auc", ranking, None), expected, f"auc of {kind} {number}", within=1e-9)


def test_the_mean_over_orders_of_ties_is_the_ndcg_of_scikit_learn_that_averages_them():
    sklearn = library("sklearn.metrics")
    rng = np.random.default_rng(0)
    n_users, n_items, k = 12, 30, 6
    scores = torch.from_numpy(rng.integers(0, 4, size=(n_users, n_items))).float()
    scores[0] = 2.0
    relevant = [set(rng.choice(n_items, size=rng.integers(1, 9), replace=False).tolist()) for _ in range(n_users)]
    expected = [
        sklearn.ndcg_score([[item in relevant[user] for item in range(n_items)]], [scores[user].tolist()], k=k)
        for user in range(n_users)
    ]
    assert_mean_over_ties(case(scores, relevant), k, expected, n_seeds=2000)


def test_metrics_agree_with_ranx():
    ranx = library("ranx")
    for kind in KINDS:
        for number, k, ranking, users, _ in solved(kind, n_cases=10):
            judged, listed = judged_and_listed(users)
            # It refuses a user without a list, who is 0 here.
            listed = {user: row or {"none": 1.0} for user, row in listed.items()}
            names = {f"{name}@{k}": ours for ours, name in RANX.items()}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ranx.evaluate(ranx.Qrels(judged), ranx.Run(listed), list(names), return_mean=False)
            # Its rows are sorted by the user's id.
            order = torch.tensor(sorted(range(len(users)), key=str))
            for name, ours in names.items():
                values = evaluate(ours, ranking, k)[order]
                assert_equal(values, found[name].tolist(), f"{ours}@{k} of {kind} {number}", within=1e-9)
