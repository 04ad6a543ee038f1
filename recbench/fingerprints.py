"""What tells one state of code and of feature tables from another."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from recbench import __version__, cleaning, datasets, metrics, models, negatives, splits, trainers
from recbench.configuration import ExperimentConfig
from recbench.data import Features
from recbench.datasets import DatasetConfig
from recbench.nn.losses import losses
from recbench.registry import Entry
from recbench.source_code import source_code_sha256
from recbench.trainers.optimizers import optimizers

_PACKAGE = "recbench"


def code_fingerprint(config: ExperimentConfig) -> str:
    """Return the version of recbench and the SHA-256 of its sources and of the plugins that ``config`` uses.

    A plugin counts with all sources of its top-level package, or with its one module. A part that was defined
    where there is no source file, as in a notebook, counts by its name alone.
    """
    digest = hashlib.sha256(source_code_sha256(_PACKAGE).encode())
    for package in sorted({module.partition(".")[0] for module in _modules(config)} - {_PACKAGE}):
        digest.update(f"{package}\x1e{source_code_sha256(package)}\x1e".encode())
    return f"{__version__}+{digest.hexdigest()}"


def features_fingerprint(features: Features) -> str | None:
    """Return the SHA-256 of both tables, declarations included, or None where there are none."""
    tables = {"users": features.users, "items": features.items}
    told = [f"{name}\x1e{table.fingerprint}" for name, table in tables.items() if table is not None]
    return hashlib.sha256("\x1e".join(told).encode()).hexdigest() if told else None


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
    used += [cleaning.registry.entry_of(step) for step in cast(DatasetConfig, config.dataset).clean]
    loss = getattr(config.model, "loss", None)
    optimizer = getattr(config.trainer, "optimizer", None)
    used += [losses.entry(loss)] if loss is not None else []
    used += [optimizers.entry(optimizer)] if optimizer is not None else []
    return {entry.module for entry in used}
