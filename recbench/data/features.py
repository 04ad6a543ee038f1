"""What is known about users and items beside their interactions."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, eq=False)
class Features:
    """Tables aligned with the vocabularies: row i describes index i.

    Attributes:
        users: One row a user, or None.
        items: One row an item, or None; the column ``title`` is what people read.
    """

    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
