"""The perceptron half of neural collaborative filtering.

Source: He et al., Neural Collaborative Filtering, WWW 2017, section 3.3, https://arxiv.org/abs/1708.05031;
embeddings N(0, 0.01), Glorot-uniform towers and the LeCun-uniform output layer as in the authors' code.

Shapes:
    B users of a batch, C items of each (or of all), I items; a vector is layers[0] / 2 wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from recbench.data import Interactions
from recbench.models import GradientModel, register
from recbench.nn.initialisation import glorot_linear, lecun_linear, normal_embedding, uniform_linear
from recbench.nn.losses import NCFLossName
from recbench.nn.pretrained import StartConfig, start_from, trained_weights
from recbench.nn.towers import PairTower


def _check_layers(layers: tuple[int, ...]) -> tuple[int, ...]:
    if len(layers) < 2 or layers[0] % 2 or min(layers) < 1:
        raise ValueError("should be at least two positive widths, the first even (it is cut between user and item).")
    return layers


Layers = Annotated[tuple[int, ...], AfterValidator(_check_layers)]


class MLPConfig(StartConfig):
    """Options of ``mlp``."""

    layers: Layers = (64, 32, 16, 8)
    """Widths of the tower from its input, a user's and an item's vector side by side, to its output."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of each layer's input that is zeroed in training."""

    layer_init: Literal["glorot", "uniform"] = "glorot"
    """First values of the layers: glorot, or LeCun's for the output, with biases of 0, as in the authors' code; or
    uniform within one over the square root of the inputs, biases too, as PyTorch and with it RecBole has them."""

    loss: NCFLossName = "bce"
    """What is minimised: bce as in the paper, or bpr."""

    reg: float = Field(0.0, ge=0)
    """L2 on the rows of the batch, once an occurrence: half of it times their squares, over the pairs of the batch."""

    @model_validator(mode="after")
    def _layers_begin_once(self) -> Self:
        if self.pretrained is not None and self.layer_init != "glorot":
            raise ValueError(f"layer_init = {self.layer_init!r}: has no effect with pretrained; leave it alone.")
        return self


@register("mlp", config=MLPConfig)
class MLP(GradientModel):
    """A ReLU tower over a user's and an item's vector, and a linear output (equation 10)."""

    config: MLPConfig
    negatives_defaults: ClassVar[Mapping[str, Any]] = {"n_negatives": 4}

    def __init__(self, config: MLPConfig, train: Interactions, seed: int = 0) -> None:
        super().__init__(config, train, seed)
        dim = config.layers[0] // 2
        self.user = normal_embedding(self.n_users, dim, config.init_std, seed, "mlp user")
        self.item = normal_embedding(self.n_items, dim, config.init_std, seed, "mlp item")
        of_authors = config.layer_init == "glorot"
        self.tower = PairTower(config.layers, config.dropout, seed, glorot_linear if of_authors else uniform_linear)
        self.output = (lecun_linear if of_authors else uniform_linear)(config.layers[-1], 1, seed, "output")
        if config.pretrained is not None:
            start_from(self, trained_weights(config.pretrained, "mlp", train))

    @property
    def numbers_a_pair(self) -> int:
        """The width of the tower's first layer."""
        return self.config.layers[1]

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (B, C); see ``GradientModel.forward``."""
        return self.output(self.tower(self.user(users), self.item(items)))[..., 0]

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of squares of the looked-up rows."""
        return self.user.squares(users) + self.item.squares(items)
