"""The random draws of the notebook of Liang et al., repeated number by number.

Source: https://github.com/dawenl/vae_cf, the notebook for ML-20M; NumPy keeps the streams of its legacy generator.

Shapes:
    M interactions of users who are kept out of training.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data import TEST, VALID, Interactions, Vocabulary
from recbench.errors import ConfigError


def drawn_users(interactions: Interactions, seed: int) -> Tensor:
    """Return all users in the order in which they go to test, then validation, then training, (n_users,) int64.

    Raises:
        ConfigError: A user id is no whole number.
    """
    by_id = _by_number(interactions.user_vocabulary)
    permutation = np.random.RandomState(seed).permutation(len(by_id))
    # The notebook takes the test users from the end.
    return torch.from_numpy(by_id[permutation][::-1].copy())


def drawn_places(interactions: Interactions, rows: Tensor, roles: Tensor, min_fold_in: int, seed: int) -> Tensor:
    """Return the place of each interaction in the order in which it is drawn from its user's, from 0, (M,) int64.

    Args:
        interactions: All of them.
        rows: (M,) int64, those of users who are kept out of training.
        roles: (n_users,) int8, the part that each user is asked for.
        min_fold_in: For users with fewer interactions nothing is drawn; their places are 0.
        seed: The notebook's is 98765.

    Raises:
        ConfigError: An id is no whole number.
    """
    users, items = interactions.users[rows].numpy(), interactions.items[rows].numpy()
    sizes = np.bincount(users, minlength=interactions.n_users)
    in_file = np.lexsort((_rank(interactions.item_vocabulary)[items], _rank(interactions.user_vocabulary)[users]))
    places = np.zeros(len(rows), dtype=np.int64)
    for role in (VALID, TEST):
        asked = (roles.numpy() == role) & (sizes >= min_fold_in)
        part = in_file[asked[users[in_file]]]
        counts = torch.unique_consecutive(torch.from_numpy(users[part]), return_counts=True)[1].numpy()
        if len(counts) == 0:
            continue
        # One user after the other: each draw starts where the stream was left by the one before.
        stream = np.random.RandomState(seed)
        drawn = np.concatenate([stream.permutation(count) for count in counts])
        first = np.repeat(counts.cumsum() - counts, counts)
        places[part[first + drawn]] = np.arange(len(part)) - first
    return torch.from_numpy(places)


def _by_number(vocabulary: Vocabulary) -> np.ndarray:
    """Return the indices of the ids in the order of the ids as whole numbers, (n,) int64."""
    ids = pd.Series(vocabulary.ids, dtype=object)
    wrong = ~ids.str.fullmatch("[0-9]{1,18}").to_numpy(dtype=bool)
    if wrong.any():
        raise ConfigError(
            "split.draw = 'vae_cf': draws in the order of the ids as whole numbers, and the data has the "
            f"{vocabulary.kind} {ids[int(np.argmax(wrong))]!r}. Leave split.draw out."
        )
    return np.argsort(ids.to_numpy().astype(np.int64), kind="stable")


def _rank(vocabulary: Vocabulary) -> np.ndarray:
    """Return the place of each index in the order of the ids as whole numbers, (n,) int64."""
    return np.argsort(_by_number(vocabulary))
