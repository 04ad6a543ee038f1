"""What differs between the two lines of Hydra that recbench runs on: 1.3, and for Ray's launcher alone 1.4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hydra
from hydra import version
from omegaconf import OmegaConf

_IS_1_3 = hydra.__version__.startswith("1.3.")

VERSION_BASE = {"version_base": "1.3"} if _IS_1_3 else {}
"""For ``hydra.main``, which the 1.4 line wants to know nothing of."""


def set_version_base() -> None:
    """Tell Hydra which of its behaviours is meant, where it has several."""
    if _IS_1_3:
        version.setbase("1.3")


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Let ``${name:}`` in a configuration stand for what ``resolver`` returns."""
    # The older OmegaConf has a register_resolver too, which is another one.
    register = getattr(OmegaConf, "register_new_resolver" if _IS_1_3 else "register_resolver")
    register(name, resolver, replace=True)
