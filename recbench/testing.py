"""The contract that every model must pass: for our own tests and for other people's models.

``check_model("mf")`` or ``check_model(MyModel, MyConfig(dim=8))`` fits the model with its own trainer to small
generated data, several times, and raises an ``AssertionError`` that names the model and the check that it fails.

Shapes:
    U = 48 users, I = 40 items, C candidates.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench import models, negatives, plugins, trainers
from recbench.data import (
    TEST,
    TRAIN,
    Features,
    FeatureTable,
    Histories,
    Interactions,
    Split,
    UserBatch,
    Vocabulary,
    feature_table,
)
from recbench.data.feature_config import CategoricalConfig, NumericConfig
from recbench.errors import ConfigError
from recbench.models import Model
from recbench.options import Config, did_you_mean
from recbench.randomness import generator

N_USERS, N_ITEMS = 48, 40
SHORT: Mapping[str, Any] = {"epochs": 3}
"""What a trainer that has such options is given to leave the start behind."""
LEARNING: Mapping[str, Any] = {"epochs": 5, "batch_size": 64, "lr": 0.02}
"""What it is given to learn the checkerboard. More would not be better: the withheld pairs are drawn as negatives,
and a model with many parameters comes to know them by heart."""


class Subject:
    """A model to be checked, with the data and the fitted model that most checks look at."""

    def __init__(self, name: str, model: type[Model], config: Config) -> None:
        """Keep what the model is called in messages, its class and its options."""
        self.name = name
        self.model = model
        self.config = config

    def fitted(self, split: Split, *, seed: int = 0, budget: Mapping[str, Any] = SHORT) -> Model:
        """Return a new model, fitted to ``split`` by its own trainer, in evaluation mode."""
        model = self.model(self.config, split.train, seed)
        sampler = None
        if model.negatives is not None:
            sampler = negatives.build(model.negatives, split.train, **model.negatives_defaults)
        has = trainers.registry.entry(model.trainer).configure({}).model_dump().keys()
        options = {**model.trainer_defaults, **{key: value for key, value in budget.items() if key in has}}
        trainers.build(model.trainer, **options).fit(model, split, seed=seed, negatives=sampler)
        return model.eval()

    @cached_property
    def split(self) -> Split:
        """``tastes()``."""
        return tastes()

    @cached_property
    def example(self) -> Model:
        """A model fitted to ``split``; no check may change it."""
        return self.fitted(self.split)

    @cached_property
    def scores(self) -> Tensor:
        """Scores (U, I) of ``example`` for all users with their training histories."""
        return score(self.example, everyone(self.split))


Check = Callable[[Subject], None]
_CHECKS: dict[str, Check] = {}


def checks() -> tuple[str, ...]:
    """Return the names of all checks, in the order in which they run."""
    return tuple(_CHECKS)


def check_model(
    model: str | type[Model],
    config: Config | None = None,
    *,
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Check that a model keeps the contract.

    Args:
        model: A registered name, or the class.
        config: Its options; None takes the registered defaults.
        only: Names of the checks to run, of ``checks()``; None runs all.
        expected_failures: Checks that it cannot pass, each with the reason; they must fail. None takes those that
            the class declares.

    Raises:
        AssertionError: A check fails, or one that is expected to fail passes; the message names model and check.
        ConfigError: There is no such model or check, or a class that is not registered comes without options.
    """
    subject = _subject(model, config)
    excused = subject.model.expected_failures if expected_failures is None else expected_failures
    wanted = checks() if only is None else tuple(only)
    for name in (*wanted, *excused):
        if name not in _CHECKS:
            raise ConfigError(f"no check {name!r}. {did_you_mean(name, _CHECKS)}")
    for name in wanted:
        failure = _failure(subject, name)
        if failure is not None and name not in excused:
            raise AssertionError(f"model {subject.name!r} fails the check {name!r}: {failure}") from failure
        if failure is None and name in excused:
            raise AssertionError(
                f"model {subject.name!r} passes the check {name!r}, which it is expected to fail since "
                f"{excused[name]}; take it out of expected_failures."
            )


def _subject(model: str | type[Model], config: Config | None) -> Subject:
    plugins.load()
    if isinstance(model, str):
        entry = models.registry.entry(model)
        return Subject(entry.name, entry.target, config or entry.configure({}))  # type: ignore[arg-type]
    for name in models.registry.names():
        if models.registry.entry(name).target is model:
            return _subject(name, config)
    if config is None:
        raise ConfigError(
            f"{model.__name__} is not registered, so its options are not known; "
            f"write check_model({model.__name__}, config)."
        )
    return Subject(model.__name__, model, config)


def _failure(subject: Subject, name: str) -> AssertionError | None:
    try:
        _CHECKS[name](subject)
    except AssertionError as error:
        return error
    return None


# The data


def tastes(*, test_seed: int = 0, user_labels: Tensor | None = None, item_labels: Tensor | None = None) -> Split:
    """Return ratings of items whose popularity falls; training lacks the last user and the last item.

    Items have features, a number and a category, for the models that go by them.

    Args:
        test_seed: Which of the other pairs are test rows; the training rows do not depend on it.
        user_labels: (U,) a permutation, the index that each user gets instead of their own.
        item_labels: (I,) a permutation, the index that each item gets instead of its own.
    """
    stream = generator(0, "tastes")
    chance = torch.linspace(0.8, 0.2, N_ITEMS).repeat(N_USERS, 1)
    chance[-1], chance[:, -1] = 0.0, 0.0
    train = torch.rand(N_USERS, N_ITEMS, generator=stream) < chance
    ratings = torch.randint(1, 6, (N_USERS, N_ITEMS), generator=stream)
    test = torch.rand(N_USERS, N_ITEMS, generator=generator(test_seed, "test rows")) < 0.3
    return _split(train, test & ~train, ratings, user_labels, item_labels)


def checkerboard() -> Split:
    """Return the data in which even users take even items and odd users odd ones.

    One pair of every third even and odd user is withheld, an item for each, and is the test part.
    """
    users, items = torch.arange(N_USERS)[:, None], torch.arange(N_ITEMS)
    alike = users % 2 == items % 2
    withheld = alike & (users // 2 % 3 == 0) & (items // 2 == users // 2 % (N_ITEMS // 2))
    return _split(alike & ~withheld, withheld, torch.full((N_USERS, N_ITEMS), 5), None, None)


def _split(
    train: Tensor, test: Tensor, ratings: Tensor, user_labels: Tensor | None, item_labels: Tensor | None
) -> Split:
    """Return the split of (U, I) tables; the order in time is random, the same for all data."""
    users, items = torch.nonzero(train | test, as_tuple=True)
    seconds = torch.randperm(N_USERS * N_ITEMS, generator=generator(0, "seconds")).view(N_USERS, N_ITEMS)
    labelled_users = users if user_labels is None else user_labels[users]
    item_labels = torch.arange(N_ITEMS) if item_labels is None else item_labels
    labelled_items = item_labels[items]
    order = torch.argsort(labelled_users * seconds.numel() + seconds[users, items])
    users, items = users[order], items[order]
    parts = torch.where(train[users, items], TRAIN, TEST).to(torch.int8)
    item_vocabulary = Vocabulary([f"item {index:02d}" for index in range(N_ITEMS)], "item")
    interactions = Interactions(
        users=labelled_users[order],
        items=labelled_items[order],
        user_vocabulary=Vocabulary([f"user {index:02d}" for index in range(N_USERS)], "user"),
        item_vocabulary=item_vocabulary,
        ratings=ratings[users, items].float(),
        timestamps=seconds[users, items],
        features=Features(items=_item_features(item_vocabulary, item_labels)),
    )
    return Split.from_parts(interactions, parts)


def _item_features(vocabulary: Vocabulary, labels: Tensor) -> FeatureTable | None:
    """Return a number and a category, which is that of the checkerboard."""
    frame = pd.DataFrame({"item": vocabulary.ids[labels.numpy()], "rank": range(N_ITEMS)})
    frame["parity"] = np.where(frame["rank"] % 2 == 0, "even", "odd")
    declared = (NumericConfig(name="rank", scale="standard"), CategoricalConfig(name="parity"))
    return feature_table(frame, vocabulary, declared)


def everyone(split: Split) -> UserBatch:
    """Return all users with their training histories."""
    return UserBatch(torch.arange(split.train.n_users), split.train.histories)


def score(model: Model, batch: UserBatch, items: Tensor | None = None) -> Tensor:
    """Return the model's scores of ``batch`` for all items, or for the candidates ``items`` (B, C)."""
    with torch.no_grad():
        return model.score(batch, items)


# The checks


def _check(function: Check) -> Check:
    """Make ``function`` a check by its name."""
    _CHECKS[function.__name__.removeprefix("_")] = function
    return function


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _require_close(found: Tensor, wanted: Tensor, message: str, tolerance: float = 1e-5) -> None:
    """Require the shape and, within ``tolerance`` of the largest score, the values of ``wanted``."""
    _require(found.shape == wanted.shape, f"{message}: shape {tuple(found.shape)}, not {tuple(wanted.shape)}.")
    difference = float((found - wanted).abs().max())
    allowed = tolerance * max(1.0, float(wanted.abs().max()))
    _require(difference <= allowed, f"{message}: they differ by {difference:.3g}.")


def _require_equal_models(model: Model, other: Model, message: str) -> None:
    """Require that two models agree to the last bit in all that they hold."""
    state, other_state = model.state_dict(), other.state_dict()
    _require(state.keys() == other_state.keys(), f"{message}: they hold different tensors.")
    different = [name for name in state if not torch.equal(state[name], other_state[name])]
    _require(not different, f"{message}: {', '.join(different)} differ.")


@_check
def _builds(subject: Subject) -> None:
    """It builds, and what it declares exists."""
    model = subject.model(subject.config, subject.split.train)
    _require(bool(subject.model.__doc__), "its class has no docstring.")
    _require((model.n_users, model.n_items) == (N_USERS, N_ITEMS), "n_users and n_items are not those of the data.")
    trainers.registry.entry(model.trainer).configure(model.trainer_defaults)
    if model.negatives is not None:
        negatives.registry.entry(model.negatives).configure(model.negatives_defaults)


@_check
def _learns_checkerboard(subject: Subject) -> None:
    """Even users like even items, odd users odd ones: the one that was withheld comes first of the unseen."""
    split = checkerboard()
    assert split.test is not None
    asked = UserBatch(split.test.users, split.test.history)
    scores = score(subject.fitted(split, budget=LEARNING), asked)
    withheld = split.test.target.items[:, None]
    others = scores.masked_fill(asked.history.mask(N_ITEMS), -torch.inf).scatter(1, withheld, -torch.inf)
    failed = int((scores.gather(1, withheld)[:, 0] <= others.max(1).values).sum())
    _require(failed == 0, f"for {failed} of {len(asked)} users another unseen item comes before the withheld one.")


@_check
def _scores_are_finite(subject: Subject) -> None:
    """Scores are finite float32 of shape (U, I), also for users and items without training interactions."""
    scores = subject.scores
    _require(scores.shape == (N_USERS, N_ITEMS), f"the scores have shape {tuple(scores.shape)}, not (users, items).")
    _require(scores.dtype == torch.float32, f"the scores are {scores.dtype}, not torch.float32.")
    wrong = int((~torch.isfinite(scores)).sum())
    _require(wrong == 0, f"{wrong} of {scores.numel()} scores are not finite.")


@_check
def _batches_of_one(subject: Subject) -> None:
    """Users scored one at a time have the same scores as all at once."""
    batch = everyone(subject.split)
    one_by_one = [score(subject.example, UserBatch(user, batch.history.rows(user))) for user in batch.users.split(1)]
    _require_close(torch.cat(one_by_one), subject.scores, "scores of batches of one and of all users at once")


@_check
def _candidates(subject: Subject) -> None:
    """Candidates have the scores that they have among all items, in the order given, repeated ones too."""
    for n_candidates in (1, 7, N_ITEMS + 1):
        items = torch.randint(N_ITEMS, (N_USERS, n_candidates), generator=generator(0, "candidates"))
        scores = score(subject.example, everyone(subject.split), items)
        _require_close(scores, subject.scores.gather(1, items), f"scores of {n_candidates} candidates and of all items")


@_check
def _unknown_users(subject: Subject) -> None:
    """A user with index -1 is scored by their history where the model folds in, and refused where it does not."""
    batch = UserBatch(torch.tensor([-1, 1, -1]), everyone(subject.split).history.rows(torch.tensor([0, 1, 2])))
    _scored_or_refused(subject, batch, "unknown users")


@_check
def _empty_histories(subject: Subject) -> None:
    """A known user may come without a history; an unknown one only where the model folds in."""
    nothing = Histories(torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    scores = score(subject.example, UserBatch(torch.tensor([0]), nothing))
    _require(scores.shape == (1, N_ITEMS), f"the scores have shape {tuple(scores.shape)}, not (1, items).")
    _require(bool(torch.isfinite(scores).all()), "the scores of a known user without a history are not finite.")
    _scored_or_refused(subject, UserBatch(torch.tensor([-1]), nothing), "an unknown user without a history")


def _scored_or_refused(subject: Subject, batch: UserBatch, who: str) -> None:
    """Require finite scores of a model that folds in, and ``ConfigError`` of any other."""
    try:
        scores = score(subject.example, batch)
    except ConfigError as error:
        _require(not subject.model.folds_in, f"it declares folds_in = True and refuses {who}: {error}")
        return
    _require(subject.model.folds_in, f"it declares folds_in = False and scores {who}; call refuse_unknown().")
    _require(scores.shape == (len(batch), N_ITEMS), f"the scores of {who} have shape {tuple(scores.shape)}.")
    _require(bool(torch.isfinite(scores).all()), f"the scores of {who} are not finite.")


@_check
def _save_and_load(subject: Subject) -> None:
    """A new model that loads the saved state, without any code being run from the file, has equal scores."""
    file = io.BytesIO()
    torch.save(subject.example.state_dict(), file)
    file.seek(0)
    loaded = subject.model(subject.config, subject.split.train)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    scores = score(loaded.eval(), everyone(subject.split))
    _require(torch.equal(scores, subject.scores), "the scores after saving and loading are others.")


@_check
def _same_seed(subject: Subject) -> None:
    """Fitted again with the same seed it is the same to the last bit."""
    again = subject.fitted(subject.split)
    _require_equal_models(again, subject.example, "two fits with the same seed")
    scores = score(again, everyone(subject.split))
    _require(torch.equal(scores, subject.scores), "the scores of two fits with the same seed differ.")


@_check
def _other_seed(subject: Subject) -> None:
    """Another seed gives another model if, and only if, it is stochastic."""
    other = subject.fitted(subject.split, seed=1)
    equal = torch.equal(score(other, everyone(subject.split)), subject.scores)
    if subject.model.stochastic:
        _require(not equal, "it declares stochastic = True, and another seed gives the same scores.")
    else:
        _require(equal, "it declares stochastic = False, and another seed gives other scores.")
        _require_equal_models(other, subject.example, "stochastic = False, but fits with two seeds")


@_check
def _relabelling(subject: Subject) -> None:
    """Other indices for the same users and items permute the scores; nothing is asked of a stochastic model."""
    if subject.model.stochastic:
        return
    user_labels = torch.randperm(N_USERS, generator=generator(0, "user labels"))
    item_labels = torch.randperm(N_ITEMS, generator=generator(0, "item labels"))
    split = tastes(user_labels=user_labels, item_labels=item_labels)
    scores = score(subject.fitted(split), everyone(split))
    _require_close(scores[user_labels][:, item_labels], subject.scores, "scores before and after relabelling")


@_check
def _test_rows(subject: Subject) -> None:
    """Other test rows change no bit of what it learns from the same training rows."""
    split = tastes(test_seed=1)
    other = subject.fitted(split)
    _require_equal_models(other, subject.example, "fits beside different test rows")
    scores = score(other, everyone(split))
    _require(torch.equal(scores, subject.scores), "the scores of fits beside different test rows differ.")


@_check
def _inputs_unchanged(subject: Subject) -> None:
    """Fitting leaves the data as it was; scoring leaves the batch and the model so, and repeats to the last bit."""
    split, batch = tastes(), everyone(tastes())
    candidates = torch.arange(N_ITEMS).repeat(N_USERS, 1)
    model = subject.fitted(split)
    columns = ("users", "items", "ratings", "timestamps")
    changed = [name for name in columns if not torch.equal(getattr(split.train, name), getattr(tastes().train, name))]
    _require(not changed, f"fitting changes the {', '.join(changed)} of the training interactions.")
    scores = score(model, batch)
    kept = scores.clone()
    again = score(model, batch, candidates)
    fresh = everyone(tastes())
    for name, tensor, wanted in (
        ("users of the batch", batch.users, fresh.users),
        ("offsets of the histories", batch.history.offsets, fresh.history.offsets),
        ("items of the histories", batch.history.items, fresh.history.items),
        ("candidates", candidates, torch.arange(N_ITEMS).repeat(N_USERS, 1)),
        ("scores that it gave before", scores, kept),
    ):
        _require(torch.equal(tensor, wanted), f"scoring changes the {name}.")
    _require_close(again, kept, "scores of the same users, asked twice")
    _require(torch.equal(score(model, batch), kept), "the same batch, asked twice, has other scores.")
    _require_equal_models(model, subject.example, "the model before and after scoring")


@_check
def _vectors(subject: Subject) -> None:
    """Vectors of users and items have a row each, and where there are both, their dot products are the scores."""
    users, items = subject.example.user_vectors(), subject.example.item_vectors()
    _require(users is None or len(users) == N_USERS, "user_vectors() has not one row a user.")
    _require(items is None or len(items) == N_ITEMS, "item_vectors() has not one row an item.")
    if users is not None and items is not None:
        _require_close(users @ items.T, subject.scores, "dot products of the vectors and scores", tolerance=1e-4)


@_check
def _predictions(subject: Subject) -> None:
    """Predicted ratings, where it has them, are finite float32, one a pair."""
    if not subject.model.predicts_ratings(subject.config):
        return
    users, items, model = subject.split.train.users, subject.split.train.items, subject.example
    with torch.no_grad():
        ratings = model.predict(users, items)
    _require(ratings.shape == users.shape, f"the predictions have shape {tuple(ratings.shape)}, not one a pair.")
    _require(ratings.dtype == torch.float32, f"the predictions are {ratings.dtype}, not torch.float32.")
    _require(bool(torch.isfinite(ratings).all()), "a predicted rating is not finite.")
