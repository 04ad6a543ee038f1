"""First values of parameters, each from its own counter-based stream."""

from __future__ import annotations

import math

import torch
from torch import nn

from recbench.randomness import generator


def normal_(module: nn.Module, std: float, seed: int, *purpose: str) -> None:
    """Fill the weight of an embedding with N(0, std)."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    nn.init.normal_(weight, std=std, generator=generator(seed, "init", *purpose))


def glorot_uniform_(module: nn.Linear, seed: int, *purpose: str) -> None:
    """Fill a linear layer with U(-a, a), a = sqrt(6 / (fan_in + fan_out)), and its bias with zeros.

    Source: Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks,
    AISTATS 2010, equation 16.
    """
    nn.init.xavier_uniform_(module.weight, generator=generator(seed, "init", *purpose))
    nn.init.zeros_(module.bias)


def lecun_uniform_(module: nn.Linear, seed: int, *purpose: str) -> None:
    """Fill a linear layer with U(-a, a), a = sqrt(3 / fan_in), and its bias with zeros.

    Source: LeCun et al., Efficient BackProp, 1998, section 4.6.
    """
    bound = math.sqrt(3 / module.in_features)
    nn.init.uniform_(module.weight, -bound, bound, generator=generator(seed, "init", *purpose))
    nn.init.zeros_(module.bias)
