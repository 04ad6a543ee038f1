"""content_cosine by hand: the worked example, profiles, vectors that are given, and what it refuses."""

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import models, resolve, run
from recbench.data import Features, Histories, Interactions, Split, UserBatch, feature_table
from recbench.data.feature_config import CategoricalConfig, VectorConfig
from recbench.errors import ConfigError

REAL = Path(os.environ.get("RECBENCH_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

# Items a, b, c, d; d is known by nobody in training, and e has no features at all.
PAIRS = [("u", "a"), ("u", "b"), ("v", "c"), ("w", "a"), ("w", "e")]
VECTORS = {"a": (1, 0), "b": (0, 1), "c": (3, 3), "e": (0, 0)}


def refuses(message, make):
    with pytest.raises(ConfigError, match="^" + re.escape(message) + "$"):
        make()


def trained(pairs=PAIRS, items=None, users=None, declared_items=(), declared_users=()):
    """Return the training part of ``pairs`` with tables of items and users, frames with ids."""
    interactions = Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))
    tables = Features(
        users=feature_table(users, interactions.user_vocabulary, declared_users),
        items=feature_table(items, interactions.item_vocabulary, declared_items),
    )
    interactions = replace(interactions, features=tables)
    return Split.from_parts(interactions, torch.zeros(len(interactions), dtype=torch.int8)).train


def numbers(kind, vectors):
    return pd.DataFrame([{kind: name, "x": x, "y": y} for name, (x, y) in vectors.items()])


def fitted(train, **options):
    model = models.build("content_cosine", train, **options)
    model.fit(train)
    return model


def batch_of(*rows):
    users, histories = zip(*rows)
    counts = torch.tensor([len(items) for items in histories])
    items = torch.tensor([item for items in histories for item in items], dtype=torch.int64)
    of = torch.arange(len(rows)).repeat_interleave(counts)
    return UserBatch(torch.tensor(users), Histories.from_pairs(of, items, len(rows)))


def test_the_worked_example(tmp_path):
    """u1 = (1, 2, 3, 4), u2 = (5, 6, 7, 8), v1 = (1, 0, 1, 0), v2 = (0, 1, 0, 1)."""
    np.savez(tmp_path / "u.npz", ids=np.array(["u1", "u2"]), vectors=np.array([[1, 2, 3, 4], [5, 6, 7, 8]]))
    np.savez(tmp_path / "v.npz", ids=np.array(["v1", "v2"]), vectors=np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
    train = trained(
        [("u1", "v1"), ("u2", "v2")],
        declared_users=[VectorConfig(name="u", path=str(tmp_path / "u.npz"))],
        declared_items=[VectorConfig(name="v", path=str(tmp_path / "v.npz"))],
    )
    model = fitted(train, users="given")
    users = model.user_vectors()
    assert float(users[0] @ users[1]) == pytest.approx(70 / math.sqrt(30 * 174), abs=5e-5)
    assert round(float(users[0] @ users[1]), 4) == 0.9689
    scores = model.score(batch_of((0, []), (1, [])))
    assert [round(float(score), 4) for score in scores[0]] == [0.5164, 0.7746]
    assert scores[0].tolist() == pytest.approx([4 / math.sqrt(60), 6 / math.sqrt(60)], abs=1e-6)
    assert scores[1].tolist() == pytest.approx([12 / math.sqrt(2 * 174), 14 / math.sqrt(2 * 174)], abs=1e-6)
    assert scores[0].argsort(descending=True).tolist() == [1, 0], "v2 before v1"


def test_the_profile_is_the_mean_of_the_history():
    model = fitted(trained(items=numbers("item", VECTORS)))
    scores = model.score(batch_of((0, [0, 1]), (1, [0, 2]), (-1, [1]), (2, [])))
    half = math.sqrt(1 / 2)
    of_a_and_c = [4 / 5, 3 / 5, 7 / (5 * math.sqrt(2)), 0]  # The mean of (1, 0) and (3, 3) points as (4, 3).
    wanted = [[half, half, 1, 0], of_a_and_c, [0, 1, half, 0], [0, 0, 0, 0]]
    assert scores.tolist() == [pytest.approx(row, abs=1e-6) for row in wanted]
    candidates = torch.tensor([[2, 2], [0, 3], [1, 1], [0, 1]])
    assert torch.equal(
        model.score(batch_of((0, [0, 1]), (1, [0, 2]), (-1, [1]), (2, [])), candidates), scores.gather(1, candidates)
    )


def test_vectors_of_users_are_those_of_their_training_items():
    model = fitted(trained(items=numbers("item", VECTORS)))
    half = math.sqrt(1 / 2)
    assert model.user_vectors().tolist() == [pytest.approx(row) for row in ([half, half], [half, half], [1, 0])]
    assert model.item_vectors().tolist() == [pytest.approx(row) for row in ([1, 0], [0, 1], [half, half], [0, 0])]


def test_only_the_chosen_features_count():
    train = trained(items=numbers("item", VECTORS))
    assert fitted(train, features=["x"]).score(batch_of((0, [0]))).tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize("n_users", [1, 2, 33])
def test_items_with_the_same_features_tie_in_any_batch(n_users):
    n_items, dim = 1683, 7
    draw = np.random.default_rng(0)
    kinds = draw.standard_normal((20, dim))
    which = draw.integers(20, size=n_items)
    ids = [f"i{place:04d}" for place in range(n_items)]
    items = pd.DataFrame(kinds[which], columns=[f"x{place}" for place in range(dim)]).assign(item=ids)
    model = fitted(trained([("u", name) for name in ids], items=items))
    histories = [(-1, draw.integers(n_items, size=5).tolist()) for _ in range(n_users)]
    every = torch.arange(n_items).repeat(n_users, 1)
    scores = model.score(batch_of(*histories))
    assert all(len(row.unique()) <= len(kinds) for row in scores)
    assert torch.equal(model.score(batch_of(*histories), every), scores)


def test_given_vectors_need_no_history_and_a_known_user():
    train = trained(items=numbers("item", VECTORS), users=numbers("user", {"u": (1, 0), "v": (0, 2), "w": (0, 0)}))
    model = fitted(train, users="given")
    half = math.sqrt(1 / 2)
    scores = model.score(batch_of((0, [2]), (1, []), (2, [0]))).tolist()
    assert scores == [pytest.approx(row) for row in ([1, 0, half, 0], [0, 1, half, 0], [0, 0, 0, 0])]
    with pytest.raises(ConfigError, match="cannot score a user it was not trained on"):
        model.score(batch_of((-1, [0])))


def test_features_that_are_not_there():
    refuses(
        "model 'content_cosine' needs features of items, and the data set has none. Declare some of your own files in "
        "dataset.item_columns, or choose a data set that has them, such as ml-100k.",
        lambda: fitted(trained()),
    )
    train = trained(items=numbers("item", VECTORS))
    refuses(
        "model 'content_cosine' needs features of users, and the data set has none. Declare some of your own files in "
        "dataset.user_columns, or choose a data set that has them, such as ml-100k.",
        lambda: fitted(train, users="given"),
    )
    refuses("no item feature 'z'. Known: x, y.", lambda: fitted(train, features=["x", "z"]))


def test_vectors_of_users_should_mean_what_those_of_items_mean():
    users = numbers("user", {"u": (1, 0), "v": (0, 2), "w": (0, 0)}).assign(z=["p", "q", "p"])
    train = trained(items=numbers("item", VECTORS), users=users, declared_users=[CategoricalConfig(name="z")])
    refuses(
        "users = 'given': the features of users have 4 columns and those of items 2; "
        "choose the same ones by model.user_features and model.features.",
        lambda: fitted(train, users="given"),
    )
    refuses(
        "users = 'given': column 0 is 'y' of users and 'x' of items; choose features that mean the same, in the same "
        "order, by model.user_features and model.features.",
        lambda: fitted(train, users="given", user_features=["y", "x"]),
    )
    refuses(
        "users = 'given': column 0 is 'z=p' of users and 'x' of items; choose features that mean the same, in the "
        "same order, by model.user_features and model.features.",
        lambda: fitted(train, users="given", user_features=["z"]),
    )
    assert fitted(train, users="given", user_features=["x", "y"]).user_vectors().tolist() == [[1, 0], [0, 1], [0, 0]]


def test_options_without_effect():
    refuses(
        "model 'content_cosine' cannot be configured:\n"
        "  user_features have no effect with users = 'mean'; set users=given, or leave them out.",
        lambda: fitted(trained(items=numbers("item", VECTORS)), user_features=["x"]),
    )


def test_it_finds_the_clusters_of_generated_data():
    given = {"dataset": {"name": "planted", "n_users": 100, "n_items": 80}, "threads": 1}
    values = {
        name: run(resolve({**given, "model": name}).config, progress=False).reports["test"].values["ndcg@10"]
        for name in ("content_cosine", "random")
    }
    assert values["content_cosine"] > 1.5 * values["random"], values


@pytest.mark.skipif(not (REAL / "ml-100k").is_dir(), reason=f"needs MovieLens 100K in {REAL / 'ml-100k'}")
def test_movielens(monkeypatch):
    """The features of films alone say little; pinned, so that a change of the features is seen."""
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    dataset = {"name": "ml-100k", "path": str(REAL / "ml-100k")}
    outcome = run(resolve({"dataset": dataset, "model": "content_cosine", "threads": 1}).config, progress=False)
    assert outcome.split.train.features.items.dim() == 1 + 19
    assert outcome.reports["test"].values["ndcg@10"] == pytest.approx(0.0574, abs=1e-3)
