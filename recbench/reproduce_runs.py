"""The finished runs of published rows, found by what was run, whatever machine, threads and folders it was run with."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbench.configuration import ExperimentConfig, identity_of, resolve
from recbench.data.cache import MIRROR
from recbench.errors import ConfigError
from recbench.files import read_json
from recbench.report import OLD_ATTEMPT, RESULT, read_run
from recbench.reproduce import Result
from recbench.resuming import RUN

logger = logging.getLogger(__name__)

# What chose the epoch may be the test part inside an experiment alone, so the experiment stays.
_CIRCUMSTANCES = frozenset({"device", "threads", "backend", *ExperimentConfig.INDIFFERENT}) - {"experiment"}


def row_config(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a run one of a published row with its seed, of the plain values of a configuration.

    Left out are the device, threads and backend, the data's place, that of the mirror, and the folders of runs that it
    starts from.
    """
    same = {
        part: {name: _in_any_mirror(value) for name, value in options.items()}
        if isinstance(options, Mapping)
        else options
        for part, options in plain.items()
        if part not in _CIRCUMSTANCES
    }
    same["dataset"].pop("path", None)
    for option in (plain.get("published") or {}).get("starts_from", {}):
        part, _, key = option.partition(".")
        same[part][key] = None
    return same


def _in_any_mirror(value: Any) -> Any:
    """Return ``value``, or where it is a path into the mirror the path into any."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if mirror and isinstance(value, str) and value.startswith(f"{mirror}/"):
        return f"{MIRROR}/{value.removeprefix(mirror).lstrip('/')}"
    return value


def row_identity(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the ``row_config`` of ``plain``; options that came later have their defaults.

    Raises:
        ConfigError: There are no such options any more.
    """
    same = row_config(plain)
    return identity_of(row_config(resolve(same).config.to_dict()))


def finished(folder: Path) -> dict[str, Result]:
    """Return the newest finished run of each ``row_identity`` below ``folder``.

    Raises:
        RunError: A result cannot be read.
    """
    found: dict[str, tuple[str, Result]] = {}
    for path in folder.glob(f"*/{RESULT}"):
        if OLD_ATTEMPT.search(path.parent.name):
            continue
        run = read_run(path.parent)
        if run["status"] != "done" or run["config"]["published"] is None:
            continue
        try:
            identity = row_identity(run["config"])
        except ConfigError as error:
            logger.warning("%s: is passed over, since it cannot be configured any more: %s", path.parent, error)
            continue
        if identity not in found or found[identity][0] < run["ended"]:
            found[identity] = (run["ended"], _result(path.parent, run))
    return {identity: result for identity, (_, result) in found.items()}


def _result(folder: Path, run: Mapping[str, Any]) -> Result:
    return Result(
        metrics=run["metrics"]["test"],
        seconds=run["seconds"]["total"],
        selection=run["selection"],
        environment=_environment(read_json(folder / RUN)),
        code=run["fingerprints"]["code"],
    )


def _environment(run: Mapping[str, Any]) -> str:
    """Return in words what a run was made with."""
    versions, checkout = run["versions"], run["git"]["recbench"]
    commit = ""
    if checkout is not None:
        commit = f", commit {checkout['commit'][:12]}{' with changes' if checkout['dirty'] else ''}"
    threads = f"{run['threads']} thread{'s' if run['threads'] != 1 else ''}"
    # Runs from before there was a choice have no word on it.
    compiled = f", numba {versions['numba']}" if run.get("backend") == "compiled" else ""
    return f"recbench {versions['recbench']}{commit}; torch {versions['torch']} on {run['device']}, {threads}{compiled}"
