"""Which checks there are, and how a model is put through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recbench import models, negatives, plugins, trainers
from recbench.checkpoints import Checkpoints
from recbench.data import Split, UserBatch
from recbench.errors import ConfigError
from recbench.models import Model
from recbench.options import Config, did_you_mean
from recbench.testing.data import everyone, tastes
from recbench.trainers.base import FitResult

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
        return self.fit(split, seed=seed, budget=budget)[0]

    def fit(
        self,
        split: Split,
        *,
        seed: int = 0,
        budget: Mapping[str, Any] = SHORT,
        reject_seen: bool = True,
        checkpoints: Checkpoints | None = None,
    ) -> tuple[Model, FitResult]:
        """Return a new model, fitted to ``split`` by its own trainer, and what the trainer says of it.

        Args:
            split: Only the training part may be learnt from.
            seed: Of everything that is drawn.
            budget: Options of the trainer; those that it does not have are left out.
            reject_seen: False lets a sampler that has this option draw what the user took, where there may be nothing
                else.
            checkpoints: What the trainer is handed to keep states, and to go on from.
        """
        model = self.model(self.config, split.train, seed)
        sampler = None
        if model.negatives is not None:
            options = dict(model.negatives_defaults)
            if not reject_seen and "reject_seen" in _options_of(negatives.registry.entry(model.negatives)):
                options["reject_seen"] = False
            sampler = negatives.build(model.negatives, split.train, **options)
        has = self.trainer_options
        options = {**model.trainer_defaults, **{key: value for key, value in budget.items() if key in has}}
        trainer = trainers.build(model.trainer, **options)
        result = trainer.fit(model, split, seed=seed, negatives=sampler, checkpoints=checkpoints)
        return model.eval(), result

    @cached_property
    def trainer_options(self) -> frozenset[str]:
        """Names of the options of its trainer."""
        return _options_of(trainers.registry.entry(self.model.trainer))

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


def check(function: Check) -> Check:
    """Make ``function`` a check by its name; its docstring says what it asks."""
    _CHECKS[function.__name__] = function
    return function


def checks() -> tuple[str, ...]:
    """Return the names of all checks, in the order in which they run."""
    return tuple(_CHECKS)


def describe(name: str) -> str:
    """Return what a check asks of a model, in a sentence or two.

    Raises:
        ConfigError: There is no such check.
    """
    return " ".join((_known(name).__doc__ or "").split())


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
        _known(name)
    for name in wanted:
        failure = _failure(subject, name)
        if failure is not None and name not in excused:
            raise AssertionError(f"model {subject.name!r} fails the check {name!r}: {failure}") from failure
        if failure is None and name in excused:
            raise AssertionError(
                f"model {subject.name!r} passes the check {name!r}, which it is expected to fail since "
                f"{excused[name]}; take it out of expected_failures."
            )


def score(model: Model, batch: UserBatch, items: Tensor | None = None) -> Tensor:
    """Return the model's scores of ``batch`` for all items, or for the candidates ``items`` (B, C)."""
    with torch.no_grad():
        return model.score(batch, items)


def _known(name: str) -> Check:
    if name not in _CHECKS:
        raise ConfigError(f"no check {name!r}. {did_you_mean(name, _CHECKS)}")
    return _CHECKS[name]


def _options_of(entry: Any) -> frozenset[str]:
    return frozenset(entry.options.model_fields)


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
