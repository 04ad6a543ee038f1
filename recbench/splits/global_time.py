"""All interactions before a moment for training, those from it on for test.

Source: Meng, McCreadie, Macdonald, Ounis, Exploring Data Splitting Strategies for the Evaluation of Recommendation
Models, RecSys 2020, https://arxiv.org/abs/2007.13237 (temporal global split). The windows are ours.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from recbench.data import TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.errors import ConfigError, EmptyDatasetError
from recbench.options import Config
from recbench.splits import Splitter, register
from recbench.splits.shares import at_most

_TEST_SHARE, _VALID_SHARE = 0.2, 0.1


def _checked_moment(value: Any) -> Any:
    wanted = "should be a date or time in UTC such as 2001-05-31 or 2001-05-31T12:00:00, or whole seconds since 1970."
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(wanted) from None
    elif value is not None and type(value) is not int:  # A bool is an int to isinstance.
        raise ValueError(wanted)
    return value


Moment = Annotated[int | str | None, BeforeValidator(_checked_moment)]


class GlobalTimeConfig(Config):
    """Options of the global split by time."""

    test: float | None = Field(None, gt=0, lt=1)
    """Share of the interactions, the latest ones, for test; null is 0.2, unless test_from is set."""

    test_from: Moment = None
    """First moment of the test part: a date or time in UTC, or seconds since 1970."""

    valid: float | None = Field(None, ge=0, lt=1)
    """Share of the interactions before the test part, the latest ones, for validation; null is 0.1, unless valid_from
    is set."""

    valid_from: Moment = None
    """First moment of the validation part, given as test_from is."""

    n_windows: int = Field(1, ge=1)
    """Number of windows of equal length in time that the test part is cut into."""

    window: int = Field(0, ge=0)
    """The window that is tested, from 0: what is earlier is there to learn from, what is later is not used."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for part in ("test", "valid"):
            share, moment = getattr(self, part), getattr(self, f"{part}_from")
            if share is not None and moment is not None:
                raise ValueError(f"{part} = {share}: is not allowed beside {part}_from = {moment!r}; set one of them.")
        if self.window >= self.n_windows:
            raise ValueError(f"window = {self.window}: should be less than n_windows = {self.n_windows}.")
        return self


@register("global_time", config=GlobalTimeConfig)
class GlobalTime(Splitter):
    """Interactions before a moment for training, those from it on for test: nothing leaks across time.

    A part holds whole seconds: it is the longest period up to the end that does not hold more than its share of the
    interactions, and at least the last second. Validation ends where the test part begins. Users and items may be
    new in a later part.

    With several windows the test part is cut into periods of equal length in time (to the second), of which one is
    tested; validation then ends where that window begins. Over all windows each interaction of the test part is
    tested once.
    """

    config: GlobalTimeConfig

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether a period is set aside for validation."""
        return isinstance(config, GlobalTimeConfig) and config.valid != 0

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8.

        Raises:
            ConfigError: There are no timestamps that compare across users, or no interaction falls into a part.
            EmptyDatasetError: No interaction is earlier than the test part.
        """
        config, times = self.config, _seconds(interactions)
        begin, end = self._begin("test", times), int(times.max()) + 1
        start, stop = (
            begin + (end - begin) * window // config.n_windows for window in (config.window, config.window + 1)
        )
        known, tested = times < start, (times >= start) & (times < stop)
        if not bool(known.any()):
            raise EmptyDatasetError(
                f"split global_time: no interaction is earlier than the test part, which begins at {_utc(start)}; "
                f"{_span(times)}."
            )
        _refuse_empty("test", start, tested, times)
        parts = torch.full((len(times),), UNUSED, dtype=torch.int8)
        parts[known] = TRAIN
        parts[tested] = TEST
        if config.valid != 0:
            valid_start = self._begin("valid", times[known])
            validated = known & (times >= valid_start)
            _refuse_empty("validation", valid_start, validated, times)
            parts[validated] = VALID
        return parts

    def _begin(self, part: Literal["test", "valid"], times: Tensor) -> int:
        """Return the second at which a part begins that ends with ``times`` (M,)."""
        config = self.config
        moment, share, usual = (
            (config.test_from, config.test, _TEST_SHARE)
            if part == "test"
            else (config.valid_from, config.valid, _VALID_SHARE)
        )
        if moment is not None:
            return moment if isinstance(moment, int) else _since_1970(moment)
        seconds, counts = times.unique(return_counts=True)
        n_from = counts.flip(0).cumsum(0).flip(0)
        fitting = seconds[n_from <= at_most(usual if share is None else share, n_from[0])]
        return int(fitting[0] if len(fitting) else seconds[-1])


def _seconds(interactions: Interactions) -> Tensor:
    """Return the timestamps (N,), which must be moments in time."""
    if interactions.timestamps is None:
        raise ConfigError(
            "split=global_time: the data has no timestamps. "
            "Choose a split that needs none, such as split=random, or name their column: dataset.timestamp=COLUMN."
        )
    if interactions.time == "rank":
        raise ConfigError(
            "split=global_time: the timestamps of this data are ranks within each user, which say nothing across "
            "users. Choose a split of each user by time, such as split=leave_one_out."
        )
    return interactions.timestamps


def _since_1970(moment: str) -> int:
    """Return the first whole second that is not before an ISO date or time, UTC where it names no zone."""
    parsed = datetime.fromisoformat(moment)
    return math.ceil((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _refuse_empty(part: str, start: int, members: Tensor, times: Tensor) -> None:
    if not bool(members.any()):
        raise ConfigError(
            f"split global_time: no interaction falls into the {part} part, which begins at {_utc(start)}; "
            f"{_span(times)}. Set another moment or share, or fewer windows."
        )


def _span(times: Tensor) -> str:
    return f"the {len(times):,} interactions go from {_utc(int(times.min()))} to {_utc(int(times.max()))}"


def _utc(seconds: int) -> str:
    """Return an ISO time; unlike datetime's it knows the years that wrong units lead to."""
    return f"{np.datetime64(seconds, 's')} UTC"
