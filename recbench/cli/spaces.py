"""Ranges in Hydra's grammar of overrides as the space of a search, checked at their ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from recbench.cli.overrides import Overrides, typed
from recbench.configuration import resolve
from recbench.errors import ConfigError
from recbench.search.space import Choice, Domain, Interval, Space, with_options

_SEARCHED = ("model", "trainer", "negatives")


def is_range(override: Override) -> bool:
    """Return whether a search looks through it: ``interval()``, ``range()`` or ``choice()``, no list with commas."""
    value = override.value() if override.is_sweep_override() else None
    return isinstance(value, IntervalSweep | RangeSweep) or (isinstance(value, ChoiceSweep) and not value.simple_form)


def is_interval(override: Override) -> bool:
    """Return whether there are values without end, so that nothing but a search can be meant."""
    return isinstance(override.value(), IntervalSweep)


def read_space(reader: Overrides, texts: Mapping[str, str]) -> tuple[dict[str, Domain], list[str]]:
    """Return the space that a file gives as texts, and the mistakes in it."""
    space: dict[str, Domain] = {}
    mistakes: list[str] = []
    for key, text in texts.items():
        read, wrong = reader.read([f"{key}={text}"])
        mistakes += [f"sweep.space: {mistake}" for mistake in wrong]
        for override in read:
            _add(space, mistakes, key, override)
    return space, mistakes


def space_of(overrides: Iterable[Override]) -> tuple[dict[str, Domain], list[str]]:
    """Return the space of ``ranges``, and the mistakes in it."""
    space: dict[str, Domain] = {}
    mistakes: list[str] = []
    for override in overrides:
        _add(space, mistakes, override.key_or_group, override)
    return space, mistakes


def mistakes_at_the_ends(given: Mapping[str, Any], space: Space, *, several_models: bool) -> list[str]:
    """Return what is wrong with the values between which ``space`` lies, each beside the values ``given``."""
    mistakes: list[str] = []
    for key, domain in space.items():
        for end in domain.ends():
            try:
                resolve(with_options(given, {key: end}), several_models=several_models)
            except ConfigError as error:
                hint = ""
                if isinstance(domain, Interval) and not domain.whole and "whole number" in str(error):
                    hint = f" Write int({_written(domain)})."
                mistakes.append(f"the space of {key}: {error}{hint}")
    return list(dict.fromkeys(mistakes))


def _add(space: dict[str, Domain], mistakes: list[str], key: str, override: Override) -> None:
    part, _, option = key.partition(".")
    if part not in _SEARCHED or (not option and part != "negatives"):
        mistakes.append(
            f"{_typed(override)}: a search is over options of the model, the trainer and the negatives; of others "
            "give one value, or a list, each of whose values gets a search of its own."
        )
        return
    try:
        space[key] = _domain(override)
    except ConfigError as error:
        mistakes.append(f"{_typed(override)}: {error}")


def _domain(override: Override) -> Domain:
    value = override.value()
    if isinstance(value, IntervalSweep):
        return _interval(value)
    if isinstance(value, RangeSweep):
        numbers: Sequence[Any] = list(override.sweep_iterator())
        whole = all(isinstance(number, int) for number in numbers)
        options = {"low": min(numbers), "high": max(numbers), "step": abs(value.step), "whole": whole}
        return Interval.from_mapping(options, "the range")
    if isinstance(value, ChoiceSweep):
        choices = [Override._convert_value(choice) for choice in value.list]
        return Choice.from_mapping({"choices": choices}, "the choice")
    raise ConfigError("is one value; write a range, such as interval(0.001, 0.1) or choice(8, 16).")


def _interval(value: IntervalSweep) -> Interval:
    unknown = value.tags - {"log"}
    if unknown:
        raise ConfigError(f"tag {min(unknown)!r}: the only one with a meaning is tag(log, interval(...)).")
    options = {
        "low": value.start,
        "high": value.end,
        "log": "log" in value.tags,
        "whole": {type(value.start), type(value.end)} == {int},
    }
    return Interval.from_mapping(options, "the interval")


def _typed(override: Override) -> str:
    (word,) = typed([str(override.input_line)])
    return word


def _written(domain: Interval) -> str:
    inner = f"interval({domain.low:g}, {domain.high:g})"
    return f"tag(log, {inner})" if domain.log else inner
