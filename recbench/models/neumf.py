"""Neural matrix factorisation: GMF and MLP side by side under one output.

Source: He et al., Neural Collaborative Filtering, WWW 2017, sections 3.4 and 3.4.1,
https://arxiv.org/abs/1708.05031; initialisation as in the authors' code.

Shapes:
    B users of a batch, C items of each (or of all), I items, D = dim; a tower's vector is layers[0] / 2 wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import Interactions
from recbench.models import GradientModel, register
from recbench.models.mlp import Layers
from recbench.nn.initialisation import lecun_linear, normal_embedding
from recbench.nn.losses import NCFLossName
from recbench.nn.pretrained import INIT_STD, start_from, trained_weights
from recbench.nn.products import dot_products
from recbench.nn.towers import PairTower
from recbench.options import Config

ALPHA = 0.5


class NeuMFConfig(Config):
    """Options of ``neumf``."""

    dim: int = Field(8, ge=1)
    """Width of the GMF vectors."""

    layers: Layers = (64, 32, 16, 8)
    """Widths of the MLP tower from its input, a user's and an item's vector side by side, to its output."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of each tower layer's input that is zeroed in training."""

    loss: NCFLossName = "bce"
    """What is minimised: bce as in the paper, or bpr."""

    reg: float = Field(0.0, ge=0)
    """L2 on the rows of the batch, once an occurrence: half of it times their squares, over the pairs of the batch."""

    init_std: float = Field(INIT_STD, gt=0)
    """Standard deviation of the first values of the vectors."""

    pretrained_gmf: str | None = None
    """What to start from: folder of a finished ``gmf`` run on the same split, or the NCF authors' weights (.npz);
    goes with ``pretrained_mlp``."""

    pretrained_mlp: str | None = None
    """What to start from: folder of a finished ``mlp`` run on the same split, or the NCF authors' weights (.npz);
    goes with ``pretrained_gmf``."""

    alpha: float = Field(ALPHA, ge=0, le=1)
    """Weight of the pre-trained GMF in the output layer; the MLP has the rest (equation 13)."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        if (self.pretrained_gmf is None) != (self.pretrained_mlp is None):
            raise ValueError("pretrained_gmf and pretrained_mlp go together: name both, or none.")
        if self.pretrained_gmf is None and self.alpha != ALPHA:
            raise ValueError(
                f"alpha = {self.alpha:g}: has no effect without pretrained_gmf and pretrained_mlp; name both, or leave "
                "alpha alone."
            )
        if self.pretrained_gmf is not None and self.init_std != INIT_STD:
            raise ValueError(
                f"init_std = {self.init_std:g}: has no effect with pretrained_gmf and pretrained_mlp; leave it alone."
            )
        return self


@register("neumf", config=NeuMFConfig)
class NeuMF(GradientModel):
    """A linear output over the GMF product and the MLP tower (equation 12; the sigmoid is part of the loss)."""

    config: NeuMFConfig
    negatives_defaults: ClassVar[Mapping[str, Any]] = {"n_negatives": 4}

    def __init__(self, config: NeuMFConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        tower_dim = config.layers[0] // 2
        self.gmf_user = normal_embedding(self.n_users, config.dim, config.init_std, seed, "gmf user")
        self.gmf_item = normal_embedding(self.n_items, config.dim, config.init_std, seed, "gmf item")
        self.mlp_user = normal_embedding(self.n_users, tower_dim, config.init_std, seed, "mlp user")
        self.mlp_item = normal_embedding(self.n_items, tower_dim, config.init_std, seed, "mlp item")
        self.tower = PairTower(config.layers, config.dropout, seed)
        self.output = lecun_linear(config.dim + config.layers[-1], 1, seed, "output")
        if config.pretrained_gmf is not None and config.pretrained_mlp is not None:
            gmf = trained_weights(config.pretrained_gmf, "gmf", train)
            mlp = trained_weights(config.pretrained_mlp, "mlp", train)
            self.start_from(gmf, mlp, config.alpha)

    def start_from(self, gmf: Mapping[str, Tensor], mlp: Mapping[str, Tensor], alpha: float) -> None:
        """Take the parameters of a trained ``GMF`` and a trained ``MLP``, their outputs weighted (equation 13).

        Args:
            gmf: ``state_dict`` of a GMF with the same ``dim``.
            mlp: ``state_dict`` of an MLP with the same ``layers``.
            alpha: Weight of the GMF's output; the MLP's has the rest.

        Raises:
            ConfigError: A shape does not fit.

        Differs: the output bias is weighted like the output weights, as in the authors' code.
        """
        weights = {f"gmf_{side}.weight": gmf[f"{side}.weight"] for side in ("user", "item")}
        weights |= {f"mlp_{side}.weight": mlp[f"{side}.weight"] for side in ("user", "item")}
        weights |= {name: tensor for name, tensor in mlp.items() if name.startswith("tower.")}
        weights["output.weight"] = torch.cat([alpha * gmf["output.weight"], (1 - alpha) * mlp["output.weight"]], 1)
        weights["output.bias"] = alpha * gmf["output.bias"] + (1 - alpha) * mlp["output.bias"]
        start_from(self, weights)

    @property
    def numbers_a_pair(self) -> int:
        """The width of the tower's first layer."""
        return self.config.layers[1]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (B, C); see ``GradientModel.forward``."""
        gmf_weight, mlp_weight = self.output.weight.split([self.config.dim, self.config.layers[-1]], 1)
        # The output over the concatenation, taken apart: no (B, C, D) product is needed for the linear half.
        dots = dot_products(self.gmf_user(users) * gmf_weight, self.gmf_item(items))
        hidden = self.tower(self.mlp_user(users), self.mlp_item(items))
        return dots + (hidden @ mlp_weight[0]) + self.output.bias

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of squares of the looked-up rows."""
        of_users = self.gmf_user.squares(users) + self.mlp_user.squares(users)
        return of_users + self.gmf_item.squares(items) + self.mlp_item.squares(items)
