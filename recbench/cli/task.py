"""What Hydra runs, here or in a worker: one job, from its composed values to a finished folder."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from recbench import configuration, experiment, plugins, redaction, repeat
from recbench.configuration import ExperimentConfig, Resolved
from recbench.datasets import DatasetConfig
from recbench.errors import ConfigError, DataError, DivergedError, RunError, StorageError
from recbench.experiment import Prepared
from recbench.files import read_json
from recbench.fingerprints import code_fingerprint
from recbench.logs import configure_console
from recbench.options import Config
from recbench.report import RESULT, STATUS, read_run
from recbench.resources import available_cores, resolve_device
from recbench.resuming import RUN, circumstances, other_circumstances

logger = logging.getLogger(__name__)

RESUMABLE = ("interrupted", "dead")
_SLUG_LENGTH = 48
_TELLING = ("model", "trainer", "negatives", "split")
_NO_RUNS = ("hydra", "sweep")
"""Nodes of what Hydra composes that belong to the command, and to none of its runs."""

_prepared: dict[Any, Prepared] = {}


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        status: ``mistake`` is the user's: a wrong option that shows only with the data, or data that is not there.
        error: One line, where it failed.
    """

    folder: Path
    status: Literal["done", "skipped", "failed", "mistake", "diverged"]
    error: str | None = None


def run_job(composed: DictConfig, *, quiet: bool = False) -> JobEnd:
    """Run one job in the folder that Hydra made for it, and return how it ended.

    Args:
        composed: The values that Hydra composed.
        quiet: Whether to show only warnings and errors.
    """
    configure_console(quiet)
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    # What a job alone could not have was found before the first one started.
    resolved = configuration.resolve(plain_values(composed, hydra), several_models=True)
    if hydra.mode != RunMode.MULTIRUN:
        return run_in(folder, resolved, progress=not quiet)
    end = _run_unless_done(resolved, folder, progress=not quiet)
    if end.error is not None:
        logger.error("%s: %s: %s", folder.name, end.status, end.error)
    return end


def _run_unless_done(resolved: Resolved, folder: Path, *, progress: bool) -> JobEnd:
    """Run a job of a sweep, if it is not done, or go on with it; what else an attempt left behind is moved aside."""
    claim, config = folder.with_name(f".{folder.name}.lock"), resolved.config
    try:
        with FileLock(claim, blocking=False):
            try:
                why = why_not_done(folder, config)
                if why is None:
                    logger.info("%s: done already, skipped", folder.name)
                    return JobEnd(folder, "skipped")
                status = status_of(folder)
                if status == "running":
                    logger.info("%s: is being run by another process, skipped", folder.name)
                    return JobEnd(folder, "skipped")
                if (folder / RESULT).exists():
                    # Where the data cannot be had any more, what was done before stays where it is.
                    _hold(config, _prepared.get(_data_of(config)) or experiment.prepare(config))
                if status in RESUMABLE:
                    other = why_not_resumed(folder, config)
                    if other is None:
                        logger.info("%s: was interrupted, goes on", folder.name)
                        return run_in(folder, resolved, progress=progress, resume=True)
                    why = f"interrupted before, and {other}"
                _move_aside(folder, why)
                return run_in(folder, resolved, progress=progress)
            finally:
                claim.unlink()
    except Timeout:
        logger.info("%s: is being run by another process, skipped", folder.name)
        return JobEnd(folder, "skipped")
    except (ConfigError, DataError, RunError) as error:
        return JobEnd(folder, "mistake", str(error))


def run_in(folder: Path, resolved: Resolved, *, progress: bool, resume: bool = False) -> JobEnd:
    """Run one experiment in ``folder``, or go on with the one that is there, and return how it ended."""
    config = resolved.config
    try:
        outcome = experiment.run(
            config,
            folder,
            prepared=_prepared.get(_data_of(config)),
            not_applicable=resolved.not_applicable,
            progress=progress,
            resume=resume,
        )
    except StorageError as error:
        return JobEnd(folder, "failed", str(error))
    except (ConfigError, DataError, RunError) as error:
        return JobEnd(folder, "mistake", str(error))
    except DivergedError as error:
        return JobEnd(folder, "diverged", str(error))
    except Exception as error:  # The border of a job: it is shown and recorded, and the others of the sweep go on.
        traceback.print_exc()
        return JobEnd(folder, "failed", f"{type(error).__name__}: {error}".partition("\n")[0])
    _hold(config, outcome.prepared)
    return JobEnd(folder, "done")


def _data_of(config: ExperimentConfig) -> tuple[Config, ...]:
    """Return the options that the data depends on."""
    return config.dataset, config.split, config.evaluation


def _hold(config: ExperimentConfig, prepared: Prepared) -> None:
    """Keep the data, since the next job of a sweep is likely to want the same."""
    _prepared.clear()
    _prepared[_data_of(config)] = prepared


def why_not_done(folder: Path, config: ExperimentConfig) -> str | None:
    """Return why the result in ``folder`` cannot stand for a run of ``config`` now, or None where it can.

    Raises:
        ConfigError: There is no such device here, or the backend does not apply on it.
        RunError: The result cannot be read.
    """
    path = folder / RESULT
    result = read_json(path) if path.exists() else {}
    if result.get("status") != "done":
        return "no attempt ended well"
    if result["fingerprints"]["code"] != code_fingerprint(config):
        return "done before with other code"
    now = _computed_on(config)
    for name, value in now.items():
        if result[name] != value:
            return f"done before with {name} {result[name]}, now {value}"
    newer = _newer_file(config, path)
    return f"done before with other data ({newer} is newer)" if newer else None


def why_not_resumed(folder: Path, config: ExperimentConfig) -> str | None:
    """Return why the interrupted run in ``folder`` cannot go on as one of ``config``, or None where it can.

    Raises:
        ConfigError: There is no such device here.
        RunError: A file of the run cannot be read.
    """
    other = other_circumstances(folder, config, circumstances(config, **_computed_on(config)))
    if other is not None:
        return other
    newer = _newer_file(config, folder / RUN)
    return f"data was other ({newer} is newer)" if newer else None


def status_of(folder: Path) -> str | None:
    """Return the status of the run in ``folder``, None where there is none that says what it is."""
    there = (folder / RESULT).exists() or ((folder / STATUS).exists() and (folder / RUN).exists())
    return read_run(folder)["status"] if there else None


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


def _move_aside(folder: Path, why: str) -> None:
    """Make ``folder`` empty by giving what is in it another name; results are never lost."""
    if not any(folder.iterdir()):
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(aside)
    folder.mkdir()
    logger.info("%s: %s, run anew; what was there is now %s", folder.name, why, aside.name)


def plain_values(composed: DictConfig, hydra: Any = None) -> dict[str, Any]:
    """Return the plain nested values of what Hydra composed, interpolations resolved.

    Args:
        composed: With the node ``hydra``, or without. The node ``sweep`` is left out: it is no run's.
        hydra: That node, where ``composed`` is without.

    Raises:
        ConfigError: ``experiment`` is set as if it were an option, or a secret of the environment is referred to.
    """
    as_written = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(as_written, dict)
    mistakes = redaction.refused({str(key): value for key, value in as_written.items() if key not in _NO_RUNS})
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    values: dict[str, Any] = {}
    for key in composed:
        if key not in _NO_RUNS:
            value = composed[key]
            values[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    if "experiment" in values:
        raise ConfigError("experiment: is chosen by experiment=NAME, and no option that can be set.")
    chosen = (composed.hydra if hydra is None else hydra).runtime.choices
    return values | {"experiment": chosen.get("experiment")}


def job_name(config: ExperimentConfig) -> str:
    """Return ``<slug>-<8 hex>``: the most telling options, and the identity of the whole configuration."""
    return f"{_slug(config)}-{config.identity[:8]}"


def _slug(config: ExperimentConfig) -> str:
    """Return the model, the seed, what differs from the defaults, and the data set, in letters safe in a path."""
    plain = config.to_dict()
    words = [str(plain["model"]["name"])]
    if config.seed:
        words.append(f"seed{config.seed}")
    if config.settings.experiment is not None:
        words.append(config.settings.experiment)
    else:
        given = [override.partition("=") for override in repeat.overrides(config)]
        for part in _TELLING:
            for key, _, value in given:
                if key == part and part != "model":
                    words.append(value)
                elif key.startswith(f"{part}."):
                    option = key.rpartition(".")[2]
                    words.append(f"{option}{value}" if re.fullmatch(r"[0-9.e+-]+", value) else f"{option}_{value}")
    words.append(str(plain["dataset"]["name"]))
    slug = ""
    for word in words:
        safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", word).strip("_")
        if len(slug) + len(safe) < _SLUG_LENGTH:
            slug += f"-{safe}" if slug else safe
    return slug


def _name_of_composed(*, _root_: DictConfig) -> str:
    plugins.load()
    return job_name(configuration.resolve(plain_values(_root_), several_models=True).config)


def _sweep_name(*, _root_: DictConfig) -> str:
    # As typed: what refers to other values is the same word in every job. How failures are dealt with names no sweep.
    typed = OmegaConf.to_container(_root_.hydra.overrides.task, resolve=False)
    assert isinstance(typed, list)
    words = [word for word in typed if not word.lstrip("+").startswith("sweep.")]
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]


# Used by conf/config.yaml.
OmegaConf.register_new_resolver("recbench.job", _name_of_composed, replace=True)
OmegaConf.register_new_resolver("recbench.sweep", _sweep_name, replace=True)
OmegaConf.register_new_resolver("recbench.random", lambda: secrets.token_hex(3), replace=True)
