"""What Hydra runs, here or in a worker: one job, from its composed values to a finished folder."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from recbench import configuration, errors, experiment, plugins, redaction, repeat
from recbench.cli.gpus import gpu_of_its_own
from recbench.cli.hydra_lines import register_resolver
from recbench.cli.standing import BAD, move_aside, standing, status_of
from recbench.cli.workers import Worker
from recbench.configuration import ExperimentConfig, Resolved
from recbench.errors import ConfigError, DataError, DivergedError, PrunedError, RunError, StorageError
from recbench.experiment import Prepared
from recbench.interrupts import Terminated
from recbench.logs import configure_console
from recbench.options import Config
from recbench.report import RESULT, read_run
from recbench.search.pruning import judge

logger = logging.getLogger(__name__)

_SLUG_LENGTH = 48
_TELLING = ("model", "trainer", "negatives", "split")
_NO_RUNS = ("hydra", "sweep")
"""Nodes of what Hydra composes that belong to the command, and to none of its runs."""

_prepared: dict[Any, Prepared] = {}
_worker = Worker()


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        status: ``mistake`` is the user's: a wrong option that shows only with the data, or data that is not there.
            ``skipped`` was done already, ``elsewhere`` is being run by another process, ``interrupted`` is a job
            whose worker was asked to stop, or had been before it began; ``killed`` is a job whose
            process is gone, ``unbegun`` one that was not begun since the sweep was ended.
        error: One line, where it failed.
    """

    folder: Path
    status: Literal[
        "done", "skipped", "elsewhere", "pruned", "failed", "mistake", "diverged", "interrupted", "killed", "unbegun"
    ]
    error: str | None = None


def run_job(
    composed: DictConfig,
    *,
    quiet: bool = False,
    retry: bool = False,
    stop: Path | None = None,
    parent: int | None = None,
) -> JobEnd:
    """Run one job in the folder that Hydra made for it, and return how it ended.

    Args:
        composed: The values that Hydra composed.
        quiet: Whether to show only warnings and errors.
        retry: Whether a job of a sweep that failed before runs again.
        stop: A file that a job of a sweep makes when it fails, and that keeps the others from beginning; or None.
        parent: The process that the command was typed to, where this may be another one: a worker, which returns
            ``interrupted`` instead of raising.
    """
    configure_console(quiet)
    folder = Path(HydraConfig.get().runtime.output_dir)
    job = partial(_run_job, composed, folder, quiet=quiet, retry=retry, stop=stop)
    if parent in (None, os.getpid()):
        return job()
    end = _worker.do(job)
    if end is None and not any(folder.iterdir()):
        folder.rmdir()
    return end or JobEnd(folder, "interrupted")


def _run_job(composed: DictConfig, folder: Path, *, quiet: bool, retry: bool, stop: Path | None) -> JobEnd:
    hydra = HydraConfig.get()
    # What a job alone could not have was found before the first one started.
    resolved = configuration.resolve(plain_values(composed, hydra), several_models=True)
    if hydra.mode != RunMode.MULTIRUN:
        return run_in(folder, resolved, progress=not quiet)
    claim = folder.with_name(f".{folder.name}.lock")
    try:
        with FileLock(claim, blocking=False):
            try:
                return _run_in_sweep(resolved, folder, progress=not quiet, retry=retry, stop=stop)
            finally:
                claim.unlink()
    except Timeout:
        logger.info("%s: is being run by another process, skipped", folder.name)
        return JobEnd(folder, "elsewhere")


def _run_in_sweep(resolved: Resolved, folder: Path, *, progress: bool, retry: bool, stop: Path | None) -> JobEnd:
    """Run a job of a sweep or go on with it, unless it is done, failed before, or the sweep has been ended.

    What else an attempt left behind is moved aside.
    """
    config = resolved.config
    try:
        found = standing(folder, config, retry=retry)
        if found.action in ("skip", "elsewhere"):
            logger.info("%s: %s, skipped", folder.name, found.why)
            return JobEnd(folder, "skipped" if found.action == "skip" else "elsewhere")
        if found.action == "leave":
            logger.warning("%s: %s, left alone", folder.name, found.why)
            return end_found(folder)
        if stop is not None and stop.exists():
            return JobEnd(folder, "unbegun")
        if (folder / RESULT).exists():
            # Where the data cannot be had any more, what was done before stays where it is.
            _hold(config, _prepared.get(_data_of(config)) or experiment.prepare(config))
        resume = found.action == "resume"
        if resume:
            logger.info("%s: %s, goes on", folder.name, found.why)
        elif any(folder.iterdir()):
            move_aside(folder, found.why or "no attempt ended well")
    except Exception as error:  # The border of a job, see ``_end_of``.
        end = _end_of(folder, error)
    else:
        with gpu_of_its_own(config.settings.device), _time_can_be_over():
            end = run_in(folder, resolved, progress=progress, resume=resume)
    if end.error is not None:
        logger.error("%s: %s: %s", folder.name, end.status, end.error)
        if stop is not None:
            stop.touch()
    return end


@contextmanager
def _time_can_be_over() -> Iterator[None]:
    """Let a job whose queue ends it, while inside, be interrupted and not failed, so that it goes on when typed again.

    submitit answers the signal of a queue by queueing the job again, or where that is not to be by raising an error in
    the midst of whatever is running.
    """
    queues = signal.getsignal(signal.SIGUSR2)
    if not callable(queues):
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        try:
            queues(number, frame)
        except Exception as error:  # Whatever the launcher raises, the time is over.
            raise Terminated(str(error)) from error

    signal.signal(signal.SIGUSR2, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, queues)


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
            hopeless=judge(folder),
        )
    except PrunedError:
        return JobEnd(folder, "pruned")
    except Exception as error:  # The border of a job, see ``_end_of``.
        return _end_of(folder, error)
    _hold(config, outcome.prepared)
    return JobEnd(folder, "done")


def _end_of(folder: Path, error: Exception) -> JobEnd:
    """Return how a job ended that raised ``error``: it is shown and recorded, and the others of the sweep go on."""
    end = _judged(folder, type(error), str(error))
    if end.status == "failed" and not isinstance(error, StorageError):
        traceback.print_exc()
    return end


def end_found(folder: Path) -> JobEnd:
    """Return how the job in ``folder`` ended, by what is recorded there.

    Raises:
        RunError: It cannot be read.
    """
    status = status_of(folder)
    if status is None:
        return JobEnd(folder, "unbegun", "was not begun.")
    if status == "done":
        return JobEnd(folder, "done")
    if status in BAD:
        error = read_run(folder)["error"]
        return _judged(folder, getattr(errors, error["type"], Exception), error["message"], error["type"])
    if status == "running":
        return JobEnd(folder, "elsewhere")
    return JobEnd(folder, "killed", "was interrupted." if status == "interrupted" else "its process is gone.")


def _judged(folder: Path, kind: type[Exception], message: str, name: str | None = None) -> JobEnd:
    """Return how a job ended by an error of this kind.

    Args:
        folder: Of the job.
        kind: Class of the error, as far as it is known.
        message: Its text.
        name: Of the class, where it is another.
    """
    if issubclass(kind, DivergedError):
        return JobEnd(folder, "diverged", message)
    if issubclass(kind, StorageError):
        return JobEnd(folder, "failed", message)
    if issubclass(kind, ConfigError | DataError | RunError):
        return JobEnd(folder, "mistake", message)
    return JobEnd(folder, "failed", f"{name or kind.__name__}: {message}".partition("\n")[0])


def _data_of(config: ExperimentConfig) -> tuple[Config | str, ...]:
    """Return the options that the data depends on."""
    return config.dataset, config.split, config.evaluation, config.settings.fit_on


def _hold(config: ExperimentConfig, prepared: Prepared) -> None:
    """Keep the data, since the next job of a sweep is likely to want the same."""
    _prepared.clear()
    _prepared[_data_of(config)] = prepared


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
    mistakes = redaction.refused({str(key): value for key, value in as_written.items() if key != "hydra"})
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
register_resolver("recbench.job", _name_of_composed)
register_resolver("recbench.sweep", _sweep_name)
register_resolver("recbench.random", lambda: secrets.token_hex(3))
