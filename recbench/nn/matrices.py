"""Training interactions as matrices: who has what, and how often items meet.

Ratings and repeated pairs do not count.

Shapes:
    U users, I items.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recbench.data import Histories, Interactions
from recbench.progress import bar

_BLOCK_ENTRIES = 2**22  # of the dense matrix that are computed at a time


def binary_matrix(train: Interactions) -> sp.csr_array:
    """Return (U, I) float64: 1 where the user has the item, however often, and nothing elsewhere."""
    pairs = (train.items.numpy(), train.users.numpy())
    # Interactions come user by user: so the users of each item are in order already, and nothing has to be sorted.
    by_item = sp.csr_array((np.ones(len(train)), pairs), shape=(train.n_items, train.n_users))
    by_item.data[:] = 1.0
    return by_item.T.tocsr()


def fill_gram(train: Interactions, out: Tensor, compiled: bool = False) -> None:
    """Fill ``out`` (I, I) float32 with ``X^T X`` of ``binary_matrix``: how many users have both items.

    Nothing else of that size is in memory.

    Args:
        train: Who has what.
        out: Is filled.
        compiled: Whether by compiled loops, which give the same; then ``out`` is on the CPU.
    """
    matrix = binary_matrix(train).astype(np.float32)
    transposed = matrix.T.tocsr()
    if compiled:
        # Imports numba, which takes a second and need not be there.
        from recbench.nn.compiled_neighbours import add_rows

        takers, taken = (
            Histories(*(torch.from_numpy(part.astype(np.int64)) for part in (table.indptr, table.indices)))
            for table in (transposed, matrix)
        )
        add_rows(takers, torch.ones(matrix.nnz), taken, torch.ones(matrix.nnz), out)
        return
    size = max(1, _BLOCK_ENTRIES // train.n_items)
    for start in bar(range(0, train.n_items, size), "count"):
        counts = (transposed[start : start + size] @ matrix).toarray()
        out[start : start + size] = torch.from_numpy(counts)
