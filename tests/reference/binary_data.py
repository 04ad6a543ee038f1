"""Small binary matrices, and their interactions."""

import numpy as np
import pandas as pd

from recbench.data import Interactions


def taken(seed, n_users=13, n_items=11):
    """Return a (U, I) matrix of 0 and 1 in which every user and item occurs."""
    chance = np.linspace(0.9, 0.15, n_items)
    matrix = np.random.default_rng(seed).random((n_users, n_items)) < chance
    places = np.arange(max(n_users, n_items))
    matrix[places % n_users, places % n_items] = True
    return matrix.astype(float)


def interactions(matrix):
    """Return them with the indices of the matrix."""
    users, items = np.nonzero(matrix)
    frame = pd.DataFrame({"user": [f"u{user:03d}" for user in users], "item": [f"i{item:03d}" for item in items]})
    return Interactions.from_frame(frame)
