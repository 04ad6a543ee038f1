"""What every step of cleaning is: options, what it needs of a table, and a table in return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from recbench.data import RatingScale
from recbench.options import Config


class StepConfig(Config):
    """Options that every step has. A step that has only one place narrows ``after_split`` to a Literal."""

    after_split: bool = False
    """Whether it runs after the split, on the training part alone; otherwise before, on everything."""


@dataclass(frozen=True, eq=False)
class Applied:
    """What a step gives.

    Attributes:
        table: The rows that are kept, under the index that they had.
        details: Further numbers by a short phrase, for the report.
        scale: What all ratings are to be normalised by, or None.
    """

    table: pd.DataFrame
    details: Mapping[str, int | float] = field(default_factory=dict)
    scale: RatingScale | None = None


class Step(ABC):
    """A step of cleaning.

    Its tables have the columns ``user`` and ``item``, categoricals of str, and where the data has them ``rating``
    (float64), ``timestamp`` (whole numbers) and ``part``.
    """

    needs_seconds: ClassVar[bool] = False
    """Whether timestamps must be seconds, comparable across users."""

    unasked: ClassVar[bool] = False
    """Whether it runs without being asked for, so that a loss is worth a warning."""

    def __init__(self, config: StepConfig) -> None:
        self.config = config

    @property
    def needs(self) -> tuple[str, ...]:
        """The optional columns without which it cannot run."""
        return ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns in which no value may be missing, where the table has them."""
        return self.needs

    @abstractmethod
    def apply(self, table: pd.DataFrame) -> Applied:
        """Return what is left of ``table``; its index is kept, so that rows can be traced."""


def codes(column: pd.Series) -> np.ndarray:
    """Return the position of each value among the categories of ``column``, (N,) of integers."""
    return column.cat.codes.to_numpy()
