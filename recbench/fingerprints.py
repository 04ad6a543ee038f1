"""What tells one state of code and of feature tables from another."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from recbench import __version__, datasets, metrics, models, negatives, splits, trainers
from recbench.configuration import ExperimentConfig
from recbench.data import Features
from recbench.nn.losses import losses
from recbench.registry import Entry
from recbench.trainers.optimizers import optimizers

_PACKAGE = "recbench"


def code_fingerprint(config: ExperimentConfig) -> str:
    """Return the version of recbench and the SHA-256 of its sources and of the plugins that ``config`` uses.

    A plugin counts with all sources of its top-level package, or with its one module. A part that was defined
    where there is no source file, as in a notebook, counts by its name alone.
    """
    digest = hashlib.sha256(_sources(_PACKAGE).encode())
    for package in sorted({module.partition(".")[0] for module in _modules(config)} - {_PACKAGE}):
        digest.update(f"{package}\x1e{_sources(package)}\x1e".encode())
    return f"{__version__}+{digest.hexdigest()}"


def features_fingerprint(features: Features) -> str | None:
    """Return the SHA-256 of both tables, names of columns included, or None where there are none."""
    digest, tables = hashlib.sha256(), 0
    for name in ("users", "items"):
        table = getattr(features, name)
        if table is not None:
            tables += 1
            digest.update(f"{name}\x1e{table.columns.tolist()!r}\x1e".encode())
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest() if tables else None


def _modules(config: ExperimentConfig) -> set[str]:
    """Return the modules that define the parts which ``config`` names."""
    used: list[Entry[Any]] = [
        registry.entry_of(part)
        for registry, part in (
            (datasets.registry, config.dataset),
            (splits.registry, config.split),
            (models.registry, config.model),
            (trainers.registry, config.trainer),
            (negatives.registry, config.negatives),
        )
        if part is not None
    ]
    used += [metrics.registry.entry(metrics.parse(text).name) for text in config.evaluation.metrics]
    loss = getattr(config.model, "loss", None)
    optimizer = getattr(config.trainer, "optimizer", None)
    used += [losses.entry(loss)] if loss is not None else []
    used += [optimizers.entry(optimizer)] if optimizer is not None else []
    return {entry.module for entry in used}


@lru_cache
def _sources(package: str) -> str:
    """Return the SHA-256 of all Python sources of an imported package, or of a module; once a process.

    What is edited while a process runs does not change what it has imported.
    """
    digest = hashlib.sha256()
    module = sys.modules[package]
    roots = [Path(root) for root in getattr(module, "__path__", [])]
    files = [(path.relative_to(root).as_posix(), path) for root in roots for path in root.rglob("*.py")]
    if not roots and getattr(module, "__file__", None):
        files = [(package, Path(str(module.__file__)))]
    for name, path in sorted(files):
        digest.update(f"{name}\x1e".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
