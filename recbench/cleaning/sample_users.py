"""Some of the users, drawn at random."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from recbench.cleaning import Applied, Step, StepConfig, register
from recbench.cleaning.base import codes
from recbench.errors import ConfigError
from recbench.randomness import generator


class SampleUsersConfig(StepConfig):
    """Options of the sample."""

    n: int | None = Field(None, ge=1)
    """Number of users that are kept."""

    share: float | None = Field(None, gt=0, lt=1)
    """Share of the users that is kept, instead of a number."""

    seed: int = Field(0, ge=0)
    """Of the draw; another one draws other users."""

    @model_validator(mode="after")
    def _says_how_many(self) -> Self:
        if (self.n is None) == (self.share is None):
            raise ValueError("set n, a number of users, or share, and not both.")
        return self


@register("sample_users", config=SampleUsersConfig)
class SampleUsers(Step):
    """All rows of some users, drawn without replacement.

    Of U users ``floor(share * U + 0.5)`` are kept. The draw depends on the seed and on which users there are, not on
    the order of the rows.
    """

    config: SampleUsersConfig

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows of the drawn users.

        Raises:
            ConfigError: More users are asked for than there are.
        """
        users = codes(table["user"])
        present = np.flatnonzero(np.bincount(users))
        n = self.config.n
        if n is None:
            assert self.config.share is not None
            n = math.floor(self.config.share * len(present) + 0.5)
        if n > len(present):
            raise ConfigError(f"the cleaning step sample_users: n = {n:,}, but there are only {len(present):,} users.")
        ids = np.asarray(table["user"].cat.categories, dtype=object)
        by_id = present[np.argsort(ids[present])]
        shuffled = torch.randperm(len(by_id), generator=generator(self.config.seed, "cleaning", "sample_users"))
        drawn = np.zeros(len(ids), dtype=bool)
        drawn[by_id[shuffled[:n].numpy()]] = True
        return Applied(table[drawn[users]])
