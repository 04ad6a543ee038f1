"""Ids and indices, the canonical order, ragged rows."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.data import Features, Histories, Holdout, Interactions, Split, Vocabulary, feature_table
from recbench.data.grouping import order_by
from recbench.errors import DataError, EmptyDatasetError

SETTINGS = settings(max_examples=60, deadline=None)
ROWS = [("b", "x", 4.0, 30), ("a", "y", 3.5, 20), ("a", "x", 5.0, 20), ("a", "z", 1.0, 10)]


def frame(rows=ROWS, columns=("user", "item", "rating", "timestamp")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def refuses(table: pd.DataFrame, message: str, kind=DataError, **options):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        Interactions.from_frame(table, **options)


# Vocabulary


@SETTINGS
@given(ids=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), min_size=1, max_size=20))
def test_vocabulary_sorts_by_utf_8_bytes_and_translates_both_ways(ids):
    vocabulary = Vocabulary(ids, "user")
    assert [name.encode() for name in vocabulary.ids] == sorted({name.encode() for name in ids})
    assert vocabulary.names(vocabulary.indices(ids)).tolist() == ids
    assert all(name in vocabulary for name in ids)
    assert len(vocabulary) == len(set(ids))


def test_vocabulary_order_does_not_follow_the_input():
    assert Vocabulary(["10", "9", "é", "z", "\U0001f600", "\uffff"], "item").ids.tolist() == [
        "10", "9", "z", "é", "\uffff", "\U0001f600",
    ]  # fmt: skip


def test_unknown_ids_are_named_with_the_nearest():
    vocabulary = Vocabulary(["u0001", "u0002"], "user")
    assert "u3" not in vocabulary
    with pytest.raises(DataError, match=re.escape("no user 'u00022' among the 2 users. Did you mean 'u0002'?")):
        vocabulary.indices(["u0001", "u00022"])
    with pytest.raises(DataError, match="^no user '7' among the 2 users. Ids look like 'u0001'.$"):
        vocabulary.indices(["7"])


def test_names_keep_the_shape_of_the_indices():
    assert Vocabulary(["a", "b"], "item").names(np.array([[1, 0], [0, 0]])).tolist() == [["b", "a"], ["a", "a"]]


# Interactions


def test_canonical_order_is_user_then_time_then_item():
    interactions = Interactions.from_frame(frame())
    assert interactions.user_vocabulary.ids.tolist() == ["a", "b"]
    assert interactions.item_vocabulary.ids.tolist() == ["x", "y", "z"]
    assert interactions.users.tolist() == [0, 0, 0, 1]
    assert interactions.items.tolist() == [2, 0, 1, 0]
    assert interactions.ratings.tolist() == [1.0, 5.0, 3.5, 4.0]
    assert interactions.timestamps.tolist() == [10, 20, 20, 30]
    assert interactions.ratings.dtype == torch.float32
    assert (interactions.users.dtype, interactions.items.dtype, interactions.timestamps.dtype) == (torch.int64,) * 3


def test_without_timestamps_the_order_of_the_file_counts():
    forward, backward = frame()[["user", "item"]], frame(ROWS[::-1])[["user", "item"]]
    assert Interactions.from_frame(forward).items.tolist() == [1, 0, 2, 0]
    assert Interactions.from_frame(backward).items.tolist() == [2, 0, 1, 0]
    assert Interactions.from_frame(forward).fingerprint != Interactions.from_frame(backward).fingerprint


@SETTINGS
@given(order=st.permutations(range(4)))
def test_with_timestamps_the_order_of_the_file_changes_nothing(order):
    shuffled = frame([ROWS[place] for place in order])
    assert Interactions.from_frame(shuffled).fingerprint == Interactions.from_frame(frame()).fingerprint


@pytest.mark.parametrize("row", [("c", "x", 4.0, 30), ("b", "z", 4.0, 30), ("b", "x", 4.5, 30), ("b", "x", 4.0, 31)])
def test_every_column_counts_in_the_fingerprint(row):
    changed = Interactions.from_frame(frame([row, *ROWS[1:]]))
    assert changed.fingerprint != Interactions.from_frame(frame()).fingerprint


def test_an_absent_column_is_not_a_column_of_zeros():
    zeros = frame([(user, item, 0.0, 0) for user, item, _, _ in ROWS])
    without = {Interactions.from_frame(zeros.drop(columns=name)).fingerprint for name in ("rating", "timestamp")}
    assert len(without | {Interactions.from_frame(zeros).fingerprint}) == 3


def test_whole_numbers_as_ids_are_opaque_strings():
    table = frame([(10, 2**62 + 1), (9, -1)], ("user", "item"))
    interactions = Interactions.from_frame(table)
    assert interactions.user_vocabulary.ids.tolist() == ["10", "9"]
    assert interactions.item_vocabulary.ids.tolist() == ["-1", str(2**62 + 1)]


def test_timestamps_keep_every_bit():
    times = [2**63 - 1, -(2**63)]
    table = pd.DataFrame({"user": ["a", "b"], "item": ["x", "x"], "timestamp": times})
    assert Interactions.from_frame(table).timestamps.tolist() == times
    table = table.assign(timestamp=[2.0**53 - 1, 1 - 2.0**53])
    assert Interactions.from_frame(table).timestamps.tolist() == [2**53 - 1, 1 - 2**53]


def test_columns_of_other_names_and_left_out_ones():
    table = frame(ROWS, ("who", "what", "stars", "when"))
    interactions = Interactions.from_frame(table, user="who", item="what", rating="stars", timestamp=None)
    assert interactions.ratings is not None
    assert interactions.timestamps is None


def test_the_table_is_not_changed():
    table, before = frame(), frame()
    Interactions.from_frame(table).ratings.zero_()
    pd.testing.assert_frame_equal(table, before)


def test_refused_tables():
    refuses(frame().drop(columns="item"), "no column 'item' for the item; the table has: user, rating, timestamp.")
    refuses(frame([]), "the table has no rows.", EmptyDatasetError)
    refuses(frame([("a", "x"), (None, "y")], ("user", "item")), "row 1: the user id is missing.")
    refuses(frame([("a", "x"), ("b", "")], ("user", "item")), "row 1: the item id is empty.")
    refuses(
        frame([(1.0, "x")], ("user", "item")),
        "the user ids are fractions (1.0, ...): ids are opaque; read the column as text or as whole numbers.",
    )
    for bad in (float("nan"), float("inf")):
        refuses(frame([ROWS[0], ("a", "x", bad, 1)]), f"row 1: the rating is {bad}; it should be a finite number.")
    refuses(frame([("a", "x", 1, 0.5)]), "row 0: the timestamp 0.5 should be a whole number.")
    for beyond in (1e300, -1e300):
        refuses(
            frame([ROWS[0], ("a", "x", beyond, 1)]),
            f"row 1: the rating {beyond} should lie between -3.4e+38 and 3.4e+38.",
        )
    refuses(
        frame([("a", "x", 1, 2.0**53)]),
        f"row 0: the timestamp {2.0**53} should be below 2**53, or come in a column of integers.",
    )
    refuses(
        frame([("a", "x", 1, 2**63)]),
        f"row 0: the timestamp {2**63} should be at most {2**63 - 1}.",
    )
    refuses(frame([("a", "x", "good", 1)]), "the column 'rating' (rating) holds 'good': it should be numbers.")
    refuses(
        frame([("a", "x", 4, 1), ("a", "y", "good", 1)]),
        "the column 'rating' (rating) holds 'good': it should be numbers.",
    )
    refuses(
        frame([("a", "x", 0), ("a", "y", 256)], ("user", "item", "part")),
        "row 1: the part is 256; it should be 0 (train), 1 (valid) or 2 (test).",
        part="part",
    )
    refuses(
        frame([*ROWS, ("a", "x", 1.0, 99), ("b", "x", 1.0, 99)]),
        "user 'a' and item 'x' occur together more than once (2 rows too many). Keep one: "
        "dataset.duplicates=last or first, or frame.drop_duplicates(['user', 'item']).",
    )


def test_whole_numbers_beyond_float_precision_survive_as_timestamps():
    table = frame([("a", "x", 1.0, 2**53 + 1)])
    assert Interactions.from_frame(table).timestamps.tolist() == [2**53 + 1]


def test_select_keeps_the_vocabularies_whole():
    interactions = Interactions.from_frame(frame())
    chosen = interactions.select(torch.tensor([True, False, False, False]))
    assert (len(chosen), chosen.n_users, chosen.n_items) == (1, 2, 3)
    assert chosen.popularity.tolist() == [0, 0, 1]
    assert chosen.histories.counts.tolist() == [1, 0]
    assert interactions.popularity.tolist() == [2, 1, 1]
    assert chosen.fingerprint != interactions.fingerprint


def test_histories_of_interactions_hold_ratings_in_order_of_time():
    histories = Interactions.from_frame(frame()).histories
    assert histories.offsets.tolist() == [0, 3, 4]
    assert histories.items.tolist() == [2, 0, 1, 0]
    assert histories.values.tolist() == [1.0, 5.0, 3.5, 4.0]


def test_features_default_to_none():
    features = Interactions.from_frame(frame()).features
    assert (features.users, features.items) == (None, None)
    frame_of_items = pd.DataFrame({"item": ["x", "y", "z"], "title": ["X", "Y", "Z"]})
    items = feature_table(frame_of_items, Vocabulary(["x", "y", "z"], "item"))
    assert Interactions.from_frame(frame(), features=Features(items=items)).features.items is items


# Histories

RAGGED = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


def ragged(lists: list[list[int]]) -> Histories:
    rows = torch.tensor([row for row, items in enumerate(lists) for _ in items], dtype=torch.int64)
    items = torch.tensor([item for items in lists for item in items], dtype=torch.int64)
    return Histories.from_pairs(rows, items, len(lists), items.float() / 2)


def lists_of(histories: Histories) -> list[list[int]]:
    ends = histories.offsets.tolist()
    return [histories.items[start:end].tolist() for start, end in zip(ends, ends[1:])]


@SETTINGS
@given(lists=RAGGED, data=st.data())
def test_rows_are_taken_in_any_order_with_empty_ones_for_negative_indices(lists, data):
    histories = ragged(lists)
    index = data.draw(st.lists(st.integers(-2, len(lists) - 1), max_size=8))
    taken = histories.rows(torch.tensor(index, dtype=torch.int64))
    assert lists_of(histories) == lists
    assert lists_of(taken) == [lists[row] if row >= 0 else [] for row in index]
    assert taken.counts.tolist() == [len(row) for row in lists_of(taken)]
    assert taken.values.tolist() == [item / 2 for row in lists_of(taken) for item in row]
    assert taken.row_of_each().tolist() == [place for place, row in enumerate(lists_of(taken)) for _ in row]


@SETTINGS
@given(lists=RAGGED, data=st.data())
def test_a_slice_of_rows_is_those_rows(lists, data):
    histories = ragged(lists)
    first = data.draw(st.integers(0, len(lists)))
    last = data.draw(st.integers(first, len(lists)))
    taken, wanted = histories.rows(slice(first, last)), histories.rows(torch.arange(first, last))
    for name in ("offsets", "items", "values"):
        assert torch.equal(getattr(taken, name), getattr(wanted, name))


@SETTINGS
@given(lists=RAGGED)
def test_mask_is_true_where_the_row_holds_the_item(lists):
    mask = ragged(lists).mask(10)
    assert mask.tolist() == [[item in row for item in range(10)] for row in lists]


@SETTINGS
@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=12))
def test_pairs_are_grouped_and_keep_their_order(pairs):
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    items = torch.tensor([item for _, item in pairs], dtype=torch.int64)
    histories = Histories.from_pairs(rows, items, 5)
    assert lists_of(histories) == [[item for owner, item in pairs if owner == row] for row in range(5)]
    assert histories.values is None


@pytest.mark.parametrize("n_rows", [2**16, 2**16 + 1], ids=["of 16 bits", "of more"])
def test_rows_of_large_numbers_are_grouped(n_rows):
    last = n_rows - 1
    rows, items = torch.tensor([last, 2, last, 255, 256, 2]), torch.tensor([0, 1, 2, 3, 4, 5])
    histories = Histories.from_pairs(rows, items, n_rows, items.float())
    assert histories.items.tolist() == histories.values.tolist() == [1, 5, 3, 4, 0, 2]
    assert histories.offsets[[2, 3, 255, 256, 257, last, n_rows]].tolist() == [0, 2, 2, 3, 4, 4, 6]


def test_a_row_above_all_is_refused():
    with pytest.raises(IndexError) as error:
        Histories.from_pairs(torch.tensor([2**16 + 1, 1, 0]), torch.tensor([9, 8, 7]), 3)
    assert str(error.value) == "row 65537, counted from 0, of 3."


@pytest.mark.parametrize("n_rows", [300, 2**16 + 1])
def test_many_equal_rows_stay_in_turn(n_rows):
    rows = torch.randint(300, (5000,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(order_by(rows, n_rows), rows.argsort(stable=True))


def test_a_fingerprint_does_not_depend_on_how_columns_lie_in_memory():
    pairs = torch.tensor([[0, 1], [0, 0], [1, 1]])
    names = Vocabulary(["a", "b"], "user"), Vocabulary(["x", "y"], "item")
    beside, apart = (
        Interactions(pairs[:, 0].clone(), pairs[:, 1].clone(), *names),
        Interactions(pairs[:, 0], pairs[:, 1], *names),
    )
    assert beside.fingerprint == apart.fingerprint


def test_items_whose_rows_are_in_order_are_not_copied():
    rows, items = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([4, 1, 3, 0, 4])
    assert Histories.from_pairs(rows, items, 3).items.data_ptr() == items.data_ptr()
    assert lists_of(Histories.from_pairs(rows, items, 4)) == [[4, 1], [], [3, 0, 4], []]


# Split


def test_holdouts_by_hand():
    rows = [("a", "v", 1), ("a", "w", 2), ("a", "x", 3), ("a", "y", 4), ("b", "v", 1), ("b", "y", 2), ("c", "z", 1)]
    interactions = Interactions.from_frame(frame(rows, ("user", "item", "timestamp")))
    parts = torch.tensor([0, 1, 2, 2, 0, 1, 0])
    split = Split.from_parts(interactions, parts)
    assert (len(split.train), split.train.n_users, split.train.n_items) == (3, 3, 5)

    def shown(holdout: Holdout):
        return holdout.users.tolist(), lists_of(holdout.history), lists_of(holdout.target), holdout.n_without_target

    assert shown(split.valid) == ([0, 1], [[0], [0]], [[1], [3]], 1)
    assert shown(split.test) == ([0], [[0, 1]], [[2, 3]], 2)
    assert split.valid.candidates is None


def test_split_fingerprint_depends_on_the_data_and_the_parts():
    one, other = Interactions.from_frame(frame()), Interactions.from_frame(frame([("b", "x", 4.5, 30), *ROWS[1:]]))
    parts = [torch.tensor([0, 0, 0, 2]), torch.tensor([0, 0, 2, 0])]
    prints = {Split.from_parts(data, part).fingerprint for data in (one, other) for part in parts}
    assert len(prints) == 4
    assert Split.from_parts(one, parts[0].to(torch.int8)).fingerprint == Split.from_parts(one, parts[0]).fingerprint
