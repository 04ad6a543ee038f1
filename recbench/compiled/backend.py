"""Which backend trains a model: PyTorch, or loops that numba compiles."""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch

from recbench.errors import ConfigError
from recbench.models import Model
from recbench.models.mf import MF
from recbench.negatives.uniform import UniformConfig
from recbench.options import Config

BackendName = Literal["auto", "torch", "compiled"]
Backend = Literal["torch", "compiled"]

LOSSES = ("bpr", "bce", "bce_sum")
"""Losses that the compiled loops of ``mf`` know."""

_CONDITIONS = (("optimizer", "sgd"), ("batch_size", 1), ("schedule", "constant"), ("clip_norm", None))


def resolve_backend(
    name: BackendName,
    model: type[Model],
    config: Config,
    trainer: Config | None,
    negatives: Config | None,
    device: torch.device,
) -> Backend:
    """Return the backend that ``name`` means for a model with these options; ``auto`` is the compiled one if it can be.

    Args:
        name: As set.
        model: The model's class; the compiled loops are those of ``MF`` itself, not of what derives from it.
        config: The model's options.
        trainer: The trainer's options.
        negatives: The sampler's options, or None where there is none.
        device: Where the model is.

    Raises:
        ConfigError: ``compiled`` was asked for, and does not apply or is not installed.
    """
    if name == "torch":
        return "torch"
    wanted = _wanted(model, config, trainer, negatives, device)
    installed = importlib.util.find_spec("numba") is not None
    if name == "auto":
        return "compiled" if installed and not wanted else "torch"
    if wanted:
        raise ConfigError(
            "backend = 'compiled': trains mf by plain gradient descent, one positive at a time. "
            f"That takes {', '.join(wanted)}; or write backend=auto, which is torch where it does not apply."
        )
    if not installed:
        raise ConfigError(
            "backend = 'compiled': needs numba, which is not installed. Run pip install numba, or write backend=auto."
        )
    return "compiled"


def _wanted(
    model: type[Model], config: Config, trainer: Config | None, negatives: Config | None, device: torch.device
) -> list[str]:
    """Return what would have to be set otherwise for the compiled loops to apply; nothing where they do."""
    if model is not MF:
        return [f"model=mf (here {model.__name__})"]
    wanted = []
    loss = config.loss  # type: ignore[attr-defined]
    if loss not in LOSSES:
        wanted.append(f"model.loss={'|'.join(LOSSES)} (here {loss})")
    for option, needed in _CONDITIONS:
        value = getattr(trainer, option)
        if value != needed:
            wanted.append(f"trainer.{option}={'null' if needed is None else needed} (here {value})")
    if loss in LOSSES and not isinstance(negatives, UniformConfig):
        wanted.append("negatives=uniform")
    if device.type != "cpu":
        wanted.append(f"device=cpu (here {device})")
    return wanted
