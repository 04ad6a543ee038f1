"""The small generated data that models are fitted to.

Shapes:
    U = 48 users, I = 40 items.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data import (
    TEST,
    TRAIN,
    Features,
    FeatureTable,
    Interactions,
    Split,
    UserBatch,
    Vocabulary,
    feature_table,
)
from recbench.data.feature_config import CategoricalConfig, NumericConfig
from recbench.randomness import generator

N_USERS, N_ITEMS = 48, 40


def tastes(*, user_labels: Tensor | None = None, item_labels: Tensor | None = None) -> Split:
    """Return ratings of items whose popularity falls; training lacks the last user and the last item.

    Items have features, a number and a category, for the models that go by them.

    Args:
        user_labels: (U,) a permutation, the index that each user gets instead of their own.
        item_labels: (I,) a permutation, the index that each item gets instead of its own.
    """
    interactions = rated(user_labels=user_labels, item_labels=item_labels)
    assert interactions.parts is not None
    return Split.from_parts(interactions, interactions.parts)


def rated(*, user_labels: Tensor | None = None, item_labels: Tensor | None = None) -> Interactions:
    """Return the interactions of ``tastes``, each at a time of its own, with its part as published."""
    stream = generator(0, "tastes")
    chance = torch.linspace(0.8, 0.2, N_ITEMS).repeat(N_USERS, 1)
    chance[-1], chance[:, -1] = 0.0, 0.0
    train = torch.rand(N_USERS, N_ITEMS, generator=stream) < chance
    ratings = torch.randint(1, 6, (N_USERS, N_ITEMS), generator=stream)
    test = torch.rand(N_USERS, N_ITEMS, generator=generator(0, "test rows")) < 0.3
    return _interactions(train, test & ~train, ratings, user_labels, item_labels)


def rewired(interactions: Interactions, rows: Tensor, items: Tensor) -> Interactions:
    """Return the same interactions with other items and ratings in some rows.

    Users and times stay, so that the order does, and so do all ids.

    Args:
        interactions: Each at a time of its own.
        rows: (N,) bool, which ones.
        items: (M,) int64, those that may stand there.
    """
    assert interactions.ratings is not None
    stream = generator(0, "rewired")
    n_rows = int(rows.sum())
    place = torch.searchsorted(items, interactions.items[rows]).clamp(max=len(items) - 1)
    # By at least one place on, so that every row has another item.
    place = (place + torch.randint(1, len(items), (n_rows,), generator=stream)) % len(items)
    others, ratings = interactions.items.clone(), interactions.ratings.clone()
    others[rows] = items[place]
    ratings[rows] = 6 - ratings[rows]
    return replace(interactions, items=others, ratings=ratings)


def checkerboard() -> Split:
    """Return the data in which even users take even items and odd users odd ones.

    Each item is withheld from one user, and is the test part. So many are withheld that a model of few dimensions has
    none to know one of them by heart.
    """
    users, items = torch.arange(N_USERS)[:, None], torch.arange(N_ITEMS)
    alike = users % 2 == items % 2
    withheld = users == items
    return _split(alike & ~withheld, withheld)


def preferences() -> Split:
    """Return data of two tastes and a slope of popularity: users mostly take the popular items of their own parity.

    A fifth of what each takes is the test part.
    """
    stream = generator(0, "preferences")
    users, items = torch.arange(N_USERS)[:, None], torch.arange(N_ITEMS)
    chance = torch.where(users % 2 == items % 2, 0.9, 0.15) * torch.linspace(1.0, 0.4, N_ITEMS)
    taken = torch.rand(N_USERS, N_ITEMS, generator=stream) < chance
    test = torch.rand(N_USERS, N_ITEMS, generator=stream) < 0.2
    return _split(taken & ~test, taken & test)


def of_one_user() -> Split:
    """Return data of one user, who takes every other of eight items."""
    return _split(torch.arange(8)[None] % 2 == 0, torch.zeros(1, 8, dtype=torch.bool))


def of_one_item() -> Split:
    """Return data of one item, which every other of eight users takes."""
    return _split(torch.arange(8)[:, None] % 2 == 0, torch.zeros(8, 1, dtype=torch.bool))


def everyone(split: Split) -> UserBatch:
    """Return all users with their training histories."""
    return UserBatch(torch.arange(split.train.n_users), split.train.histories)


def _split(train: Tensor, test: Tensor) -> Split:
    """Return the split of (U, I) tables; every rating is the best."""
    interactions = _interactions(train, test, torch.full(train.shape, 5), None, None)
    assert interactions.parts is not None
    return Split.from_parts(interactions, interactions.parts)


def _interactions(
    train: Tensor, test: Tensor, ratings: Tensor, user_labels: Tensor | None, item_labels: Tensor | None
) -> Interactions:
    """Return what (U, I) tables hold, ``parts`` and all; the order in time is random, the same for all data."""
    n_users, n_items = train.shape
    users, items = torch.nonzero(train | test, as_tuple=True)
    seconds = torch.randperm(n_users * n_items, generator=generator(0, "seconds")).view(n_users, n_items)
    labelled_users = users if user_labels is None else user_labels[users]
    item_labels = torch.arange(n_items) if item_labels is None else item_labels
    labelled_items = item_labels[items]
    order = torch.argsort(labelled_users * seconds.numel() + seconds[users, items])
    users, items = users[order], items[order]
    item_vocabulary = Vocabulary([f"item {index:02d}" for index in range(n_items)], "item")
    return Interactions(
        users=labelled_users[order],
        items=labelled_items[order],
        user_vocabulary=Vocabulary([f"user {index:02d}" for index in range(n_users)], "user"),
        item_vocabulary=item_vocabulary,
        ratings=ratings[users, items].float(),
        timestamps=seconds[users, items],
        parts=torch.where(train[users, items], TRAIN, TEST).to(torch.int8),
        features=Features(items=_item_features(item_vocabulary, item_labels)),
    )


def _item_features(vocabulary: Vocabulary, labels: Tensor) -> FeatureTable | None:
    """Return a number and a category, which is that of the checkerboard."""
    n_items = len(vocabulary)
    frame = pd.DataFrame({"item": vocabulary.ids[labels.numpy()], "rank": range(n_items)})
    frame["parity"] = np.where(frame["rank"] % 2 == 0, "even", "odd")
    declared = (NumericConfig(name="rank", scale="standard"), CategoricalConfig(name="parity"))
    return feature_table(frame, vocabulary, declared)
