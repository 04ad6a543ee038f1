"""A research framework for recommender systems whose numbers can be trusted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbench.configuration import ExperimentConfig, resolve
    from recbench.data import Interactions, Split
    from recbench.errors import (
        ConfigError,
        DataError,
        DivergedError,
        EmptyDatasetError,
        NonFiniteScoresError,
        RunError,
    )
    from recbench.experiment import Outcome, run
    from recbench.recommend import Recommender, load

__version__ = "0.1.0"

_HOMES = {
    "ConfigError": "errors",
    "DataError": "errors",
    "DivergedError": "errors",
    "EmptyDatasetError": "errors",
    "ExperimentConfig": "configuration",
    "Interactions": "data",
    "NonFiniteScoresError": "errors",
    "Outcome": "experiment",
    "Recommender": "recommend",
    "RunError": "errors",
    "Split": "data",
    "load": "recommend",
    "resolve": "configuration",
    "run": "experiment",
}

__all__ = [
    "ConfigError",
    "DataError",
    "DivergedError",
    "EmptyDatasetError",
    "ExperimentConfig",
    "Interactions",
    "NonFiniteScoresError",
    "Outcome",
    "Recommender",
    "RunError",
    "Split",
    "load",
    "resolve",
    "run",
]


def __getattr__(name: str) -> Any:
    """Return a public name from the module that defines it, so that ``import recbench`` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'recbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"recbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
