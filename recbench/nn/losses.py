"""Losses by name: what a gradient model minimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from recbench.registry import OneOf, Registry


@dataclass(frozen=True, eq=False)
class Scored:
    """A batch as the model scored it.

    Shapes:
        positive: (B,) scores of the observed pairs.
        negative: (B, n) scores of the negatives, or None where the loss uses none.
        keep: (B, n) bool, false where a negative must not count, or None where all count.
        log_q: (B, n) or (n,) log of the probability that the sampler draws the negative, less that of a
            uniform sampler; None where it is uniform.
        ratings: (B,) float32, or None.
    """

    positive: Tensor
    negative: Tensor | None = None
    keep: Tensor | None = None
    log_q: Tensor | None = None
    ratings: Tensor | None = None


Loss = Callable[[Scored], Tensor]
losses: Registry[Tensor] = Registry("loss", "recbench.nn.losses", needs=("target",))


LossName = Annotated[str, OneOf(losses)]
"""The name of any registered loss."""

NCFLossName = Annotated[str, OneOf(losses, "mse", "sampled_softmax", "bce_sum")]
"""The name of a loss over a few negatives a positive: a network is run for each, so thousands are too many."""


@losses.register("mse", target="ratings")
def mse(scored: Scored) -> Tensor:
    """Mean squared error between score and rating; uses no negatives."""
    assert scored.ratings is not None
    return F.mse_loss(scored.positive, scored.ratings)


@losses.register("bce", target="ranking")
def bce(scored: Scored) -> Tensor:
    """Binary cross entropy over positives and negatives, the mean over all of them.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, equation 7.
    """
    assert scored.negative is not None
    positive, negative = F.softplus(-scored.positive), F.softplus(scored.negative)
    if scored.keep is None:
        return (positive.sum() + negative.sum()) / (positive.numel() + negative.numel())
    return (positive.sum() + (negative * scored.keep).sum()) / (positive.numel() + scored.keep.sum())


@losses.register("bce_sum", target="ranking", summed=True)
def bce_sum(scored: Scored) -> Tensor:
    """Binary cross entropy, the sum over positives and negatives: ``lr`` is the step of one pair, ``reg`` on each.

    Source: Rendle et al., Neural Collaborative Filtering vs. Matrix Factorization Revisited, RecSys 2020, as in the
    authors' code.
    Differs: the pairs of a batch move the parameters together, where the authors move after each. A bias that all
    pairs share goes astray where ``lr`` times the pairs of a batch is above 8, as each curves the loss by up to 1/4.
    """
    assert scored.negative is not None
    positive, negative = F.softplus(-scored.positive), F.softplus(scored.negative)
    return positive.sum() + (negative if scored.keep is None else negative * scored.keep).sum()


@losses.register("bpr", target="ranking")
def bpr(scored: Scored) -> Tensor:
    """Bayesian personalised ranking: log-sigmoid of the difference, the mean over pairs.

    Source: Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, section 4.1.
    """
    assert scored.negative is not None
    pairs = F.softplus(scored.negative - scored.positive[:, None])
    if scored.keep is None:
        return pairs.mean()
    return (pairs * scored.keep).sum() / scored.keep.sum().clamp(min=1)


@losses.register("sampled_softmax", target="ranking")
def sampled_softmax(scored: Scored) -> Tensor:
    """Cross entropy of the positive among its negatives, corrected by the sampler's log probability.

    Source: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys
    2019, equation 4.
    Differs: the positive, which is always there, is not corrected.
    """
    assert scored.negative is not None
    negative = scored.negative if scored.log_q is None else scored.negative - scored.log_q
    if scored.keep is not None:
        negative = negative.masked_fill(~scored.keep, -torch.inf)
    logits = torch.cat([scored.positive[:, None], negative], 1)
    return (torch.logsumexp(logits, 1) - scored.positive).mean()
