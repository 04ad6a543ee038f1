"""Steps as they are written in a configuration, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from recbench.cleaning import StepConfig, registry
from recbench.errors import ConfigError
from recbench.options import NestedMistakes

_HOW = "should be a list of steps, e.g. [{step: k_core, users: 5, items: 5}, normalise]."


class _Written:
    """Marks an option that holds steps: each ``{step: NAME, OPTION: VALUE}``, or the bare name of one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the steps where the options are made, and write them as they are read."""
        return core_schema.no_info_plain_validator_function(
            _typed, serialization=core_schema.plain_serializer_function_ser_schema(_plain)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """List the names where the options are described."""
        step = {"anyOf": [{"type": "string", "enum": registry.names()}, {"type": "object"}]}
        return {"type": "array", "items": step}


Steps = Annotated[tuple[StepConfig, ...], _Written()]
"""The type of an option that holds steps in their order."""


def described(step: StepConfig) -> str:
    """Return a step in short, with what is set of it: ``k_core(users=5, items=5)``."""
    options = step.model_dump(mode="json", exclude={"after_split"}, exclude_none=True)
    # A switch is named where it is on.
    texts = [name if value is True else f"{name}={value}" for name, value in options.items() if value is not False]
    return f"{registry.entry_of(step).name}({', '.join(texts)})"


def _plain(steps: tuple[StepConfig, ...]) -> list[dict[str, Any]]:
    return [{"step": registry.entry_of(step).name, **step.model_dump(mode="json")} for step in steps]


def _typed(written: Any) -> tuple[StepConfig, ...]:
    """Return the options of all steps, or raise all mistakes in them."""
    if not isinstance(written, list | tuple):
        raise ValueError(_HOW)
    steps: list[StepConfig] = []
    mistakes: list[str] = []
    for place, step in enumerate(written):
        if isinstance(step, StepConfig):
            steps.append(step)
            continue
        name, options = _taken_apart(step)
        if name is None:
            mistakes.append(f"[{place}] = {step!r}: should name a step, e.g. {{step: k_core, users: 5, items: 5}}.")
            continue
        try:
            entry = registry.entry(name)
        except ConfigError as error:
            mistakes.append(f"[{place}]: {error}")
            continue
        faults = entry.options.faults(options)
        mistakes += [f"[{place}].{line}" if key else f"[{place}]: {line}" for key, line in faults.items()]
        if not faults:
            config = entry.configure(options)
            assert isinstance(config, StepConfig), f"the options of {name!r} should derive from StepConfig"
            steps.append(config)
    if mistakes:
        raise NestedMistakes(mistakes)
    return tuple(steps)


def _taken_apart(step: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the name of a step and its options; None where it has no name."""
    if isinstance(step, str):
        return step, {}
    if not isinstance(step, Mapping) or not isinstance(step.get("step"), str):
        return None, {}
    return step["step"], {key: value for key, value in step.items() if key != "step"}
