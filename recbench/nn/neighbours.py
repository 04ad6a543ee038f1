"""The nearest neighbours that are kept of each profile, and who wins a tie.

Shapes:
    P profiles, R rows of a block, K neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recbench.progress import bar

_BLOCK_ENTRIES = 2**22  # of the dense part of a matrix of profiles by profiles that is in memory at a time


def precedence(lengths: Tensor) -> Tensor:
    """Return each profile's place (P,) int64 by (length descending, index ascending): who wins a tie."""
    order = torch.argsort(lengths, descending=True, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    return places


def nearest(similarities: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the indices (R, K) int64 and similarities (R, K) float32 of each row's ``k`` nearest, nearest first.

    Of equal similarities the longer profile is nearer, since it rests on more evidence, and then the one with
    the lower index, so that the cut depends on neither device nor block. Only between neighbours alike
    in both does the numbering of the profiles decide.

    Args:
        similarities: (R, P), not negative. They are compared in float32: sums of weights that differ in the
            order of their terms alone are equal then.
        places: (P,) from ``precedence``.
        k: At most P.
    """
    values = similarities.float()
    # The bits of floats that are not negative order as whole numbers do, so one int64 holds both criteria.
    keys = (values.view(torch.int32).long() << 32) - places
    indices = torch.topk(keys, k, dim=1).indices
    return indices, values.gather(1, indices)


def heaviest(rows: Callable[[slice], Tensor], places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return where the ``k`` largest entries of each row are, (P, K) int64, and the entries, (P, K) float64.

    Entries are compared in float32, so that no rounding decides between those that should be equal.

    Args:
        rows: Gives the rows of a slice of a (P, P) matrix, float64 and not negative, as a dense tensor; called with
            a few rows at a time so that memory is bounded.
        places: (P,) from ``precedence``, which decides between equal entries.
        k: At most P.
    """
    n_profiles = len(places)
    columns, entries = torch.empty(n_profiles, k, dtype=torch.int64), torch.empty(n_profiles, k, dtype=torch.float64)
    size = max(1, _BLOCK_ENTRIES // n_profiles)
    for start in bar(range(0, n_profiles, size), "fit"):
        part = slice(start, min(start + size, n_profiles))
        block = rows(part)
        columns[part], _ = nearest(block, places, k)
        entries[part] = block.gather(1, columns[part])
    return columns, entries
