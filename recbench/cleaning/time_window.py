"""A stretch of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

import pandas as pd
from pydantic import AfterValidator, model_validator

from recbench.cleaning import Applied, Step, StepConfig, register


def _seconds(time: int | str) -> int:
    """Return the seconds since 1970 of a time, which is UTC where it names no zone."""
    if isinstance(time, int):
        return time
    moment = datetime.fromisoformat(time)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _check(time: int | str) -> int | str:
    try:
        _seconds(time)
    except ValueError:
        raise ValueError(
            "should be whole seconds since 1970, or a date such as 2003-01-31 or 2003-01-31T12:00:00 (UTC)."
        ) from None
    return time


Time = Annotated[int | str, AfterValidator(_check)]


class TimeWindowConfig(StepConfig):
    """Options of the time window."""

    start: Time | None = None
    """The first moment that is kept: seconds since 1970, or a date, in UTC; null sets no bound."""

    end: Time | None = None
    """The first moment that is no longer kept, alike."""

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        first, stop = self.seconds
        if first is None and stop is None:
            raise ValueError("has no effect: set start, end, or both.")
        if first is not None and stop is not None and first >= stop:
            raise ValueError(f"start = {self.start!r}: should be before end = {self.end!r}.")
        return self

    @property
    def seconds(self) -> tuple[int | None, int | None]:
        """Start and end in seconds since 1970."""
        return (
            None if self.start is None else _seconds(self.start),
            None if self.end is None else _seconds(self.end),
        )


@register("time_window", config=TimeWindowConfig)
class TimeWindow(Step):
    """Only rows from one moment on and before another, with timestamps in seconds."""

    config: TimeWindowConfig
    needs_seconds = True

    @property
    def needs(self) -> tuple[str, ...]:
        """Timestamps."""
        return ("timestamp",)

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows within the window, and how many lie before and after it."""
        times = table["timestamp"]
        start, end = self.config.seconds
        nothing = pd.Series(False, index=table.index)
        early = nothing if start is None else times < start
        late = nothing if end is None else times >= end
        return Applied(table[~(early | late)], {"before": int(early.sum()), "after": int(late.sum())})
