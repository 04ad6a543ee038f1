"""Typed options: the base class of every part's configuration, and errors that name the right word."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from recbench.errors import ConfigError


class Config(BaseModel):
    """Options of one part: frozen, closed and strict; the docstring under a field is its help text."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], what: str) -> Self:
        """Return the validated options.

        Args:
            options: Plain values as a configuration file holds them (lists become tuples).
            what: How the part is called in an error, e.g. ``"model 'neumf'"``.

        Raises:
            ConfigError: Naming **every** mistake: the key, its value, what is allowed.
        """
        mistakes = cls.mistakes(options)
        if mistakes:
            raise ConfigError(f"{what} cannot be configured:\n" + "\n".join(f"  {line}" for line in mistakes))
        return cls.model_validate_json(json.dumps(dict(options)))

    @classmethod
    def mistakes(cls, options: Mapping[str, Any]) -> list[str]:
        """Return one line for each mistake in ``options``, in the order in which they were given."""
        return [line for lines in cls.faults(options).values() for line in lines.split("\n")]

    @classmethod
    def faults(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong by key, in the order of ``options``; the empty key is for what is wrong together."""
        plain, lines = {}, {}
        options = {str(key): value for key, value in options.items()}  # Those of a file may be numbers.
        for key, value in options.items():
            if too_deep(value):
                lines[key] = f"{key}: {TOO_DEEP}"
                continue
            try:
                plain[key] = json.loads(json.dumps(value))
            except (TypeError, ValueError):
                lines[key] = f"{key} = {value!r}: cannot be written as JSON."
        try:
            cls.model_validate_json(json.dumps(plain))
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                key = str(fault["loc"][0]) if fault["loc"] else ""
                if fault["type"] != "missing" and key in lines:
                    continue
                lines[key] = _explain(fault, key, options, list(cls.model_fields))
        order = {key: place for place, key in enumerate(options)}
        return {key: lines[key] for key in sorted(lines, key=lambda key: order.get(key, len(order)))}


def help_texts(config: type[Config]) -> dict[str, str]:
    """Return the docstring under each field, where it has one, its own or inherited.

    It is read from the source when it is asked for: pydantic's ``use_attribute_docstrings`` reads it of every class at
    import, which took a third of a second of each command.
    """
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if not issubclass(base, Config):
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            continue  # The class was typed into an interpreter, or made by code.
        (definition,) = ast.parse(textwrap.dedent(source)).body
        assert isinstance(definition, ast.ClassDef), base
        for field, below in zip(definition.body, definition.body[1:]):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


class NestedMistakes(ValueError):
    """What is wrong with the parts of one option, each a line that goes on from the option's name."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Keep the lines: ``[0].users = 0: should be at least 1.``."""
        super().__init__("\n".join(lines))


def did_you_mean(name: str, known: Iterable[str], intro: str = "") -> str:
    """Return ``"Did you mean 'x'? Known: ..."``, or only the list where nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{intro}{hint}Known: {', '.join(names) if names else 'none'}."


def one_of(values: Iterable[object]) -> str:
    """Return ``"'a', 'b' or 'c'"``."""
    words = [repr(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


MAX_DEPTH = 32
"""Of lists and mappings within each other in a configuration."""

TOO_DEEP = f"is nested more than {MAX_DEPTH} lists and mappings deep; no option is."


def too_deep(value: object) -> bool:
    """Return whether lists and mappings are nested deeper than ``MAX_DEPTH``, as those are that hold themselves."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: dict[int, object] = {}
        for outer in level:
            parts = outer.values() if isinstance(outer, Mapping) else outer if isinstance(outer, list | tuple) else ()
            inner |= {id(part): part for part in parts}
        if not inner:
            return False
        level = list(inner.values())
    return True


_WANTED = {
    "int_type": "a whole number (an integer)",
    "int_parsing": "a whole number (an integer)",
    "int_from_float": "a whole number (an integer)",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _explain(fault: Any, key: str, options: Mapping[str, Any], known: list[str]) -> str:
    """Turn one of pydantic's findings into a sentence with the key, the value and what is allowed."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{key} = {options[key]!r}: no such option. {did_you_mean(key, known)}"
    if kind == "missing":
        return f"{key}: is required and has no default."
    value = fault["input"]
    place = "".join(f"[{part}]" for part in fault["loc"][1:] if isinstance(part, int))
    start = f"{key}{place} = {value!r}: " if key else ""
    if kind in _WANTED:
        return f"{start}should be {_WANTED[kind]}."
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{start}should be {words} {context[bound]:g}."
    if kind in ("literal_error", "enum"):
        return f"{start}should be {context['expected']}."
    if kind == "value_error" and isinstance(context["error"], NestedMistakes):
        return "\n".join(f"{key}{line}" for line in str(context["error"]).split("\n"))
    if kind == "value_error":
        return f"{start}{context['error']}"
    return f"{start}{fault['msg']}."
