"""The nearest neighbours that are kept, and who wins a tie.

Shapes:
    P profiles, R rows of a block, K neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
