"""Matrix factorisation by implicit alternating least squares (iALS).

Source: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, equations 3 to 6;
the objective, with L2 scaled by frequency, and the first values as in Rendle, Krichene, Zhang and Koren, Revisiting
the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022, https://arxiv.org/abs/2110.14037. With
s_ui = p_u . q_i it is

    sum over observed (u, i) of (1 - s_ui)^2 + alpha0 * sum over ALL (u, i) of s_ui^2
    + reg * (sum_u (n_u + alpha0 I)^nu |p_u|^2 + sum_i (n_i + alpha0 U)^nu |q_i|^2),

with n_u and n_i the interactions of a user and an item.

With equal confidences this is Hu's objective too, which weighs observed pairs with c, all others with 1 and the
squared vectors with lambda: alpha0 = 1 / (c - 1), reg = lambda / c, nu = 0. Its vectors are those of the above, all
times sqrt(c / (c - 1)), after each half of a sweep as in the end, so that lists and metrics are the same. Papers in
which every r is 1 thus need no more than c = 1 + alpha, or c = 1 + alpha log(1 + 1 / epsilon). Only where confidences
go by ratings does the objective differ: see ``confidence``; there alpha0 = 1 / alpha, reg = lambda / alpha and nu = 0.

Differs: both sides are solved whole, not block by block of their dimensions as Rendle et al. do for wide vectors.

Shapes:
    B users of a batch, U users, I items, C candidates, D = dim, N training interactions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.models import AlternatingModel, register
from recbench.nn.initialisation import normal_embedding
from recbench.nn.least_squares import LeastSquares, approach, solve_exactly
from recbench.nn.products import dot_products, panel_products
from recbench.options import Config

EPSILON, CG_STEPS = 1.0, 3
INIT_LENGTH = 0.1
"""Length to expect of a vector at the start: its numbers are drawn from N(0, (0.1 / sqrt(dim))^2)."""
_BLOCK_PAIRS = 2**13  # whose scores are in memory at a time


class IALSConfig(Config):
    """Options of ``ials``; the defaults did well on a validation part of ML-100K, split 80/20 at random per user."""

    dim: int = Field(64, ge=1)
    """Width of the vectors."""

    alpha0: float = Field(0.3, gt=0)
    """Weight of the squared score of every pair, that of an observed one being 1; one over the alpha of Hu et al."""

    reg: float = Field(0.015, gt=0)
    """L2 on the vectors, times how often each counts in the objective to the power of ``nu``."""

    nu: float = Field(1.0, ge=0)
    """How L2 grows with the frequency of users and items: 0 is the same for all, 1 in proportion."""

    confidence: Literal["equal", "linear", "log"] = "equal"
    """How an observed pair counts: equal, (1 - s)^2 + alpha0 s^2; linear and log, after Hu et al., as
    (alpha0 + w) (1 - s)^2 with w the rating r, or log(1 + r / epsilon)."""

    epsilon: float = Field(EPSILON, gt=0)
    """What ratings are divided by in the logarithm; with confidence=log only."""

    solver: Literal["cholesky", "cg"] = "cholesky"
    """How each side is solved: exactly, or approached from the sweep before by conjugate gradients, which pays for
    wide vectors."""

    cg_steps: int = Field(CG_STEPS, ge=1)
    """Steps of conjugate gradients a half of a sweep, from the last one's solutions on, where 2 come about as far as 3;
    with solver=cg only."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        if self.epsilon != EPSILON and self.confidence != "log":
            raise ValueError(f"epsilon = {self.epsilon:g}: has no effect without confidence='log'.")
        if self.cg_steps != CG_STEPS and self.solver != "cg":
            raise ValueError(f"cg_steps = {self.cg_steps}: has no effect without solver='cg'.")
        return self


@register("ials", config=IALSConfig)
class IALS(AlternatingModel):
    """Dot product of a user's and an item's vector, each the solution of a least-squares problem given the others.

    A sweep solves for the users and then for the items. A user of the training data has the vector that was fitted,
    whatever history comes along, as in the papers; an unknown one is solved for by the history, exactly, and has
    zeros where that is empty. With confidences by rating, data and histories must have ratings above 0.
    """

    folds_in: ClassVar[bool] = True
    in_ranges: ClassVar[bool] = True
    trainer_defaults: ClassVar[Mapping[str, Any]] = {"epochs": 16}
    config: IALSConfig
    user: Tensor
    item: Tensor

    def __init__(self, config: IALSConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        std = INIT_LENGTH / math.sqrt(config.dim)
        for name, n_rows in (("user", self.n_users), ("item", self.n_items)):
            table = normal_embedding(n_rows, config.dim, std, seed, name).weight.detach()
            self.register_buffer(name, table)

    def sweeps(self, train: Interactions) -> Iterator[float]:
        """Yield the objective over N after each sweep; see ``AlternatingModel.sweeps``.

        Raises:
            ConfigError: Confidences go by ratings, and there are none or some are not above 0.
            DivergedError: A problem is singular in float32.
        """
        of_users, of_items = self.problems(train)
        while True:
            self.user.copy_(self._solved(of_users, self.item, self.user))
            self.item.copy_(self._solved(of_items, self.user, self.item))
            yield self._objective(of_users, of_items) / len(train)

    def problems(self, train: Interactions) -> tuple[LeastSquares, LeastSquares]:
        """Return what users ask for, given the items' vectors, and what items do, given those of users.

        Raises:
            ConfigError: Confidences go by ratings, and there are none or some are not above 0.
        """
        by_user = train.histories.to(self.device)
        users, items = train.users.to(self.device), train.items.to(self.device)
        ratings = None if train.ratings is None else train.ratings.to(self.device)
        by_item = Histories.from_pairs(items, users, self.n_items, ratings)
        return self._problem(by_user, self.n_items), self._problem(by_item, self.n_users)

    def _problem(self, rows: Histories, n_others: int) -> LeastSquares:
        """Return what each row asks for, given vectors of the other side (equations 4 and 5 of Hu et al.)."""
        config = self.config
        quadratic = self._weights(rows.values)
        linear = None if quadratic is None else quadratic + config.alpha0
        reg = config.reg * (rows.counts + config.alpha0 * n_others) ** config.nu
        return LeastSquares(rows, quadratic, linear, config.alpha0, reg)

    def _weights(self, ratings: Tensor | None) -> Tensor | None:
        """Return w of ``confidence`` for each observed pair, (N,), or None where all are 1."""
        if self.config.confidence == "equal":
            return None
        if ratings is None:
            raise ConfigError(
                f"model.confidence = {self.config.confidence!r}: goes by ratings, and there are none; use 'equal'."
            )
        if not bool((ratings > 0).all()):
            raise ConfigError(
                f"model.confidence = {self.config.confidence!r}: needs ratings above 0, and the lowest is "
                f"{float(ratings.min()):g}; use 'equal', or leave such pairs out (dataset.min_rating)."
            )
        return ratings if self.config.confidence == "linear" else torch.log1p(ratings / self.config.epsilon)

    def _solved(self, problem: LeastSquares, others: Tensor, before: Tensor) -> Tensor:
        if self.config.solver == "cg":
            return approach(problem, others, before, self.config.cg_steps)
        return solve_exactly(problem, others)

    def _objective(self, of_users: LeastSquares, of_items: LeastSquares) -> float:
        """Return the objective of the module's docstring."""
        rows = of_users.rows
        columns = [rows.row_of_each(), rows.items]
        if of_users.quadratic is not None and of_users.linear is not None:
            columns += [of_users.quadratic, of_users.linear]
        total = self.config.alpha0 * ((self.user.T @ self.user) * (self.item.T @ self.item)).sum().double()
        total += (of_users.reg * self.user.square().sum(1)).sum() + (of_items.reg * self.item.square().sum(1)).sum()
        for users, items, *weights in zip(*(column.split(_BLOCK_PAIRS) for column in columns), strict=True):
            scores = (self.user.index_select(0, users) * self.item.index_select(0, items)).sum(1)
            quadratic, linear = weights or (1.0, 1.0)
            total += (quadratic * scores**2 - 2 * linear * scores + linear).sum()
        return float(total)

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        if items is None:
            return self.score_range(batch, 0, self.n_items)
        return dot_products(self._vectors(batch), self.item[items])

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return (B, last - first) scores; see ``Model.score_range``."""
        return panel_products(self._vectors(batch), self.item[first:last])

    def _vectors(self, batch: UserBatch) -> Tensor:
        """Return the vectors (B, D) of users, those of unknown ones by their history."""
        vectors = self.user[batch.users.clamp(min=0)]
        unknown = torch.nonzero(batch.users < 0).flatten()
        if len(unknown):
            vectors[unknown] = solve_exactly(self._problem(batch.history.rows(unknown), self.n_items), self.item)
        return vectors

    def user_vectors(self) -> Tensor:
        """Return (n_users, D)."""
        return self.user

    def item_vectors(self) -> Tensor:
        """Return (n_items, D)."""
        return self.item
