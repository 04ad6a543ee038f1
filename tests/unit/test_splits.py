"""Splits partition, never leak, and hold out what their protocol says."""

import math
import re

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import splits
from recbench.data import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.errors import ConfigError, EmptyDatasetError

SETTINGS = settings(max_examples=60, deadline=None)
PAIRS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=1, max_size=60)
SPLITS = {
    "random": {},
    "random global": {"scope": "global"},
    "random rounded down": {"rounding": "down"},
    "leave_one_out": {},
    "leave_one_out without validation": {"valid": False},
    "leave_one_out at random": {"by": "random", "seed": 3},
    "leave_k_out": {"k": 2},
    "global_time": {"test": 0.4, "valid": 0.3},
    "global_time in windows": {"test": 0.7, "valid": 0.0, "n_windows": 2, "window": 0},
    "user_disjoint": {"test_users": 2, "valid_users": 2, "fold_in": 0.5, "min_fold_in": 2},
    "k_fold": {"folds": 3, "fold": 1},
    "k_fold global": {"folds": 3, "fold": 2, "scope": "global"},
    "k_fold by users": {"folds": 3, "by": "users", "fold_in": 0.5, "min_fold_in": 2, "valid": 0.3},
    "fixed": {"valid": 0.3},
    "none": {},
}


def table(pairs, seed: int = 0, parts: bool = False) -> Interactions:
    """Interactions with drawn ratings and times (with ties), in drawn order, and all but a few in training."""
    draw = torch.Generator().manual_seed(seed)
    pairs = sorted(pairs)
    n = len(pairs)
    frame = pd.DataFrame(
        {
            "user": [f"u{user}" for user, _ in pairs],
            "item": [f"i{item}" for _, item in pairs],
            "rating": torch.randint(1, 6, (n,), generator=draw).double().numpy(),
            "timestamp": torch.randint(0, 5, (n,), generator=draw).numpy(),
            "part": (torch.rand(n, generator=draw) < 0.2).long().numpy() * TEST,
        }
    )
    frame = frame.iloc[torch.randperm(n, generator=draw).numpy()]
    return Interactions.from_frame(frame, part="part" if parts else None)


def by_user(interactions: Interactions, parts: torch.Tensor) -> list[list[int]]:
    """For each user the parts of the interactions, in canonical order."""
    return [parts[interactions.users == user].tolist() for user in range(interactions.n_users)]


def named(users: torch.Tensor, items: torch.Tensor, of: Interactions) -> list[tuple[str, str]]:
    """The pairs by their ids, sorted: the cut may have made the vocabulary of items smaller."""
    ids = of.user_vocabulary.names(users.numpy()), of.item_vocabulary.names(items.numpy())
    return sorted(zip(*(column.tolist() for column in ids)))


@pytest.mark.parametrize("name", SPLITS)
@SETTINGS
@given(pairs=PAIRS, seed=st.integers(0, 100))
def test_every_split_partitions_and_masks_what_is_known(name, pairs, seed):
    interactions = table(pairs, seed, parts=name == "fixed")
    splitter = splits.build(name.split()[0], **SPLITS[name])
    try:
        parts = splitter.assign(interactions)
        split = splitter.cut(interactions, parts)
    except (ConfigError, EmptyDatasetError):
        # The data is too small for the protocol; each of these errors has a test of its own.
        return
    assert (parts.dtype, parts.shape) == (torch.int8, (len(interactions),))
    of_part = {
        part: named(interactions.users[parts == part], interactions.items[parts == part], interactions)
        for part in (TRAIN, VALID, TEST, FOLD_IN, UNUSED)
    }
    assert sorted(sum(of_part.values(), [])) == named(interactions.users, interactions.items, interactions)
    assert named(split.train.users, split.train.items, split.train) == of_part[TRAIN]
    assert split.train.n_users == interactions.n_users
    strangers = splitter.folds_in(splitter.config)
    if strangers:
        assert set(split.train.item_vocabulary.ids) == {item for _, item in of_part[TRAIN]}
        assert not {user for user, _ in of_part[TRAIN]} & {user for user, _ in of_part[VALID] + of_part[TEST]}
    else:
        assert split.train.n_items == interactions.n_items
        assert not of_part[FOLD_IN]
    for holdout, part, known in (
        (split.valid, VALID, of_part[TRAIN] + of_part[FOLD_IN]),
        (split.test, TEST, of_part[TRAIN] + of_part[FOLD_IN] + of_part[VALID]),
    ):
        if holdout is None:
            assert not of_part[part]
            continue
        asked = {user for user, _ in of_part[part]}
        target, history = holdout.target, holdout.history
        assert named(holdout.users[target.row_of_each()], target.items, split.train) == of_part[part]
        assert named(holdout.users[history.row_of_each()], history.items, split.train) == sorted(
            pair for pair in known if pair[0] in asked
        )
        assert bool((target.counts > 0).all())
        assert holdout.strangers == strangers
        assert holdout.n_without_target == interactions.n_users - len(asked)


@pytest.mark.parametrize("name", SPLITS)
def test_no_split_depends_on_the_seed_of_the_run(name):
    interactions = table([(user, item) for user in range(12) for item in range(12)], parts=name == "fixed")
    splitter = splits.build(name.split()[0], **SPLITS[name])
    parts = splitter.assign(interactions)
    torch.manual_seed(99)
    assert torch.equal(splitter.assign(interactions), parts)


@pytest.mark.parametrize("name", ["leave_one_out", "leave_k_out", "global_time", "global_time in windows"])
def test_relabelling_permutes_a_split_by_time(name):
    draw = torch.Generator().manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(8), torch.arange(12))[torch.randperm(96, generator=draw)]
    frames = []
    for users, items in (
        (torch.arange(8), torch.arange(12)),
        (torch.randperm(8, generator=draw), torch.randperm(12, generator=draw)),
    ):
        frames.append(
            pd.DataFrame(
                {
                    "user": users[pairs[:, 0]].numpy(),
                    "item": items[pairs[:, 1]].numpy(),
                    "timestamp": torch.arange(96).numpy() * 7,
                }
            )
        )
    splitter = splits.build(name.split()[0], **SPLITS[name])
    in_time = []
    for frame in frames:
        interactions = Interactions.from_frame(frame)
        in_time.append(splitter.assign(interactions)[interactions.timestamps.argsort()])
    assert torch.equal(in_time[0], in_time[1])
    assert len(in_time[0].unique()) > 1


@SETTINGS
@given(pairs=PAIRS, test=st.sampled_from([0.0, 0.1, 0.2, 0.5]), valid=st.sampled_from([0.0, 0.1, 0.5]))
def test_random_takes_the_promised_number_from_each_user(pairs, test, valid):
    interactions = table([*pairs, *((8, item) for item in range(12))])
    parts = splits.build("random", test=test, valid=valid).assign(interactions)
    for user in by_user(interactions, parts):
        n_test = math.floor(test * len(user) + 0.5)
        n_valid = math.floor(valid * (len(user) - n_test) + 0.5)
        assert [user.count(TEST), user.count(VALID)] == [n_test, n_valid]


def test_random_rounded_down_as_recbole_does():
    sizes = (10, 19, 20)
    interactions = table([(user, item) for user, size in enumerate(sizes) for item in range(size)])
    for valid, expected in ((1 / 9, [1, 2, 2]), (0.1, [0, 1, 1])):
        parts = splits.build("random", test=0.1, valid=valid, rounding="down").assign(interactions)
        assert torch.bincount(interactions.users[parts == TEST]).tolist() == [1, 1, 2]
        assert torch.bincount(interactions.users[parts == VALID], minlength=3).tolist() == expected


def test_random_global_takes_the_promised_number_from_all():
    interactions = table([(user, item) for user in range(8) for item in range(12)])
    parts = splits.build("random", scope="global", test=0.3, valid=0.2).assign(interactions)
    n_test = math.floor(0.3 * 96 + 0.5)
    assert torch.bincount(parts.long()).tolist() == [96 - n_test - 13, math.floor(0.2 * (96 - n_test) + 0.5), n_test]
    assert len({tuple(sorted(user)) for user in by_user(interactions, parts)}) > 1


def test_random_is_decided_by_its_seed_alone():
    interactions = table([(user, item) for user in range(8) for item in range(12)])
    parts = splits.build("random").assign(interactions)
    torch.manual_seed(99)
    assert torch.equal(splits.build("random").assign(interactions), parts)
    assert not torch.equal(splits.build("random", seed=1).assign(interactions), parts)
    assert (
        splits.build("random").apply(interactions).fingerprint == splits.build("random").apply(interactions).fingerprint
    )
    assert (
        splits.build("random").apply(interactions).fingerprint
        != splits.build("random", seed=1).apply(interactions).fingerprint
    )


def test_random_test_part_does_not_depend_on_the_share_of_validation():
    interactions = table([(user, item) for user in range(8) for item in range(12)])
    parts = [splits.build("random", valid=valid).assign(interactions) == TEST for valid in (0.0, 0.1, 0.5)]
    assert torch.equal(parts[0], parts[1])
    assert torch.equal(parts[0], parts[2])


def test_random_draws_each_place_equally_often():
    interactions = table([(0, item) for item in range(10)])
    taken = torch.zeros(10)
    n_draws = 2_000
    for seed in range(n_draws):
        taken += splits.build("random", seed=seed).assign(interactions) == TEST
    # Binomial: mean 2000 * 0.2, five standard deviations.
    assert (taken - n_draws * 0.2).abs().max() < 5 * math.sqrt(n_draws * 0.2 * 0.8)


@SETTINGS
@given(pairs=PAIRS, valid=st.booleans(), seed=st.integers(0, 100))
def test_leave_one_out_takes_the_latest(pairs, valid, seed):
    interactions = table(pairs, seed)
    parts = splits.build("leave_one_out", valid=valid).assign(interactions)
    for user in range(interactions.n_users):
        rows = [
            (int(time), interactions.item_vocabulary.ids[item], int(part))
            for time, item, part, owner in zip(
                interactions.timestamps, interactions.items, parts, interactions.users.tolist()
            )
            if owner == user
        ]
        expected = [TRAIN] * len(rows)
        if len(rows) >= 2:
            expected[-1] = TEST
        if len(rows) >= 3 and valid:
            expected[-2] = VALID
        assert [part for _, _, part in sorted(rows)] == expected


def test_leave_one_out_by_hand():
    frame = pd.DataFrame(
        [("a", "x", 9), ("b", "y", 2), ("b", "x", 1), ("c", "z", 3), ("c", "y", 3), ("c", "x", 3), ("c", "w", 4)],
        columns=["user", "item", "timestamp"],
    )
    split = splits.build("leave_one_out").apply(Interactions.from_frame(frame))
    items = split.train.item_vocabulary

    def targets(holdout):
        return [
            (user, items.names(row.numpy()).tolist()) for user, row in zip(holdout.users.tolist(), rows(holdout.target))
        ]

    assert targets(split.test) == [(1, ["y"]), (2, ["w"])]
    assert targets(split.valid) == [(2, ["z"])]
    assert [items.names(row.numpy()).tolist() for row in rows(split.test.history)] == [["x"], ["x", "y", "z"]]
    assert [items.names(row.numpy()).tolist() for row in rows(split.valid.history)] == [["x", "y"]]


@SETTINGS
@given(pairs=PAIRS, k=st.integers(1, 4), by=st.sampled_from(["time", "random"]), valid=st.booleans())
def test_leave_k_out_leaves_k_out_where_something_remains(pairs, k, by, valid):
    interactions = table(pairs)
    parts = splits.build("leave_k_out", k=k, by=by, valid=valid).assign(interactions)
    for user in by_user(interactions, parts):
        n_test = k if len(user) > k else 0
        n_valid = k if valid and len(user) > 2 * k else 0
        assert [user.count(TEST), user.count(VALID)] == [n_test, n_valid]
        if by == "time":
            assert user == [TRAIN] * (len(user) - n_test - n_valid) + [VALID] * n_valid + [TEST] * n_test


def test_leave_one_out_is_leave_k_out_of_one():
    interactions = table([(user, item) for user in range(8) for item in range(12)])
    for options in ({}, {"valid": False}, {"by": "random", "seed": 4}):
        parts = splits.build("leave_one_out", **options).assign(interactions)
        assert torch.equal(parts, splits.build("leave_k_out", k=1, **options).assign(interactions))


def test_leave_one_out_at_random_draws_each_place_equally_often():
    interactions = table([(user, item) for user in range(200) for item in range(10)])
    options = {"by": "random", "seed": 1}
    parts = splits.build("leave_one_out", **options).assign(interactions)
    for part in (TEST, VALID):
        places = torch.nonzero(parts == part).flatten() % 10
        # Binomial: mean 200 / 10, five standard deviations.
        assert (torch.bincount(places, minlength=10) - 20).abs().max() < 5 * math.sqrt(200 * 0.1 * 0.9)
    without = splits.build("leave_one_out", valid=False, **options).assign(interactions)
    assert torch.equal(without == TEST, parts == TEST)
    assert not torch.equal(parts, splits.build("leave_one_out", by="random", seed=2).assign(interactions))


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("random", {"test": 0.1, "valid": 0.0}, "test = 0.1"),
        ("random", {"test": 0.1, "scope": "global"}, "test = 0.1"),
        ("random", {"test": 0.0, "valid": 0.01}, "valid = 0.01"),
        ("fixed", {"valid": 0.1}, "valid = 0.1"),
    ],
)
def test_a_share_that_gives_nothing_is_an_error(name, options, value):
    frame = pd.DataFrame([("a", "x", 0), ("a", "y", 0), ("b", "x", 0)], columns=["user", "item", "part"])
    option = value.partition(" ")[0]
    text = (
        f"split.{value}: not one of the 3 interactions falls to that part. "
        f"Set a larger value, or split.{option}=0 to do without the part."
    )
    with pytest.raises(ConfigError, match="^" + re.escape(text) + "$"):
        splits.build(name, **options).assign(Interactions.from_frame(frame, part="part"))


def rows(histories):
    return [histories.items[start:end] for start, end in zip(histories.offsets[:-1], histories.offsets[1:])]


def test_leave_one_out_without_timestamps_follows_the_file():
    frame = pd.DataFrame([("a", "z"), ("b", "x"), ("a", "x"), ("a", "y")], columns=["user", "item"])
    interactions = Interactions.from_frame(frame)
    parts = splits.build("leave_one_out").assign(interactions)
    assert interactions.item_vocabulary.names(interactions.items.numpy()).tolist() == ["z", "x", "y", "x"]
    assert parts.tolist() == [TRAIN, VALID, TEST, TRAIN]


def test_fixed_takes_the_parts_as_they_are():
    interactions = table([(user, item) for user in range(4) for item in range(6)], parts=True)
    assert torch.equal(splits.build("fixed").assign(interactions), interactions.parts)
    assert splits.build("fixed").apply(interactions).valid is None


def test_fixed_draws_validation_from_each_users_training_part():
    interactions = table([(user, item) for user in range(4) for item in range(12)], parts=True)
    parts = splits.build("fixed", valid=0.25).assign(interactions)
    assert torch.equal(parts == TEST, interactions.parts == TEST)
    for before, after in zip(by_user(interactions, interactions.parts), by_user(interactions, parts)):
        assert after.count(VALID) == math.floor(0.25 * before.count(TRAIN) + 0.5)
    assert not torch.equal(parts, splits.build("fixed", valid=0.25, seed=1).assign(interactions))
    assert int((interactions.parts == VALID).sum()) == 0


def test_fixed_refuses_what_it_cannot_do():
    text = (
        "split=fixed: the data set has no split of its own. Choose another split, or give the files of one: "
        "dataset=files dataset.train=PATH dataset.test=PATH."
    )
    with pytest.raises(ConfigError, match=re.escape(text)):
        splits.build("fixed").assign(table([(0, 0)]))
    frame = pd.DataFrame([("a", "x", 0), ("a", "y", 1), ("a", "z", 2)], columns=["user", "item", "part"])
    text = "split.valid = 0.1: the data set has a validation part of its own. Leave split.valid out."
    with pytest.raises(ConfigError, match=re.escape(text)):
        splits.build("fixed", valid=0.1).assign(Interactions.from_frame(frame, part="part"))


def test_none_keeps_everything_for_training():
    split = splits.build("none").apply(table([(0, 0), (1, 1)]))
    assert (len(split.train), split.valid, split.test) == (2, None, None)


def test_nothing_to_train_on_is_an_error():
    frame = pd.DataFrame([("a", "x", 1), ("a", "y", 2), ("b", "y", 2)], columns=["user", "item", "part"])
    text = "the split leaves nothing to train on: of 3 interactions 1 go to validation and 2 to test."
    with pytest.raises(EmptyDatasetError, match=re.escape(text)):
        splits.build("fixed").apply(Interactions.from_frame(frame, part="part"))


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("random", {"test": 1.0}, "test = 1.0: should be less than 1."),
        ("random", {"valid": -0.1}, "valid = -0.1: should be at least 0."),
        ("random", {"scope": "item"}, "scope = 'item': should be 'user' or 'global'."),
        ("fixed", {"valid": "some"}, "valid = 'some': should be a number."),
        ("leave_one_out", {"test": 0.2}, "test = 0.2: no such option. Known: by, seed, valid."),
        ("leave_k_out", {"k": 0}, "k = 0: should be at least 1."),
        (
            "leave_k_out",
            {"seed": 1},
            "seed = 1: has no effect with by='time'; leave it out, or set by=random.",
        ),
        ("none", {"seed": 1}, "seed = 1: no such option. Known: none."),
    ],
)
def test_wrong_options(name, options, line):
    with pytest.raises(ConfigError, match="^" + re.escape(f"split {name!r} cannot be configured:\n  {line}") + "$"):
        splits.build(name, **options)
