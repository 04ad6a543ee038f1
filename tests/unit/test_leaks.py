"""Leaks that were planted are found, with exact numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.data import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Features, Interactions, Split
from recbench.data.feature_config import TextConfig
from recbench.data.features import feature_table
from recbench.datasets.ml_100k import ML100K, ML100KConfig
from recbench.errors import ConfigError
from recbench.leaks import Share, leaks
from recbench.splits.leave_one_out import LeaveOneOut, LeaveOneOutConfig

DOES_NOT = "The split does not leak across time: no training interaction is later than the earliest test interaction."
NO_TIME = "Whether the split leaks across time cannot be told: "


def split_of(rows, time="seconds", titles=None):
    """Return the split of rows (user, item, timestamp or None, part)."""
    table = pd.DataFrame(rows, columns=["user", "item", "timestamp", "place"])
    parts = table.pop("place").to_numpy(dtype=np.int8)
    if table["timestamp"].isna().all():
        table = table.drop(columns="timestamp")
    # The part travels as a rating, so that it is found again in the canonical order.
    interactions = Interactions.from_frame(table.assign(rating=parts.astype(float)), time=time, repeats=True)
    if titles is not None:
        items = pd.DataFrame({"item": list(titles), "title": list(titles.values())})
        declared = [TextConfig(name="title", missing="constant", value="untitled")] if "" in titles.values() else []
        table = feature_table(items, interactions.item_vocabulary, declared)
        interactions = replace(interactions, features=Features(items=table))
    return Split.from_parts(interactions, interactions.ratings.to(torch.int8))


def test_later_training_interactions_are_counted():
    rows = [("u", "a", 1, TRAIN), ("u", "b", 5, TRAIN), ("v", "a", 6, TRAIN), ("w", "a", 9, TRAIN)]
    rows += [("u", "c", 8, TEST), ("v", "b", 5, TEST), ("w", "c", 7, VALID)]
    found = leaks(split_of(rows))
    assert found.later == Share(2, 4), "6 and 9 are later than 5, and 5 itself is not"
    assert found.sentence == (
        "The split leaks across time: 50.0 % of the training interactions are later than the earliest test interaction."
    )
    assert found.to_dict()["later"] == {"n": 2, "of": 4, "share": 2 / 4}


def test_a_split_in_order_of_time_does_not_leak():
    rows = [("u", "a", 1, TRAIN), ("v", "a", 5, TRAIN), ("u", "b", 5, TEST), ("v", "b", 6, TEST)]
    found = leaks(split_of(rows))
    assert found.later == Share(0, 2) and found.sentence == DOES_NOT


@pytest.mark.parametrize(
    ("n_later", "of", "words"),
    [
        (1, 3000, "less than 0.1 %"),
        (2, 3000, "0.1 %"),
        (631, 1000, "63.1 %"),
        (2999, 3000, "more than 99.9 %"),
        (3, 3, "100.0 %"),
    ],
)
def test_a_few_are_not_called_none_nor_most_all(n_later, of, words):
    found = replace(leaks(split_of([("u", "a", 1, TRAIN), ("u", "b", 2, TEST)])), later=Share(n_later, of))
    assert f"leaks across time: {words} of the training interactions" in found.sentence


@pytest.mark.parametrize(
    ("times", "time", "why"),
    [
        ((None, None), "seconds", "the data has no timestamps"),
        ((1, 2), "rank", "the timestamps are the order within each user, which says nothing across users"),
    ],
)
def test_without_times_that_compare_users_it_cannot_be_told(times, time, why):
    found = leaks(split_of([("u", "a", times[0], TRAIN), ("u", "b", times[1], TEST)], time))
    assert (found.later, found.why_unknown, found.to_dict()["later"]) == (None, why, None)
    assert found.sentence == f"{NO_TIME}{why}."


def test_users_and_items_unknown_in_training_are_counted():
    rows = [("u", "a", 1, TRAIN), ("v", "b", 1, TRAIN), ("x", "e", 1, VALID), ("y", "f", 1, UNUSED)]
    rows += [("u", "b", 2, TEST), ("u", "c", 2, TEST), ("w", "c", 2, TEST), ("x", "d", 2, TEST), ("y", "f", 2, TEST)]
    found = leaks(split_of(rows))
    assert found.unknown_users == Share(3, 4), "w, x and y of u, w, x and y"
    assert found.unknown_items == Share(3, 4), "c, d and f of b, c, d and f"
    assert found.seen_pairs == Share(0, 5)
    strangers = leaks(split_of([("u", "a", 1, TRAIN), ("v", "a", 1, FOLD_IN), ("v", "b", 2, TEST)]))
    assert (strangers.unknown_users, strangers.unknown_items) == (Share(1, 1), Share(1, 1))


def test_pairs_that_are_in_training_too_are_counted_once():
    rows = [("u", "a", 1, TRAIN), ("u", "a", 2, TRAIN), ("u", "b", 1, TRAIN), ("v", "c", 1, TRAIN)]
    rows += [("u", "a", 3, TEST), ("u", "a", 4, TEST), ("u", "c", 3, TEST), ("v", "c", 3, TEST), ("v", "a", 3, TEST)]
    found = leaks(split_of(rows))
    assert found.seen_pairs == Share(2, 4), "(u, a) and (v, c) of four pairs"
    assert found.sentence == f"{DOES_NOT} 2 of 4 test pairs of user and item are in training too."
    assert (found.same_item, found.near_duplicates) == (None, None)


# Where the title is missing, all have the same one that is filled in.
TITLES = {"a": "X", "b": "X", "c": "Y", "d": "", "e": "", "f": "Y", "g": "Z"}


def test_items_under_another_id_are_counted():
    rows = [("u", "a", 1, TRAIN), ("u", "d", 1, TRAIN), ("v", "f", 1, TRAIN), ("v", "c", 1, TRAIN)]
    rows += [("w", "g", 1, TRAIN), ("x", "c", 1, TRAIN), ("x", "c", 1, TRAIN)]
    rows += [("u", "b", 3, TEST), ("u", "e", 3, TEST), ("u", "c", 3, TEST), ("v", "c", 3, TEST), ("w", "g", 3, TEST)]
    rows += [("x", "c", 3, TEST), ("w", "a", 3, TEST)]
    found = leaks(split_of(rows, titles=TITLES), same_item="title")
    # (u, b) has a, and (v, c) has f. Items without a title are no duplicates, nor is an item of itself.
    assert found.near_duplicates == Share(2, 7)
    assert found.seen_pairs == Share(3, 7)
    assert found.sentence == (
        f"{DOES_NOT} 3 of 7 test pairs of user and item are in training too. "
        "2 of 7 test pairs are in training under another item id with the same title."
    )
    assert found.to_dict()["near_duplicates"] == {"n": 2, "of": 7, "share": 2 / 7}


def test_no_two_items_are_the_same():
    rows = [("u", "a", 1, TRAIN), ("u", "c", 2, TEST)]
    found = leaks(split_of(rows, titles={"a": "X", "c": "Y"}), same_item="title")
    assert found.near_duplicates == Share(0, 1) and found.sentence == DOES_NOT
    # The only user who has a film twice is not asked for it.
    rows = [("u", "a", 1, TRAIN), ("v", "c", 1, TRAIN), ("v", "b", 2, TEST)]
    assert leaks(split_of(rows, titles=TITLES), same_item="title").near_duplicates == Share(0, 1)


@pytest.mark.parametrize(
    ("titles", "feature", "message"),
    [
        (None, "title", "evaluation.same_item = 'title': the data has no table of items. Leave it out."),
        (
            TITLES,
            "titel",
            "evaluation.same_item: no item feature 'titel'. Did you mean 'title'? Known: title.",
        ),
        (
            {"a": 1, "b": 2},
            "title",
            "evaluation.same_item: the item feature 'title' is numeric, and should be text.",
        ),
    ],
)
def test_features_that_cannot_say_what_is_the_same(titles, feature, message):
    rows = [("u", "a", 1, TRAIN), ("u", "b", 2, TEST)]
    with pytest.raises(ConfigError) as error:
        leaks(split_of(rows, titles=titles), same_item=feature)
    assert str(error.value) == message


def test_validation_is_looked_at_where_there_is_no_test_part():
    found = leaks(split_of([("u", "a", 3, TRAIN), ("u", "b", 2, VALID)]))
    assert found.part == "valid" and found.later == Share(1, 1)
    assert found.sentence == (
        "The split leaks across time: 100.0 % of the training interactions are later than the earliest validation "
        "interaction."
    )
    assert leaks(split_of([("u", "a", 3, TRAIN)])) is None


def by_definition(rows, titles):
    """Return the numbers of all leaks, pair by pair."""
    train = [row for row in rows if row[3] == TRAIN]
    test = [row for row in rows if row[3] == TEST]
    pairs, known = {row[:2] for row in test}, {row[:2] for row in train}
    earliest = min(row[2] for row in test)
    twins = {
        (user, item)
        for user, item in pairs
        for other in titles
        if other != item and titles[item] == titles[other] != "" and (user, other) in known
    }
    return (
        sum(row[2] > earliest for row in train),
        len({row[0] for row in test} - {row[0] for row in train}),
        len({row[1] for row in test} - {row[1] for row in train}),
        len(pairs & known),
        len(twins),
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdefg"), st.integers(0, 9), st.sampled_from([0, 1, 2])),
        max_size=25,
    )
)
@settings(max_examples=60, deadline=None)
def test_all_numbers_are_those_of_their_definition(rows):
    rows = [*rows, ("u", "a", 5, TRAIN), ("x", "b", 5, TEST)]
    named = {row[1] for row in rows}
    titles = {item: title for item, title in TITLES.items() if item in named}
    found = leaks(split_of(rows, titles=titles), same_item="title")
    shares = (found.later, found.unknown_users, found.unknown_items, found.seen_pairs, found.near_duplicates)
    assert tuple(share.n for share in shares) == by_definition(rows, titles)


def test_films_that_ml_100k_has_twice_are_found(real_data):
    interactions = ML100K(ML100KConfig(path=str(real_data / "ml-100k"))).load()
    split = LeaveOneOut(LeaveOneOutConfig()).apply(interactions)
    found = leaks(split, same_item="title")
    titles = interactions.features.items.text("title")
    assert len(titles) - len(set(titles)) == 1682 - 1664
    known = {}
    for user, item in zip(split.train.users.tolist(), split.train.items.tolist()):
        known.setdefault((user, titles[item]), set()).add(item)
    asked = zip(split.test.users.tolist(), split.test.target.items.tolist())
    assert found.near_duplicates.n == sum(bool(known.get((user, titles[item]), set()) - {item}) for user, item in asked)
    assert found.near_duplicates.n > 0
    assert (found.seen_pairs, found.unknown_users) == (Share(0, 943), Share(0, 943))
    assert found.later.n == int((split.train.timestamps > split.test.timestamps.min()).sum()) > 0
