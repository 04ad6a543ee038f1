"""Entries brought together by the row that each belongs to.

Shapes:
    N entries, R rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def starts_of(rows: Tensor, n_rows: int) -> Tensor:
    """Return where each row begins when ``rows`` (N,) of [0, n_rows) are in order, and N at the end: (R + 1,) int64.

    Raises:
        IndexError: There is a row above them.
    """
    counts = torch.bincount(rows, minlength=n_rows)
    if len(counts) > n_rows:
        raise IndexError(f"row {len(counts) - 1}, counted from 0, of {n_rows}.")
    starts = torch.zeros(n_rows + 1, dtype=torch.int64, device=rows.device)
    torch.cumsum(counts, 0, out=starts[1:])
    return starts


def order_by(rows: Tensor, n_rows: int) -> Tensor:
    """Return the order (N,) that sorts ``rows`` (N,) of [0, n_rows); equal ones stay in turn."""
    if rows.device.type != "cpu" or n_rows > 2**16:
        return rows.argsort(stable=True)
    # NumPy sorts integers of 16 bits by their digits, in less time and half the memory.
    return torch.from_numpy(np.argsort(rows.numpy().astype(np.uint16), kind="stable"))
