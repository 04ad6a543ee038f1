"""``recbench data``: what data sets there are, where their files are, what is in them, what is wrong with a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from recbench import datasets, plugins
from recbench.cli import Mistakes
from recbench.cli.arguments import Parser
from recbench.cli.composition import make_plan
from recbench.cli.overrides import Overrides
from recbench.cli.session import hydra_session
from recbench.datasets import Dataset
from recbench.datasets.published import PublishedDataset
from recbench.errors import ConfigError
from recbench.files import replacing
from recbench.inspection import catalog, describe
from recbench.inspection.check import check
from recbench.logs import ROOT, configure_console
from recbench.options import did_you_mean

_HELP = """\
usage: recbench data COMMAND ...

  recbench data list              what data sets there are, and which are at hand
  recbench data fetch NAME        get the files of one into the cache
  recbench data describe NAME     its numbers; with --html FILE, and plots
  recbench data check FILE        what is wrong with a file of yours, and the command that runs it

'recbench data COMMAND --help' shows the options of each.
"""


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands about data, and return its exit code.

    Raises:
        ConfigError: No such command, data set or option.
        DataError: The files cannot be had, or are wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP, end="")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise ConfigError(f"no command 'data {name}'. {did_you_mean(name, COMMANDS)} See 'recbench data --help'.")
    return COMMANDS[name](rest)


def _list(arguments: Sequence[str]) -> int:
    parser = Parser("data list", "List the data sets: what each holds, its terms, and whether its files are at hand.")
    parser.add_argument("--format", choices=get_args(catalog.Format), default="table", help="by default %(default)s")
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    print(catalog.render(catalog.catalog(), given.format))
    return 0


def _fetch(arguments: Sequence[str]) -> int:
    parser = _named("data fetch", "Get the files of a data set into the cache, and say where they are.")
    given = parser.parse_intermixed_args(arguments)
    configure_console(quiet=False)
    plugins.load(given.plugin)
    dataset = _dataset(given.name, given.overrides, given.config_dir)
    name, card = datasets.registry.entry_of(dataset.config).name, dataset.card
    if not isinstance(dataset, PublishedDataset):
        raise ConfigError(f"data set {name!r} has no files to fetch: it is generated, or your own.")
    found = dataset.found
    print(f"{name} is in {found.folder}:")
    for file in found.files:
        print(f"  {file.name}  {(found.folder / file.name).stat().st_size:,} bytes")
    print(f"licence: {card.licence}")
    return 0


def _describe(arguments: Sequence[str]) -> int:
    parser = _named("data describe", "Show a data set in numbers, as it is after cleaning and before the split.")
    parser.add_argument("--format", choices=get_args(describe.Format), default="table", help="by default %(default)s")
    parser.add_argument("--html", metavar="FILE", help="write the numbers and plots to FILE, a page of its own")
    given = parser.parse_intermixed_args(arguments)
    configure_console(quiet=True)
    plugins.load(given.plugin)
    dataset = _dataset(given.name, given.overrides, given.config_dir)
    interactions = dataset.load()
    name = datasets.registry.entry_of(dataset.config).name
    description = describe.describe(name, dataset.card, interactions, dataset.verified)
    if given.html is None:
        print(describe.render(description, given.format))
        return 0
    # Plotting is slow to import.
    from recbench.inspection.page import page

    with replacing(Path(given.html)) as target:
        target.write(page(description, interactions).encode())
    print(f"written to {given.html}")
    return 0


def _check(arguments: Sequence[str]) -> int:
    parser = Parser(
        "data check",
        "Read a file of yours, say what is wrong with it and how to fix it, and print the command that runs it.\n"
        "The exit code is 0 where it can be run without any option, 2 otherwise.",
    )
    parser.add_argument("file", metavar="FILE", help="plain, .gz, or in a zip archive: logs.zip/2024.csv")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="what is known, e.g. dataset.user=customer")
    given = parser.parse_intermixed_args(arguments)
    configure_console(quiet=True)
    known = _known(given.overrides)
    with _report_alone():
        report = check(given.file, known)
    print(report)
    return 0 if report.runs_as_it_is else 2


@contextmanager
def _report_alone() -> Iterator[None]:
    """Keep warnings back: what they say is in the report."""
    before = ROOT.level
    ROOT.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ROOT.setLevel(before)


def _known(words: Sequence[str]) -> dict[str, Any]:
    """Return the typed ``dataset.*`` options as plain values, without the prefix."""
    _refuse_others(words)
    with hydra_session() as session:
        overrides, mistakes = Overrides(session.config_loader, []).read(words)
    if mistakes:
        raise Mistakes(mistakes)
    known = {override.key_or_group.removeprefix("dataset."): override.value() for override in overrides}
    if "interactions" in known:
        raise ConfigError("dataset.interactions: is the FILE that is checked; leave it out.")
    return known


def _refuse_others(words: Sequence[str]) -> None:
    for word in words:
        if not word.lstrip("+").startswith("dataset."):
            raise ConfigError(f"{word!r}: only options of the data set can be set here, dataset.OPTION=VALUE.")


def _named(command: str, description: str) -> Parser:
    parser = Parser(command, description)
    parser.add_argument("name", metavar="NAME", help="a data set, one of 'recbench data list'")
    parser.add_overrides()
    return parser


def _dataset(name: str, words: Sequence[str], config_dir: str | None) -> Dataset:
    """Return the data set ``name`` as the typed ``dataset.*`` configure it."""
    _refuse_others(words)
    if name not in datasets.registry and Path(name).is_file():
        raise ConfigError(
            f"{name!r} is a file and no data set: look at it with 'recbench data check {name}', or write "
            f"'recbench data describe files dataset.interactions={name}'."
        )
    with hydra_session(config_dir) as session:
        (job,) = make_plan(session, [f"dataset={name}", *words], multirun=False).jobs
    return datasets.registry.make(job.resolved.config.dataset)


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "list": _list,
    "fetch": _fetch,
    "describe": _describe,
    "check": _check,
}
