"""Third-party parts: found by the entry point ``recbench.plugins``, or named by ``--plugin MODULE``.

A plugin is a module that registers its parts when it is imported.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbench import cleaning, datasets, metrics, models, negatives, splits, trainers
from recbench.errors import ConfigError
from recbench.nn.losses import losses
from recbench.registry import Registry
from recbench.trainers.optimizers import optimizers

logger = logging.getLogger(__name__)

GROUP = "recbench.plugins"
VARIABLE = "RECBENCH_PLUGINS"
"""Environment variable that names further modules, with commas; the jobs of a sweep are told by it."""

failed: dict[str, str] = {}
"""Installed plugins that could not be loaded, by name, and why."""

FAMILIES: Mapping[str, Registry[Any]] = {
    "models": models.registry,
    "datasets": datasets.registry,
    "cleaning": cleaning.registry,
    "splits": splits.registry,
    "trainers": trainers.registry,
    "negatives": negatives.registry,
    "metrics": metrics.registry,
    "losses": losses,
    "optimizers": optimizers,
}
"""All that a plugin can add to."""


def load(named: Iterable[str] = ()) -> None:
    """Import the installed plugins and the named ones, each once; one that fails is a warning with its cause.

    Args:
        named: Dotted module names, installed or in the working folder.

    Raises:
        ConfigError: A named module does not exist.
    """
    # Built-in parts come first: then it is the plugin that is told of a name that is taken.
    for registry in FAMILIES.values():
        registry.names()
    for point in _installed():
        _load_installed(point)
    for module in [*filter(None, os.environ.get(VARIABLE, "").split(",")), *named]:
        _load_named(module)


@contextmanager
def told_to_workers(named: Iterable[str]) -> Iterator[None]:
    """Let the processes that are started inside load the named modules too."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = ",".join([*([before] if before else []), *named])
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """Return the plugins of all installed packages, whose files are read for that."""
    return tuple(entry_points(group=GROUP))


@cache
def _load_installed(point: EntryPoint) -> None:
    _attempt(point.name, point.load)


@cache
def _load_named(module: str) -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    if not _exists(module):
        raise ConfigError(
            f"--plugin {module!r}: no such module, neither installed nor in this folder; "
            "write its dotted name, e.g. --plugin my_models."
        )
    try:
        importlib.import_module(module)
    except Exception as error:  # Other people's code may raise anything; it was asked for, so the command ends.
        raise ConfigError(f"--plugin {module!r}: fails to load: {type(error).__name__}: {error}") from error


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _attempt(name: str, importing: Callable[[], Any]) -> None:
    try:
        importing()
    except Exception as error:  # Other people's code may raise anything; it must not end the command.
        failed[name] = f"{type(error).__name__}: {error}"
        logger.warning("plugin %r is left out, it fails to load: %s", name, failed[name])
