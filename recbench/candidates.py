"""Candidate sets: the items to be ranked, where a protocol does not rank them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbench.data import Histories, Holdout, Interactions
from recbench.errors import ConfigError, DataError
from recbench.randomness import generator


def sampled_candidates(holdout: Holdout, train: Interactions, n_candidates: int, seed: int, part: str) -> Tensor:
    """Return each user's relevant items among ``n_candidates`` others, drawn uniformly without replacement.

    The others are neither known (history) nor relevant. They depend on (seed, split, part) alone.

    Returns:
        (U, C) int64 with C = n_candidates + the most relevant items of a user; padded with -1.

    Raises:
        ConfigError: A user has fewer than ``n_candidates`` other items.
    """
    n_items = train.n_items
    taken = holdout.history.counts + holdout.target.counts
    if int(taken.max()) + n_candidates > n_items:
        raise ConfigError(
            f"evaluation.n_candidates = {n_candidates}: a user has only {n_items - int(taken.max())} other items."
        )
    stream = generator(seed, "candidates", part)
    blocks = []
    for rows in torch.arange(len(holdout.users)).split(512):
        keys = torch.rand(len(rows), n_items, generator=stream)
        known = holdout.history.rows(rows).mask(n_items) | holdout.target.rows(rows).mask(n_items)
        blocks.append(torch.topk(keys.masked_fill(known, -1.0), n_candidates, dim=1).indices)
    others = torch.cat(blocks) if blocks else torch.empty(0, n_candidates, dtype=torch.int64)
    return torch.cat([_padded(holdout.target), others], 1)


def candidates_from_file(path: str, holdout: Holdout, train: Interactions) -> Tensor:
    """Return each user's relevant items and the items that a file names for the user, as sets.

    Args:
        path: Text file, a line a user: ``user TAB item TAB item ...``, ids as published.
        holdout: The users who need a line.
        train: Gives the vocabularies.

    Returns:
        (U, C) int64, padded with -1; an item named twice, and a relevant item among the named, count once.

    Raises:
        DataError: The file cannot be read, names an unknown id, or has no line, or two, for a user.
    """
    try:
        # Not splitlines(), which cuts at characters that an id may have.
        lines = Path(path).read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"evaluation.candidates_path: {error}.") from None
    fields = [line.split("\t") for line in lines]
    for number, line in enumerate(fields, 1):
        if len(line) < 2:
            raise DataError(
                f"{path}, line {number}: expected 'user TAB item TAB item ...', found {lines[number - 1]!r}."
            )
    users = train.user_vocabulary.indices([line[0] for line in fields])
    if len(np.unique(users)) < len(users):
        values, counts = np.unique(users, return_counts=True)
        twice = train.user_vocabulary.ids[values[np.argmax(counts > 1)]]
        raise DataError(f"{path}: user {twice!r} has more than one line.")
    items = torch.from_numpy(train.item_vocabulary.indices([item for line in fields for item in line[1:]]))
    lengths = torch.tensor([len(line) - 1 for line in fields])
    named = Histories.from_pairs(torch.repeat_interleave(torch.from_numpy(users), lengths), items, train.n_users).rows(
        holdout.users
    )
    missing = named.counts == 0
    if bool(missing.any()):
        user = train.user_vocabulary.ids[int(holdout.users[missing][0])]
        raise DataError(f"{path}: no line for user {user!r} ({int(missing.sum()):,} users of the test part lack one).")
    rows = torch.cat([holdout.target.row_of_each(), named.row_of_each()])
    keys = torch.unique(rows * train.n_items + torch.cat([holdout.target.items, named.items]))
    return _padded(Histories.from_pairs(keys // train.n_items, keys % train.n_items, len(holdout.users)))


def _padded(rows: Histories) -> Tensor:
    """Return rows as (R, longest) int64, padded with -1."""
    padded = torch.full((len(rows), int(rows.counts.max())), -1, dtype=torch.int64)
    within = torch.arange(len(rows.items)) - torch.repeat_interleave(rows.offsets[:-1], rows.counts)
    padded[rows.row_of_each(), within] = rows.items
    return padded
