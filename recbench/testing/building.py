"""Checks of what a model declares, holds and gives beside its scores."""

from __future__ import annotations

import io
from pickle import UnpicklingError

import torch
from torch import Tensor

from recbench import negatives, trainers
from recbench.testing.battery import Subject, check
from recbench.testing.data import N_ITEMS, N_USERS
from recbench.testing.requirements import require, require_close


@check
def builds(subject: Subject) -> None:
    """It builds from its options, and the trainer and the negatives that it declares exist."""
    model = subject.model(subject.config, subject.split.train)
    require(bool(subject.model.__doc__), "its class has no docstring.")
    require((model.n_users, model.n_items) == (N_USERS, N_ITEMS), "n_users and n_items are not those of the data.")
    trainers.registry.entry(model.trainer).configure(model.trainer_defaults)
    if model.negatives is not None:
        negatives.registry.entry(model.negatives).configure(model.negatives_defaults)


@check
def plain_state(subject: Subject) -> None:
    """All that it holds is tensors, so that its checkpoint loads without any code being run from the file."""
    state = subject.example.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    require(not odd, f"its state_dict() holds {', '.join(odd)}, which is no tensor.")
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except UnpicklingError as error:
        raise AssertionError(f"its state_dict() does not load with weights_only=True: {error}") from error


@check
def vectors(subject: Subject) -> None:
    """Vectors of users and items have a row each, and where there are both, their dot products are the scores."""
    users, items = subject.example.user_vectors(), subject.example.item_vectors()
    require(users is None or len(users) == N_USERS, "user_vectors() has not one row a user.")
    require(items is None or len(items) == N_ITEMS, "item_vectors() has not one row an item.")
    if users is not None and items is not None:
        require_close(users @ items.T, subject.scores, "dot products of the vectors and scores", tolerance=1e-4)


@check
def predictions(subject: Subject) -> None:
    """Predicted ratings, where it has them, are finite float32, one a pair."""
    if not subject.model.predicts_ratings(subject.config):
        return
    users, items, model = subject.split.train.users, subject.split.train.items, subject.example
    with torch.no_grad():
        ratings = model.predict(users, items)
    require(ratings.shape == users.shape, f"the predictions have shape {tuple(ratings.shape)}, not one a pair.")
    require(ratings.dtype == torch.float32, f"the predictions are {ratings.dtype}, not torch.float32.")
    require(bool(torch.isfinite(ratings).all()), "a predicted rating is not finite.")
