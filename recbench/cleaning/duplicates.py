"""What becomes of rows that repeat a pair of user and item."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from recbench.cleaning import Applied, Step, StepConfig, register
from recbench.cleaning.base import codes
from recbench.errors import DataError
from recbench.text import shortened

Keep = Literal["last", "first", "sum", "keep", "error"]


class DuplicatesConfig(StepConfig):
    """Options of the policy for repeated pairs."""

    after_split: Literal[False] = False
    """Always before: a pair that is left in twice could be trained on and asked for."""

    keep: Keep = "last"
    """The last or first row of each pair by time, else by place in the file; sum adds up the ratings and takes the
    last time; keep leaves all rows in; error refuses them."""


@register("duplicates", config=DuplicatesConfig)
class Duplicates(Step):
    """One row for each pair of user and item, or another policy.

    The last and the first one go by the timestamps, and by the place in the file among equal ones or where there are
    none. The row that stays keeps its place.
    """

    config: DuplicatesConfig
    unasked = True

    @property
    def needs(self) -> tuple[str, ...]:
        """Ratings, to be summed."""
        return ("rating",) if self.config.keep == "sum" else ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Also the timestamps where one row of a pair is to be chosen."""
        return (*self.needs, "timestamp") if self.config.keep in ("last", "first", "sum") else ()

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the table with the repeats treated.

        Raises:
            DataError: There are repeats, and ``keep=error``.
        """
        keep = self.config.keep
        n_items = len(table["item"].cat.categories)
        pairs = codes(table["user"]).astype(np.int64) * n_items + codes(table["item"])
        ordered = np.sort(pairs)
        repeated = ordered[1:] == ordered[:-1]
        n_repeats = int(repeated.sum())
        if n_repeats == 0:
            return Applied(table)
        if keep == "keep":
            return Applied(table, {"rows that repeat a pair": n_repeats})
        if keep == "error":
            user, item = divmod(int(ordered[1:][repeated][0]), n_items)
            user_id, item_id = table["user"].cat.categories[user], table["item"].cat.categories[item]
            raise DataError(
                f"user {shortened(user_id)!r} and item {shortened(item_id)!r} occur together more than once "
                f"({n_repeats:,} rows too many). Say what becomes of repeats: "
                "dataset.duplicates=last, first, sum or keep."
            )
        # Only the rows of repeated pairs are looked at, mostly few of a large table.
        several = np.unique(ordered[1:][repeated])
        del ordered, repeated
        rows = np.flatnonzero(several[np.searchsorted(several[:-1], pairs)] == pairs)
        # Sorting is stable: among equal times, and without any, the place in the file decides.
        by_time = [table["timestamp"].to_numpy()[rows]] if "timestamp" in table.columns else []
        order = rows[np.lexsort((*by_time, pairs[rows]))]
        starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
        chosen = order[starts] if keep == "first" else order[np.append(starts[1:], len(order)) - 1]
        stays = np.ones(len(table), dtype=bool)
        stays[rows] = False
        stays[chosen] = True
        if keep == "sum":
            ratings = table["rating"].to_numpy(copy=True)
            ratings[chosen] = np.add.reduceat(ratings[order], starts)
            table = table.assign(rating=ratings)
        return Applied(table[stays])
