"""Checks of what stays the same when something is done again: fitted, seeded, relabelled, saved, scored."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from recbench.data import Split
from recbench.randomness import generator
from recbench.testing.battery import Subject, check, score
from recbench.testing.data import N_ITEMS, N_USERS, everyone, tastes
from recbench.testing.requirements import require, require_close, require_equal_models


@check
def save_and_load(subject: Subject) -> None:
    """A new model that loads the saved state, without any code being run from the file, has equal scores."""
    file = io.BytesIO()
    torch.save(subject.example.state_dict(), file)
    file.seek(0)
    loaded = subject.model(subject.config, subject.split.train)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    scores = score(loaded.eval(), everyone(subject.split))
    require(torch.equal(scores, subject.scores), "the scores after saving and loading are others.")


@check
def same_seed(subject: Subject) -> None:
    """Fitted again with the same seed it is the same to the last bit."""
    again = subject.fitted(subject.split)
    require_equal_models(again, subject.example, "two fits with the same seed")
    scores = score(again, everyone(subject.split))
    require(torch.equal(scores, subject.scores), "the scores of two fits with the same seed differ.")


@check
def other_seed(subject: Subject) -> None:
    """Another seed gives another model if, and only if, it is stochastic."""
    other = subject.fitted(subject.split, seed=1)
    equal = torch.equal(score(other, everyone(subject.split)), subject.scores)
    if subject.model.stochastic:
        require(not equal, "it declares stochastic = True, and another seed gives the same scores.")
    else:
        require(equal, "it declares stochastic = False, and another seed gives other scores.")
        require_equal_models(other, subject.example, "stochastic = False, but fits with two seeds")


@check
def relabelling(subject: Subject) -> None:
    """Other indices for the same users and items permute the scores; nothing is asked of a stochastic model."""
    if subject.model.stochastic:
        return
    user_labels = torch.randperm(N_USERS, generator=generator(0, "user labels"))
    item_labels = torch.randperm(N_ITEMS, generator=generator(0, "item labels"))
    split = tastes(user_labels=user_labels, item_labels=item_labels)
    scores = score(subject.fitted(split), everyone(split))
    require_close(scores[user_labels][:, item_labels], subject.scores, "scores before and after relabelling")


@check
def inputs_unchanged(subject: Subject) -> None:
    """Fitting leaves the data as it was; scoring leaves the batch and the model so, and repeats to the last bit."""
    split, batch, fresh = tastes(), everyone(tastes()), everyone(tastes())
    candidates = torch.arange(N_ITEMS).repeat(N_USERS, 1)
    model = subject.fitted(split)
    for name, given in _columns(split).items():
        require(
            torch.equal(given, _columns(tastes())[name]), f"fitting changes the {name} of the training interactions."
        )
    scores = score(model, batch)
    kept = scores.clone()
    again = score(model, batch, candidates)
    for name, tensor, wanted in (
        ("users of the batch", batch.users, fresh.users),
        ("offsets of the histories", batch.history.offsets, fresh.history.offsets),
        ("items of the histories", batch.history.items, fresh.history.items),
        ("candidates", candidates, torch.arange(N_ITEMS).repeat(N_USERS, 1)),
        ("scores that it gave before", scores, kept),
    ):
        require(torch.equal(tensor, wanted), f"scoring changes the {name}.")
    require_close(again, kept, "scores of the same users, asked twice")
    require(torch.equal(score(model, batch), kept), "the same batch, asked twice, has other scores.")
    require_equal_models(model, subject.example, "the model before and after scoring")


def _columns(split: Split) -> dict[str, Tensor]:
    """Return all tensors of the training interactions."""
    train = split.train
    columns = {name: getattr(train, name) for name in ("users", "items", "ratings", "timestamps", "popularity")}
    columns |= {"offsets of the histories": train.histories.offsets, "items of the histories": train.histories.items}
    assert train.features.items is not None
    return {**columns, "features of the items": train.features.items.matrix()}
