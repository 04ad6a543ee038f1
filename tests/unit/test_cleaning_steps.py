"""Each step of cleaning by hand, and the k-core against a naive loop."""

import math
import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.cleaning import registry
from recbench.cleaning.run import clean, clean_after_split
from recbench.cleaning.times import oddities
from recbench.data import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.errors import ConfigError, DataError, EmptyDatasetError


def refuses(message, make, kind=ConfigError):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        make()


def step(name, **options):
    return registry.entry(name).configure(options)


def table(text, *columns):
    """Return a table of lines ``user item [rating] [timestamp]``; a dash is a missing value."""
    rows = [line.split() for line in text.strip().splitlines()]
    frame = pd.DataFrame(rows, columns=["user", "item", *columns])
    for name in columns:
        frame[name] = pd.to_numeric(frame[name].replace("-", None)).astype("float64")
    if "timestamp" in columns:
        frame["timestamp"] = frame["timestamp"].astype("Int64" if frame["timestamp"].isna().any() else "int64")
    return frame


def cleaned(frame, name, **options):
    """Return the indices of the rows that one step keeps, and its stage."""
    result = clean(frame, [step(name, **options)])
    return result.table.index.tolist(), result.stages[0]


# Repeated pairs

REPEATED = table("a x 1 20\na y 2 10\na x 3 10\nb x 5 5\na x 4 20", "rating", "timestamp")


@pytest.mark.parametrize(("keep", "rows"), [("last", [1, 3, 4]), ("first", [1, 2, 3]), ("keep", [0, 1, 2, 3, 4])])
def test_duplicates_go_by_time_then_by_place(keep, rows):
    kept, stage = cleaned(REPEATED, "duplicates", keep=keep)
    assert kept == rows
    assert stage.details == ({"rows that repeat a pair": 2} if keep == "keep" else {})


@pytest.mark.parametrize(("keep", "rows"), [("last", [1, 3, 4]), ("first", [0, 1, 3])])
def test_duplicates_without_time_go_by_place(keep, rows):
    assert cleaned(REPEATED.drop(columns="timestamp"), "duplicates", keep=keep)[0] == rows


def test_duplicates_summed():
    kept = clean(REPEATED, [step("duplicates", keep="sum")]).table
    assert kept.index.tolist() == [1, 3, 4]
    assert kept["rating"].tolist() == [2, 5, 1 + 3 + 4]
    assert kept["timestamp"].tolist() == [10, 5, 20]


def test_duplicates_as_an_error():
    refuses(
        "user 'a' and item 'x' occur together more than once (2 rows too many). Say what becomes of repeats: "
        "dataset.duplicates=last, first, sum or keep.",
        lambda: cleaned(REPEATED, "duplicates", keep="error"),
        DataError,
    )
    assert cleaned(REPEATED[:2], "duplicates", keep="error")[0] == [0, 1]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 3)), min_size=1, max_size=20))
def test_duplicates_agree_with_pandas(rows):
    frame = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    by_time = frame.sort_values("timestamp", kind="stable")
    for keep in ("last", "first"):
        wanted = by_time.drop_duplicates(["user", "item"], keep=keep).index.sort_values().tolist()
        assert cleaned(frame, "duplicates", keep=keep)[0] == wanted


# Missing values

HOLES = table("a x 1 20\na y - 10\nb x 3 -\nb y - -\nc x 5 7", "rating", "timestamp")


def test_missing_rows_are_left_out_and_counted():
    kept, stage = cleaned(HOLES, "missing", rating="drop", timestamp="drop")
    assert kept == [0, 4]
    assert stage.details == {"rating is missing": 2, "timestamp is missing": 2}
    assert cleaned(HOLES, "missing", rating="drop")[0] == [0, 2, 4]
    timed = clean(HOLES, [step("missing", timestamp="drop")]).table
    assert (timed.index.tolist(), timed["timestamp"].dtype) == ([0, 1, 4], "int64")


def test_missing_ratings_become_a_constant():
    result = clean(HOLES, [step("missing", rating="constant", value=2.5)])
    assert result.table["rating"].tolist() == [1, 2.5, 3, 2.5, 5]
    assert result.stages[0].details == {"rating is missing": 2}


def test_steps_that_meet_missing_values_say_what_goes_before():
    refuses(
        "the cleaning step rating(min=2.0) reads ratings, and 2 of 5 are missing. Put the step missing with "
        "rating=drop in front of it.",
        lambda: cleaned(HOLES, "rating", min=2),
    )
    refuses(
        "the cleaning step duplicates(keep=last) reads timestamps, and 2 of 5 are missing. Put the step missing with "
        "timestamp=drop in front of it.",
        lambda: cleaned(HOLES, "duplicates"),
    )
    assert cleaned(HOLES, "duplicates", keep="keep")[0] == [0, 1, 2, 3, 4]


# Thresholds

RATED = table("a x 1\na y 2\nb x 3\nb y 4\nc x 5", "rating")


def test_rating_bounds_are_included():
    assert cleaned(RATED, "rating", min=2, max=4)[0] == [1, 2, 3]
    assert cleaned(RATED, "rating", max=2)[0] == [0, 1]
    kept, stage = cleaned(RATED, "rating", min=4)
    assert kept == [3, 4]
    assert stage.details == {"lowest rating": 1, "highest rating": 5}
    assert str(stage) == (
        "rating(min=4.0): leaves out 3 of 5 interactions; 2 users and 2 items are left "
        "(lowest rating: 1.0, highest rating: 5.0)"
    )


def test_binarised_ratings_are_no_ratings():
    done = clean(RATED, [step("rating", min=2, max=4, binarise=True)])
    assert done.table.index.tolist() == [1, 2, 3] and "rating" not in done.table.columns
    assert str(done.stages[0]) == (
        "rating(min=2.0, max=4.0, binarise): leaves out 2 of 5 interactions; 2 users and 2 items are left "
        "(lowest rating: 1.0, highest rating: 5.0)"
    )
    everything = clean(RATED, [step("rating", binarise=True)]).table
    assert len(everything) == len(RATED)
    assert Interactions.from_frame(everything).ratings is None
    refuses(
        "the cleaning step rating(binarise) needs ratings, and the data has none. Leave it out.",
        lambda: clean(RATED.drop(columns="rating"), [step("rating", binarise=True)]),
    )


CHAIN = table("a x\na y\nb y\nb z\nc z\nd z\nd y")


def test_min_counts_are_counted_once():
    # c has 1 interaction, x has 1: both go at once. a then has 1 left, and stays.
    kept, stage = cleaned(CHAIN, "min_counts", users=2, items=2)
    assert kept == [1, 2, 3, 5, 6]
    assert (stage.before.n_users, stage.before.n_items, stage.after.n_users, stage.after.n_items) == (4, 3, 3, 2)
    assert cleaned(CHAIN, "min_counts", users=2)[0] == [0, 1, 2, 3, 5, 6]
    assert cleaned(CHAIN, "min_counts", items=3)[0] == [1, 2, 3, 4, 5, 6]


def test_k_core_goes_on_until_nobody_has_too_few():
    kept, stage = cleaned(CHAIN, "k_core", users=2, items=2)
    assert kept == [2, 3, 5, 6]  # First c and x, then a.
    assert stage.details == {"rounds": 2}
    assert cleaned(CHAIN, "k_core", users=1)[1].details == {"rounds": 0}


def naive_core(pairs, users, items):
    """Return the rows of the core, by leaving out one row at a time."""
    rows = list(range(len(pairs)))
    while True:
        for row in rows:
            n_user = sum(pairs[other][0] == pairs[row][0] for other in rows)
            n_item = sum(pairs[other][1] == pairs[row][1] for other in rows)
            if n_user < users or n_item < items:
                rows.remove(row)
                break
        else:
            return rows


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30, unique=True),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_k_core_is_the_largest_fixed_point(pairs, users, items):
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    wanted = naive_core(pairs, users, items)
    if not wanted:
        with pytest.raises(EmptyDatasetError):
            cleaned(frame, "k_core", users=users, items=items)
        return
    kept, _ = cleaned(frame, "k_core", users=users, items=items)
    assert kept == wanted
    again, stage = cleaned(frame.loc[kept], "k_core", users=users, items=items)
    assert (again, stage.details) == (kept, {"rounds": 0})


# Time

TIMED = table("a x 0\na y 86399\nb x 86400\nb y 172800", "timestamp")


def test_time_window_is_half_open_in_seconds_or_dates():
    kept, stage = cleaned(TIMED, "time_window", start=86_400, end=172_800)
    assert kept == [2]
    assert stage.details == {"before": 2, "after": 1}
    assert cleaned(TIMED, "time_window", start="1970-01-02", end="1970-01-03")[0] == [2]
    assert cleaned(TIMED, "time_window", end="1970-01-02T00:00:00")[0] == [0, 1]
    assert cleaned(TIMED, "time_window", start="1970-01-02T01:00:00+01:00")[0] == [2, 3]
    assert stage.name == "time_window(start=86400, end=172800)"


def test_dates_without_a_zone_are_utc(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert step("time_window", start="1970-01-02").seconds == (86_400, None)
    time.tzset()


def test_time_window_needs_times():
    refuses(
        "the cleaning step time_window(start=1) needs timestamps, and the data has none. Leave it out.",
        lambda: cleaned(CHAIN, "time_window", start=1),
    )
    refuses(
        "the cleaning step time_window(start=1) needs times, and the timestamps of this data are ranks, the order "
        "within each user. Leave it out.",
        lambda: clean(TIMED, [step("time_window", start=1)], time="rank"),
    )


# A sample

CROWD = pd.DataFrame({"user": [f"u{number}" for number in range(40)] * 2, "item": ["x"] * 40 + ["y"] * 40})


def test_sample_users_takes_whole_users():
    kept = clean(CROWD, [step("sample_users", n=7)]).table
    assert kept["user"].value_counts().loc[lambda count: count > 0].tolist() == [2] * 7
    assert len(clean(CROWD, [step("sample_users", share=0.27)]).table) == 2 * math.floor(0.27 * 40 + 0.5) == 2 * 11


def test_sample_users_depends_on_seed_and_users_alone():
    def drawn(frame, **options):
        return set(clean(frame, [step("sample_users", n=10, **options)]).table["user"])

    assert drawn(CROWD) == drawn(CROWD[::-1]) == drawn(CROWD.sample(frac=1, random_state=3))
    categorical = CROWD.assign(user=pd.Categorical(CROWD["user"], categories=["nobody", *CROWD["user"].unique()[::-1]]))
    assert drawn(CROWD) == drawn(categorical)
    assert drawn(CROWD) != drawn(CROWD, seed=1)


def test_sample_users_more_than_there_are():
    refuses(
        "the cleaning step sample_users: n = 41, but there are only 40 users.",
        lambda: cleaned(CROWD, "sample_users", n=41),
    )


# Normalisation


def split_ratings(ratings, parts):
    """Return interactions from (user, item, rating) with their parts, in the canonical order."""
    frame = pd.DataFrame(ratings, columns=["user", "item", "rating"]).assign(part=TRAIN)
    interactions = Interactions.from_frame(frame)
    return interactions, torch.tensor(parts, dtype=torch.int8)


# a: 1, 5 and c: 4, 4 in training; b in test alone.
RATINGS = [("a", "x", 1.0), ("a", "y", 5.0), ("a", "z", 2.0), ("b", "x", 3.0), ("c", "x", 4.0), ("c", "y", 4.0)]
PARTS = [TRAIN, TRAIN, TEST, TEST, TRAIN, TRAIN]
OVERALL = [1, 5, 4, 4]


@pytest.mark.parametrize(
    ("by", "to", "offset", "factor"),
    [
        ("user", "mean", [3, np.mean(OVERALL), 4], [1, 1, 1]),
        ("user", "z_score", [3, np.mean(OVERALL), 4], [2, np.std(OVERALL), 1]),
        ("user", "min_max", [1, 1, 4], [5 - 1, 5 - 1, 1]),
        ("item", "mean", [(1 + 4) / 2, (5 + 4) / 2, np.mean(OVERALL)], [1, 1, 1]),
        ("item", "z_score", [(1 + 4) / 2, (5 + 4) / 2, np.mean(OVERALL)], [(4 - 1) / 2, (5 - 4) / 2, np.std(OVERALL)]),
        ("all", "z_score", [np.mean(OVERALL)], [np.std(OVERALL)]),
        ("all", "min_max", [1], [5 - 1]),
    ],
)
def test_normalise_by_hand(by, to, offset, factor):
    interactions, parts = split_ratings(RATINGS, PARTS)
    finished = clean_after_split(interactions, parts, [step("normalise", by=by, to=to)])
    scale = finished.interactions.scale
    assert scale.of == by
    assert scale.offset.tolist() == pytest.approx(offset)
    assert scale.factor.tolist() == pytest.approx(factor)
    assert torch.equal(finished.parts, parts)
    rows = {"user": [0, 0, 0, 1, 2, 2], "item": [0, 1, 2, 0, 0, 1], "all": [0] * 6}[by]
    wanted = [(rating - offset[row]) / factor[row] for (_, _, rating), row in zip(RATINGS, rows)]
    assert finished.interactions.ratings.tolist() == pytest.approx(wanted)
    (stage,) = finished.interactions.provenance
    assert stage.name == f"normalise(by={by}, to={to}) (training part)"
    assert stage.details == ({} if by == "all" else {f"{by}s without a training rating": 1})


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_normalisation_inverts_and_knows_no_held_out_rating(data):
    n = data.draw(st.integers(2, 20))
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), min_size=2, max_size=n, unique=True)
    )
    stars = st.integers(1, 10).map(lambda half: half / 2)
    ratings = data.draw(st.lists(stars, min_size=len(pairs), max_size=len(pairs)))
    others = data.draw(st.lists(stars, min_size=len(pairs), max_size=len(pairs)))
    held = data.draw(st.lists(st.sampled_from([TRAIN, TEST, VALID, FOLD_IN]), min_size=len(pairs), max_size=len(pairs)))
    held[0] = TRAIN
    by = data.draw(st.sampled_from(["user", "item", "all"]))
    to = data.draw(st.sampled_from(["mean", "z_score", "min_max"]))

    def normalised(values):
        rows = [(*pair, value) for pair, value in zip(pairs, values)]
        # The part by row, through the canonical order of the interactions.
        interactions, _ = split_ratings(rows, held)
        order = sorted(range(len(pairs)), key=lambda row: pairs[row][0])
        parts = torch.tensor([held[row] for row in order], dtype=torch.int8)
        return interactions, parts, clean_after_split(interactions, parts, [step("normalise", by=by, to=to)])

    before, parts, finished = normalised(ratings)
    after = finished.interactions
    back = after.scale.invert(after.users, after.items, after.ratings)
    assert torch.allclose(back, before.ratings, rtol=0, atol=1e-6)
    changed = [value if part == TRAIN else other for value, other, part in zip(ratings, others, held)]
    canary = normalised(changed)[2].interactions
    assert torch.equal(canary.ratings[parts == TRAIN], after.ratings[parts == TRAIN])
    assert torch.equal(canary.scale.offset, after.scale.offset)
    assert torch.equal(canary.scale.factor, after.scale.factor)


def test_normalise_needs_ratings():
    interactions = Interactions.from_frame(CHAIN)
    parts = torch.zeros(len(interactions), dtype=torch.int8)
    refuses(
        "the cleaning step normalise(by=user, to=mean) (training part) needs ratings, and the data has none. "
        "Leave it out.",
        lambda: clean_after_split(interactions, parts, [step("normalise")]),
    )


# After the split


def test_steps_after_the_split_shorten_training_alone():
    interactions = Interactions.from_frame(CHAIN)  # a: x y, b: y z, c: z, d: z y, each in the order of the file.
    parts = torch.tensor([TRAIN, TRAIN, TRAIN, TEST, TRAIN, TRAIN, VALID], dtype=torch.int8)
    finished = clean_after_split(interactions, parts, [step("min_counts", users=2, after_split=True)])
    # Of the training part a has 2, b, c and d have 1.
    assert finished.parts.tolist() == [TRAIN, TRAIN, UNUSED, TEST, UNUSED, UNUSED, VALID]
    assert finished.parts.dtype == torch.int8
    assert [str(stage) for stage in finished.interactions.provenance] == [
        "min_counts(users=2) (training part): leaves out 3 of 5 interactions; 1 users and 2 items are left"
    ]
    assert parts.tolist().count(UNUSED) == 0


def test_steps_after_the_split_see_what_the_ones_before_left():
    interactions, parts = split_ratings(RATINGS, PARTS)
    threshold = step("rating", min=4, after_split=True)
    finished = clean_after_split(interactions, parts, [threshold, step("normalise", by="all")])
    assert finished.parts.tolist() == [UNUSED, TRAIN, TEST, TEST, TRAIN, TRAIN]
    assert finished.interactions.scale.offset.tolist() == pytest.approx([(5 + 4 + 4) / 3])
    finished = clean_after_split(interactions, parts, [step("normalise"), step("rating", min=0, after_split=True)])
    assert finished.parts.tolist() == [UNUSED, TRAIN, TEST, TEST, TRAIN, TRAIN]


def test_nothing_left_to_train_on():
    interactions = Interactions.from_frame(CHAIN)
    parts = torch.tensor([TRAIN, TRAIN, TEST, TEST, TEST, TEST, TEST], dtype=torch.int8)
    refuses(
        "min_counts(users=3) (training part) leaves no interaction. What each step left:\n"
        "  min_counts(users=3) (training part): leaves out 2 of 2 interactions; 0 users and 0 items are left",
        lambda: clean_after_split(interactions, parts, [step("min_counts", users=3, after_split=True)]),
        EmptyDatasetError,
    )


# Timestamps that look wrong

NOW = 1_700_000_000


def found(*timestamps):
    return list(oddities(np.array(timestamps, dtype=np.int64), NOW))


def test_usual_timestamps_are_nothing_to_talk_of():
    assert found(0, 881_250_949, NOW + 86_400) == []


@pytest.mark.parametrize(("factor", "unit"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")])
def test_finer_units_are_named(factor, unit):
    assert found(881_250_949 * factor, 881_250_950 * factor) == [
        f"all timestamps look like {unit}, e.g. {881_250_950 * factor}. They are kept as they are; write them all in "
        "seconds where time matters."
    ]


def test_mixed_negative_and_future_timestamps():
    assert found(881_250_949, 881_250_949_000, -5, NOW + 86_401) == [
        "1 of 4 timestamps look like milliseconds, e.g. 881250949000, and the others like seconds: they are in mixed "
        "units. They are kept as they are; write them all in seconds where time matters.",
        "1 of 4 timestamps are negative, before 1970, e.g. -5. They are kept as they are; a step time_window leaves "
        "them out.",
        f"1 of 4 timestamps lie in the future, e.g. {NOW + 86_401}. They are kept as they are; a step time_window "
        "leaves them out.",
    ]
