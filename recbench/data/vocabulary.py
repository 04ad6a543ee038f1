"""The only place where published ids become indices, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from recbench.errors import DataError
from recbench.options import did_you_mean


class Vocabulary:
    """Ids of one kind, sorted by their UTF-8 bytes; the index of an id is its place in that order."""

    def __init__(self, ids: Iterable[str], kind: str) -> None:
        """Keep ``ids``, each once.

        Args:
            ids: Published ids, opaque strings, in any order.
            kind: ``"user"`` or ``"item"``, for error messages.
        """
        self.kind = kind
        # Sorting by code points is sorting by UTF-8 bytes: the encoding keeps the order.
        self.ids = np.array(sorted(set(ids)), dtype=object)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._lookup

    @cached_property
    def _lookup(self) -> pd.Index:
        return pd.Index(self.ids, dtype=object)

    def indices(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the int64 indices of ``ids``, (N,).

        Raises:
            DataError: One of them is unknown; the message names it and the nearest known ones.
        """
        found = self._lookup.get_indexer(pd.Index(ids, dtype=object)).astype(np.int64)
        if (found < 0).any():
            unknown = str(ids[int(np.argmax(found < 0))])
            near = did_you_mean(unknown, self.ids[:10_000]).partition(" Known:")[0]
            hint = f" {near}" if near.startswith("Did") else ""
            example = f" Ids look like {self.ids[0]!r}." if len(self) else ""
            raise DataError(f"no {self.kind} {unknown!r} among the {len(self):,} {self.kind}s.{hint}{example}")
        return found

    def names(self, indices: np.ndarray) -> np.ndarray:
        """Return the ids of ``indices`` as an object array of the same shape."""
        return self.ids[indices]
