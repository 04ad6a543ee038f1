"""Matrix factorisation by dot product.

Source: Koren, Bell, Volinsky, Matrix Factorization Techniques for Recommender Systems, IEEE Computer 2009
(biases, squared error); Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009;
Rendle et al., Neural Collaborative Filtering vs. Matrix Factorization Revisited, RecSys 2020 (logistic loss),
https://arxiv.org/abs/2005.09683.

Shapes:
    B users of a batch, C items of each (or of all), I items, D = dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from recbench.data import Interactions
from recbench.models import GradientModel, register
from recbench.nn.initialisation import normal_embedding, zero_embedding
from recbench.nn.losses import LossName
from recbench.nn.tables import products_of_rows
from recbench.options import Config


class MFConfig(Config):
    """Options of ``mf``."""

    dim: int = Field(64, ge=1)
    """Width of the vectors."""

    biases: bool = True
    """Whether users and items have a bias, and all pairs one in common."""

    loss: LossName = "bpr"
    """What is minimised: bpr, bce, bce_sum and sampled_softmax rank positives above negatives, mse learns ratings."""

    reg: float = Field(0.02, ge=0)
    """L2 on the rows of the batch, once an occurrence: half of it times their squares, over the pairs of the batch;
    with bce_sum half of it times the squares of each positive and negative pair's rows, summed as the loss is."""

    init_std: float = Field(0.1, gt=0)
    """Standard deviation of the first values of the vectors; biases start at 0."""


@register("mf", config=MFConfig)
class MF(GradientModel):
    """Dot product of a user's and an item's vector, with biases: ``b + b_u + b_i + p_u . q_i``.

    With ``loss=mse`` the common bias starts at the mean training rating and the score is the predicted rating.
    """

    config: MFConfig
    trainer_defaults: ClassVar[Mapping[str, Any]] = {"optimizer": "adagrad", "lr": 0.1, "batch_size": 1024}
    negatives_defaults: ClassVar[Mapping[str, Any]] = {"n_negatives": 4}

    def __init__(self, config: MFConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.user = normal_embedding(self.n_users, config.dim, config.init_std, seed, "user")
        self.item = normal_embedding(self.n_items, config.dim, config.init_std, seed, "item")
        if config.biases:
            self.user_bias = zero_embedding(self.n_users, 1)
            self.item_bias = zero_embedding(self.n_items, 1)
            rated = config.loss == "mse" and train.ratings is not None
            mean = train.ratings.mean() if rated and train.ratings is not None else torch.zeros(())
            self.bias = nn.Parameter(mean.clone())

    @property
    def numbers_a_pair(self) -> int:
        """One, where biases are added to the dot product."""
        return int(self.config.biases)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (B, C); see ``GradientModel.forward``."""
        dots = products_of_rows(self.user, self.item, users, items)
        if not self.config.biases:
            return dots
        return dots + self.bias + self.user_bias(users) + self.item_bias(items)[..., 0]

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of squares of the looked-up rows and biases."""
        total = self.user.squares(users) + self.item.squares(items)
        if not self.config.biases:
            return total
        biases = self.user_bias.squares(users) + self.item_bias.squares(items)
        return total + biases + len(users) * self.bias.square()

    @classmethod
    def predicts_ratings(cls, config: Config) -> bool:
        """Return whether the loss compares with ratings."""
        return isinstance(config, MFConfig) and config.loss == "mse"

    def predict(self, users: Tensor, items: Tensor) -> Tensor:
        """Return predicted ratings (N,), not clipped to the scale."""
        return self(users, items[:, None])[:, 0]

    def user_vectors(self) -> Tensor:
        """Return (n_users, D), or (n_users, D + 2) with biases: ``[p_u, b + b_u, 1]``."""
        user = self.user.weight.detach()
        if not self.config.biases:
            return user
        bias = self.bias.detach() + self.user_bias.weight.detach()
        return torch.cat([user, bias, torch.ones_like(bias)], 1)

    def item_vectors(self) -> Tensor:
        """Return (n_items, D), or (n_items, D + 2) with biases: ``[q_i, 1, b_i]``."""
        item = self.item.weight.detach()
        if not self.config.biases:
            return item
        bias = self.item_bias.weight.detach()
        return torch.cat([item, torch.ones_like(bias), bias], 1)
