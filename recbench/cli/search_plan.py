"""From what was typed to the searches: one for each combination of lists, each with its space and its first trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from recbench.cli import spaces
from recbench.cli.overrides import Overrides
from recbench.configuration import ExperimentConfig, Resolved
from recbench.errors import ConfigError
from recbench.resources import available_cores
from recbench.search.record import Search, monitored
from recbench.search.space import Domain, options_in
from recbench.splits import Splitter
from recbench.splits import registry as splits
from recbench.sweep import AUTO, SweepConfig


@dataclass(frozen=True)
class Draft:
    """A search whose first trial is not checked yet.

    Attributes:
        given: The plain values that all its trials have in common.
        space: Where it looks.
    """

    given: dict[str, Any]
    space: dict[str, Domain]


def sweep_options(composed: DictConfig) -> tuple[SweepConfig, list[str]]:
    """Return the options of the sweep itself, and the mistakes in them, which leave the defaults."""
    values = OmegaConf.to_container(composed.sweep, resolve=True)
    assert isinstance(values, dict)
    try:
        return SweepConfig.from_mapping({str(key): value for key, value in values.items()}, "the sweep"), []
    except ConfigError as error:
        return SweepConfig(), [str(error)]


def drafts(
    reader: Overrides,
    task: Sequence[Override],
    compose: Callable[[Sequence[str]], DictConfig],
    values: Callable[[DictConfig], dict[str, Any]],
) -> tuple[list[Draft], list[str]]:
    """Return the searches that ``task`` asks for, and the mistakes in their spaces.

    Args:
        reader: Reads the ranges of files.
        task: All but what is Hydra's own.
        compose: Gives what Hydra composes of words.
        values: Gives the plain values of a job in that.
    """
    ranges = [override for override in task if spaces.is_range(override)]
    typed, mistakes = spaces.space_of(ranges)
    (combinations,) = BasicSweeper.split_arguments([each for each in task if each not in ranges], None)
    fixed = {override.key_or_group for override in task}
    found = []
    for words in combinations:
        composed = compose(words)
        if composed.sweep.space == AUTO:
            model = str(composed.model.name)
            if model not in reader.choices("sweep"):
                mistakes.append(
                    f"sweep=auto: model {model!r} has no search space, no file sweep/{model}.yaml; write one in a "
                    "--config-dir, or give ranges in place of sweep=auto."
                )
                continue
            composed = compose([*words, f"sweep={model}"])
        options, wrong = sweep_options(composed)
        in_file, also_wrong = spaces.read_space(reader, options.space if isinstance(options.space, dict) else {})
        mistakes += [*wrong, *also_wrong]
        space = {key: domain for key, domain in in_file.items() if key not in fixed} | typed
        # A trial is no run of the experiment that is searched, whose published number is of other options.
        found.append(Draft(values(composed) | {"experiment": None, "published": None}, space))
    return found, list(dict.fromkeys(mistakes))


def mistakes_in(drafted: Sequence[Draft], first: Sequence[Resolved]) -> list[str]:
    """Return what is wrong with the spaces, and with searching at all, given the first trial of each search."""
    mistakes = []
    for draft, resolved in zip(drafted, first):
        mistakes += _why_not_searched(resolved.config)
        mistakes += spaces.mistakes_at_the_ends(draft.given, draft.space, several_models=_several(drafted))
    return list(dict.fromkeys(mistakes))


def searches_of(drafted: Sequence[Draft], first: Sequence[Resolved], options: SweepConfig) -> tuple[Search, ...]:
    """Return the searches, given the first trial of each.

    In searches over several models, an option that does not apply to one of them is not searched over there.
    """
    found = []
    for draft, resolved in zip(drafted, first):
        space, config = draft.space, resolved.config
        if _several(drafted):
            space = {key: space[key] for key in options_in(config.to_dict(), space)}
        found.append(
            Search(
                model=str(draft.given["model"]["name"]),
                monitor=monitored(config),
                space=space,
                given=draft.given,
                **{name: getattr(options, name) for name in ("budget", "seeds", "sampler", "sampler_seed", "prune")},
            )
        )
    return tuple(found)


def trials_at_once(composed: DictConfig) -> int:
    """Return how many trials of a search are asked for at once."""
    if composed.sweep.batch is not None:
        return int(composed.sweep.batch)
    n_jobs = composed.hydra.launcher.get("n_jobs")
    return max(1, 1 if n_jobs is None else n_jobs if n_jobs > 0 else available_cores() + 1 + n_jobs)


def _several(drafted: Iterable[Draft]) -> bool:
    return len({str(draft.given["model"]["name"]) for draft in drafted}) > 1


def _why_not_searched(config: ExperimentConfig) -> list[str]:
    splitter = cast(type[Splitter], splits.entry_of(config.split).target)
    if config.settings.fit_on != "train" or not splitter.may_validate(config.split):
        return ["a search goes by validation, and there is none here; choose another split, or leave fit_on alone."]
    if getattr(config.trainer, "selection", None) == "test":
        return ["trainer.selection = 'test': a search never looks at the test part; use 'valid'."]
    return []
