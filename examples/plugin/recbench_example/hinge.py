"""A loss: positives should lead negatives by a margin of one."""

import torch
from torch import Tensor

from recbench.nn.losses import Scored, losses


@losses.register("hinge", target="ranking")
def hinge(scored: Scored) -> Tensor:
    """Hinge loss over pairs of a positive and a negative, the mean over pairs."""
    assert scored.negative is not None
    pairs = torch.relu(1 + scored.negative - scored.positive[:, None])
    return pairs.mean() if scored.keep is None else (pairs * scored.keep).sum() / scored.keep.sum().clamp(min=1)
