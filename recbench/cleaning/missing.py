"""What becomes of rows without a rating or a timestamp."""

from __future__ import annotations

from typing import Literal, Self

import pandas as pd
from pydantic import model_validator

from recbench.cleaning import Applied, Step, StepConfig, register


class MissingConfig(StepConfig):
    """Options of the policy for missing values."""

    after_split: Literal[False] = False
    """Always before: everything that follows reads the values."""

    rating: Literal["error", "drop", "constant"] = "error"
    """A row without rating is an error, is left out, or gets the constant ``value``."""

    timestamp: Literal["error", "drop"] = "error"
    """A row without timestamp is an error, or is left out."""

    value: float | None = None
    """The rating of rows without one, with rating=constant."""

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if (self.rating == "constant") != (self.value is not None):
            raise ValueError("rating=constant and value=NUMBER go together: give both, or none.")
        if not self.columns:
            raise ValueError("has no effect: set rating=drop, rating=constant value=NUMBER, or timestamp=drop.")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in which values may be missing before this step."""
        policies = {"rating": self.rating, "timestamp": self.timestamp}
        return tuple(name for name, policy in policies.items() if policy != "error")


@register("missing", config=MissingConfig)
class Missing(Step):
    """Rows with a missing rating or timestamp are left out, or get a constant rating.

    There is no mean to be filled in: before the split it would be learnt from the ratings of the test part too.
    """

    config: MissingConfig

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that it treats."""
        return self.config.columns

    @property
    def reads(self) -> tuple[str, ...]:
        """None: missing values are what it is for."""
        return ()

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the table with complete columns, and how many values were missing in each."""
        absent = {name: table[name].isna() for name in self.config.columns}
        details = {f"{name} is missing": int(rows.sum()) for name, rows in absent.items()}
        if self.config.rating == "constant":
            table = table.assign(rating=table["rating"].fillna(self.config.value))
            del absent["rating"]
        for rows in absent.values():
            table = table[~rows.loc[table.index]]
        if "timestamp" in absent:
            table = table.assign(timestamp=table["timestamp"].astype("int64"))
        return Applied(table, details)
