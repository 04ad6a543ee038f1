"""Scores an item by a sparse combination of the history with weights that are not negative.

Source: Ning and Karypis, SLIM: Sparse Linear Methods for Top-N Recommender Systems, ICDM 2011, equations 3 and 4,
https://doi.org/10.1109/ICDM.2011.134; strength and share of the penalties as in Ferrari Dacrema et al., A Troubling
Analysis of Reproducibility and Progress in Recommender Systems Research, TOIS 2021 (there SLIM ElasticNet), whose
objective for the scored item j is, with U users,

    1 / (2 U) |X_j - X w|^2 + alpha l1_ratio |w|_1 + alpha (1 - l1_ratio) / 2 |w|^2,  w >= 0,  w_j = 0.

Differs: by an accelerated gradient method up to the only optimum, for many items in one product of matrices; there
by coordinate descent for at most 100 rounds in random order.

Shapes:
    B users, I items, J items of a block, C candidates.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from recbench.data import Interactions, UserBatch
from recbench.models import Model, register
from recbench.nn.item_weights import history_scores
from recbench.nn.matrices import fill_gram
from recbench.nn.neighbours import nearest, precedence
from recbench.options import Config
from recbench.progress import bar

logger = logging.getLogger(__name__)

_BLOCK = 512  # items whose weights are fitted at a time


class SLIMConfig(Config):
    """Options of ``slim``; the defaults did well on the validation part of ML-100K, split 80/20 at random per user."""

    alpha: float = Field(0.2, gt=0)
    """Strength of both penalties, where the error is a mean over users."""

    l1_ratio: float = Field(0.0001, ge=0, lt=1)
    """Share of alpha that is L1, which makes weights 0; the rest is L2, which makes them small."""

    neighbours: int | None = Field(None, ge=1)
    """Largest weights that each scored item keeps; null keeps all."""

    tolerance: float = Field(1e-5, gt=0)
    """A scored item is done when no step changes a weight by more than this, relative to the item's largest weight."""

    iterations: int = Field(1000, ge=1)
    """Steps after which the fit ends in any case, with a warning where an item is not done."""


@register("slim", config=SLIMConfig)
class SLIM(Model):
    """Sum of the weights from the items of the history to the scored item; no item has a weight to itself.

    Users are known by their history alone, which at test time includes validation items; an unknown user is
    scored alike, and an empty history gives 0 everywhere. Ratings are ignored.

    Shapes:
        weights: (I, I) float32, row i what item i of a history adds to each score. A fit takes twice its memory.
    """

    folds_in: ClassVar[bool] = True
    config: SLIMConfig
    weights: Tensor

    def __init__(self, config: SLIMConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.register_buffer("weights", torch.zeros(self.n_items, self.n_items))

    def fit(self, train: Interactions) -> None:
        """Minimise the objective, some scored items at a time, and keep the largest weights of each."""
        options = self.config
        penalty = options.alpha * train.n_users
        gram = torch.empty_like(self.weights)
        fill_gram(train, gram)
        problem = ElasticNet(gram, penalty * options.l1_ratio, penalty * (1 - options.l1_ratio))
        places = precedence(gram.diagonal())
        n_undone = 0
        for targets in bar(torch.arange(self.n_items, device=self.device).split(_BLOCK), "fit"):
            solution = problem.solve(targets, options.tolerance, options.iterations)
            n_undone += int((~solution.done).sum())
            columns = solution.weights
            if options.neighbours is not None and options.neighbours < self.n_items:
                kept, largest = nearest(columns.T, places, options.neighbours)
                columns.zero_().scatter_(0, kept.T, largest.T)
            self.weights[:, targets] = columns
        if n_undone:
            logger.warning(
                "slim: the weights of %d of %d items were still changing after %d iterations; write a larger "
                "model.iterations, model.alpha or model.tolerance.",
                n_undone,
                self.n_items,
                options.iterations,
            )

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        return history_scores(batch.history, self.weights, items)


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights (I, J) of J scored items, and whether each is ``done`` (J,)."""

    weights: Tensor
    done: Tensor


class ElasticNet:
    """Minimises ``1/2 w^T G w - G_j^T w + l1 |w|_1 + l2/2 |w|^2`` over ``w >= 0, w_j = 0`` for any items j.

    The objective is strongly convex, so Nesterov's method with constant momentum comes nearer to its only minimum
    by at least a constant factor a step.

    Source: Nesterov, Introductory Lectures on Convex Optimization, 2004, scheme 2.2.9 with projected steps (section
    2.2.4).
    """

    def __init__(self, gram: Tensor, l1: float, l2: float) -> None:
        """Bound the curvature, which decides on the length of the steps and on the momentum.

        Args:
            gram: G (I, I), not negative.
            l1: At least 0.
            l2: Above 0.
        """
        self.gram, self.l1, self.l2 = gram, l1, l2
        # Collatz and Wielandt: any positive vector bounds the largest eigenvalue of a matrix that is not negative.
        vector = torch.ones(len(gram), 1, device=gram.device)
        for _ in range(20):
            image = gram @ vector + l2 * vector
            largest = float((image / vector).max())
            vector = (image / image.max()).clamp_(min=1e-6)
        self.step = 1 / largest
        root = math.sqrt(l2 / largest)
        self.momentum = (1 - root) / (1 + root)

    def solve(self, targets: Tensor, tolerance: float, iterations: int) -> Solution:
        """Return the weights of the items ``targets`` (J,) int64.

        Args:
            targets: The items j.
            tolerance: Largest change in a step, relative to the largest weight, with which an item is done.
            iterations: Most steps.
        """
        wanted = self.gram[:, targets] - self.l1
        own = (targets, torch.arange(len(targets), device=targets.device))
        weights = ahead = torch.zeros_like(wanted)
        for _ in range(iterations):
            slopes = torch.addmm(wanted, self.gram, ahead, beta=-1).add_(ahead, alpha=self.l2)
            stepped = slopes.mul_(-self.step).add_(ahead).clamp_(min=0)
            stepped[own] = 0
            # The weights also stand still where momentum turns them; at the minimum no step leads anywhere either.
            changes = stepped - weights
            moved = torch.maximum(changes.abs().amax(0), (stepped - ahead).abs().amax(0))
            done = moved <= tolerance * stepped.amax(0)
            weights, ahead = stepped, torch.add(stepped, changes, alpha=self.momentum)
            if bool(done.all()):
                break
        return Solution(weights, done)
