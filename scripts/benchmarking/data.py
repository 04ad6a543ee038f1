"""The data of the comparison: interactions cut at random into training (8 of 10) and test, the same for all systems.

One file a data set, ``.npz``: ``users``, ``items`` (N,) int32 for training, ``test_users``, ``test_items`` for test,
``n_users``, ``n_items``; every user and item has a training interaction.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHAPES = {
    "ml-100k": (943, 1682, 100_000),
    "ml-1m": (6_040, 3_706, 1_000_209),
    "ml-20m": (138_493, 26_744, 20_000_263),
}
"""Users, items and interactions; data of this shape is generated where the real one is not at hand."""

_REAL = ("ml-100k", "ml-1m")
_TEST = 0.2


def make(name: str, folder: Path) -> tuple[Path, str]:
    """Return the file of a data set, made where it is not there, and in words what it holds.

    Args:
        name: One of ``SHAPES``, or ``NAMExF`` for one with F times its users and interactions.
        folder: Where the files are kept.
    """
    real = name in _REAL and bool(os.environ.get("RECBENCH_MIRROR"))
    path = folder / f"{name}-{'real' if real else 'generated'}.npz"
    if not path.exists():
        users, items = _real(name) if real else _generated(name)
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"part-of-{path.name}")
        np.savez(part, **_cut(users, items))
        part.replace(path)
    return path, "the real ratings, all as 1" if real else "generated, of this shape"


def _real(name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from recbench import datasets

    registry = datasets.registry
    interactions = registry.make(registry.entry(name).configure({})).load()
    return interactions.users.numpy(), interactions.items.numpy()


def _generated(name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distinct pairs: log-normal activity, items by Zipf's law within a user's taste, one of 20."""
    base, _, times = name.partition("x")
    n_users, n_items, n_wanted = SHAPES[base]
    n_users, n_wanted = int(n_users * float(times or 1)), int(n_wanted * float(times or 1))
    stream = np.random.default_rng(0)
    activity = stream.lognormal(0, 1, n_users)
    taste_of_user, taste_of_item = stream.integers(0, 20, n_users), stream.integers(0, 20, n_items)
    popularity = 1 / np.arange(1, n_items + 1) ** 0.8
    items_by_taste = [np.flatnonzero(taste_of_item == taste) for taste in range(20)]
    pairs = np.empty(0, np.int64)
    while len(pairs) < n_wanted:
        n = int(1.3 * (n_wanted - len(pairs))) + 1000
        users = stream.choice(n_users, n, p=activity / activity.sum())
        items = stream.choice(n_items, n, p=popularity / popularity.sum())
        own = stream.random(n) < 0.5
        for taste, among in enumerate(items_by_taste):
            rows = np.flatnonzero(own & (taste_of_user[users] == taste))
            weights = popularity[among]
            items[rows] = stream.choice(among, len(rows), p=weights / weights.sum())
        pairs = np.unique(np.concatenate([pairs, users * n_items + items]))
    pairs = stream.permutation(pairs)[:n_wanted]
    return pairs // n_items, pairs % n_items


def _cut(users: NDArray[np.int64], items: NDArray[np.int64]) -> dict[str, NDArray[np.int32] | int]:
    """Cut at random; the first interaction of each user and item stays in training, and indices have no gaps."""
    stream = np.random.default_rng(1)
    order = stream.permutation(len(users))
    users = np.unique(users, return_inverse=True)[1][order].astype(np.int32)
    items = np.unique(items, return_inverse=True)[1][order].astype(np.int32)
    test = stream.random(len(users)) < _TEST
    test[np.unique(users, return_index=True)[1]] = False
    test[np.unique(items, return_index=True)[1]] = False
    return {
        "users": users[~test],
        "items": items[~test],
        "test_users": users[test],
        "test_items": items[test],
        "n_users": int(users.max()) + 1,
        "n_items": int(items.max()) + 1,
    }


def shape(path: Path) -> dict[str, int]:
    """Return the numbers of interactions, of those for training, and of users with something to find."""
    with np.load(path) as file:
        train, test = len(file["users"]), len(file["test_users"])
        return {"all": train + test, "train": train, "test_users": len(np.unique(file["test_users"]))}
