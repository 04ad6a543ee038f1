"""Candidate sets: the items to be ranked, where a protocol does not rank them all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from recbench.data import Histories, Holdout, Interactions, Vocabulary
from recbench.errors import ConfigError, DataError
from recbench.formats import read_negatives, read_user_lists
from recbench.formats.source import blocks
from recbench.randomness import generator

_BLOCK_KEYS = 4_000_000
_NCF_LINE = re.compile(rb"(\xef\xbb\xbf)?\([^,\t]+,[^,\t]+\)\t")

By = Literal["uniform", "popularity"]
Exclude = Literal["all", "train"]


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """The items to be ranked for U users: the relevant ones, and others. As a set, each once.

    Shapes:
        items: (U, C) int64, ascending, padded with -1 behind the end.

    Attributes:
        n_duplicates: Others that were left out since they had been named before.
        n_positives: Relevant items that were among the others.
        n_users_with_positives: Users of whom there were any.
    """

    items: Tensor
    n_duplicates: int = 0
    n_positives: int = 0
    n_users_with_positives: int = 0

    @classmethod
    def of(cls, holdout: Holdout, others: Histories, n_items: int) -> CandidateSet:
        """Join the relevant items of ``holdout`` with ``others``, U rows, at least one of them not empty."""
        relevant = torch.unique(_keys(holdout.target, n_items))
        distinct = torch.unique(_keys(others, n_items))
        place = torch.searchsorted(distinct, relevant).clamp(max=len(distinct) - 1)
        positives = relevant[distinct[place] == relevant]
        everything = torch.unique(torch.cat([relevant, distinct]))
        return cls(
            items=_padded(_rows(everything, n_items, len(holdout.users))),
            n_duplicates=len(others.items) - len(distinct),
            n_positives=len(positives),
            n_users_with_positives=len(torch.unique(positives // n_items)),
        )

    @property
    def counts(self) -> dict[str, int]:
        """What was left out, by name."""
        names = ("n_duplicates", "n_positives", "n_users_with_positives")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Draw:
    """How candidates are sampled.

    Attributes:
        n: Others of each user.
        by: With equal probabilities, or with those of the items in training.
        replacement: Whether an item may be drawn again; then a user may have fewer than ``n`` others.
        exclude: What is never drawn: ``all`` that the user took, or what is known by then (``train``), so that a
            relevant item may be drawn.
        seed: Of the draw.
    """

    n: int = 100
    by: By = "uniform"
    replacement: bool = False
    exclude: Exclude = "all"
    seed: int = 0


def sampled_candidates(holdout: Holdout, train: Interactions, draw: Draw, part: str) -> CandidateSet:
    """Return each user's relevant items among others that are drawn once.

    They depend on the draw, the split and the name of the part alone.

    Raises:
        ConfigError: A user has too few items to draw from.
    """
    n_items, n_users = train.n_items, len(holdout.users)
    taken = [holdout.history] if draw.exclude == "train" else [holdout.history, holdout.target]
    excluded = _rows(torch.unique(torch.cat([_keys(rows, n_items) for rows in taken])), n_items, n_users)
    weights = torch.ones_like(train.popularity) if draw.by == "uniform" else train.popularity
    _refuse_too_few(holdout, train, draw, excluded, weights)
    stream = generator(draw.seed, "candidates", part)
    if draw.by == "popularity" and not draw.replacement:
        items = _weighted(weights, excluded, draw.n, stream)
    else:
        rest = _Rest.of(weights, excluded)
        items = rest.at((_below if draw.replacement else _distinct_below)(rest.totals, draw.n, stream))
    others = Histories(torch.arange(n_users + 1) * draw.n, items.flatten())
    return CandidateSet.of(holdout, others, n_items)


def published_candidates(holdout: Holdout, train: Interactions) -> CandidateSet:
    """Return each user's relevant items among those that the data set publishes.

    Raises:
        ConfigError: It publishes none.
        DataError: A user has none.
    """
    if train.candidates is None:
        raise ConfigError(
            "evaluation.candidates = 'published': the data set publishes none. "
            "Write full, sampled, or file with evaluation.candidates_path=FILE."
        )
    return _named(train.candidates, holdout, train, "the published candidates")


def candidates_from_file(path: str, holdout: Holdout, train: Interactions) -> CandidateSet:
    """Return each user's relevant items among those that a file names for the user.

    Args:
        path: Text file, a line a user, ids as published: ``user TAB item TAB item ...``; or as NCF publishes them,
            ``(user,item) TAB item TAB item ...``, where the first item is the relevant one.
        holdout: The users who need a line.
        train: Gives the vocabularies.

    Raises:
        DataError: The file cannot be read, names an unknown id, has no items, or two lines, for a user, or names a
            relevant item that is none.
    """
    is_ncf = _NCF_LINE.match(next(blocks(Path(path), progress=False), b"")) is not None
    frame = (read_negatives(path) if is_ncf else read_user_lists(path, separator="\t")).frame
    users = _indices(path, frame["user"], train.user_vocabulary)
    if is_ncf:
        positives = _indices(path, frame["item"], train.item_vocabulary)
        _refuse_other_positives(path, users, positives, holdout, train)
    items = _indices(path, frame["negative" if is_ncf else "item"], train.item_vocabulary)
    return _named(Histories.from_pairs(users, items, train.n_users), holdout, train, path)


def candidates_fingerprint(sets: Mapping[str, CandidateSet]) -> str | None:
    """Return the SHA-256 of the candidates of all parts, or None where all items are ranked."""
    digest = hashlib.sha256()
    for part, candidates in sorted(sets.items()):
        digest.update(f"{part} {tuple(candidates.items.shape)}\x1e".encode() + candidates.items.numpy().tobytes())
    return digest.hexdigest() if sets else None


def _named(named: Histories, holdout: Holdout, train: Interactions, source: str) -> CandidateSet:
    """Return the sets of ``named``, (n_users) rows, which must have some for all users of ``holdout``."""
    others = named.rows(holdout.users)
    missing = others.counts == 0
    if bool(missing.any()):
        user = train.user_vocabulary.ids[int(holdout.users[missing][0])]
        raise DataError(
            f"{source}: nothing for user {user!r}; {int(missing.sum()):,} of the {len(missing):,} users of the test "
            "part lack candidates. Add a line for each, or take these users out of the test part."
        )
    return CandidateSet.of(holdout, others, train.n_items)


def _indices(path: str, ids: pd.Series, vocabulary: Vocabulary) -> Tensor:
    """Return the index of each id, (N,) int64."""
    try:
        indices = vocabulary.indices(ids.cat.categories.to_numpy(dtype=object))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return torch.from_numpy(indices[ids.cat.codes.to_numpy()])


def _refuse_other_positives(path: str, users: Tensor, positives: Tensor, holdout: Holdout, train: Interactions) -> None:
    """Refuse a file that was made for other relevant items, (N,), than those of ``holdout``."""
    asked = torch.isin(users, holdout.users)
    named = torch.unique(users[asked] * train.n_items + positives[asked])
    relevant = holdout.users[holdout.target.row_of_each()] * train.n_items + holdout.target.items
    wrong = named[~torch.isin(named, relevant)]
    if len(wrong):
        user = train.user_vocabulary.ids[int(wrong[0]) // train.n_items]
        item = train.item_vocabulary.ids[int(wrong[0]) % train.n_items]
        raise DataError(
            f"{path}: the line ({user},{item}) is not of this split, where {item!r} is not in the test part of user "
            f"{user!r}; {len(wrong):,} of {len(named):,} lines are so. Use the split that the file was made for."
        )


def _refuse_too_few(holdout: Holdout, train: Interactions, draw: Draw, excluded: Histories, weights: Tensor) -> None:
    possible = weights > 0
    n_excluded = torch.zeros(len(excluded), dtype=torch.int64)
    n_excluded.index_add_(0, excluded.row_of_each(), possible[excluded.items].long())
    left = possible.sum() - n_excluded
    fewest = int(left.min())
    if fewest < (1 if draw.replacement else draw.n):
        user = train.user_vocabulary.ids[int(holdout.users[left.argmin()])]
        raise ConfigError(
            f"evaluation.n_candidates = {draw.n}: for user {user!r} there are only {fewest:,} items to draw from. "
            "Ask for no more, or rank all items: evaluation.candidates=full."
        )


@dataclass(frozen=True, eq=False)
class _Rest:
    """All items less the excluded ones of each of U users, laid out on a line a user, as long as their weights.

    Where an excluded item would begin on the line without the ones before it never falls with the item, so the
    items that lie before a place are found by one binary search.

    Shapes:
        ends: (I,) int64, where each item would end if none were excluded.
        starts: (X,) int64, where each excluded one would begin, with the user's number as the higher digit.
        weight_before: (X + 1,) int64, sums of the weights of the excluded ones.
        first: (U,) int64, the first excluded one of each user.
        totals: (U,) int64, lengths of the lines.
    """

    ends: Tensor
    starts: Tensor
    weight_before: Tensor
    first: Tensor
    totals: Tensor

    @classmethod
    def of(cls, weights: Tensor, excluded: Histories) -> _Rest:
        """Lay out items of whole ``weights`` (I,); rows of ``excluded`` ascend."""
        ends = weights.cumsum(0)
        weight_before = torch.nn.functional.pad(weights[excluded.items].cumsum(0), (1, 0))
        rows, first = excluded.row_of_each(), excluded.offsets[:-1]
        within = weight_before[:-1] - weight_before[first[rows]]
        starts = (ends - weights)[excluded.items] - within
        totals = ends[-1] - (weight_before[excluded.offsets[1:]] - weight_before[first])
        return cls(ends, rows * (ends[-1] + 1) + starts, weight_before, first, totals)

    def at(self, places: Tensor) -> Tensor:
        """Return the items (U, n) at ``places`` (U, n) int64, each from 0 to below the length of the line."""
        rows = torch.arange(len(places))[:, None]
        through = torch.searchsorted(self.starts, rows * (self.ends[-1] + 1) + places, right=True)
        passed = self.weight_before[through] - self.weight_before[self.first][:, None]
        return torch.searchsorted(self.ends, places + passed, right=True)


def _below(limits: Tensor, n: int, stream: torch.Generator) -> Tensor:
    """Return n whole numbers from 0 to below each limit (U,), (U, n) int64."""
    return (torch.rand(len(limits), n, generator=stream, dtype=torch.float64) * limits[:, None]).long()


def _distinct_below(limits: Tensor, n: int, stream: torch.Generator) -> Tensor:
    """Return n different whole numbers from 0 to below each limit (U,), (U, n) int64.

    Source: Jon Bentley and Robert Floyd: Programming Pearls: A Sample of Brilliance. CACM 30 (9), 1987, algorithm F2.
    """
    uniform = torch.rand(n, len(limits), generator=stream, dtype=torch.float64)
    drawn = torch.empty(n, len(limits), dtype=torch.int64)
    for place in range(n):
        last = limits - n + place
        number = (uniform[place] * (last + 1)).long()
        again = (drawn[:place] == number).any(0)
        drawn[place] = torch.where(again, last, number)
    return drawn.T.contiguous()


def _weighted(weights: Tensor, excluded: Histories, n: int, stream: torch.Generator) -> Tensor:
    """Return n different items of each user, drawn one after the other by their ``weights`` (I,), (U, n) int64.

    The n least of exponential numbers with the weights as rates are such a draw; it is the Gumbel top-k trick.

    Source: Pavlos Efraimidis and Paul Spirakis: Weighted random sampling with a reservoir. Information Processing
    Letters 97 (5), 2006.
    """
    n_items = len(weights)
    rates = weights.double()
    drawn = []
    for rows in torch.arange(len(excluded)).split(max(1, _BLOCK_KEYS // n_items)):
        uniform = torch.rand(len(rows), n_items, generator=stream, dtype=torch.float64)
        # Without a weight the number is infinite.
        keys = -torch.log1p(-uniform) / rates
        keys = keys.masked_fill(excluded.rows(rows).mask(n_items), torch.inf)
        drawn.append(torch.topk(keys, n, dim=1, largest=False).indices)
    return torch.cat(drawn)


def _keys(rows: Histories, n_items: int) -> Tensor:
    """Return ``row * n_items + item`` of each entry, (N,) int64."""
    return rows.row_of_each() * n_items + rows.items


def _rows(keys: Tensor, n_items: int, n_rows: int) -> Histories:
    """Return the rows of ascending ``keys`` (N,), each ``row * n_items + item``."""
    offsets = torch.searchsorted(keys, torch.arange(n_rows + 1) * n_items)
    return Histories(offsets, keys % n_items)


def _padded(rows: Histories) -> Tensor:
    """Return rows as (R, longest) int64, padded with -1."""
    padded = torch.full((len(rows), int(rows.counts.max())), -1, dtype=torch.int64)
    within = torch.arange(len(rows.items)) - torch.repeat_interleave(rows.offsets[:-1], rows.counts)
    padded[rows.row_of_each(), within] = rows.items
    return padded
