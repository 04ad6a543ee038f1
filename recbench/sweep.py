"""The options of a sweep, ``sweep.*``: they belong to a command, and to no run that it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from recbench.options import Config

AUTO = "auto"
SamplerName = Literal["tpe", "random", "gp"]
Pruner = Literal["none", "median"]


def _checked_budget(value: Any) -> Any:
    seconds = re.fullmatch(r"(\d+)s", value) if isinstance(value, str) else None
    if not (type(value) is int and value >= 1) and not (seconds and int(seconds[1]) >= 1):
        raise ValueError("should be a number of trials such as 20, or of seconds such as 600s.")
    return value


def _checked_space(value: Any) -> Any:
    texts = isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())
    if not texts and value not in (AUTO, None):
        raise ValueError("should be a range for each option, such as 'trainer.lr: interval(0.001, 0.1)'.")
    return value


Budget = Annotated[int | str, BeforeValidator(_checked_budget)]


class SweepConfig(Config):
    """How a sweep deals with its jobs; changes no number of a run, and is part of no run's identity."""

    retry: Literal["none", "failed"] = "none"
    """Which jobs that failed or diverged before run again: none, they are left alone and told of; or failed, all of
    them. What was interrupted or killed always goes on."""

    fail_fast: bool = False
    """Whether the first job that fails or diverges ends the sweep: jobs not yet begun are not begun, in workers too."""

    budget: Budget = 20
    """What each search may spend: a number of trials, or as in 600s the seconds that its trials take together, the
    last of which is not cut short. Pruned and failed trials count, and those of earlier calls."""

    sampler: SamplerName = "tpe"
    """What asks for the trials of a search after the first, which has the defaults: tpe (at random until ten
    have ended), random, or gp, a Gaussian process."""

    sampler_seed: int = Field(0, ge=0)
    """Of the sampler."""

    prune: Pruner = "none"
    """Whether a search stops a trial early: median, where the best value that it has had on validation by an epoch,
    the fifth or a later one, is below the median of what at least five trials had at that epoch."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Seeds with which the winner of each search is then trained anew, on training and validation together and for the
    number of epochs that was best, and asked for the test part; none by default."""

    batch: int | None = Field(None, ge=1)
    """Trials of a search that are asked for at once; null is as many as the launcher runs at once, where it says so
    (n_jobs), else 1. What a trial is depends on those that ended before it was asked for."""

    space: Annotated[dict[str, str] | Literal["auto"] | None, BeforeValidator(_checked_space)] = None
    """Set by sweep=NAME: where to look, a range for each option; auto is the file of the model's name."""


def allowance(budget: int | str) -> tuple[int | None, float | None]:
    """Return the trials and the seconds that a budget allows, None for no limit."""
    return (budget, None) if isinstance(budget, int) else (None, float(budget.removesuffix("s")))


def budget_in_words(budget: int | str) -> str:
    """Return ``20 trials`` or ``600 seconds``."""
    trials, seconds = allowance(budget)
    return f"{trials} trial{'s' if trials != 1 else ''}" if trials is not None else f"{seconds:g} seconds"
