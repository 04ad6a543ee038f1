from __future__ import annotations

import math
from math import log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import metrics
from recbench.data import Ranking
from recbench.errors import ConfigError

CUT = [
    "hr",
    "map",
    "map_capped",
    "map_k",
    "mrr",
    "ndcg",
    "ndcg_ideal_k",
    "ndcg_retrieved",
    "ndcg_uncut",
    "precision",
    "recall",
    "recall_capped",
]
BEYOND = ["coverage", "gini", "mean_popularity", "novelty"]


def ranking_of(hits, n_relevant, items=None, popularity=(1,), n_train_users=1, auc=None):
    """Return the ranking with ``hits`` (0 and 1, a row a user) and, where they matter, ``items``."""
    hits = torch.tensor(hits, dtype=torch.bool)
    return Ranking(
        users=torch.arange(len(hits)),
        items=torch.arange(hits.shape[1]).repeat(len(hits), 1) if items is None else torch.tensor(items),
        hits=hits,
        n_relevant=torch.tensor(n_relevant),
        tied=torch.zeros_like(hits),
        popularity=torch.tensor(popularity),
        n_train_users=n_train_users,
        auc=auc,
    )


def compute(name, ranking, k):
    return metrics.registry.entry(name).target(ranking, k)


def value(name, hits, n_relevant, k=None):
    """Return the metric of one user."""
    return compute(name, ranking_of([hits], [n_relevant]), k or len(hits)).item()


# Three places, hits at the first and the third, five relevant items.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall", 2 / 5),
        ("recall_capped", 2 / 3),
        ("precision", 2 / 3),
        ("hr", 1),
        ("mrr", 1),
        ("map", (1 + 2 / 3) / 5),
        ("map_capped", (1 + 2 / 3) / 3),
        ("map_k", (1 + 2 / 3) / 3),
        ("ndcg", (1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2)),
        ("ndcg_uncut", (1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2 + 1 / log2(5) + 1 / log2(6))),
        ("ndcg_ideal_k", (1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2)),
        ("ndcg_retrieved", (1 + 1 / 2) / (1 + 1 / log2(3))),
    ],
)
def test_more_relevant_items_than_places(name, expected):
    assert value(name, [1, 0, 1], 5) == pytest.approx(expected, abs=1e-15)


# Four places, a hit at the second, two relevant items.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recall", 1 / 2),
        ("recall_capped", 1 / 2),
        ("precision", 1 / 4),
        ("hr", 1),
        ("mrr", 1 / 2),
        ("map", (1 / 2) / 2),
        ("map_capped", (1 / 2) / 2),
        ("map_k", (1 / 2) / 4),
        ("ndcg", (1 / log2(3)) / (1 + 1 / log2(3))),
        ("ndcg_uncut", (1 / log2(3)) / (1 + 1 / log2(3))),
        ("ndcg_ideal_k", (1 / log2(3)) / (1 + 1 / log2(3) + 1 / 2 + 1 / log2(5))),
        ("ndcg_retrieved", 1 / log2(3)),
    ],
)
def test_fewer_relevant_items_than_places(name, expected):
    assert value(name, [0, 1, 0, 0], 2) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", CUT)
def test_a_list_without_hits_gives_zero(name):
    assert value(name, [0, 0, 0], 2) == 0


def test_what_stands_behind_the_cut_does_not_count():
    ranking = ranking_of([[0, 1, 0, 1, 1]], [3])
    for name in CUT:
        assert compute(name, ranking, 2).equal(compute(name, ranking_of([[0, 1]], [3]), 2)), name
        assert compute(name, ranking, 1) == 0, name


def test_first_hit_behind_the_cut_has_no_reciprocal_rank():
    hits = [0] * 8 + [1]
    assert value("mrr", hits, 1, 5) == 0
    assert value("mrr", hits, 1, 9) == 1 / 9


def test_precision_divides_by_k_for_short_lists_too():
    # One item is listed, it is a hit; the two places behind the end are empty.
    assert value("precision", [1, 0, 0], 1) == 1 / 3


def test_each_user_has_a_value_of_its_own():
    ranking = ranking_of([[1, 0], [0, 1], [0, 0]], [1, 3, 2])
    assert compute("recall", ranking, 2).tolist() == [1, 1 / 3, 0]
    assert compute("ndcg", ranking, 2).tolist() == pytest.approx([1, (1 / log2(3)) / (1 + 1 / log2(3)), 0], abs=1e-15)


@pytest.mark.parametrize("name", [*CUT, *BEYOND])
def test_values_are_float64_and_a_cut_beyond_the_lists_is_refused(name):
    ranking = ranking_of([[1, 0], [0, 1]], [1, 2], items=[[0, 1], [1, 2]], popularity=[1, 2, 3], n_train_users=4)
    result = compute(name, ranking, 2)
    assert result.dtype == torch.float64
    assert result.shape == ((2,) if metrics.registry.entry(name).traits["computes"] == "user" else ())
    with pytest.raises(AssertionError, match=r"^k = 3: the lists of this ranking are 2 long\.$"):
        compute(name, ranking, 3)


def test_every_metric_is_registered_with_its_kind():
    kinds = {name: metrics.registry.entry(name).traits for name in metrics.registry.names()}
    lists, ratings = {"coverage", "gini"}, {"mae", "rmse"}
    assert set(kinds) == {*CUT, *BEYOND, *ratings, "auc"}
    assert {name for name, traits in kinds.items() if traits["computes"] == "lists"} == lists
    assert {name for name, traits in kinds.items() if traits["computes"] == "ratings"} == ratings
    assert {name for name, traits in kinds.items() if not traits["cut"]} == {*ratings, "auc"}


def test_auc_is_what_the_ranking_has():
    areas = torch.tensor([0.25, math.nan], dtype=torch.float64)
    assert compute("auc", ranking_of([[1], [1]], [1, 1], auc=areas), None) is areas


def test_auc_of_a_ranking_without_it_is_an_error():
    with pytest.raises(ConfigError) as error:
        compute("auc", ranking_of([[1]], [1]), None)
    assert str(error.value) == (
        "metric 'auc': needs the scores of all items, and this ranking kept only the lists; "
        "write rank(..., with_auc=True)."
    )


hits_and_more = st.tuples(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 6)).filter(
    lambda drawn: any(drawn[0]) or drawn[1] > 0
)


@settings(max_examples=100, deadline=None)
@given(hits_and_more)
def test_values_lie_between_zero_and_one(drawn):
    hits, missed = drawn
    for name in CUT:
        assert 0 <= value(name, hits, sum(hits) + missed) <= 1, name


@pytest.mark.parametrize("n_relevant", [1, 2, 3, 10, 31])
@pytest.mark.parametrize("k", [1, 2, 3, 10, 30])
def test_a_perfect_list_gives_exactly_one(k, n_relevant):
    hits = [rank < n_relevant for rank in range(k)]
    perfect = ["hr", "mrr", "ndcg", "ndcg_retrieved", "recall_capped", "map_capped"]
    perfect += ["recall", "map", "ndcg_uncut"] * (n_relevant <= k)
    perfect += ["precision", "map_k", "ndcg_ideal_k"] * (n_relevant >= k)
    for name in CUT:
        assert (value(name, hits, n_relevant) == 1) == (name in perfect), name


@settings(max_examples=100, deadline=None)
@given(hits_and_more, st.data())
def test_moving_a_hit_up_never_lowers_a_value(drawn, data):
    hits, missed = drawn
    upper, lower = sorted(data.draw(st.tuples(*[st.integers(0, len(hits) - 1)] * 2)))
    better = list(hits)
    if hits[lower] and not hits[upper]:
        better[upper], better[lower] = True, False
    for name in CUT:
        before, after = (value(name, row, sum(hits) + missed) for row in (hits, better))
        assert after >= before, name
        if better != hits and name.startswith(("ndcg", "map")):
            assert after > before, name


@settings(max_examples=50, deadline=None)
@given(hits_and_more, st.integers(1, 5))
def test_irrelevant_items_below_the_cut_change_nothing(drawn, appended):
    hits, missed = drawn
    for name in CUT:
        longer = value(name, hits + [False] * appended, sum(hits) + missed, len(hits))
        assert longer == value(name, hits, sum(hits) + missed), name


# Two lists of a catalogue of four; item 3 is in none, item 0 in both. Popularity 8, 4, 0 and 2 of 8 users.
TWO_LISTS = {"items": [[0, 1], [0, 2]], "popularity": [8, 4, 0, 2], "n_train_users": 8}


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("coverage", 1, 1 / 4),
        ("coverage", 2, 3 / 4),
        ("gini", 1, 1),
        # Shares 0, 1/4, 1/4, 2/4 with weights -3, -1, 1, 3.
        ("gini", 2, (-1 / 4 + 1 / 4 + 3 * 2 / 4) / 3),
        ("mean_popularity", 1, [8, 8]),
        ("mean_popularity", 2, [(8 + 4) / 2, (8 + 0) / 2]),
        ("novelty", 1, [0, 0]),
        # Nobody took item 2: it counts as taken by one user.
        ("novelty", 2, [(0 - log2(4 / 8)) / 2, (0 - log2(1 / 8)) / 2]),
    ],
)
def test_beyond_accuracy(name, k, expected):
    ranking = ranking_of([[0, 0], [0, 0]], [1, 1], **TWO_LISTS)
    assert compute(name, ranking, k).tolist() == pytest.approx(expected, abs=1e-15)


def test_gini_of_equal_shares_is_zero_and_of_a_single_item_too():
    assert compute("gini", ranking_of([[0, 0]], [1], items=[[0, 1]], popularity=[1, 1]), 2) == 0
    assert compute("gini", ranking_of([[0]], [1], items=[[0]], popularity=[1]), 1) == 0


def test_places_behind_the_end_of_a_list_do_not_count_beyond_accuracy():
    ranking = ranking_of([[0, 0], [0, 0]], [1, 1], items=[[0, -1], [-1, -1]], popularity=[2, 4], n_train_users=4)
    assert compute("coverage", ranking, 2) == 1 / 2
    assert compute("gini", ranking, 2) == 1
    novelty, popularity = compute("novelty", ranking, 2), compute("mean_popularity", ranking, 2)
    assert novelty[0] == -log2(2 / 4) and math.isnan(novelty[1])
    assert popularity[0] == 2 and math.isnan(popularity[1])


def test_empty_lists_cover_nothing_and_have_no_gini():
    ranking = ranking_of([[0]], [1], items=[[-1]], popularity=[2, 4])
    assert compute("coverage", ranking, 1) == 0
    assert math.isnan(compute("gini", ranking, 1))


def test_errors_of_ratings():
    predicted, actual = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([2.0, 2.0, 3.0])
    rmse, mae = (metrics.registry.entry(name).target(predicted, actual) for name in ("rmse", "mae"))
    assert rmse.dtype == mae.dtype == torch.float64
    assert rmse.item() == pytest.approx(math.sqrt((1 + 0 + 4) / 3), abs=1e-15)
    assert mae.item() == pytest.approx((1 + 0 + 2) / 3, abs=1e-15)


def test_ratings_of_another_shape_are_refused():
    with pytest.raises(AssertionError, match=r"^\(3,\) predictions, \(3, 1\) ratings\.$"):
        metrics.registry.entry("mae").target(torch.zeros(3), torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndcg", "metric 'ndcg': needs the length of the list, e.g. 'ndcg@10'."),
        ("ndcg@0", "metric 'ndcg@0': needs the length of the list, e.g. 'ndcg@10'."),
        ("auc@10", "metric 'auc@10': is not cut at k; write 'auc'."),
        ("rmse@10", "metric 'rmse@10': is not cut at k; write 'rmse'."),
        ("NDCG@10", "metric 'NDCG@10': write it as 'ndcg@10', or as 'auc' where it has no cut."),
    ],
)
def test_a_name_that_does_not_parse(text, message):
    with pytest.raises(ConfigError) as error:
        metrics.parse(text)
    assert str(error.value) == message


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(ConfigError) as error:
        metrics.parse("ndgc@10")
    known = ", ".join(sorted([*CUT, *BEYOND, "auc", "mae", "rmse"]))
    assert str(error.value) == f"no metric 'ndgc'. Did you mean 'ndcg'? Known: {known}."


@pytest.mark.parametrize("text", ["ndcg@10", "recall_capped@1", "auc", "rmse"])
def test_names_print_as_they_parse(text):
    assert str(metrics.parse(text)) == text
