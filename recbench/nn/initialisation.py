"""Layers with their first values, each from its own counter-based stream."""

from __future__ import annotations

import math

import torch
from torch import nn

from recbench.nn.tables import Table
from recbench.randomness import generator


def zero_embedding(n_rows: int, dim: int) -> Table:
    """Return a table of zeros, (n_rows, dim)."""
    return Table.from_pretrained(torch.zeros(n_rows, dim), freeze=False)


def normal_embedding(n_rows: int, dim: int, std: float, seed: int, name: str) -> Table:
    """Return a table (n_rows, dim) filled with N(0, std)."""
    values = torch.empty(n_rows, dim).normal_(std=std, generator=generator(seed, "init", name))
    return Table.from_pretrained(values, freeze=False)


def glorot_linear(n_inputs: int, n_outputs: int, seed: int, name: str) -> nn.Linear:
    """Return a layer with weights from U(-a, a), a = sqrt(6 / (n_inputs + n_outputs)), and biases of 0.

    Source: Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks,
    AISTATS 2010, equation 16.
    """
    return _uniform_linear(n_inputs, n_outputs, math.sqrt(6 / (n_inputs + n_outputs)), seed, name)


def lecun_linear(n_inputs: int, n_outputs: int, seed: int, name: str) -> nn.Linear:
    """Return a layer with weights from U(-a, a), a = sqrt(3 / n_inputs), and biases of 0.

    Source: LeCun et al., Efficient BackProp, 1998, section 4.6.
    """
    return _uniform_linear(n_inputs, n_outputs, math.sqrt(3 / n_inputs), seed, name)


def uniform_linear(n_inputs: int, n_outputs: int, seed: int, name: str) -> nn.Linear:
    """Return a layer with weights and biases from U(-a, a), a = sqrt(1 / n_inputs), as a new one of PyTorch has."""
    bound = math.sqrt(1 / n_inputs)
    layer = _uniform_linear(n_inputs, n_outputs, bound, seed, name)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator(seed, "init", f"{name} bias"))
    return layer


def _uniform_linear(n_inputs: int, n_outputs: int, bound: float, seed: int, name: str) -> nn.Linear:
    values = torch.empty(n_outputs, n_inputs).uniform_(-bound, bound, generator=generator(seed, "init", name))
    layer = nn.Linear(n_inputs, n_outputs, device="meta")  # Not skip_init, for which torch loads its compiler.
    layer.weight, layer.bias = nn.Parameter(values), nn.Parameter(torch.zeros(n_outputs))
    return layer
