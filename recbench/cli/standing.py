"""What a job of a sweep finds in its folder, and what is done with it: left, gone on with, or run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from recbench.configuration import ExperimentConfig
from recbench.datasets import DatasetConfig
from recbench.files import read_json
from recbench.fingerprints import code_fingerprint
from recbench.report import RESULT, STATUS, read_run
from recbench.resources import available_cores, resolve_device
from recbench.resuming import RUN, circumstances, other_circumstances
from recbench.tracking import hide_events

logger = logging.getLogger(__name__)

BAD = ("failed", "diverged")
"""Statuses of runs that came to an end, and not to a good one."""

Action = Literal["run", "resume", "skip", "leave", "elsewhere"]


@dataclass(frozen=True)
class Standing:
    """What an earlier attempt at a job means for it.

    Attributes:
        action: ``run`` it from its beginning, ``resume`` it, ``skip`` it since it is done, ``leave`` it since it
            failed; or it is going on ``elsewhere``.
        why: In words; None where there was no earlier attempt.
    """

    action: Action
    why: str | None


def standing(folder: Path, config: ExperimentConfig, *, retry: bool) -> Standing:
    """Return what the attempt in ``folder`` means for a run of ``config`` now.

    A result stands for the same options, code, data, threads, device and backend; what was done or failed with others
    was another run.

    Args:
        folder: The job's.
        config: Of the job.
        retry: Whether what failed or diverged is to run again.

    Raises:
        ConfigError: There is no such device here, or the backend does not apply on it.
        RunError: A file of the attempt cannot be read.
    """
    status = status_of(folder)
    if status is None:
        return Standing("run", None)
    if status == "running":
        return Standing("elsewhere", "is being run by another process")
    if status == "pruned":
        return Standing("run", "pruned before, as a trial of a search")
    if status in ("interrupted", "dead"):
        other = _why_not_resumed(folder, config)
        if other is not None:
            return Standing("run", f"interrupted before, and {other}")
        return Standing("resume", "was interrupted")
    other = why_other_result(folder, config)
    if other is not None:
        return Standing("run", f"{status} before with {other}")
    if status == "done":
        return Standing("skip", "done already")
    return Standing("run" if retry else "leave", f"{status} before")


def status_of(folder: Path) -> str | None:
    """Return the status of the run in ``folder``, None where there is none that says what it is."""
    there = (folder / RESULT).exists() or ((folder / STATUS).exists() and (folder / RUN).exists())
    return read_run(folder)["status"] if there else None


def why_other_result(folder: Path, config: ExperimentConfig) -> str | None:
    """Return what a run of ``config`` would have now that the result in ``folder`` has otherwise; None if nothing.

    Raises:
        ConfigError: There is no such device here, or the backend does not apply on it.
        RunError: The result cannot be read.
    """
    path = folder / RESULT
    result: Mapping[str, Any] = read_json(path)
    if result["fingerprints"]["code"] != code_fingerprint(config):
        return "other code"
    for name, value in _computed_on(config).items():
        if result[name] != value:
            return f"{name} {result[name]}, now {value}"
    newer = _newer_file(config, path)
    return f"other data ({newer} is newer)" if newer else None


def move_aside(folder: Path, why: str) -> None:
    """Make ``folder`` empty by giving what is in it another name; results are never lost."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(aside)
    hide_events(aside)
    folder.mkdir()
    logger.info("%s: %s, run anew; what was there is now %s", folder.name, why, aside.name)


def _why_not_resumed(folder: Path, config: ExperimentConfig) -> str | None:
    """Return why the interrupted run in ``folder`` cannot go on as one of ``config``, or None where it can."""
    other = other_circumstances(folder, config, circumstances(config, **_computed_on(config)))
    if other is not None:
        return other
    newer = _newer_file(config, folder / RUN)
    return f"data was other ({newer} is newer)" if newer else None


def _computed_on(config: ExperimentConfig) -> dict[str, Any]:
    """Return what a run of ``config`` would compute on here."""
    device = resolve_device(config.settings.device)
    return {
        "threads": config.settings.threads or available_cores(),
        "device": str(device),
        "backend": config.backend(device),
    }


def _newer_file(config: ExperimentConfig, path: Path) -> Path | None:
    """Return a file of the data that was changed after the one at ``path``."""
    written = path.stat().st_mtime_ns
    return next((file for file in _files_of_data(config) if file.stat().st_mtime_ns > written), None)


def _files_of_data(config: ExperimentConfig) -> list[Path]:
    """Return the files and folders that the user named as the data and that are there, and what is in the folders."""
    candidates = config.evaluation.candidates_path
    named = [*cast(DatasetConfig, config.dataset).files, *([] if candidates is None else [Path(candidates)])]
    found = [path for path in named if path.exists()]
    return found + [file for folder in found if folder.is_dir() for file in sorted(folder.iterdir()) if file.is_file()]
