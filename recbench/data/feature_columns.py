"""One feature of all users or items: its values as published, and the numbers that models see.

Whatever is learnt (fills, scales, the set of categories) is learnt from the values that are there in the rows of the
training part, each row once.

Shapes:
    R rows, one a user or an item; D numbers of a row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from recbench.data.feature_config import CategoricalConfig, MultiConfig, NumericConfig, TextConfig, VectorConfig
from recbench.errors import DataError


@dataclass(frozen=True, eq=False)
class FeatureColumn(ABC):
    """One feature.

    Attributes:
        config: How it is declared.
        missing: (R,) bool, where there is no value.
    """

    config: Any
    missing: np.ndarray

    @abstractmethod
    def labels(self, rows: np.ndarray) -> list[str]:
        """Return the names of the D numbers, where the training part is ``rows``, indices."""

    @abstractmethod
    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return (R, D) float32, with what is learnt learnt from ``rows``, indices.

        Raises:
            DataError: There is something to be learnt, and no value in ``rows``.
        """

    @abstractmethod
    def taken(self, rows: np.ndarray) -> Self:
        """Return the feature of ``rows``, indices, each once, in that order."""

    @property
    @abstractmethod
    def content(self) -> tuple[np.ndarray, ...]:
        """The values as arrays of numbers or of str, for comparison with others."""

    @property
    def _has_indicator(self) -> bool:
        return getattr(self.config, "missing", None) == "indicator"

    def _with_indicator(self, numbers: np.ndarray) -> np.ndarray:
        if not self._has_indicator:
            return numbers
        return np.column_stack([numbers, self.missing.astype(np.float32)])

    def _indicator_label(self) -> list[str]:
        return [f"{self.config.name} is missing"] if self._has_indicator else []

    def _refuse_nothing_seen(self) -> DataError:
        return DataError(
            f"the feature {self.config.name!r} has no value in the training part that its options could be learnt "
            "from; write missing: constant and scale: none, or leave the feature out."
        )


@dataclass(frozen=True, eq=False)
class NumberColumn(FeatureColumn):
    """A number (D = 1), or a vector.

    Shapes:
        values: (R, D) float64, or float32 of vectors; any number where missing.
    """

    config: NumericConfig | VectorConfig
    values: np.ndarray

    def labels(self, rows: np.ndarray) -> list[str]:
        """Return the name, or the name and the place in the vector: ``image[0]``."""
        name = self.config.name
        vector = isinstance(self.config, VectorConfig)
        own = [f"{name}[{place}]" for place in range(self.values.shape[1])] if vector else [name]
        return own + self._indicator_label()

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return the values filled and scaled, and the indicator."""
        config = self.config
        seen = self.values[rows[~self.missing[rows]]]
        learns = config.scale != "none" or config.missing in ("mean", "most_frequent")
        if learns and len(seen) == 0:
            raise self._refuse_nothing_seen()
        offset, factor = self._scale(seen)
        scaled = (self.values - offset) / factor
        if config.missing != "error":
            scaled[self.missing] = 0.0 if self._has_indicator else (self._fill(seen) - offset) / factor
        return self._with_indicator(scaled.astype(np.float32))

    def _scale(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return offset and factor of each dimension, (D,)."""
        dtype = self.values.dtype
        if self.config.scale == "none":
            return np.zeros(1, dtype), np.ones(1, dtype)
        low, high = seen.min(axis=0), seen.max(axis=0)
        if self.config.scale == "min_max":
            offset, factor = low, high - low
        else:
            offset, factor = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
        # Of equal values the deviation may be a rounding error away from 0.
        factor = np.where(low == high, 1.0, factor)
        return np.where(low == high, low, offset).astype(dtype), factor.astype(dtype)

    def _fill(self, seen: np.ndarray) -> np.ndarray | float:
        """Return what missing values are filled with, (D,) or one number."""
        if self.config.missing == "mean":
            return seen.mean(axis=0, dtype=np.float64)
        if self.config.missing == "most_frequent":
            values, counts = np.unique(seen, return_counts=True)
            return values[np.argmax(counts)]
        assert self.config.value is not None
        return self.config.value

    def taken(self, rows: np.ndarray) -> Self:
        """Return the feature of ``rows``."""
        return replace(self, missing=self.missing[rows], values=self.values[rows])

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        """The values, 0 where missing."""
        return (np.where(self.missing[:, None], 0, self.values),)


@dataclass(frozen=True, eq=False)
class LabelColumn(FeatureColumn):
    """Categories: one a row at most, or any number.

    Shapes:
        rows: (P,) int64, the row of each of P pairs of row and category.
        codes: (P,) int64, the category of each pair.
        categories: (K,) object array of str, sorted.
    """

    config: CategoricalConfig | MultiConfig
    rows: np.ndarray
    codes: np.ndarray
    categories: np.ndarray

    def labels(self, rows: np.ndarray) -> list[str]:
        """Return ``name=category`` for the categories in training."""
        known = self.categories[self._known(*self._filled(rows), rows)]
        return [f"{self.config.name}={category}" for category in known] + self._indicator_label()

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return 1 where a row has the category, and the indicator."""
        filled, codes = self._filled(rows)
        known = self._known(filled, codes, rows)
        place = np.full(len(self.categories), -1)
        place[known] = np.arange(len(known))
        kept = place[codes] >= 0
        numbers = np.zeros((len(self.missing), len(known)), np.float32)
        numbers[filled[kept], place[codes[kept]]] = 1.0
        return self._with_indicator(numbers)

    def _filled(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and codes of the pairs, with those that fill what is missing."""
        policy = getattr(self.config, "missing", None)
        if policy not in ("constant", "most_frequent") or not self.missing.any():
            return self.rows, self.codes
        if policy == "constant":
            fill = int(np.flatnonzero(self.categories == getattr(self.config, "value", None))[0])
        else:
            seen = self.codes[self._among(self.rows, rows)]
            if len(seen) == 0:
                raise self._refuse_nothing_seen()
            fill = int(np.argmax(np.bincount(seen)))
        holes = np.flatnonzero(self.missing)
        return np.append(self.rows, holes), np.append(self.codes, np.full(len(holes), fill))

    def _known(self, filled: np.ndarray, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the codes that occur in training, in ascending order."""
        return np.unique(codes[self._among(filled, rows)])

    def _among(self, of_pairs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return which pairs belong to ``rows``, bool."""
        chosen = np.zeros(len(self.missing), dtype=bool)
        chosen[rows] = True
        return chosen[of_pairs]

    def taken(self, rows: np.ndarray) -> Self:
        """Return the feature of ``rows``."""
        place = np.full(len(self.missing), -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.rows] >= 0
        return replace(self, missing=self.missing[rows], rows=place[self.rows[kept]], codes=self.codes[kept])

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        """The pairs."""
        return self.rows, self.codes, self.categories


@dataclass(frozen=True, eq=False)
class TextColumn(FeatureColumn):
    """Text, for people.

    Shapes:
        values: (R,) object array of str, filled.
    """

    config: TextConfig
    values: np.ndarray

    def labels(self, rows: np.ndarray) -> list[str]:
        """Return nothing."""
        return []

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return no numbers, (R, 0)."""
        return np.zeros((len(self.values), 0), np.float32)

    def taken(self, rows: np.ndarray) -> Self:
        """Return the feature of ``rows``."""
        return replace(self, missing=self.missing[rows], values=self.values[rows])

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        """The texts."""
        return (self.values,)
