"""From what was typed to the jobs: Hydra composes each, its types are checked, and only then anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from tqdm import tqdm

from recbench.cli import Mistakes, spaces
from recbench.cli.launchers import threads_of_a_job
from recbench.cli.overrides import MAX_JOBS, Overrides, typed
from recbench.cli.search_plan import drafts, mistakes_in, searches_of, sweep_options, trials_at_once
from recbench.cli.session import composed_config, hydra_errors
from recbench.cli.task import job_name, plain_values
from recbench.configuration import Resolved, resolve
from recbench.errors import ConfigError
from recbench.models import registry as models
from recbench.options import Config
from recbench.repeat import written
from recbench.search.asking import import_optuna
from recbench.search.record import Search
from recbench.sweep import SweepConfig

_BASIC_SWEEPER = f"{BasicSweeper.__module__}.{BasicSweeper.__qualname__}"
_SEARCH_SWEEPER = "hydra_plugins.recbench_search.SearchSweeper"


@dataclass(frozen=True)
class Job:
    """One run to be.

    Attributes:
        overrides: As typed, with one value for each key.
        folder: Where it will live.
        resolved: Its checked configuration.
    """

    overrides: tuple[str, ...]
    folder: Path
    resolved: Resolved


@dataclass(frozen=True)
class Plan:
    """All that a command asks for, checked.

    Attributes:
        overrides: What Hydra is given, complete.
        folder: Of the single run, or of the sweep.
        jobs: In the order in which they run; of searches the first trial of each.
        sweep: Options of the sweep itself; the defaults for a single run.
        searches: Where it is no grid: what is searched for.
    """

    multirun: bool
    overrides: tuple[str, ...]
    folder: Path
    jobs: tuple[Job, ...]
    sweep: SweepConfig = SweepConfig()
    searches: tuple[Search, ...] = ()


def make_plan(hydra: Hydra, words: Sequence[str], *, multirun: bool, progress: bool = False) -> Plan:
    """Return the checked jobs that ``words`` ask for; nothing is run or created.

    Args:
        hydra: From ``hydra_session``.
        words: What was typed as KEY=VALUE.
        multirun: Whether commas mean a sweep.
        progress: Whether to draw a progress bar where checking takes longer than a second.

    Raises:
        ConfigError: With all mistakes of all jobs.
    """
    reader = Overrides(hydra.config_loader, words)
    overrides, mistakes = reader.read(words)
    try:
        with hydra_errors():
            base = composed_config(hydra, _words(overrides), RunMode.MULTIRUN)
            several = multirun or base.hydra.mode == RunMode.MULTIRUN
            _refuse_misplaced(overrides, several)
            if several:
                plan = _sweep(hydra, reader, overrides, base, numbered=not mistakes, progress=progress)
            else:
                plan = _single(hydra, overrides)
    except ConfigError as error:
        raise Mistakes([*mistakes, *(error.mistakes if isinstance(error, Mistakes) else [str(error)])]) from None
    if mistakes:
        raise Mistakes(mistakes)
    return plan


def hydra_words(hydra: Hydra, words: Sequence[str]) -> list[str]:
    """Return ``words`` as Hydra wants them.

    Raises:
        ConfigError: Something in them cannot be read, or chosen, or what they come to asks for code to be run.
    """
    overrides, mistakes = Overrides(hydra.config_loader, words).read(words)
    if mistakes:
        raise Mistakes(mistakes)
    with hydra_errors():
        composed_config(hydra, _words(overrides), RunMode.MULTIRUN)
    return _words(overrides)


def _single(hydra: Hydra, overrides: Sequence[Override]) -> Plan:
    words = _words(overrides)
    composed = composed_config(hydra, words, RunMode.RUN)
    if composed.sweep.space is not None:
        raise ConfigError("sweep: is a search, of many runs, and this is a single one: add -m, or leave sweep out.")
    (resolved,) = _checked([_values(composed)], overrides, numbered=False)
    folder = Path(OmegaConf.select(composed, "hydra.run.dir"))
    # What Hydra is told is what was checked, although the time passes and the random part is drawn.
    words += [f"hydra.run.dir={written(str(folder))}", "hydra.mode=RUN"]
    task = [word for override, word in zip(overrides, words) if not override.is_hydra_override()]
    return Plan(False, tuple(words), folder, (Job(tuple(typed(task)), folder, resolved),))


def _sweep(
    hydra: Hydra,
    reader: Overrides,
    overrides: Sequence[Override],
    base: DictConfig,
    *,
    numbered: bool,
    progress: bool,
) -> Plan:
    sweeper = base.hydra.sweeper["_target_"]
    if sweeper not in (_BASIC_SWEEPER, _SEARCH_SWEEPER):
        raise ConfigError("hydra/sweeper: 'basic' and 'search' are those whose jobs can be checked before they start.")
    if base.hydra.sweeper.params:
        params, mistakes = reader.read(f"{key}={values}" for key, values in base.hydra.sweeper.params.items())
        if mistakes:
            raise Mistakes(mistakes)
        keys = {override.key_or_group for override in overrides}
        overrides = [*(param for param in params if param.key_or_group not in keys), *overrides]
        base = composed_config(hydra, _words(overrides), RunMode.MULTIRUN)
    folder = Path(OmegaConf.select(base, "hydra.sweep.dir"))
    hydra_words = [
        *_words(override for override in overrides if override.is_hydra_override()),
        f"hydra.sweep.dir={written(str(folder))}",
        "hydra.sweeper.params=null",
        "hydra.mode=MULTIRUN",
    ]
    task = [override for override in overrides if not override.is_hydra_override()]
    options, mistakes = sweep_options(base)
    if sweeper == _SEARCH_SWEEPER or options.space is not None or any(map(spaces.is_interval, task)):
        if sweeper != _SEARCH_SWEEPER:
            hydra_words.append("hydra/sweeper=search")
        return _search(hydra, reader, hydra_words, task, folder, options)
    _refuse_too_many(task)
    (jobs,) = BasicSweeper.split_arguments(task, None)
    task_words = _words(task)
    if OmegaConf.select(base, "threads") is None:
        threads = threads_of_a_job(base.hydra.launcher, len(jobs))
        if threads is not None:
            task_words.append(f"++threads={threads}")
            jobs = [[*job, f"++threads={threads}"] for job in jobs]

    values: list[dict[str, Any]] = []
    folders: list[Path | None] = []
    for number, job in enumerate(
        tqdm(jobs, "checking", unit="job", delay=1, leave=False, disable=None if progress else True)
    ):
        composed = composed_config(hydra, [*hydra_words, *job], RunMode.RUN)
        with open_dict(composed.hydra.job):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
        values.append(_values(composed))
        folders.append(_folder(composed, values[-1]))
    checked = _checked(values, task, numbered=numbered, mistakes=mistakes)
    return Plan(
        True,
        (*hydra_words, *task_words),
        folder,
        tuple(
            Job(tuple(typed(job)), folder, resolved)
            for job, folder, resolved in zip(jobs, folders, checked)
            if folder is not None
        ),
        options,
    )


def _search(
    hydra: Hydra,
    reader: Overrides,
    hydra_words: Sequence[str],
    task: Sequence[Override],
    folder: Path,
    options: SweepConfig,
) -> Plan:
    """Return the plan of the searches that ``task`` asks for."""

    def compose(words: Sequence[str]) -> DictConfig:
        return composed_config(hydra, [*hydra_words, *words], RunMode.RUN)

    def values(composed: DictConfig) -> dict[str, Any]:
        plain, at_once = _values(composed), trials_at_once(composed)
        if plain.get("threads") is None:
            plain["threads"] = threads_of_a_job(composed.hydra.launcher, at_once)
        return plain

    import_optuna()
    _refuse_too_many(override for override in task if not spaces.is_range(override))
    drafted, mistakes = drafts(reader, task, compose, values)
    try:
        first = _checked([draft.given for draft in drafted], task, numbered=True)
    except Mistakes as error:
        raise Mistakes([*mistakes, *error.mistakes]) from None
    mistakes += mistakes_in(drafted, first)
    if mistakes:
        raise Mistakes(mistakes)
    searches = searches_of(drafted, first, options)
    # What is searched is remembered in the folder; what Hydra is told beside is for the sweep as a whole.
    told = [override for override in task if override.key_or_group in ("experiment", "sweep")]
    words = [*_words(override for override in told if not override.is_sweep_override())]
    words += [f"++sweep.batch={written(options.batch)}", f"++sweep.fail_fast={written(options.fail_fast)}"]
    jobs = []
    for search in searches:
        config = search.config({})
        jobs.append(Job((f"model={search.model}",), folder / job_name(config), Resolved(config)))
    return Plan(True, (*hydra_words, *words), folder, tuple(jobs), options, searches)


def _refuse_too_many(overrides: Iterable[Override]) -> None:
    swept = [override for override in overrides if override.is_discrete_sweep()]
    n_jobs = math.prod(sum(1 for _ in override.sweep_iterator()) for override in swept)
    if n_jobs > MAX_JOBS:
        raise ConfigError(f"the sweep has {n_jobs:,} jobs, and should have {MAX_JOBS:,} at most: take fewer values.")


def _values(composed: DictConfig) -> dict[str, Any]:
    # What refers to ${hydra:...} is resolved through this, as it will be when the job runs.
    HydraConfig.instance().set_config(composed)
    return plain_values(composed)


def _folder(composed: DictConfig, values: dict[str, Any]) -> Path | None:
    """Return the job's folder, which follows from its configuration; None where that is wrong."""
    try:
        resolve(values, several_models=True)
    except ConfigError:
        return None
    return Path(composed.hydra.sweep.dir) / str(composed.hydra.sweep.subdir)


def _checked(
    values: Sequence[dict[str, Any]],
    overrides: Sequence[Override],
    *,
    numbered: bool,
    mistakes: Sequence[str] = (),
) -> list[Resolved]:
    """Return the configurations of all jobs, or raise ``mistakes`` and all those of all jobs."""
    for override in reversed(overrides):
        _put_first(values, override.key_or_group)
    names = [str((job.get("model") or {}).get("name")) for job in values]
    several = len(set(names)) > 1
    mistakes = [*mistakes, *(_refuse_options_of_other_models(values, names, overrides) if several else [])]
    resolved: list[Resolved] = []
    found: dict[str, list[int]] = {}
    for number, job in enumerate(values, 1):
        try:
            resolved.append(resolve(job, several_models=several))
        except ConfigError as error:
            for mistake in _each(str(error)):
                found.setdefault(mistake, []).append(number)
    for mistake, numbers in found.items():
        mistakes.append(f"{_which(numbers, len(values))}: {mistake}" if numbered else mistake)
    if mistakes:
        raise Mistakes(mistakes)
    return resolved


def _put_first(values: Sequence[dict[str, Any]], key: str) -> None:
    """Put a typed option first in its part: mistakes are told in the order of the options."""
    part, _, option = key.partition(".")
    for job in values:
        if isinstance(job.get(part), dict) and option in job[part]:
            job[part] = {option: job[part][option], **job[part]}


def _refuse_options_of_other_models(
    values: Sequence[dict[str, Any]], names: Sequence[str], overrides: Sequence[Override]
) -> list[str]:
    """Return a mistake for each typed ``model.KEY`` that some models of the sweep have and some lack.

    It is taken out of ``values``, so that it is not reported again for each job.
    """
    fields = {name: (models.entry(name).config or Config).model_fields for name in names if name in models}
    mistakes = []
    keys = dict.fromkeys(override.key_or_group for override in overrides)
    for key in (key.removeprefix("model.") for key in keys if key.startswith("model.")):
        have = sorted(name for name in fields if key in fields[name])
        lack = sorted(name for name in fields if key not in fields[name])
        if have and lack:
            mistakes.append(
                f"model.{key}: no such option of {', '.join(lack)}; it is one of {', '.join(have)}. "
                "In a sweep over several models, model.* must be options of all; sweep over these apart."
            )
            for job, name in zip(values, names):
                if name in lack:
                    job["model"].pop(key, None)
    return mistakes


def _each(text: str) -> list[str]:
    """Return the mistakes in a message, each with its indented lines."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and found:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def _which(numbers: Sequence[int], total: int) -> str:
    if len(numbers) == 1:
        return f"job {numbers[0]} of {total}"
    if len(numbers) == total:
        return f"all {total} jobs"
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} of {total} jobs ({shown})"


def _refuse_misplaced(overrides: Sequence[Override], multirun: bool) -> None:
    """Raise where a value is several or is a sweep's, and no sweep was asked for; or none is possible over it."""
    mistakes = []
    for override in overrides:
        key = override.get_key_element().removeprefix("++")
        value = str(override.input_line).partition("=")[2]
        of_sweep = key.startswith("sweep.")
        if of_sweep and not multirun:
            mistakes.append(
                f"{key}={value} is an option of a sweep, and this is a single run: add -m, or leave it out."
            )
        if not override.is_sweep_override():
            continue
        if override.is_hydra_override() or of_sweep:
            whose = "the sweep's" if of_sweep else "Hydra's"
            mistakes.append(f"{key}={value}: {whose} own options cannot be swept over; give one value.")
        elif not multirun:
            mistakes.append(
                f"{key}={value} is a sweep: add -m to run all its values, or write {key}=[{value}] for a list "
                f"or '{key}=\"{value}\"' for a text."
            )
    if mistakes:
        raise Mistakes(mistakes)


def _words(overrides: Iterable[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]
