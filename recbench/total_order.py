"""The best of each row's scores in a total order: ties are broken by a rule that nothing else depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data import Histories, Interactions
from recbench.randomness import derive

SMALLEST_GROUP = 10
"""Columns in a group below which it is faster to search all columns at once."""


@dataclass(frozen=True, eq=False)
class TieOrder:
    """Which of two items with equal scores comes first: a rule of (tie seed, user id, item id) alone.

    The items stand on a circle in an order hashed from their ids; each user reads it from a place hashed from
    the user's id. So a constant scorer gets chance, whatever the seed of the run, the file's order or the blocks.

    Shapes:
        place: (n_items,) int32, each item's place on the circle.
        start: (n_users + 1,) int32, where each user begins; the last is for unknown users (index -1).
    """

    place: Tensor
    start: Tensor

    @classmethod
    def of(cls, interactions: Interactions, seed: int = 0) -> TieOrder:
        """Return the order for the users and items of ``interactions``."""
        key = f"{derive(seed, 'ties') % 10**16:016d}"

        def hashed(ids: np.ndarray) -> np.ndarray:
            return pd.util.hash_array(ids, hash_key=key, categorize=False)

        n_items = interactions.n_items
        place = np.empty(n_items, dtype=np.int32)
        place[np.argsort(hashed(interactions.item_vocabulary.ids), kind="stable")] = np.arange(n_items)
        start = (hashed(interactions.user_vocabulary.ids) % np.uint64(max(n_items, 1))).astype(np.int32)
        return cls(torch.from_numpy(place), torch.from_numpy(np.append(start, np.int32(0))))

    def to(self, device: torch.device) -> TieOrder:
        """Return the same order on ``device``."""
        return TieOrder(self.place.to(device), self.start.to(device))

    def precedence(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B, C) int32: of two equal scores of a user, the item with the lower number comes first.

        Args:
            users: (B,) indices, -1 for an unknown user.
            items: (B, C) or (C,) indices; padding (-1) gives a number without meaning.
        """
        return (self.place[items] - self.start[users][:, None]) % len(self.place)


@dataclass(frozen=True, eq=False)
class TopK:
    """The best K columns of each row: ``columns`` (B, K), -1 behind the end, and ``tied`` (B, K)."""

    columns: Tensor
    tied: Tensor


def top_k(scores: Tensor, k: int, ties: TieOrder, users: Tensor, items: Tensor) -> TopK:
    """Return the best ``k`` columns of each row by (score descending, the user's tie order).

    Args:
        scores: (B, C) float32; -inf marks what must not be listed.
        k: Length of the lists, at least 1; where fewer columns can be listed, the rest is -1.
        ties: The order among equal scores.
        users: (B,) whose rows these are, -1 for an unknown user.
        items: (C,) or (B, C) int64, what the columns stand for, each item once in a row; -1 is padding.
    """
    n_columns = scores.shape[1]
    found = min(k + 1, n_columns)
    values, columns = _largest(scores, found)
    equal = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)
    if found < n_columns:
        # Only where equal scores lie on both sides of the cut do all columns have to be compared.
        rows = torch.nonzero(equal[:, k - 1]).flatten()
        precedence = ties.precedence(users[rows], _of_rows(items, rows))
        columns[rows] = _resolve(scores[rows], values[rows, k], precedence, found)
    rows = torch.nonzero(equal.any(1)).flatten()
    columns[rows] = _ordered(scores[rows], columns[rows], ties, users[rows], _of_rows(items, rows))
    width = min(k, n_columns)
    best = torch.full((len(scores), k), -1, dtype=torch.int64, device=scores.device)
    best[:, :width] = torch.where(values[:, :width] > -torch.inf, columns[:, :width], -1)
    tied = torch.zeros(len(scores), k, dtype=torch.bool, device=scores.device)
    tied[:, : equal.shape[1]] = equal
    return TopK(best, tied)


@dataclass(frozen=True, eq=False)
class Lists:
    """The best K items of each row: ``items`` (B, K), -1 behind the end, and which are ``hits`` and ``tied`` (B, K)."""

    items: Tensor
    hits: Tensor
    tied: Tensor


class BestSoFar:
    """The best ``k`` items of each row among all the scores that it is shown, by compiled loops on the CPU.

    They are those that ``top_k`` gives of all scores at once.
    """

    def __init__(self, k: int, ties: TieOrder, users: Tensor) -> None:
        """Begin with nothing.

        Args:
            k: Length of the lists, at least 1.
            ties: The order among equal scores.
            users: (B,) whose rows these are, -1 for an unknown user.
        """
        # One more than is listed, to tell whether the last is tied.
        self._keys, self._held = torch.empty(2, len(users), k + 1, dtype=torch.int64).numpy()
        self._counts = np.zeros(len(users), np.int64)
        self._order = (ties.place.numpy(), ties.start[users].numpy())
        threads = torch.get_num_threads()
        self._shares = [np.arange(thread, len(users), threads) for thread in range(threads)]

    def see(self, scores: Tensor, items: Tensor, hidden: Histories | None = None) -> bool:
        """Look at some scores, and return whether all of them are finite.

        Args:
            scores: (B, C) float32; -inf marks what must not be listed.
            items: (C,) or (B, C) int64, what the columns stand for, each item once in a row and in one call alone; -1
                is padding, at -inf.
            hidden: B rows of items that must not be listed either; with them, the columns are as many items in a row.
        """
        # These import numba, which takes a second and need not be there.
        from recbench.kernels import top_k as loops
        from recbench.kernels.compiling import side_by_side

        of_columns = (items[None] if items.dim() == 1 else items).contiguous().numpy()
        hidden = Histories.empty(len(scores)) if hidden is None else hidden
        begin = int(of_columns.item(0)) if of_columns.size else 0
        assert not len(hidden.items) or not of_columns.size or of_columns.item(-1) - begin == scores.shape[1] - 1
        barred = (hidden.offsets.numpy(), hidden.items.numpy())
        arrays: tuple[Any, ...] = (scores.contiguous().numpy(), of_columns, begin, *barred)
        arrays = (*arrays, *self._order, self._keys, self._held, self._counts)
        return all(side_by_side([partial(loops.see, rows, *arrays) for rows in self._shares]))

    def lists(self, relevant: Histories) -> Lists:
        """Return the lists, and end.

        Args:
            relevant: B rows of items that are hits.
        """
        from recbench.kernels import top_k as loops
        from recbench.kernels.compiling import side_by_side

        n_rows, room = self._keys.shape
        items = torch.empty(n_rows, room - 1, dtype=torch.int64)
        hits, tied = torch.empty(2, n_rows, room - 1, dtype=torch.bool)
        sought = (relevant.offsets.numpy(), relevant.items.numpy(), len(self._order[0]))
        arrays = (self._keys, self._held, self._counts, *sought, items.numpy(), hits.numpy(), tied.numpy())
        side_by_side([partial(loops.take, rows, *arrays) for rows in self._shares])
        return Lists(items, hits, tied)


def by_ranges(rows: Histories, n_items: int, width: int) -> list[Histories]:
    """Return for each range of ``width`` items, the last of which may be narrower, what of it is in ``rows``."""
    from recbench.kernels import top_k as loops

    offsets, items = map(torch.from_numpy, loops.part(rows.offsets.numpy(), rows.items.numpy(), n_items, width))
    return [Histories(of_range, items) for of_range in offsets]


def _largest(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the ``n`` largest values of each row, largest first, and their columns, both (B, n); of equals any.

    Where there are many columns they are parted into groups, and only the ``n`` groups with the largest maxima are
    searched: an entry of another group has ``n`` entries before it or equal to it.
    """
    n_columns = scores.shape[1]
    size = int(math.sqrt(n_columns / n) / 2)
    if size < SMALLEST_GROUP:
        values, columns = torch.topk(scores, n, dim=1)
        return values, columns
    n_groups = n_columns // size
    rest = n_groups * size
    maxima = scores[:, :rest].unflatten(1, (size, n_groups)).amax(1)
    groups = torch.topk(maxima, n, dim=1, sorted=False).indices
    within = torch.arange(0, rest, n_groups, device=scores.device)
    inside = (groups[:, None, :] + within[:, None]).flatten(1)
    behind = torch.arange(rest, n_columns, device=scores.device).expand(len(scores), -1)
    searched = torch.cat([inside, behind], 1)
    values, places = torch.topk(scores.gather(1, searched), n, dim=1)
    return values, searched.gather(1, places)


def _resolve(scores: Tensor, cut: Tensor, precedence: Tensor, found: int) -> Tensor:
    """Return the best ``found`` columns, in any order, of rows whose value ``cut`` (R,) is shared across k."""
    cut = cut[:, None]
    # One key a column: what is above the cut, then what equals it by precedence, then the rest.
    key = precedence.masked_fill(scores < cut, torch.iinfo(precedence.dtype).max).masked_fill_(scores > cut, -1)
    return torch.topk(key, found, dim=1, largest=False, sorted=False).indices


def _ordered(scores: Tensor, columns: Tensor, ties: TieOrder, users: Tensor, items: Tensor) -> Tensor:
    """Return ``columns`` (R, K) of each row sorted by (score descending, precedence ascending)."""
    by_precedence = torch.argsort(ties.precedence(users, items_at(items, columns)), dim=1)
    columns = columns.gather(1, by_precedence)
    by_score = torch.argsort(scores.gather(1, columns), dim=1, descending=True, stable=True)
    return columns.gather(1, by_score)


def _of_rows(items: Tensor, rows: Tensor) -> Tensor:
    """Return ``items`` of ``rows``: as they are where all rows share them (C,), else (R, C) of (B, C)."""
    return items if items.dim() == 1 else items[rows]


def items_at(items: Tensor, columns: Tensor) -> Tensor:
    """Return the items (B, K) that stand at ``columns`` (B, K) of ``items`` (C,) or (B, C)."""
    return items[columns] if items.dim() == 1 else items.gather(1, columns)
