"""Splits partition, never leak, and hold out what their protocol says."""

import logging
import math
import re

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import splits
from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.errors import ConfigError, EmptyDatasetError

SETTINGS = settings(max_examples=60, deadline=None)
PAIRS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=1, max_size=60)
SPLITS = {
    "random": {},
    "random global": {"scope": "global"},
    "leave_one_out": {},
    "leave_one_out without validation": {"valid": False},
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


def pairs_of(users: torch.Tensor, histories) -> set[tuple[int, int]]:
    return set(zip(users[histories.row_of_each()].tolist(), histories.items.tolist()))


@pytest.mark.parametrize("name", SPLITS)
@SETTINGS
@given(pairs=PAIRS, seed=st.integers(0, 100))
def test_every_split_partitions_and_masks_what_is_known(name, pairs, seed):
    interactions = table(pairs, seed, parts=name == "fixed")
    splitter = splits.build(name.split()[0], **SPLITS[name])
    try:
        split = splitter.apply(interactions)
    except EmptyDatasetError:
        assert not (splitter.assign(interactions) == TRAIN).any()
        return
    everything = set(zip(interactions.users.tolist(), interactions.items.tolist()))
    train = set(zip(split.train.users.tolist(), split.train.items.tolist()))
    valid = pairs_of(split.valid.users, split.valid.target) if split.valid else set()
    test = pairs_of(split.test.users, split.test.target) if split.test else set()
    assert train | valid | test == everything
    assert len(train) + len(valid) + len(test) == len(everything)
    assert split.train.n_users == interactions.n_users
    assert split.train.n_items == interactions.n_items
    for holdout, known in ((split.valid, train), (split.test, train | valid)):
        if holdout is not None:
            asked = set(holdout.users.tolist())
            assert pairs_of(holdout.users, holdout.history) == {pair for pair in known if pair[0] in asked}
            assert bool((holdout.target.counts > 0).all())
            assert holdout.n_without_target == interactions.n_users - len(asked)


@SETTINGS
@given(pairs=PAIRS, test=st.sampled_from([0.0, 0.1, 0.2, 0.5]), valid=st.sampled_from([0.0, 0.1, 0.5]))
def test_random_takes_the_promised_number_from_each_user(pairs, test, valid):
    interactions = table(pairs)
    parts = splits.build("random", test=test, valid=valid).assign(interactions)
    for user in by_user(interactions, parts):
        n_test = math.floor(test * len(user) + 0.5)
        n_valid = math.floor(valid * (len(user) - n_test) + 0.5)
        assert [user.count(TEST), user.count(VALID)] == [n_test, n_valid]


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


def test_random_says_who_is_left_without_training(caplog):
    interactions = table([(0, 0), (1, 0), (1, 1), (1, 2)])
    splits.build("random", test=0.5).assign(interactions)
    assert caplog.messages == ["split random: 1 users have no training interaction."]


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


def test_leave_one_out_by_hand_and_its_counts(caplog):
    caplog.set_level(logging.INFO, "recbench")
    frame = pd.DataFrame(
        [("a", "x", 9), ("b", "y", 2), ("b", "x", 1), ("c", "z", 3), ("c", "y", 3), ("c", "x", 3), ("c", "w", 4)],
        columns=["user", "item", "timestamp"],
    )
    split = splits.build("leave_one_out").apply(Interactions.from_frame(frame))
    items = split.train.item_vocabulary

    def named(holdout):
        return [
            (user, items.names(row.numpy()).tolist()) for user, row in zip(holdout.users.tolist(), rows(holdout.target))
        ]

    assert named(split.test) == [(1, ["y"]), (2, ["w"])]
    assert named(split.valid) == [(2, ["z"])]
    assert [items.names(row.numpy()).tolist() for row in rows(split.test.history)] == [["x"], ["x", "y", "z"]]
    assert [items.names(row.numpy()).tolist() for row in rows(split.valid.history)] == [["x", "y"]]
    assert caplog.messages == ["split leave_one_out: 1 users have too few interactions for test, 2 for validation."]


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
        ("leave_one_out", {"test": 0.2}, "test = 0.2: no such option. Known: valid."),
        ("none", {"seed": 1}, "seed = 1: no such option. Known: none."),
    ],
)
def test_wrong_options(name, options, line):
    with pytest.raises(ConfigError, match="^" + re.escape(f"split {name!r} cannot be configured:\n  {line}") + "$"):
        splits.build(name, **options)
