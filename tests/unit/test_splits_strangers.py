"""User-disjoint splits and folds: who is kept out of training, what is known of them, and what is asked."""

import logging
import math
import re
from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import splits
from recbench.data import (
    FOLD_IN,
    TEST,
    TRAIN,
    UNUSED,
    VALID,
    Counts,
    Features,
    Histories,
    Interactions,
    RatingScale,
    Stage,
)
from recbench.data.feature_config import MultiConfig
from recbench.data.features import feature_table
from recbench.errors import ConfigError
from recbench.splits.k_fold import KFoldConfig
from recbench.splits.stage import split_stage
from recbench.splits.user_disjoint import UserDisjointConfig

SETTINGS = settings(max_examples=40, deadline=None)


def everyone_takes(n_users: int, n_items: int, prefix: str = "") -> Interactions:
    pairs = [(f"{prefix}{user}", f"{prefix}{item}") for user in range(n_users) for item in range(n_items)]
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))


def counts(interactions: Interactions, parts: torch.Tensor) -> list[list[int]]:
    """For each user the number of interactions in each part."""
    return [
        torch.bincount(parts[interactions.users == user].long(), minlength=5).tolist()
        for user in range(interactions.n_users)
    ]


@pytest.mark.parametrize("draw", ["recbench", "vae_cf"])
def test_the_promised_users_and_shares(draw):
    interactions = everyone_takes(20, 10)
    options = {"test_users": 3, "valid_users": 0.2, "draw": draw, "seed": 5}
    parts = splits.build("user_disjoint", **options).assign(interactions)
    # floor((1 - 0.8) * 10) = 2 of each stranger's ten.
    of_user = sorted(counts(interactions, parts))
    assert of_user == sorted([[10, 0, 0, 0, 0]] * 13 + [[0, 2, 0, 8, 0]] * 4 + [[0, 0, 2, 8, 0]] * 3)
    more = splits.build("user_disjoint", **options | {"valid_users": 6}).assign(interactions)
    users = [interactions.users[drawn == TEST].unique().tolist() for drawn in (parts, more)]
    assert users[0] == users[1]
    other = splits.build("user_disjoint", **options | {"seed": 6}).assign(interactions)
    assert not torch.equal(parts, other)


def test_users_with_few_interactions_are_known_and_not_asked():
    sizes = {"a": 4, "b": 5, "c": 9, "d": 10, "e": 10}
    frame = pd.DataFrame(
        [(user, f"i{item}") for user in sizes for item in range(sizes[user])], columns=["user", "item"]
    )
    interactions = Interactions.from_frame(frame)
    seen = set()
    for seed in range(30):
        splitter = splits.build("user_disjoint", test_users=1, valid_users=0, seed=seed)
        try:
            parts = splitter.assign(interactions)
        except ConfigError as error:
            assert str(error) == (
                "split.test_users = 1: not one of the 38 interactions falls to that part. "
                "Set a larger value, or split.test_users=0 to do without the part."
            )
            seen.add("a")
            continue
        (user,) = interactions.users[parts == TEST].unique().tolist()
        name = "abcde"[user]
        seen.add(name)
        n_test = math.floor(sizes[name] / 5)
        assert counts(interactions, parts)[user] == [0, 0, n_test, sizes[name] - n_test, 0]
    assert seen == set("abcde")


def test_each_interaction_of_a_stranger_is_as_likely_to_be_asked_for():
    interactions = everyone_takes(400, 5)
    parts = splits.build("user_disjoint", test_users=200, valid_users=0).assign(interactions)
    asked = torch.bincount(interactions.items[parts == TEST], minlength=5)
    # Binomial: mean 200 / 5, five standard deviations.
    assert (asked - 40).abs().max() < 5 * math.sqrt(200 * 0.2 * 0.8)


def test_items_of_strangers_alone_leave_the_catalogue():
    whole = everyone_takes(6, 10)
    splitter = splits.build("user_disjoint", test_users=1, valid_users=1, fold_in=0.5, min_fold_in=2)
    parts = splitter.assign(whole)
    tester = int(whole.users[parts == TEST][0])
    # The user for test takes the item "05" and nobody else does; the others' place is taken by "99".
    frame = pd.DataFrame({"user": whole.users.numpy(), "item": whole.items.numpy()})
    frame.loc[(frame["item"] == 5) & (frame["user"] != tester), "item"] = 99
    data = Interactions.from_frame(frame)
    data = replace(
        data,
        candidates=Histories.from_pairs(torch.tensor([0, 0, 1]), torch.tensor([5, 6, 5]), 6),
        scale=RatingScale("item", torch.arange(11.0), torch.arange(11.0) + 1),
    )
    parts = splitter.assign(data)
    stage = split_stage("split", data, parts)
    assert (stage.before, stage.after) == (Counts(60, 6, 11), Counts(59, 6, 10))
    assert data.item_vocabulary.names(data.items[parts == UNUSED].numpy()).tolist() == ["5"]
    # floor((1 - 0.5) * 9), of the items in the catalogue.
    assert counts(data, parts)[tester] == [0, 0, 4, 5, 1]
    split = splitter.cut(data, parts)
    ids = ["0", "1", "2", "3", "4", "6", "7", "8", "9", "99"]
    assert split.train.item_vocabulary.ids.tolist() == ids
    assert (split.train.n_users, split.train.n_items) == (6, 10)
    assert split.train.candidates.items.tolist() == [5]
    assert split.train.candidates.offsets.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert split.train.scale.offset.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert split.train.scale.factor.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert split.test.users.tolist() == [tester]
    known, asked = split.test.history.items, split.test.target.items
    assert sorted(split.train.item_vocabulary.names(torch.cat([known, asked]).numpy())) == sorted(set(ids) - {"99"})
    assert (len(known), len(asked), split.test.strangers, split.valid.strangers) == (5, 4, True, True)


def test_features_stay_with_their_items():
    data = everyone_takes(6, 10)
    labels = ["odd|even", "even", "", "odd", "even", "odd", "even", "odd", "even", "odd"]
    items = pd.DataFrame(
        {
            "item": data.item_vocabulary.ids,
            "title": [f"Item {item}" for item in range(10)],
            "size": [float(item) for item in range(10)],
            "kind": labels,
        }
    )
    table = feature_table(items, data.item_vocabulary, [MultiConfig(name="kind")])
    users = pd.DataFrame({"user": data.user_vocabulary.ids, "age": range(6)})
    features = Features(feature_table(users, data.user_vocabulary), table)
    smaller = replace(data, features=features).on_items(torch.tensor([0, 2, 3, 9]))
    fitted = smaller.features.fitted(torch.arange(6), torch.arange(4))
    assert fitted.items.text("title").tolist() == ["Item 0", "Item 2", "Item 3", "Item 9"]
    assert fitted.items.n_missing("kind") == 1
    assert dict(zip(fitted.items.columns(["kind"]), fitted.items.matrix(["kind"]).T.tolist())) == {
        "kind=even": [1, 0, 0, 0],
        "kind=odd": [1, 0, 1, 1],
    }
    assert fitted.items.matrix(["size"]).flatten().tolist() == [0, 2, 3, 9]
    assert len(fitted.users) == 6
    assert set(smaller.items.tolist()) == {0, 1, 2, 3}
    assert len(smaller) == 6 * 4


def test_an_item_whose_training_is_cleaned_away_leaves_the_catalogue(caplog):
    caplog.set_level(logging.INFO, "recbench")
    data = everyone_takes(6, 10)
    splitter = splits.build("user_disjoint", test_users=1, valid_users=1)
    parts = splitter.assign(data)
    parts[(data.items == 3) & (parts == TRAIN)] = UNUSED
    split = splitter.cut(data, parts)
    assert split.train.item_vocabulary.ids.tolist() == [str(item) for item in range(10) if item != 3]
    assert set(split.train.items.tolist()) == set(range(9))
    # One of each of the two strangers.
    (stage,) = split.train.provenance
    assert stage == Stage(
        "items that nobody takes in training",
        Counts(56, 6, 10),
        Counts(54, 6, 9),
        {
            "training": 36,
            "users in training": 4,
            "validation": len(split.valid.target.items),
            "users in validation": 1,
            "test": len(split.test.target.items),
            "users in test": 1,
            "known of users who are asked": len(split.valid.history.items) + len(split.test.history.items),
            "in no part": 4 + 2,
        },
    )
    assert caplog.messages == [str(stage)]
    assert int(split.test.history.items.max()) <= 8


@SETTINGS
@given(
    pairs=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=8, max_size=60),
    folds=st.integers(2, 4),
    scope=st.sampled_from(["user", "global"]),
    valid=st.sampled_from([0.0, 0.2]),
)
def test_over_all_folds_each_interaction_is_tested_once(pairs, folds, scope, valid):
    interactions = Interactions.from_frame(pd.DataFrame(sorted(pairs), columns=["user", "item"]))
    tested, sizes = torch.zeros(len(interactions)), []
    of_user = torch.zeros(folds, interactions.n_users)
    for fold in range(folds):
        try:
            parts = splits.build("k_fold", folds=folds, fold=fold, scope=scope, valid=valid).assign(interactions)
        except ConfigError:
            # Too few of a user for a share of 0.2.
            assert valid > 0
            return
        assert set(parts.tolist()) <= {TRAIN, VALID, TEST}
        tested += parts == TEST
        sizes.append(int((parts == TEST).sum()))
        of_user[fold] = torch.bincount(interactions.users[parts == TEST], minlength=interactions.n_users)
    assert bool((tested == 1).all())
    assert max(sizes) - min(sizes) <= 1
    if scope == "user":
        assert bool((of_user.max(0).values - of_user.min(0).values <= 1).all())


def test_validation_of_a_fold_has_its_share_of_the_rest():
    interactions = everyone_takes(10, 10)
    for fold in range(5):
        parts = splits.build("k_fold", fold=fold, valid=0.25).assign(interactions)
        # floor(0.25 * 8 + 0.5) = 2 of the eight that the fold leaves.
        assert counts(interactions, parts) == [[6, 2, 2, 0, 0]] * 10
    everything = splits.build("k_fold", scope="global", valid=0.25).assign(interactions)
    assert torch.bincount(everything.long()).tolist() == [60, 20, 20]
    assert len({tuple(user) for user in counts(interactions, everything)}) > 1


def test_over_all_folds_each_user_is_tested_once():
    interactions = everyone_takes(13, 10)
    tested = []
    for fold in range(4):
        parts = splits.build("k_fold", by="users", folds=4, fold=fold, valid=0.2).assign(interactions)
        users = [interactions.users[parts == part].unique().tolist() for part in (TRAIN, VALID, TEST, FOLD_IN)]
        n_test = 13 // 4 + (fold < 13 % 4)
        n_valid = math.floor(0.2 * (13 - n_test) + 0.5)
        assert [len(part) for part in users] == [13 - n_test - n_valid, n_valid, n_test, n_valid + n_test]
        assert sorted(users[1] + users[2]) == users[3]
        assert {tuple(user) for user in counts(interactions, parts)} == {
            (10, 0, 0, 0, 0),
            (0, 2, 0, 8, 0),
            (0, 0, 2, 8, 0),
        }
        tested += users[2]
    assert sorted(tested) == list(range(13))


def test_another_seed_deals_anew():
    interactions = everyone_takes(13, 10)
    for by in ("interactions", "users"):
        drawn = [splits.build("k_fold", by=by, seed=seed).assign(interactions) for seed in (0, 0, 1)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])


def test_who_folds_in_and_who_validates():
    disjoint, fold = splits.registry.entry("user_disjoint").target, splits.registry.entry("k_fold").target
    assert disjoint.folds_in(UserDisjointConfig())
    assert [fold.folds_in(KFoldConfig()), fold.folds_in(KFoldConfig(by="users"))] == [False, True]
    assert not splits.registry.entry("random").target.folds_in(splits.registry.entry("random").configure({}))
    assert [disjoint.may_validate(UserDisjointConfig(valid_users=n)) for n in (0, 0.1, 5)] == [False, True, True]
    assert [fold.may_validate(KFoldConfig(valid=share)) for share in (0.0, 0.1)] == [False, True]


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        (
            "user_disjoint",
            {"test_users": 4, "valid_users": 0.3},
            "split.test_users = 4 and split.valid_users = 0.3: leave none of the 6 users to train on. "
            "Set smaller ones.",
        ),
        (
            "user_disjoint",
            {"valid_users": 0.01},
            "split.valid_users = 0.01: not one of the 60 interactions falls to that part. "
            "Set a larger value, or split.valid_users=0 to do without the part.",
        ),
        (
            "user_disjoint",
            {"draw": "vae_cf", "test_users": 1, "valid_users": 1},
            "split.draw = 'vae_cf': draws in the order of the ids as whole numbers, and the data has the user 'x0'. "
            "Leave split.draw out.",
        ),
        (
            "k_fold",
            {"folds": 7, "fold": 6, "by": "users"},
            "split.folds = 7: fold 6 has nothing to find, of 60 interactions and 6 users. Set fewer folds.",
        ),
        (
            "k_fold",
            {"valid": 0.01},
            "split.valid = 0.01: not one of the 60 interactions falls to that part. "
            "Set a larger value, or split.valid=0 to do without the part.",
        ),
    ],
)
def test_data_that_does_not_fit(name, options, text):
    with pytest.raises(ConfigError, match="^" + re.escape(text) + "$"):
        splits.build(name, **options).assign(everyone_takes(6, 10, prefix="x"))


def test_item_ids_that_are_no_numbers_do_not_fit_either():
    frame = pd.DataFrame([(user, f"i{item}") for user in range(6) for item in range(10)], columns=["user", "item"])
    text = (
        "split.draw = 'vae_cf': draws in the order of the ids as whole numbers, and the data has the item 'i0'. "
        "Leave split.draw out."
    )
    with pytest.raises(ConfigError, match="^" + re.escape(text) + "$"):
        splits.build("user_disjoint", draw="vae_cf", test_users=1).assign(Interactions.from_frame(frame))


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        (
            "user_disjoint",
            {"test_users": 1.5},
            "test_users = 1.5: should be a number of users such as 1000, or a share of them, at least 0 and below 1.",
        ),
        (
            "user_disjoint",
            {"valid_users": True},
            "valid_users = True: should be a number of users such as 1000, or a share of them, at least 0 and below 1.",
        ),
        ("user_disjoint", {"fold_in": 1.0}, "fold_in = 1.0: should be less than 1."),
        (
            "user_disjoint",
            {"draw": "vae_cf", "seed": 2**32},
            "seed = 4294967296: should be less than 2**32 with draw='vae_cf'.",
        ),
        ("k_fold", {"folds": 1}, "folds = 1: should be at least 2."),
        ("k_fold", {"fold": 5}, "fold = 5: should be less than folds = 5."),
        ("k_fold", {"by": "users", "scope": "user"}, "scope = 'user': has no effect with by='users'; leave it out."),
        ("k_fold", {"fold_in": 0.5}, "fold_in = 0.5: has no effect with by='interactions'; leave it out."),
        ("k_fold", {"min_fold_in": 9}, "min_fold_in = 9: has no effect with by='interactions'; leave it out."),
    ],
)
def test_wrong_options_of_strangers_and_folds(name, options, line):
    text = f"split {name!r} cannot be configured:\n  {line}"
    with pytest.raises(ConfigError, match="^" + re.escape(text) + "$"):
        splits.build(name, **options)
