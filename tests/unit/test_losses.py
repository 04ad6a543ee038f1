"""Losses by hand."""

import math

import pytest
import torch

from recbench.nn.losses import Scored, losses

POSITIVE = torch.tensor([1.0, -2.0])
NEGATIVE = torch.tensor([[0.5, -1.0], [3.0, 0.0]])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def loss(name: str, scored: Scored) -> float:
    return float(losses.entry(name).target(scored))


def test_mse_is_the_mean_squared_error():
    scored = Scored(torch.tensor([3.0, 4.5]), ratings=torch.tensor([5.0, 4.0]))
    assert loss("mse", scored) == pytest.approx(((3 - 5) ** 2 + (4.5 - 4) ** 2) / 2)


def test_bce_is_the_mean_over_positives_and_negatives():
    expected = softplus(-1) + softplus(2) + softplus(0.5) + softplus(-1) + softplus(3) + softplus(0)
    assert loss("bce", Scored(POSITIVE, NEGATIVE)) == pytest.approx(expected / 6)


def test_bce_sum_is_the_sum_over_positives_and_negatives():
    expected = softplus(-1) + softplus(2) + softplus(0.5) + softplus(-1) + softplus(3) + softplus(0)
    assert loss("bce_sum", Scored(POSITIVE, NEGATIVE)) == pytest.approx(expected)


def test_bpr_is_the_mean_over_pairs():
    expected = softplus(0.5 - 1) + softplus(-1 - 1) + softplus(3 + 2) + softplus(0 + 2)
    assert loss("bpr", Scored(POSITIVE, NEGATIVE)) == pytest.approx(expected / 4)


def test_sampled_softmax_is_the_cross_entropy_of_the_positive():
    first = math.log(math.exp(1) + math.exp(0.5) + math.exp(-1)) - 1
    second = math.log(math.exp(-2) + math.exp(3) + math.exp(0)) + 2
    assert loss("sampled_softmax", Scored(POSITIVE, NEGATIVE)) == pytest.approx((first + second) / 2)


def test_sampled_softmax_takes_off_the_log_probability_of_the_draw():
    scored = Scored(POSITIVE[:1], NEGATIVE[:1], log_q=torch.tensor([math.log(2.0), math.log(0.5)]))
    expected = math.log(math.exp(1) + math.exp(0.5) / 2 + math.exp(-1) * 2) - 1
    assert loss("sampled_softmax", scored) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["bce", "bce_sum", "bpr", "sampled_softmax"])
def test_a_negative_that_is_not_kept_counts_for_nothing(name):
    keep = torch.tensor([[True, False], [True, False]])
    kept = loss(name, Scored(POSITIVE, NEGATIVE[:, :1]))
    assert loss(name, Scored(POSITIVE, NEGATIVE, keep)) == pytest.approx(kept)
    absurd = torch.stack([NEGATIVE[:, 0], torch.tensor([50.0, 60.0])], 1)
    assert loss(name, Scored(POSITIVE, absurd, keep)) == pytest.approx(kept)
