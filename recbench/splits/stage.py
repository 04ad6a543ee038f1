"""What a split makes of the interactions, counted."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.data import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Counts, Interactions, Stage

_LEARNT_OR_ASKED = {"training": TRAIN, "validation": VALID, "test": TEST}


def split_stage(name: str, interactions: Interactions, parts: Tensor) -> Stage:
    """Return how many interactions, and of how many users, each part has, if any, and how many are in none.

    Args:
        name: What shared them out.
        interactions: N of them.
        parts: (N,) int8, see ``Split.from_parts``. What is known of users who are not asked is not used.
    """
    users, n_users = interactions.users, interactions.n_users
    asked = torch.zeros(n_users, dtype=torch.bool)
    asked[users[(parts == VALID) | (parts == TEST)]] = True
    known = (parts == FOLD_IN) & asked[users]
    used = (parts != UNUSED) & (parts != FOLD_IN) | known
    details: dict[str, int | float] = {}
    for part, code in _LEARNT_OR_ASKED.items():
        rows = parts == code
        if bool(rows.any()):
            details |= {part: int(rows.sum()), f"users in {part}": _n_distinct(users[rows])}
    for what, rows in (
        ("known of users who are asked", known),
        ("known of users who are not asked", (parts == FOLD_IN) & ~known),
        ("in no part", parts == UNUSED),
    ):
        if bool(rows.any()):
            details[what] = int(rows.sum())
    return Stage(name, Counts(len(parts), n_users, interactions.n_items), _counts(interactions, used), details)


def _counts(interactions: Interactions, rows: Tensor) -> Counts:
    return Counts(int(rows.sum()), _n_distinct(interactions.users[rows]), _n_distinct(interactions.items[rows]))


def _n_distinct(indices: Tensor) -> int:
    return int((torch.bincount(indices) > 0).sum())
