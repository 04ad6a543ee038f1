"""Which backend a model is fitted with: PyTorch, or loops that numba compiles."""

from __future__ import annotations

from typing import Any

import torch

from recbench import kernels
from recbench.errors import ConfigError
from recbench.kernels import Backend, BackendName
from recbench.models import GradientModel, Model
from recbench.models.ease import EASE
from recbench.models.gmf import GMF
from recbench.models.ials import IALS
from recbench.models.item_knn import ItemKNN
from recbench.models.mf import MF
from recbench.models.mlp import MLP
from recbench.models.neumf import NeuMF
from recbench.models.user_knn import UserKNN
from recbench.negatives.uniform import UniformConfig
from recbench.options import Config

_ALWAYS: dict[str, tuple[Any, ...]] = {"trainer.schedule": ("constant",), "trainer.clip_norm": (None,)}
_NCF: dict[str, tuple[Any, ...]] = {
    "model.loss": ("bce", "bpr"),
    "model.reg": (0,),
    "model.dropout": (0,),
    "trainer.optimizer": ("adam", "sgd"),
    "trainer.weight_decay": (0,),
}
_APPLIES: dict[type[Model], dict[str, tuple[Any, ...]]] = {
    MF: {"model.loss": ("bpr", "bce", "bce_sum"), "trainer.optimizer": ("sgd",), "trainer.batch_size": (1,)},
    GMF: _NCF,
    MLP: _NCF,
    NeuMF: _NCF,
    IALS: {},
    ItemKNN: {},
    EASE: {},
    UserKNN: {"model.prune_axis": ("row",)},
}
"""Models that compiled loops fit, and the values of their options for which they do; of the class itself, not of what
derives from it."""


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
        model: The model's class.
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
    installed = kernels.installed()
    if name == "auto":
        return "compiled" if installed and not wanted else "torch"
    if wanted:
        raise ConfigError(
            f"backend = 'compiled': takes {', '.join(wanted)}; or write backend=auto, which is torch where there "
            "are no compiled loops."
        )
    if not installed:
        raise ConfigError(
            "backend = 'compiled': needs numba and threadpoolctl, which are not both installed. Run pip install "
            "'recbench[fast]', or write backend=auto."
        )
    return "compiled"


def _wanted(
    model: type[Model], config: Config, trainer: Config | None, negatives: Config | None, device: torch.device
) -> list[str]:
    """Return what would have to be set otherwise for the compiled loops to apply; nothing where they do."""
    if model not in _APPLIES:
        names = (known.__module__.rpartition(".")[2] for known in _APPLIES)
        return [f"model={'|'.join(names)} (here {model.__name__})"]
    options = {"model": config, "trainer": trainer}
    wanted = []
    for key, allowed in (_APPLIES[model] | _ALWAYS).items():
        part, _, option = key.partition(".")
        value = getattr(options[part], option, allowed[0])
        if value not in allowed:
            words = "|".join("null" if one is None else str(one) for one in allowed)
            wanted.append(f"{key}={words} (here {value})")
    if issubclass(model, GradientModel) and not isinstance(negatives, UniformConfig):
        wanted.append("negatives=uniform")
    if device.type != "cpu":
        wanted.append(f"device=cpu (here {device})")
    return wanted
