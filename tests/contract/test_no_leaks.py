"""For every model and every split: nothing outside the training part has a say in what is learnt."""

from dataclasses import replace

import pytest
import torch

from recbench import models, negatives, splits, trainers
from recbench.data import TEST, TRAIN, VALID, Split
from recbench.evaluation import EvaluationConfig, evaluate
from recbench.leaks import leaks
from recbench.models import Model
from recbench.negatives.popularity import PopularityNegatives, PopularityNegativesConfig
from recbench.testing.battery import score
from recbench.testing.data import everyone, rated, rewired

ASKING = [name for name in splits.registry.names() if name != "none"]
BRIEF = {"epochs": 2, "batch_size": 256}


def parts_of(name: str):
    """Return the interactions, the protocol, and the part of each interaction."""
    interactions, splitter = rated(), splits.build(name)
    return interactions, splitter, splitter.assign(interactions)


def other_test_rows(interactions, parts):
    return rewired(interactions, parts == TEST, interactions.items[parts == TRAIN].unique())


def learnt(name: str, split: Split) -> dict[str, torch.Tensor]:
    """Return what a model holds, and what it gives users with their training histories."""
    model = fitted(name, split)
    return {**model.state_dict(), "scores": score(model.eval(), everyone(split))}


def fitted(name: str, split: Split) -> Model:
    """Return a model as a run fits it, by the epoch that is best on validation where it can be asked."""
    model = models.build(name, split.train, 3)
    sampler = negatives.build(model.negatives, split.train, **model.negatives_defaults) if model.negatives else None
    has = trainers.registry.entry(model.trainer).options.model_fields
    options = {**model.trainer_defaults, **{key: value for key, value in BRIEF.items() if key in has}}

    def validate(model):
        return evaluate(model, split, "valid", EvaluationConfig(metrics=("ndcg@10",))).values

    can = split.valid is not None and (model.folds_in or not split.valid.strangers)
    trainers.build(model.trainer, **options).fit(
        model, split, seed=3, negatives=sampler, validate=validate if can else None
    )
    return model


def differing(name: str, split: Split, other_split: Split) -> list[str]:
    """Return which of all that a model learns from one and the other is not the same to the last bit."""
    first, second = learnt(name, split), learnt(name, other_split)
    assert first.keys() == second.keys()
    return [key for key in first if not torch.equal(first[key], second[key])]


@pytest.mark.parametrize("name", ASKING)
def test_a_split_goes_by_no_item_or_rating_of_its_test_rows(name):
    interactions, splitter, parts = parts_of(name)
    other = other_test_rows(interactions, parts)
    assert not torch.equal(other.items, interactions.items)
    assert torch.equal(splitter.assign(other), parts)


@pytest.mark.parametrize("split_name", ASKING)
@pytest.mark.parametrize("name", models.registry.names())
def test_other_test_rows_change_no_trained_bit(name, split_name):
    interactions, splitter, parts = parts_of(split_name)
    split, canary = (splitter.apply(data) for data in (interactions, other_test_rows(interactions, parts)))
    assert not torch.equal(split.test.target.items, canary.test.target.items)
    assert differing(name, split, canary) == []


@pytest.mark.parametrize("name", models.registry.names())
def test_what_is_learnt_comes_from_training_rows_alone(name):
    """As if the others had never been: popularity, weights of neighbours, graphs, scaled features."""
    interactions, splitter, parts = parts_of("random")
    trained = interactions.select(parts == TRAIN)
    alone = Split.from_parts(trained, torch.full((len(trained),), TRAIN, dtype=torch.int8))
    split = replace(splitter.cut(interactions, parts), valid=None)
    assert differing(name, split, alone) == []


def test_training_rows_do_change_what_is_learnt():
    """The canary can sing: the same with other training rows is another model, for all that learn."""
    interactions, splitter, parts = parts_of("random")
    split = splitter.cut(interactions, parts)
    other = splitter.cut(rewired(interactions, parts == TRAIN, interactions.items.unique()), parts)
    same = [name for name in models.registry.names() if differing(name, split, other) == []]
    assert same == ["random"]


@pytest.mark.parametrize("part", [TEST, VALID])
def test_statistics_count_training_rows_alone(part):
    interactions, splitter, parts = parts_of("random")
    split = splitter.cut(interactions, parts)
    counted = torch.bincount(interactions.items[parts == TRAIN], minlength=interactions.n_items)
    assert int((parts == part).sum()) > 0
    assert torch.equal(split.train.popularity, counted)
    assert torch.equal(fitted("popularity", split).counts, counted.float())
    other = splitter.cut(rewired(interactions, parts == part, interactions.items.unique()), parts)
    for table, table_again in ((split.train.features.items, other.train.features.items),):
        assert torch.equal(table.matrix(), table_again.matrix())
    drawn = [PopularityNegatives(PopularityNegativesConfig(), one.train) for one in (split, other)]
    users = split.train.users[:50]
    first, second = (one.sample(users, users % interactions.n_items, torch.Generator().manual_seed(1)) for one in drawn)
    assert torch.equal(first.items, second.items) and torch.equal(first.log_q, second.log_q)


def test_scalers_of_features_see_no_item_that_training_lacks():
    """The number of the item that is in no training row is far away, and the others are scaled as without it."""
    interactions, splitter, parts = parts_of("fixed")
    table = splitter.cut(interactions, parts).train.features.items
    ranks = torch.arange(interactions.n_items, dtype=torch.float64)
    trained = interactions.items[parts == TRAIN].unique()
    assert len(trained) == interactions.n_items - 1
    wanted = (ranks - ranks[trained].mean()) / ranks[trained].std(correction=0)
    torch.testing.assert_close(table.matrix(["rank"])[:, 0].double(), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ASKING)
def test_test_rows_that_are_planted_in_training_are_reported(name):
    interactions, splitter, parts = parts_of(name)
    split = splitter.cut(interactions, parts)
    target = split.test.target
    users, items = split.test.users[target.row_of_each()][:3], target.items[:3]
    latest = int(interactions.timestamps.max())
    leaky = replace(
        split.train,
        users=torch.cat([split.train.users, users]),
        items=torch.cat([split.train.items, items]),
        timestamps=torch.cat([split.train.timestamps, torch.arange(3) + latest + 1]),
        ratings=torch.cat([split.train.ratings, torch.ones(3)]),
    )
    before, found = leaks(split), leaks(replace(split, train=leaky))
    assert before.seen_pairs.n == 0
    assert (found.seen_pairs.n, found.later.n) == (3, before.later.n + 3)
    assert "3 of " in found.sentence and "leaks across time" in found.sentence
    unknown = before.unknown_users.n - len(set(users.tolist())) if split.test.strangers else before.unknown_users.n
    assert found.unknown_users.n == unknown
