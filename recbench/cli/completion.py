"""``recbench -sc``: what a shell asks for when the tab key is pressed; behind ``run`` and ``config``, Hydra answers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from recbench import datasets, plugins
from recbench.cli import COMMANDS
from recbench.cli.data import COMMANDS as ABOUT_DATA
from recbench.cli.overrides import CONFIG
from recbench.cli.reproduce import published_tables
from recbench.cli.session import hydra_session

_LINE = "COMP_LINE"


def main(arguments: Sequence[str]) -> int:
    """Print what the shell is to evaluate (``install=SHELL``, ``uninstall=SHELL``) or to offer (``query=SHELL``)."""
    line = os.environ.get(_LINE, "")
    words = line.split()
    finished = words[2:] if line.endswith(" ") else words[2:-1]
    if not any(argument.startswith("query=") for argument in arguments):
        _ask_hydra(arguments)
    elif len(words) < 2 or (len(words) == 2 and not line.endswith(" ")):
        print(" ".join(name for name in COMMANDS if name.startswith("".join(words[1:]))))
    elif words[1] in ("run", "config"):
        rest, named = _without_our_flags(words[2:])
        folders = [folder for flag, folder in zip(rest, rest[1:]) if flag in ("--config-dir", "-cd")]
        plugins.load(named)
        with _line(" ".join([words[0], *rest]) + (" " if line.endswith(" ") or not rest else "")):
            _ask_hydra(arguments, *folders[-1:])
    elif words[1] == "list":
        print(" ".join(plugins.FAMILIES))
    elif words[1] == "reproduce":
        with hydra_session() as session:
            tables = published_tables(session)
        print(" ".join(tables.get(finished[0], ()) if finished else tables))
    elif words[1] == "data":
        if not finished:
            print(" ".join(ABOUT_DATA))
        elif finished in (["fetch"], ["describe"]):
            print(" ".join(datasets.registry.names()))
    return 0


def _ask_hydra(arguments: Sequence[str], config_dir: str | None = None) -> None:
    with hydra_session(config_dir, complete=True) as session:
        session.shell_completion(CONFIG, list(arguments))


def _without_our_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that Hydra knows, and the plugins that are named among the rest."""
    rest: list[str] = []
    named: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--plugin":
            named += [module for module in [next(waiting, None)] if module is not None]
        elif word.startswith("--plugin="):
            named.append(word.partition("=")[2])
        elif word not in ("--dry-run", "--quiet", "-q"):
            rest.append(word)
    return rest, named


@contextmanager
def _line(line: str) -> Iterator[None]:
    """Let Hydra read another command line than the one that was typed."""
    before = os.environ[_LINE]
    os.environ[_LINE] = line
    try:
        yield
    finally:
        os.environ[_LINE] = before
