"""A published number beside the configuration that is to meet it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from recbench.options import Config

Verdict = Literal["exact", "reproduced", "deviates", "contested", "unverified", "not run"]
"""What became of a published number.

``exact``: ours rounds to all its printed digits. ``reproduced``: ours is within the tolerance. ``deviates``: it is
not. ``contested``: it is not, and others contradict the published number. ``unverified``: nobody has seen the number
in its source, or there is none, so nothing is decided. ``not run``: there is no result of ours.
"""


def _checked_number(text: str) -> str:
    if not re.fullmatch(r"\d*\.\d+|\d+", text):
        raise ValueError("should be a number in quotes with the digits that are printed, such as '.2430'.")
    return text


def _checked_tolerance(text: str) -> str:
    if not re.fullmatch(r"\d*\.?\d+( ?%)?", text):
        raise ValueError("should be a difference such as '.003', or a share of the published value such as '3 %'.")
    return text


Printed = Annotated[str, AfterValidator(_checked_number)]


class Published(Config):
    """What was published on an experiment. A file of a row has the values; what all rows share is in ``_table``."""

    title: str = ""
    """Of the table, in words."""

    minutes: float = Field(0.0, ge=0)
    """Time that the whole table takes on two cores."""

    source: str = ""
    """Citation of the value: authors, title, venue, year, table."""

    protocol: str = ""
    """How the source evaluated, in words."""

    seen: Literal["primary", "secondary", "recomputed", "memory"] = "memory"
    """Where the value was read: in the source itself or its code, in a copy of it, computed anew from published files,
    or nowhere: it is remembered, and never decides a verdict."""

    selection: Literal["valid", "test", "last"] | None = None
    """By which part the source chose the epoch; null where it has no epochs."""

    values: Mapping[str, Printed | None] = Field(default_factory=dict)
    """Metric to the value as it is printed, in quotes; null where none is published."""

    tolerance: Annotated[str, AfterValidator(_checked_tolerance)] = "0"
    """Largest difference that counts as reproduced, or a share of the published value."""

    seeds: int = Field(1, ge=1)
    """Runs that ours is the mean of."""

    expect: Literal["exact", "reproduced", "deviates"] = "reproduced"
    """What is known to come of it; a worse verdict is a failure."""

    contested: str = ""
    """Who contradicts the published value, and how."""

    note: str = ""
    """What explains a difference, or was tried in vain."""

    starts_from: Mapping[str, str] = Field(default_factory=dict)
    """Option to the row of the same table whose finished run it is set to."""

    @model_validator(mode="after")
    def _explained(self) -> Self:
        if self.expect == "deviates" and not (self.note or self.contested):
            raise ValueError("expect = 'deviates': note should say what was tried, or contested who contradicts.")
        return self

    def allowed(self, value: str) -> Decimal:
        """Return the largest difference from the printed ``value`` that counts as reproduced."""
        if self.tolerance.endswith("%"):
            return Decimal(value) * Decimal(self.tolerance.rstrip("% ")) / 100
        return Decimal(self.tolerance)

    def verdict(self, value: str | None, ours: float | None) -> Verdict:
        """Return what our mean says on the printed ``value``."""
        if ours is None:
            return "not run"
        if value is None or self.seen == "memory":
            return "unverified"
        if rounded(ours, value) == Decimal(value):
            return "exact"
        if abs(Decimal(repr(ours)) - Decimal(value)) <= self.allowed(value):
            return "reproduced"
        return "contested" if self.contested else "deviates"

    def holds(self, verdict: Verdict) -> bool:
        """Return whether ``verdict`` is no worse than what is expected."""
        if verdict in ("unverified", "not run", "contested"):
            return True
        order = ("deviates", "reproduced", "exact")
        return order.index(verdict) >= order.index(self.expect)


def rounded(ours: float, value: str) -> Decimal:
    """Return ``ours`` with as many digits as the printed ``value`` has."""
    return Decimal(repr(ours)).quantize(Decimal(value), ROUND_HALF_UP)
