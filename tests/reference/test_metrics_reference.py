"""Metrics and ranking against the slow oracle, pytrec-eval-terrier, and what chance gives."""

from __future__ import annotations

import metric_oracle as oracle
import numpy as np
import pytest
import pytrec_eval
import torch
from given_scores import case
from random_rankings import KINDS, assert_equal, assert_mean_over_ties, evaluate, solved
from scipy.stats import mannwhitneyu

from recbench import metrics


@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_ties_are_those_of_a_python_sort(kind):
    for number, k, ranking, users, _ in solved(kind):
        for place, (scores, relevant, _, order) in enumerate(users):
            listed = order[:k]
            padding = k - len(listed)
            assert ranking.items[place].tolist() == listed + [-1] * padding, number
            assert ranking.hits[place].tolist() == [item in relevant for item in listed] + [False] * padding, number
            assert ranking.tied[place].tolist() == oracle.tied(scores, order)[:k] + [False] * padding, number
            assert ranking.n_relevant[place] == len(relevant), number


@pytest.mark.parametrize("kind", KINDS)
def test_every_user_metric_agrees_with_the_oracle(kind):
    assert set(oracle.PER_USER) | {"auc", "novelty", "mean_popularity"} == {
        name for name in metrics.registry.names() if metrics.registry.entry(name).traits["computes"] == "user"
    }
    for number, k, ranking, users, train in solved(kind):
        for cut in {1, (k + 1) // 2, k}:
            for name, slow in oracle.PER_USER.items():
                expected = [slow(order[:cut], relevant, cut) for _, relevant, _, order in users]
                assert_equal(evaluate(name, ranking, cut), expected, f"{name}@{cut} of {kind} {number}")
            takers = [int((train.items == item).sum()) for item in range(train.n_items)]
            lists = [order[:cut] for *_, order in users]
            novelty = [oracle.novelty(listed, takers, train.n_users) for listed in lists]
            assert_equal(evaluate("novelty", ranking, cut), novelty, f"novelty@{cut} of {kind} {number}")
            popularity = [oracle.mean_popularity(listed, takers) for listed in lists]
            assert_equal(evaluate("mean_popularity", ranking, cut), popularity, f"popularity of {kind} {number}")


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_of_all_lists_agree_with_the_oracle(kind):
    for number, k, ranking, users, train in solved(kind):
        lists = [order[:k] for *_, order in users]
        for name in ("coverage", "gini"):
            expected = getattr(oracle, name)(lists, train.n_items)
            assert_equal(evaluate(name, ranking, k)[None], [expected], f"{name}@{k} of {kind} {number}")


@pytest.mark.parametrize("kind", KINDS)
def test_auc_agrees_with_counted_pairs_and_with_the_rank_sum_test(kind):
    for number, _, ranking, users, _ in solved(kind):
        counted = [oracle.auc(scores, relevant, hidden) for scores, relevant, hidden, _ in users]
        assert_equal(evaluate("auc", ranking, None), counted, f"auc of {kind} {number}")
        for value, (scores, relevant, hidden, _) in zip(ranking.auc.tolist(), users):
            good = [scores[item] for item in relevant - hidden]
            bad = [scores[item] for item in set(range(len(scores))) - relevant - hidden]
            if good and bad:
                won = mannwhitneyu(good, bad, method="asymptotic").statistic
                assert value == pytest.approx(won / (len(good) * len(bad)), abs=1e-12), number


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_agree_with_trec_eval(kind):
    theirs = {"recall": "recall", "precision": "P", "hr": "success", "ndcg": "ndcg_cut", "map": "map_cut"}
    for number, k, ranking, users, _ in solved(kind):
        judged = {str(user): {str(item): 1 for item in relevant} for user, (_, relevant, _, _) in enumerate(users)}
        # Ties are resolved already: a rank is a score without ties.
        run = {
            str(user): {str(item): float(len(order) - rank) for rank, item in enumerate(order)}
            for user, (*_, order) in enumerate(users)
        }
        cut_run = {user: dict(list(listed.items())[:k]) for user, listed in run.items()}
        at_k = pytrec_eval.RelevanceEvaluator(judged, {f"{name}.{k}" for name in theirs.values()}).evaluate(run)
        first = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(cut_run)
        # A user with an empty list is left out by trec_eval, and 0 here.
        for ours, name in theirs.items():
            expected = [at_k.get(str(user), {}).get(f"{name}_{k}", 0.0) for user in range(len(users))]
            assert_equal(evaluate(ours, ranking, k), expected, f"{ours}@{k} of {kind} {number}", within=1e-9)
        expected = [first.get(str(user), {}).get("recip_rank", 0.0) for user in range(len(users))]
        assert_equal(evaluate("mrr", ranking, k), expected, f"mrr@{k} of {kind} {number}", within=1e-9)


def test_a_constant_scorer_gets_chance_also_where_the_first_ids_are_the_popular_ones():
    """All users took the first items: an order by index would give 1, chance is about 1 / 10."""
    n_users, n_items, k = 30, 50, 5
    relevant = [set(range(5)) for _ in range(n_users)]
    seen = [[5 + user % 10, 20, 21] for user in range(n_users)]
    problem = case(torch.zeros(n_users, n_items), relevant, seen)
    chance = oracle.expected_ndcg([0.0] * n_items, relevant[0], set(seen[0]), k)
    assert chance == pytest.approx(5 / 47)
    assert_mean_over_ties(problem, k, [chance] * n_users, n_seeds=600)


def test_ties_give_the_mean_over_all_their_orders():
    rng = np.random.default_rng(0)
    n_users, n_items, k = 20, 30, 6
    scores = torch.from_numpy(rng.integers(0, 4, size=(n_users, n_items))).float()
    relevant = [set(rng.choice(20, size=4, replace=False).tolist()) for _ in range(n_users)]
    seen = [sorted(rng.choice(range(20, 30), size=5, replace=False).tolist()) for _ in range(n_users)]
    expected = [
        oracle.expected_ndcg(scores[user].tolist(), relevant[user], set(seen[user]), k) for user in range(n_users)
    ]
    assert_mean_over_ties(case(scores, relevant, seen), k, expected, n_seeds=600)
