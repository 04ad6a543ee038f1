"""Secrets of the environment, which must not get into files that are kept and passed on.

What is a secret shows by the name of what holds it: an environment variable, or an option of a plugin, with a word like
token, secret, password or key in its name. A value of few letters, and a path, are none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

REDACTED = "<redacted>"

_WORDS = r"(?:token|secret|password|passwd|credential|key)s?"
_VARIABLE = re.compile(_WORDS, re.IGNORECASE)
_OPTION = re.compile(rf"(?:^|_){_WORDS}$", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"((?:\b|_){_WORDS}=)('[^']*'|\"[^\"]*\"|[^\s'\"]+)", re.IGNORECASE)
_READ = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?([^,}'\"\s]+)")
_FEWEST_LETTERS = 6


def refused(values: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each text below ``values`` that holds, or would be filled in with, a secret.

    Args:
        values: Plain nested values of a configuration, interpolations resolved or not.
    """
    known = _secrets()
    found = []
    for key, text in _texts(values):
        names = [name for name, value in known.items() if value in text]
        names += [name for name in _READ.findall(text) if _VARIABLE.search(name)]
        if names:
            found.append(
                f"{key}: would write the environment variable {names[0]!r} into the run's files, and by its name it is "
                "a secret; leave it out (a plugin that needs it can read the variable itself)."
            )
    return found


def redacted(value: Any, option: str = "") -> Any:
    """Return plain nested ``value`` without secrets: those of the environment, and texts of options named like one."""
    if isinstance(value, Mapping):
        return {key: redacted(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, option) for inner in value]
    if not isinstance(value, str):
        return value
    return REDACTED if _OPTION.search(option) else redacted_text(value)


def redacted_text(text: str) -> str:
    """Return ``text`` without the secrets of the environment and without what it sets options named like one to."""
    for value in _secrets().values():
        text = text.replace(value, REDACTED)
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)


def _secrets() -> dict[str, str]:
    """Return the secrets of the environment by the names of the variables, the longest first."""
    held = {
        name: value
        for name, value in os.environ.items()
        if _VARIABLE.search(name) and len(value) >= _FEWEST_LETTERS and not value.startswith(("/", "~"))
    }
    return dict(sorted(held.items(), key=lambda item: -len(item[1])))


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts with their dotted keys."""
    if isinstance(values, Mapping):
        for name, inner in values.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list | tuple):
        for place, inner in enumerate(values):
            yield from _texts(inner, f"{key}[{place}]")
    elif isinstance(values, str):
        yield key, values
