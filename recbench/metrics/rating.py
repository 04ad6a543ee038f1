"""Metrics of predicted ratings, over N pairs of user and item; NaN where there are none."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.metrics.base import register


@register("rmse", computes="ratings", cut=False, better="lower")
def rmse(predicted: Tensor, actual: Tensor) -> Tensor:
    """Return the root of the mean squared difference of ``predicted`` (N,) and ``actual`` (N,), ().

    Each pair counts once, so that users with many ratings weigh more.

    Source: Herlocker, Konstan, Terveen and Riedl, Evaluating Collaborative Filtering Recommender Systems,
    TOIS 22(1), 2004.
    """
    return torch.sqrt(_difference(predicted, actual).square().mean())


@register("mae", computes="ratings", cut=False, better="lower")
def mae(predicted: Tensor, actual: Tensor) -> Tensor:
    """Return the mean absolute difference of ``predicted`` (N,) and ``actual`` (N,), ().

    Each pair counts once, so that users with many ratings weigh more.

    Source: Herlocker, Konstan, Terveen and Riedl, Evaluating Collaborative Filtering Recommender Systems,
    TOIS 22(1), 2004.
    """
    return _difference(predicted, actual).abs().mean()


def _difference(predicted: Tensor, actual: Tensor) -> Tensor:
    """Return predicted less actual, (N,) float64."""
    assert predicted.shape == actual.shape, f"{tuple(predicted.shape)} predictions, {tuple(actual.shape)} ratings."
    return predicted.double() - actual.double()
