"""A metric: where the first relevant item stands."""

import torch
from torch import Tensor

from recbench import metrics
from recbench.data import Ranking


@metrics.register("rank_of_first", better="lower")
def rank_of_first(ranking: Ranking, k: int) -> Tensor:
    """Return the place of the first relevant item from 1, or k + 1 where none is in the first k, (U,) float64."""
    hits = ranking.hits[:, :k]
    return torch.where(hits.any(1), hits.int().argmax(1) + 1, k + 1).double()
