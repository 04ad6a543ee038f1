"""Whether a run that did not come to its end can go on: with what it was begun with, and nothing else."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recbench.candidates import candidates_fingerprint
from recbench.configuration import ExperimentConfig
from recbench.errors import RunError
from recbench.files import read_json
from recbench.fingerprints import code_fingerprint, features_fingerprint
from recbench.run_config import CONFIG, read_config

if TYPE_CHECKING:
    from recbench.experiment import Prepared

RUN = "run.json"


def circumstances(config: ExperimentConfig, threads: int, device: str, backend: str) -> dict[str, Any]:
    """Return what a run's bits depend on beside its data."""
    return {
        "config": config.identity,
        "code": code_fingerprint(config),
        "threads": threads,
        "device": device,
        "backend": backend,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


def fingerprints_of_data(prepared: Prepared) -> dict[str, str | None]:
    """Return what tells one state of the data from another, and one split of it."""
    split = prepared.split
    return {
        "data": prepared.data_fingerprint,
        "features": features_fingerprint(split.train.features),
        "split": split.fingerprint,
        "candidates": candidates_fingerprint(prepared.candidates),
    }


def other_circumstances(folder: Path, config: ExperimentConfig, now: Mapping[str, Any]) -> str | None:
    """Return the first difference between the ``circumstances`` that a run was begun in and ``now``, None without one.

    Args:
        folder: The run's.
        config: Of now.
        now: Of now.

    Raises:
        RunError: A file of the run cannot be read.
    """
    run = read_json(folder / RUN)
    recorded = {
        **run["fingerprints"],
        **{name: run[name] for name in ("threads", "device", "backend", "machine")},
        **{name: run["versions"][name] for name in ("torch", "numpy")},
    }
    return _different_options(folder, config) if recorded["config"] != now["config"] else difference(recorded, now)


def difference(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return the first value of ``now`` that is not as ``recorded``, in words; None without one."""
    for name, value in now.items():
        if recorded[name] != value:
            return f"{name} was {_shown(recorded[name])}, and is {_shown(value)} now"
    return None


def refuse(folder: Path, why: str | None) -> None:
    """Raise ``RunError`` where there is a reason ``why`` the run cannot go on."""
    if why is not None:
        raise RunError(
            f"the run {folder} cannot be resumed: {why}. Bring back what was, or run the experiment anew, in another "
            "folder."
        )


def _different_options(folder: Path, config: ExperimentConfig) -> str:
    """Return which option is not as it was; or that the file which says it is not."""
    before, now = _flat(read_config(folder)), _flat(config.to_dict())
    for name in dict.fromkeys([*now, *before]):
        if before.get(name) != now.get(name) and name.partition(".")[0] not in ExperimentConfig.INDIFFERENT:
            return f"{name} was {before.get(name)!r}, and is {now.get(name)!r} now"
    return f"{CONFIG} is no longer what it was begun with"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"model.dim": 8, ...}`` of plain nested values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{option}": inner for option, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _shown(value: Any) -> str:
    """Return ``value``, a hash by what it begins with."""
    text = str(value)
    version, plus, digest = text.rpartition("+")
    return f"{version}{plus}{digest[:12]}..." if len(digest) == 64 else text
