"""Recall@20 and NDCG@10 of lists, by one definition for all systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def quality(data: Path, lists: NDArray[np.int32]) -> dict[str, float]:
    """Return the means over the users who have something to find.

    Recall is hits over relevant items; the ideal of NDCG has min(k, relevant) hits.

    Args:
        data: File of ``data.make``.
        lists: (users, 20), best first, -1 where there is none.

    Raises:
        ValueError: A list names an item of training, or one twice.
    """
    with np.load(data) as file:
        n_users, n_items = int(file["n_users"]), int(file["n_items"])
        train = file["users"].astype(np.int64) * n_items + file["items"]
        test = file["test_users"].astype(np.int64) * n_items + file["test_items"]
        n_relevant = np.bincount(file["test_users"], minlength=n_users)
    pairs = np.arange(n_users)[:, None] * n_items + lists
    asked = n_relevant > 0
    listed = asked[:, None] & (lists >= 0)
    if np.isin(pairs[listed], train).any():
        raise ValueError("a list names an item of training.")
    ordered = np.sort(np.where(listed, lists, -1), axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("a list names an item twice.")
    hits = listed & np.isin(pairs, test)
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.concatenate([[0], np.cumsum(discount)])[np.minimum(n_relevant, 10)]
    recall, ndcg = hits.sum(1)[asked] / n_relevant[asked], (hits[:, :10] @ discount)[asked] / ideal[asked]
    return {"recall@20": float(recall.mean()), "ndcg@10": float(ndcg.mean())}
