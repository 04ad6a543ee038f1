"""``recbench list``: what there is to choose from, and what can be set on it."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.data.places import Place
from recbench.errors import ConfigError
from recbench.options import Config, did_you_mean, help_texts
from recbench.registry import Entry
from recbench.repeat import written

_GROUPS = {"models": "model", "datasets": "dataset", "splits": "split", "trainers": "trainer", "negatives": "negatives"}
_MOST_COLUMNS = 110


def main(arguments: Sequence[str]) -> int:
    """Print the names of a family with a line each, or all about one of them.

    Raises:
        ConfigError: No such family, or no such name in it.
    """
    parser = Parser("list", "List what there is to choose from; with NAME, its options, ranges, defaults and source.")
    parser.add_argument("family", metavar="FAMILY", help=", ".join(plugins.FAMILIES))
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    if given.family not in plugins.FAMILIES:
        raise ConfigError(f"nothing to list as {given.family!r}. {did_you_mean(given.family, plugins.FAMILIES)}")
    plugins.load(given.plugin)
    registry = plugins.FAMILIES[given.family]
    if given.name is not None:
        print("\n".join(_describe(registry.entry(given.name), given.family)))
        return 0
    width = max(map(len, registry.names()))
    for name in registry.names():
        print(_wrapped(f"{name:{width}}  {_summary(registry.entry(name))}", hanging=width + 2))
    return 0


def _describe(entry: Entry[Any], family: str) -> Iterator[str]:
    """Yield the lines about one part."""
    yield _wrapped(f"{entry.name}: {_summary(entry)}")
    yield ""
    for key, value in _facts(entry, family).items():
        yield _wrapped(f"{key}: {value}", indent=2, hanging=4)
    for paragraph in _sources(entry):
        yield _wrapped(paragraph, indent=2, hanging=4)
    if family == "cleaning":
        usage = f"'dataset.clean=[{{step:{entry.name},OPTION:VALUE}}]'"
    elif family in _GROUPS:
        usage = f"{_GROUPS[family]}.OPTION=VALUE"
    else:
        return
    yield ""
    config = entry.config or Config
    options, texts = config.model_json_schema().get("properties", {}), help_texts(config)
    if not options:
        yield f"  {_GROUPS[family]}={entry.name} has no options."
        return
    yield f"  options, written {usage}:"
    for name, schema in options.items():
        default = f"by default {written(schema['default'])}" if "default" in schema else "required"
        yield _wrapped(f"{name}: {_kind(schema)}; {default}", indent=4, hanging=6)
        if name in texts:
            yield _wrapped(texts[name], indent=8)


def _summary(entry: Entry[Any]) -> str:
    """Return the first line of the part's documentation, of a function without its "Return"."""
    text = entry.summary.removeprefix("Return ")
    return text[:1].upper() + text[1:]


def _facts(entry: Entry[Any], family: str) -> dict[str, str]:
    """Return what the part declares of itself."""
    facts = {"defined in": entry.module}
    target: Any = entry.target
    if family == "models":
        facts["trainer"] = _with_defaults(target.trainer, target.trainer_defaults)
        if target.negatives is not None:
            facts["negatives"] = _with_defaults(target.negatives, target.negatives_defaults)
        facts["another seed gives another model"] = "yes" if target.stochastic else "no"
        facts["scores users it was not trained on, by their history"] = "yes" if target.folds_in else "no"
    elif family == "datasets":
        for fact in fields(target.card):
            value = getattr(target.card, fact.name)
            if value not in (None, "", ()):
                facts[fact.name.removeprefix("n_")] = _plain(value)
    elif family == "metrics":
        facts["written as"] = f"{entry.name}@K" if entry.traits["cut"] else entry.name
    return facts


def _with_defaults(name: str, defaults: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={written(value)}" for key, value in defaults.items())
    return f"{name} with {options}" if options else name


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "; ".join(map(_plain, value))
    if isinstance(value, Place):
        return f"{value} (verified: {_plain(value.verified)})"
    return str(value)


def _sources(entry: Entry[Any]) -> Iterator[str]:
    """Yield what the documentation says of where the part comes from and where it differs."""
    for documented in (sys.modules[entry.module], entry.target):
        for paragraph in (inspect.getdoc(documented) or "").split("\n\n"):
            yield from re.findall(r"^(?:Source|Differs):(?:.|\n(?!Source:|Differs:))*", paragraph, re.MULTILINE)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in words what values a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(written, schema["enum"]))
    if "const" in schema:
        return written(schema["const"])
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "text",
        "null": "null",
        "array": "a list",
        "object": "a mapping",
    }
    words = kinds[schema["type"]]
    if schema["type"] == "array" and "items" in schema:
        words += f", each {_kind(schema['items'])}"
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "greater than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([words, " and ".join(limits)]) if limits else words


def _wrapped(text: str, indent: int = 0, hanging: int | None = None) -> str:
    """Return ``text`` in lines as wide as the terminal."""
    return textwrap.fill(
        text,
        max(40, min(shutil.get_terminal_size().columns, _MOST_COLUMNS)),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hanging is None else hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
