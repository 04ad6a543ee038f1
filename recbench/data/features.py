"""What is known about users and items beside their interactions."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """Tables aligned with the vocabularies: row i describes index i.

    Attributes:
        users: One row a user, or None.
        items: One row an item, or None; the column ``title`` is what people read.
    """

    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None

    def fitted(self, users: Tensor, items: Tensor) -> Features:
        """Return the features with everything that is learnt from them learnt from these users and items alone."""
        return self
