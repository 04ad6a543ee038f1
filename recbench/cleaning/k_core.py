"""The k-core: the largest part of the data in which everybody has enough interactions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recbench.cleaning import Applied, Step, register
from recbench.cleaning.base import codes
from recbench.cleaning.min_counts import CountsConfig, enough


class KCoreConfig(CountsConfig):
    """Options of the k-core."""


@register("k_core", config=KCoreConfig)
class KCore(Step):
    """Only users and items that have at least so many interactions among those kept.

    Users and items with too few are left out together, round after round until none has too few. What is left does
    not depend on the order of the rounds: it is the largest such part. Repeated pairs count each time.

    Source: Seidman: Network structure and minimum degree. Social Networks 5 (3), 1983, for one kind of node.
    """

    config: KCoreConfig

    def apply(self, table: pd.DataFrame) -> Applied:
        """Return the rows of the core, and in how many rounds rows were left out."""
        users, items = codes(table["user"]), codes(table["item"])
        rows, n_rounds = np.arange(len(table)), 0
        while not (kept := enough(users, items, self.config)).all():
            users, items, rows = users[kept], items[kept], rows[kept]
            n_rounds += 1
        return Applied(table if n_rounds == 0 else table.iloc[rows], {"rounds": n_rounds})
