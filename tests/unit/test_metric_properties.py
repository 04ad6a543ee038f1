"""What must not change a metric, and what must change it by a known amount: from scores to the mean over users.

Relations that one ranking or one list shows are in ``test_ranking.py`` and ``test_metrics.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from given_scores import case

from recbench import metrics
from recbench.data import Split
from recbench.evaluation import EvaluationConfig, evaluate

K = 7
OF_USERS = [name for name in metrics.registry.names() if metrics.registry.entry(name).traits["computes"] == "user"]
NAMES = tuple(f"{name}@{K}" if metrics.registry.entry(name).traits["cut"] else name for name in OF_USERS)
OF_LISTS = (f"coverage@{K}", f"gini@{K}")
# The popularity of an item is that of the training part, in which the users' rows are: one user more changes it.
OF_POPULARITY = {f"novelty@{K}", f"mean_popularity@{K}"}


def world(n_users=60, n_items=40, n_values=5, seed=0):
    """Return scores with many ties, relevant and seen items."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, n_values, size=(n_users, n_items)).astype(np.float32))
    shuffled = [rng.permutation(n_items).tolist() for _ in range(n_users)]
    return scores, [row[:4] for row in shuffled], [row[4:16] for row in shuffled]


def measured(problem, names=NAMES + OF_LISTS):
    split = Split(problem.train, None, problem.holdout, "")
    return evaluate(problem.model, split, "test", EvaluationConfig(metrics=names))


def assert_same(one, other, order=slice(None)):
    """Check that all values are the same, those of users put into ``order``."""
    assert one.values == pytest.approx(other.values, abs=1e-12)
    assert one.tie_rate == pytest.approx(other.tie_rate, abs=1e-12)
    for name, values in one.per_user.items():
        torch.testing.assert_close(values, other.per_user[name][order], rtol=0, atol=1e-12, equal_nan=True)


def test_a_monotone_transform_of_the_scores_changes_no_metric():
    scores, relevant, seen = world()
    assert_same(measured(case(torch.exp(scores) - 100, relevant, seen)), measured(case(scores, relevant, seen)))


# The index of an id is its place among all ids, and the order of equal scores goes by the id: without ties here.
# With the order of ties carried along, lists are permuted as they should in test_ranking.py.


def test_relabelling_the_users_permutes_their_values():
    scores, relevant, seen = world(n_values=10**6)
    order = np.random.default_rng(1).permutation(60)
    other = case(scores[order], [relevant[user] for user in order], [seen[user] for user in order])
    assert_same(measured(other), measured(case(scores, relevant, seen)), order)


def test_relabelling_the_items_changes_nothing():
    scores, relevant, seen = world(n_values=10**6)
    order = np.random.default_rng(1).permutation(40)
    label = np.argsort(order)
    labelled = ([[int(label[item]) for item in row] for row in rows] for rows in (relevant, seen))
    assert_same(measured(case(scores[:, order], *labelled)), measured(case(scores, relevant, seen)))


def test_one_more_irrelevant_item_below_the_cut_changes_only_what_goes_by_the_catalogue():
    # Without ties: the circle that orders equal scores is another one with one item more.
    scores, relevant, seen = world(n_values=10**6)
    longer = torch.cat([scores, torch.full((60, 1), -1.0)], dim=1)
    before, after = measured(case(scores, relevant, seen)), measured(case(longer, relevant, seen))
    for name in set(NAMES) - {"auc"}:
        torch.testing.assert_close(after.per_user[name], before.per_user[name], rtol=0, atol=1e-12)
    # Each of the 4 relevant items wins one pair more, and there are 24 + 1 irrelevant ones to be ranked.
    won = before.per_user["auc"] * 4 * 24
    torch.testing.assert_close(after.per_user["auc"], (won + 4) / (4 * 25), rtol=0, atol=1e-12)
    assert after.values[f"coverage@{K}"] == pytest.approx(before.values[f"coverage@{K}"] * 40 / 41, abs=1e-12)


def test_one_more_user_moves_the_mean_by_the_right_amount_and_nobody_else():
    scores, relevant, seen = world()
    fewer = measured(case(scores[:-1], relevant[:-1], seen[:-1]), NAMES)
    more = measured(case(scores, relevant, seen), NAMES)
    for name in set(NAMES) - OF_POPULARITY:
        values = more.per_user[name]
        torch.testing.assert_close(values[:-1], fewer.per_user[name], rtol=0, atol=1e-12)
        expected = (59 * fewer.values[name] + float(values[-1])) / 60
        assert more.values[name] == pytest.approx(expected, abs=1e-12), name


def test_a_user_with_nothing_to_find_moves_no_mean():
    scores, relevant, seen = world()
    without = measured(case(scores, [*relevant[:-1], []], [*seen[:-1], []]), NAMES)
    fewer = measured(case(scores[:-1], relevant[:-1], seen[:-1]), NAMES)
    assert (without.n_without_target, fewer.n_without_target) == (1, 0)
    for name in set(NAMES) - OF_POPULARITY:
        assert without.values[name] == pytest.approx(fewer.values[name], abs=1e-12), name


def test_a_perfect_scorer_has_one_and_its_reverse_zero_in_every_metric_of_relevance():
    _, relevant, seen = world()
    perfect = torch.rand(60, 40, generator=torch.Generator().manual_seed(0)) / 2
    for user, items in enumerate(relevant):
        perfect[user, items] += 1
    names = tuple(f"{name}@4" for name in OF_USERS if name not in ("auc", "novelty", "mean_popularity")) + ("auc",)
    assert set(measured(case(perfect, relevant, seen), names).values.values()) == {1.0}
    assert set(measured(case(-perfect, relevant, seen), names).values.values()) == {0.0}


def test_values_lie_between_zero_and_one_where_they_should():
    for n_values in (1, 2, 1000):
        for name, value in measured(case(*world(n_values=n_values))).values.items():
            if name not in OF_POPULARITY:
                assert 0 <= value <= 1, name


def test_a_relevant_item_that_scores_higher_never_lowers_a_metric():
    scores, relevant, seen = world(n_values=10**6)
    raised = scores.clone()
    for user, items in enumerate(relevant):
        # It changes places with the best item that may be listed.
        shown = [item for item in range(40) if item not in seen[user]]
        best = max(shown, key=lambda item: float(scores[user, item]))
        raised[user, [items[0], best]] = scores[user, [best, items[0]]]
    before, after = (measured(case(given, relevant, seen), NAMES) for given in (scores, raised))
    for name in set(NAMES) - OF_POPULARITY - {f"ndcg_retrieved@{K}"}:
        assert bool((after.per_user[name] >= before.per_user[name] - 1e-12).all()), name
        assert after.values[name] > before.values[name], name
