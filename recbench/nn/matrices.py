"""The sparse matrix of users by items."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recbench.data import Interactions


def binary_matrix(train: Interactions) -> sp.csr_array:
    """Return (n_users, n_items) float64: 1 where the user has the item, however often, and nothing elsewhere."""
    pairs = (train.users.numpy(), train.items.numpy())
    matrix = sp.csr_array((np.ones(len(train)), pairs), shape=(train.n_users, train.n_items))
    matrix.data[:] = 1.0
    return matrix
