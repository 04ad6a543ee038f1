"""The finished runs of published rows, found by what was run, whatever machine, threads and folders it was run with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbench.configuration import identity_of
from recbench.files import read_json
from recbench.report import OLD_ATTEMPT, RESULT, read_run
from recbench.reproduce import Result
from recbench.resuming import RUN

_CIRCUMSTANCES = ("device", "threads", "backend")


def row_identity(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what makes a run one of a published row with its seed.

    The device, threads, backend and the data's place are left out, and so are the folders of runs that it starts from.

    Args:
        plain: The configuration, from ``to_dict`` or ``result.json``, with ``published``.
    """
    same = {
        part: dict(options) if isinstance(options, Mapping) else options
        for part, options in plain.items()
        if part not in _CIRCUMSTANCES
    }
    same["dataset"].pop("path", None)
    for option in plain["published"]["starts_from"]:
        part, _, key = option.partition(".")
        same[part][key] = None
    return identity_of(same)


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
        identity = row_identity(run["config"])
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
