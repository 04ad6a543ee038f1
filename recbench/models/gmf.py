"""Generalised matrix factorisation, the linear half of neural collaborative filtering.

Source: He et al., Neural Collaborative Filtering, WWW 2017, section 3.2, https://arxiv.org/abs/1708.05031;
embeddings N(0, 0.01) and the LeCun-uniform output layer as in the authors' code.

Shapes:
    B users of a batch, C items of each (or of all), D = dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from recbench.data import Interactions
from recbench.models import GradientModel, register
from recbench.nn.initialisation import lecun_linear, normal_embedding
from recbench.nn.losses import NCFLossName
from recbench.nn.pretrained import StartConfig, start_from, trained_weights
from recbench.nn.products import dot_products


class GMFConfig(StartConfig):
    """Options of ``gmf``."""

    dim: int = Field(8, ge=1)
    """Width of the vectors (the paper's predictive factors)."""

    loss: NCFLossName = "bce"
    """What is minimised: bce as in the paper, or bpr."""

    reg: float = Field(0.0, ge=0)
    """L2 on the rows of the batch, once an occurrence: half of it times their squares, over the pairs of the batch."""


@register("gmf", config=GMFConfig)
class GMF(GradientModel):
    """A weighted dot product: ``h . (p_u * q_i) + b`` (equation 9; the sigmoid is part of the loss)."""

    config: GMFConfig
    negatives_defaults: ClassVar[Mapping[str, Any]] = {"n_negatives": 4}

    def __init__(self, config: GMFConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        self.user = normal_embedding(self.n_users, config.dim, config.init_std, seed, "gmf user")
        self.item = normal_embedding(self.n_items, config.dim, config.init_std, seed, "gmf item")
        self.output = lecun_linear(config.dim, 1, seed, "output")
        if config.pretrained is not None:
            start_from(self, trained_weights(config.pretrained, "gmf", train))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (B, C); see ``GradientModel.forward``."""
        return dot_products(self.user(users) * self.output.weight, self.item(items)) + self.output.bias

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of squares of the looked-up rows."""
        return self.user.squares(users) + self.item.squares(items)

    def user_vectors(self) -> Tensor:
        """Return (n_users, D + 1): ``[h * p_u, b]``."""
        weighted = self.user.weight.detach() * self.output.weight.detach()
        return nn.functional.pad(weighted, (0, 1), value=float(self.output.bias.detach()))

    def item_vectors(self) -> Tensor:
        """Return (n_items, D + 1): ``[q_i, 1]``."""
        return nn.functional.pad(self.item.weight.detach(), (0, 1), value=1.0)
