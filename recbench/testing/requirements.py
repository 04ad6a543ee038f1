"""What checks say where they fail."""

from __future__ import annotations

import torch
from torch import Tensor

from recbench.models import Model


def require(condition: bool, message: str) -> None:
    """Raise ``AssertionError`` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise AssertionError(message)


def require_close(found: Tensor, wanted: Tensor, message: str, tolerance: float = 1e-5) -> None:
    """Require the shape and, within ``tolerance`` of the largest score, the values of ``wanted``."""
    require(found.shape == wanted.shape, f"{message}: shape {tuple(found.shape)}, not {tuple(wanted.shape)}.")
    difference = float((found - wanted).abs().max())
    allowed = tolerance * max(1.0, float(wanted.abs().max()))
    require(difference <= allowed, f"{message}: they differ by {difference:.3g}.")


def require_equal_models(model: Model, other: Model, message: str) -> None:
    """Require that two models agree to the last bit in all that they hold."""
    state, other_state = model.state_dict(), other.state_dict()
    require(state.keys() == other_state.keys(), f"{message}: they hold different tensors.")
    different = [name for name in state if not torch.equal(state[name], other_state[name])]
    require(not different, f"{message}: {', '.join(different)} differ.")
