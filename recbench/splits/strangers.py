"""Users who are kept out of training and asked by a part of their interactions: strong generalisation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from recbench.data import FOLD_IN, TRAIN, UNUSED, Interactions, Split
from recbench.splits.shares import at_most
from recbench.splits.stage import split_stage

logger = logging.getLogger(__name__)


def ask_strangers(
    interactions: Interactions,
    roles: Tensor,
    fold_in: float,
    min_fold_in: int,
    places: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the part of each interaction, (N,) int8.

    Items without a training user are no part of the catalogue; interactions with them are unused. Of the remaining
    n of a user who is kept out of training, ``floor((1 - fold_in) * n)`` are asked for and the others are known;
    where n is less than ``min_fold_in``, all are known.

    Args:
        interactions: All of them.
        roles: (n_users,) int8, ``TRAIN``, ``VALID`` or ``TEST`` for each user.
        fold_in: Share of the interactions that is known.
        min_fold_in: Users with fewer interactions are not asked.
        places: Maps the rows (M,) of interactions of strangers, ascending, to the place of each in a random order
            of its user's, from 0, (M,) int64; the first are asked for.
    """
    parts = _within_catalogue(interactions, roles[interactions.users])
    rows = torch.nonzero((parts != TRAIN) & (parts != UNUSED)).flatten()
    users = interactions.users[rows]
    sizes = torch.bincount(users, minlength=interactions.n_users)
    n_asked = at_most(1 - fold_in, sizes)
    n_asked[sizes < min_fold_in] = 0
    known = places(rows) >= n_asked[users]
    parts[rows[known]] = FOLD_IN
    return parts


def cut_to_catalogue(interactions: Interactions, parts: Tensor) -> Split:
    """Return the split by ``parts`` (N,) int8 whose item vocabulary are the items of training alone.

    What that leaves out beyond ``parts`` is logged and added to the provenance.

    Raises:
        EmptyDatasetError: Nothing is left to train on.
    """
    # Cleaning after the split may have taken the last training interaction of an item.
    inside = _within_catalogue(interactions, parts)
    before, stage = (split_stage("items that nobody takes in training", interactions, now) for now in (parts, inside))
    if stage != before:
        stage = replace(stage, before=before.after)
        logger.info("%s", stage)
        interactions = replace(interactions, provenance=(*interactions.provenance, stage))
    parts = inside
    items = torch.unique(interactions.items[parts == TRAIN])
    held = torch.isin(interactions.items, items)
    return Split.from_parts(interactions.on_items(items), parts[held])


def _within_catalogue(interactions: Interactions, parts: Tensor) -> Tensor:
    """Return ``parts`` with ``UNUSED`` for interactions with items that nobody takes in training."""
    trained = torch.zeros(interactions.n_items, dtype=torch.bool)
    trained[interactions.items[parts == TRAIN]] = True
    foreign = ~trained[interactions.items]
    return torch.where(foreign, torch.full_like(parts, UNUSED), parts)
