"""A data set: users who like what is near their own number, on a circle of items."""

import numpy as np
import pandas as pd
from pydantic import Field

from recbench import datasets


class CircleConfig(datasets.DatasetConfig):
    """Options of ``circle``."""

    n_users: int = Field(80, ge=2)
    """Number of users, and of items."""


@datasets.register("circle", config=CircleConfig)
class Circle(datasets.Dataset):
    """Every user takes the ten items nearest to the user's own number."""

    card = datasets.Card(
        description="A circle of items; every user takes the ten nearest ones.",
        homepage="",
        licence="generated",
        citation="none",
        time="none",
    )

    config: CircleConfig

    def read(self) -> datasets.Tables:
        """Return the interactions as a table."""
        n = self.config.n_users
        users = np.repeat(np.arange(n), 10)
        items = (users + np.tile(np.arange(-5, 5), n)) % n
        return datasets.Tables(pd.DataFrame({"user": users.astype(str), "item": items.astype(str)}))
