"""Checks of whether a model learns."""

from __future__ import annotations

import torch

from recbench.data import Split, UserBatch
from recbench.errors import ConfigError
from recbench.evaluation import EvaluationConfig, evaluate
from recbench.models import Model
from recbench.models.popularity import Popularity, PopularityConfig
from recbench.testing.battery import LEARNING, Subject, check, score
from recbench.testing.data import N_ITEMS, checkerboard, everyone, of_one_item, of_one_user, preferences
from recbench.testing.requirements import require

_METRIC = "ndcg@10"


@check
def learns_checkerboard(subject: Subject) -> None:
    """Even users like even items, odd users odd ones: the one that was withheld comes first of the unseen."""
    split = checkerboard()
    assert split.test is not None
    asked = UserBatch(split.test.users, split.test.history)
    scores = score(subject.fitted(split, budget=LEARNING), asked)
    withheld = split.test.target.items[:, None]
    others = scores.masked_fill(asked.history.mask(N_ITEMS), -torch.inf).scatter(1, withheld, -torch.inf)
    failed = int((scores.gather(1, withheld)[:, 0] <= others.max(1).values).sum())
    require(failed == 0, f"for {failed} of {len(asked)} users another unseen item comes before the withheld one.")


@check
def lowers_the_loss(subject: Subject) -> None:
    """Where its trainer goes in epochs and tells a loss, one epoch on the checkerboard lowers it."""
    _, result = subject.fit(checkerboard(), budget={**LEARNING, "epochs": 2})
    losses = [record.values["loss"] for record in result.curve if "loss" in record.values]
    if len(losses) < 2:
        return
    require(losses[1] < losses[0], f"the loss is {losses[0]:.4g} in the first epoch and {losses[1]:.4g} in the second.")


@check
def beats_popularity(subject: Subject) -> None:
    """Where users of two tastes mostly take the popular items of theirs, it has a better NDCG@10 than popularity."""
    split = preferences()
    usual = Popularity(PopularityConfig(), split.train)
    usual.fit(split.train)
    found, wanted = _quality(subject.fitted(split, budget=LEARNING), split), _quality(usual, split)
    require(found > wanted, f"its {_METRIC} is {found:.4f}, and that of popularity {wanted:.4f}.")


@check
def one_user(subject: Subject) -> None:
    """With the data of a single user it gives finite scores, or refuses with a ``ConfigError``."""
    _scores_or_refuses(subject, of_one_user())


@check
def one_item(subject: Subject) -> None:
    """With the data of a single item it gives finite scores, or refuses with a ``ConfigError``."""
    _scores_or_refuses(subject, of_one_item())


def _quality(model: Model, split: Split) -> float:
    return evaluate(model, split, "test", EvaluationConfig(metrics=(_METRIC,))).values[_METRIC]


def _scores_or_refuses(subject: Subject, split: Split) -> None:
    try:
        model, _ = subject.fit(split, reject_seen=False)
        scores = score(model, everyone(split))
    except ConfigError:
        return
    wanted = (split.train.n_users, split.train.n_items)
    require(tuple(scores.shape) == wanted, f"the scores have shape {tuple(scores.shape)}, not {wanted}.")
    require(bool(torch.isfinite(scores).all()), "the scores are not finite.")
