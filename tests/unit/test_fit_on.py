"""Fits on training and validation together: which interactions, for whom, and how it is told apart."""

import pytest
import torch

from recbench import experiment, resolve
from recbench.configuration import identity_of
from recbench.errors import ConfigError

DATA = {"name": "planted", "n_users": 40, "n_items": 30, "n_interactions": 300}


def prepared(split, fit_on, **options):
    plain = {"model": "ease", "dataset": DATA, "split": {"name": split, **options}, "fit_on": fit_on}
    return experiment.prepare(resolve(plain).config).split


def pairs(interactions):
    ids = zip(
        interactions.user_vocabulary.names(interactions.users.numpy()),
        interactions.item_vocabulary.names(interactions.items.numpy()),
    )
    return set(ids)


def held(holdout, train, what="target"):
    """Return the pairs of users and items to be found, or those that are known of them."""
    return {
        (train.user_vocabulary.names([int(user)])[0], train.item_vocabulary.names([int(item)])[0])
        for user, row in zip(holdout.users, getattr(holdout, what).mask(train.n_items))
        for item in torch.nonzero(row).flatten()
    }


@pytest.mark.parametrize("split", ["random", "leave_one_out"])
def test_training_has_what_validation_had_and_the_test_stays(split):
    apart, together = prepared(split, "train"), prepared(split, "train_valid")
    assert together.valid is None and apart.valid is not None
    assert pairs(together.train) == pairs(apart.train) | held(apart.valid, apart.train)
    assert len(together.train) == len(apart.train) + len(held(apart.valid, apart.train))
    assert held(together.test, together.train) == held(apart.test, apart.train)
    assert torch.equal(together.test.history.mask(30), apart.test.history.mask(30))
    assert together.fingerprint != apart.fingerprint


def test_users_kept_out_for_validation_are_trained_on_with_all_they_have():
    apart, together = (prepared("user_disjoint", fit_on, min_fold_in=2) for fit_on in ("train", "train_valid"))
    of_test = {user for user, _ in held(apart.test, apart.train)}
    of_valid = {user for user, _ in held(apart.valid, apart.train)}
    trained = {user for user, _ in pairs(together.train)}
    assert of_valid and of_valid <= trained and not of_test & trained
    assert {user for user, _ in held(together.test, together.train)} == of_test
    theirs = held(apart.valid, apart.train) | held(apart.valid, apart.train, "history")
    assert pairs(together.train) >= pairs(apart.train) | theirs


def test_it_is_another_configuration_and_the_usual_one_is_as_it_was():
    usual = resolve({"model": "ease", "dataset": "planted"}).config
    other = resolve({"model": "ease", "dataset": "planted", "fit_on": "train_valid"}).config
    assert usual.identity != other.identity
    before = {key: value for key, value in usual.to_dict().items() if key not in ("fit_on", "tuning")}
    assert identity_of(before) == usual.identity
    spent = {"budget": "20 trials", "trials": 20, "seconds": 1.5}
    tuned = resolve({"model": "ease", "dataset": "planted", "tuning": spent}).config
    assert tuned.identity == usual.identity and tuned.to_dict()["tuning"] == spent


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": {"name": "random", "valid": 0.0}}, "fit_on = 'train_valid': the split has no validation part"),
        ({"trainer": {"selection": "valid"}}, "trainer.selection = 'valid': with fit_on='train_valid' nothing is left"),
        ({"fit_on": "all"}, "fit_on = 'all': should be 'train' or 'train_valid'."),
        ({"tuning": {"budget": "20 trials", "trials": 0, "seconds": 1.0}}, "tuning"),
    ],
)
def test_what_cannot_be(options, told):
    with pytest.raises(ConfigError) as error:
        resolve({"model": "mf", "dataset": "planted", "fit_on": "train_valid", **options})
    assert told in str(error.value)
