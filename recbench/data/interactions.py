"""Who took what: the one table that every data set becomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data.features import Features
from recbench.data.histories import Histories
from recbench.data.provenance import Stage
from recbench.data.scale import RatingScale
from recbench.data.vocabulary import Vocabulary
from recbench.errors import DataError, EmptyDatasetError

TRAIN, VALID, TEST = 0, 1, 2
"""Parts of a split: learnt from, asked for choosing, asked in the end."""

FOLD_IN, UNUSED = 3, 4
"""Known of users who are asked and never trained on; in no part at all."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """N interactions in the canonical order: by user, then timestamp, then item.

    Without timestamps a user's interactions keep the order of the file, which then is part of the data.

    Shapes:
        users, items: (N,) int64, indices into the vocabularies.
        ratings: (N,) float32, or None.
        timestamps: (N,) int64 in the unit of ``time``, or None.
        parts: (N,) int8, the part that a published split gives each one (``TRAIN, VALID, TEST``), or None.

    Attributes:
        time: What timestamps are: ``seconds``, or ``rank``, the order within each user, which says nothing across
            users.
        features: What is known of users and items beside.
        candidates: Published items to be ranked for each user, (n_users) rows; None where none are published.
        scale: What the ratings were normalised by, or None where they are as published.
        provenance: What became of the rows of the input.
    """

    users: Tensor
    items: Tensor
    user_vocabulary: Vocabulary
    item_vocabulary: Vocabulary
    ratings: Tensor | None = None
    timestamps: Tensor | None = None
    parts: Tensor | None = None
    time: Literal["seconds", "rank"] = "seconds"
    features: Features = Features()
    candidates: Histories | None = None
    scale: RatingScale | None = None
    provenance: tuple[Stage, ...] = ()

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str = "user",
        item: str = "item",
        rating: str | None = "rating",
        timestamp: str | None = "timestamp",
        part: str | None = None,
        time: Literal["seconds", "rank"] = "seconds",
        repeats: bool = False,
        features: Features | None = None,
    ) -> Interactions:
        """Return the interactions of ``frame``, one a row.

        Args:
            frame: Ids are strings or whole numbers (taken as opaque strings), ratings and timestamps numbers.
            user: Column of the user ids; ``item``, ``rating``, ``timestamp`` and ``part`` alike.
            item: Column of the item ids.
            rating: Column of the ratings; left out where the frame has no such column.
            timestamp: Column of the timestamps; left out where the frame has no such column.
            part: Column of the published split, holding 0 (train), 1 (valid), 2 (test).
            time: What the timestamps are.
            repeats: Whether a pair of user and item may occur more than once.
            features: Tables aligned with the sorted ids.

        Raises:
            DataError: A column or an id is missing, an id is a fraction, a rating or timestamp is not a finite
                number, a part is none of the three, or a pair of user and item occurs twice. The message names
                the row.
            EmptyDatasetError: The frame has no rows.
        """
        for name, column in (("user", user), ("item", item), ("part", part)):
            if column is not None and column not in frame.columns:
                known = ", ".join(map(str, frame.columns))
                raise DataError(f"no column {column!r} for the {name}; the table has: {known}.")
        if len(frame) == 0:
            raise EmptyDatasetError("the table has no rows.")
        users, user_vocabulary = _index(frame[user], "user")
        items, item_vocabulary = _index(frame[item], "item")
        timestamps = _numbers(frame, timestamp, "timestamp", np.int64)
        if not repeats:
            _refuse_duplicates(users, items, user_vocabulary, item_vocabulary)
        order = np.lexsort((users,)) if timestamps is None else np.lexsort((items, timestamps, users))

        def ordered(column: np.ndarray | None) -> Tensor | None:
            return None if column is None else torch.from_numpy(column[order])

        times = ordered(timestamps)
        del timestamps  # What is no longer wanted is let go: this is where large data needs the most memory.
        return cls(
            users=torch.from_numpy(users[order]).long(),
            items=torch.from_numpy(items[order]).long(),
            user_vocabulary=user_vocabulary,
            item_vocabulary=item_vocabulary,
            ratings=ordered(_numbers(frame, rating, "rating", np.float32)),
            timestamps=times,
            parts=ordered(_parts(frame, part)),
            time=time,
            features=features or Features(),
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of users in the vocabulary, with or without an interaction here."""
        return len(self.user_vocabulary)

    @property
    def n_items(self) -> int:
        """Number of items in the vocabulary, with or without an interaction here."""
        return len(self.item_vocabulary)

    @cached_property
    def histories(self) -> Histories:
        """Items by user, (n_users) rows, with the ratings as values where there are any."""
        return Histories.from_pairs(self.users, self.items, self.n_users, self.ratings)

    @cached_property
    def popularity(self) -> Tensor:
        """Number of interactions of each item, (n_items,) int64."""
        return torch.bincount(self.items, minlength=self.n_items)

    def select(self, index: Tensor) -> Interactions:
        """Return the interactions at ``index`` (bool mask or indices); the vocabularies stay whole."""

        def chosen(column: Tensor | None) -> Tensor | None:
            return None if column is None else column[index]

        return replace(
            self,
            users=self.users[index],
            items=self.items[index],
            ratings=chosen(self.ratings),
            timestamps=chosen(self.timestamps),
            parts=chosen(self.parts),
        )

    def on_items(self, items: Tensor) -> Interactions:
        """Return the interactions with ``items`` alone, which become the whole vocabulary of items.

        Args:
            items: (n_items',) int64 indices, ascending; their new indices are 0, 1, ...
        """
        new = torch.full((self.n_items,), -1, dtype=torch.int64)
        new[items] = torch.arange(len(items))
        kept = self.select(new[self.items] >= 0)
        candidates = self.candidates
        if candidates is not None:
            held = new[candidates.items] >= 0
            candidates = Histories.from_pairs(
                candidates.row_of_each()[held], new[candidates.items[held]], len(candidates)
            )
        scale = self.scale
        if scale is not None and scale.of == "item":
            scale = replace(scale, offset=scale.offset[items], factor=scale.factor[items])
        return replace(
            kept,
            items=new[kept.items],
            item_vocabulary=Vocabulary(self.item_vocabulary.names(items.numpy()), "item"),
            features=self.features.on_items(items),
            candidates=candidates,
            scale=scale,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, users, items, ratings and timestamps in the canonical order."""
        digest = hashlib.sha256()
        for vocabulary in (self.user_vocabulary, self.item_vocabulary):
            digest.update(f"{vocabulary.kind} {len(vocabulary)}\x1e".encode())
            digest.update("\x1f".join(vocabulary.ids).encode())
        for name in ("users", "items", "ratings", "timestamps", "parts"):
            column = getattr(self, name)
            digest.update(f"\x1e{name}\x1e".encode())
            if column is not None:
                digest.update(np.ascontiguousarray(column.numpy()).data)
        return digest.hexdigest()


def _index(column: pd.Series, kind: str) -> tuple[np.ndarray, Vocabulary]:
    """Return the indices (N,) of a column of ids, in 32 bits to spare memory, and their vocabulary."""
    codes, names = texts(column, kind)
    vocabulary = Vocabulary(names, kind)
    return vocabulary.indices(names).astype(np.int32)[codes], vocabulary


def texts(column: pd.Series, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a column of ids as codes (N,) and the text of each code; two codes may have the same text.

    Raises:
        DataError: An id is missing, is empty, or is a fraction.
    """
    if column.isna().any():
        raise DataError(f"row {_first(column.isna())}: the {kind} id is missing.")
    if pd.api.types.is_float_dtype(column.dtype):
        raise DataError(
            f"the {kind} ids are fractions ({column.iloc[0]}, ...): ids are opaque; "
            "read the column as text or as whole numbers."
        )
    codes, uniques = pd.factorize(column)
    names = np.array([str(name) for name in uniques], dtype=object)
    empty = names == ""
    if empty.any():
        raise DataError(f"row {_first(codes == int(np.argmax(empty)))}: the {kind} id is empty.")
    return codes, names


def _numbers(frame: pd.DataFrame, name: str | None, kind: str, dtype: type) -> np.ndarray | None:
    """Return a column of finite numbers, or None where the frame has none."""
    if name is None or name not in frame.columns:
        return None
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column.dtype):
        odd = column[pd.to_numeric(column, errors="coerce").isna()]
        example = (column if odd.empty else odd).iloc[0]
        raise DataError(f"the column {name!r} ({kind}) holds {example!r}: it should be numbers.")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if bad.any():
        raise DataError(f"row {_first(bad)}: the {kind} is {values[np.argmax(bad)]}; it should be a finite number.")
    if np.issubdtype(dtype, np.integer):
        if pd.api.types.is_integer_dtype(column.dtype):
            wrong = (column > np.iinfo(dtype).max).to_numpy(dtype=bool)
            _refuse_numbers(column.to_numpy(), wrong, kind, f"be at most {np.iinfo(dtype).max}")
            return column.to_numpy(dtype=dtype)
        _refuse_numbers(values, values != np.floor(values), kind, "be a whole number")
        # From there on a float no longer tells one whole number from the next.
        _refuse_numbers(values, np.abs(values) >= 2**53, kind, "be below 2**53, or come in a column of integers")
    else:
        limit = np.finfo(dtype).max
        _refuse_numbers(values, np.abs(values) > limit, kind, f"lie between {-limit:.2g} and {limit:.2g}")
    return values.astype(dtype)


def _refuse_numbers(values: np.ndarray, wrong: np.ndarray, kind: str, wanted: str) -> None:
    if wrong.any():
        first = _first(wrong)
        raise DataError(f"row {first}: the {kind} {values[first]} should {wanted}.")


def _parts(frame: pd.DataFrame, name: str | None) -> np.ndarray | None:
    """Return the column of the published split as int8, or None where the frame has none."""
    parts = _numbers(frame, name, "part", np.int64)
    if parts is None:
        return None
    wrong = ~np.isin(parts, (TRAIN, VALID, TEST))
    if wrong.any():
        first = _first(wrong)
        raise DataError(f"row {first}: the part is {parts[first]}; it should be 0 (train), 1 (valid) or 2 (test).")
    return parts.astype(np.int8)


def _refuse_duplicates(
    users: np.ndarray, items: np.ndarray, user_vocabulary: Vocabulary, item_vocabulary: Vocabulary
) -> None:
    order = np.lexsort((items, users))
    again = (np.diff(users[order]) == 0) & (np.diff(items[order]) == 0)
    if again.any():
        first = order[int(np.argmax(again))]
        raise DataError(
            f"user {user_vocabulary.ids[users[first]]!r} and item {item_vocabulary.ids[items[first]]!r} "
            f"occur together more than once ({int(again.sum()):,} rows too many). Keep one: "
            "dataset.duplicates=last or first, or frame.drop_duplicates(['user', 'item'])."
        )


def _first(flags: pd.Series | np.ndarray) -> int:
    return int(np.argmax(np.asarray(flags)))
