"""The positives of the other pairs of the batch as negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.data import Interactions
from recbench.negatives import Negatives, Sampler, SeenItems, register
from recbench.options import Config


class InBatchConfig(Config):
    """Options of ``in_batch``; the number of negatives is the batch size."""


@register("in_batch", config=InBatchConfig)
class InBatch(Sampler):
    """Takes the batch's positives as negatives of each user, but for those that the user has seen.

    Source: Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016, section 3.1.
    """

    def __init__(self, config: InBatchConfig, train: Interactions) -> None:
        self.seen = SeenItems(train)
        self.log_q = torch.log(train.popularity.double() / len(train) * train.n_items).float()

    def to(self, device: torch.device) -> InBatch:
        """Move the tables to ``device`` and return the sampler."""
        self.seen.to(device)
        self.log_q = self.log_q.to(device)
        return self

    def sample(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Negatives:
        """Return the (B,) positives for all, and which of them count for whom."""
        return Negatives(positives, ~self.seen.contains(users[:, None], positives[None, :]), self.log_q[positives])
