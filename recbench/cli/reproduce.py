"""``recbench reproduce``: published tables, run, and said number by number whether they hold."""

from __future__ import annotations

import argparse
import logging
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from hydra._internal.hydra import Hydra
from hydra.core.object_type import ObjectType

from recbench import plugins, reproduce
from recbench.cli.arguments import Parser
from recbench.cli.composition import Job, Plan, make_plan
from recbench.cli.overrides import Overrides
from recbench.cli.run import EXIT_CODES, launch
from recbench.cli.session import hydra_session
from recbench.errors import ConfigError
from recbench.files import replacing
from recbench.fingerprints import code_fingerprint
from recbench.inspection.catalog import catalog
from recbench.logs import configure_console
from recbench.options import did_you_mean
from recbench.published import Published
from recbench.repeat import written
from recbench.reproduce import Result, Row
from recbench.reproduce_record import Record
from recbench.reproduce_runs import finished, row_identity
from recbench.text import printable

logger = logging.getLogger(__name__)

_GROUP = "experiment"
_INDENTED: Any = {"width": 100, "initial_indent": "  ", "subsequent_indent": "    ", "break_on_hyphens": False}
_SHARED = "_table"
_FOLDER = "outputs/reproduce"
_MAY_BE_SET = ("dataset.path", "device", "threads", "backend")

_EPILOG = """\
examples:
  recbench reproduce                        the tables, what each needs, and how long it takes
  recbench reproduce mcrec                  all rows of one that are not done yet
  recbench reproduce mcrec ease rp3beta     two of its rows
  recbench reproduce mcrec --show           what is done, and run nothing
  recbench reproduce mcrec dataset.path=DIR with a local copy of the data
  recbench reproduce --page reproduction.md all tables, as far as they are done, as a page

A row is exact (ours rounds to all printed digits), reproduced (within its tolerance), deviates, contested (deviates
from a number that others contradict), unverified (the number was not seen in its source, or there is none) or not run.
The exit code is 1 where a row is worse than is known of it, or a run failed, and 2 where the data or a word is wrong.
"""


@dataclass(frozen=True)
class _Wanted:
    """A row, and what its runs are known by.

    Attributes:
        configs: Plain values for each seed from 0 on.
        code: Fingerprint of the code that would run it now.
    """

    table: str
    name: str
    published: Published
    configs: tuple[dict[str, Any], ...]
    code: str


def main(arguments: Sequence[str]) -> int:
    """List the tables, or run rows of one and print a line for each published number.

    Raises:
        ConfigError: No such table, row or setting.
        RunError: A result cannot be read.
    """
    given = _parser().parse_intermixed_args(arguments)
    configure_console(given.quiet)
    plugins.load(given.plugin)
    with hydra_session(given.config_dir) as session:
        tables = published_tables(session)
        if given.page is not None:
            return _write_page(session, tables, given)
        if given.table is None:
            _refuse_without_a_table(given)
            _list(session, tables)
            return 0
        if given.table not in tables:
            raise ConfigError(f"no table {given.table!r}. {did_you_mean(given.table, tables)}")
        names, words = _rows_and_words(given, tables[given.table])
        wanted = _wanted(session, given.table, names, given.seeds)
        code, reasons = (0, {}) if given.show else _run(session, _plan(session, wanted, words, given), given)
    there = finished(_folder(given, given.table))
    rows = [_row(wanted[name], there, reasons.get(name, [])) for name in names]
    print(reproduce.render(rows, given.format))
    if given.format == "json":
        for line in reproduce.not_run(rows):
            print(printable(line), file=sys.stderr)
    worse = [row.name for row in rows if not row.holds]
    if worse:
        print(f"error: worse than is known of the row: {', '.join(worse)}.", file=sys.stderr)
    return 1 if worse else code


def _parser() -> Parser:
    parser = Parser("reproduce", "Run published tables, and say number by number whether they hold.", _EPILOG)
    parser.add_argument("table", nargs="?", metavar="TABLE", help="one of those that are listed without it")
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help="by default all; also dataset.path=, device=, threads=, backend="
    )
    parser.add_argument("--seeds", type=_at_least_one, metavar="N", help="runs of each row; by default its own number")
    parser.add_argument("--format", choices=get_args(reproduce.Format), default="table", help="by default %(default)s")
    parser.add_argument("--show", action="store_true", help="run nothing; say what is done")
    parser.add_argument("--page", metavar="FILE", help="write what is done of all tables as a page; run nothing")
    parser.add_argument("--folder", default=_FOLDER, metavar="DIR", help="where the runs are; by default %(default)s")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="a folder with further configuration files")
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress, and no lines but warnings")
    parser.add_plugin()
    return parser


def _refuse_without_a_table(given: argparse.Namespace) -> None:
    """Raise ``ConfigError`` for a word that needs a table to act on."""
    idle = [word for word, used in (("--seeds", given.seeds), ("--show", given.show)) if used]
    idle += ["--format"] if given.format != "table" else []
    if idle:
        raise ConfigError(f"{', '.join(idle)}: needs a TABLE; without one the tables are listed.")


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: should be a whole number, at least 1")
    return int(text)


def published_tables(session: Hydra) -> dict[str, list[str]]:
    """Return the rows of each table, sorted."""
    repository = Overrides(session.config_loader, []).repository
    tables = {}
    for name in sorted(repository.get_group_options(_GROUP, ObjectType.GROUP)):
        options = repository.get_group_options(f"{_GROUP}/{name}")
        if _SHARED in options:
            tables[name] = sorted(option for option in options if option != _SHARED)
    return tables


def _published(session: Hydra, experiment: str) -> tuple[Job, Published]:
    """Return the job of ``experiment`` and what was published on it."""
    job = _job(session, experiment, 0)
    published = job.resolved.config.settings.published
    if published is None:
        raise ConfigError(f"{_GROUP}={experiment}: its file says nothing under published.")
    unmeasured = [metric for metric in published.values if metric not in job.resolved.config.evaluation.metrics]
    if unmeasured:
        raise ConfigError(
            f"{_GROUP}={experiment}: published.values names {unmeasured[0]!r}, which is not measured; add it to "
            "evaluation.metrics."
        )
    return job, published


def _job(session: Hydra, experiment: str, seed: int) -> Job:
    try:
        (job,) = make_plan(session, [f"{_GROUP}={experiment}", f"seed={seed}"], multirun=False).jobs
    except ConfigError as error:
        raise ConfigError(f"{_GROUP}={experiment}: {error}") from None
    return job


def _list(session: Hydra, tables: Mapping[str, Sequence[str]]) -> None:
    """Print what each table is and needs."""
    at_hand = {row.name: row.at_hand for row in catalog()}
    for table, names in tables.items():
        job, published = _published(session, f"{table}/{_SHARED}")
        dataset = str(job.resolved.config.to_dict()["dataset"]["name"])
        where = at_hand[dataset]
        here = {"no": "has to be fetched", "needs none": "needs no files"}.get(where, f"at hand in the {where}")
        print(f"{table}: {published.title}")
        print(textwrap.fill(f"{len(names)} rows: {', '.join(names)}", **_INDENTED))
        minutes = f"{published.minutes:g} minute" + ("s" if published.minutes != 1 else "")
        print(f"  needs {dataset} ({here}), and about {minutes} on two cores")


def _rows_and_words(given: argparse.Namespace, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the rows that are asked for and the settings among the words."""
    words = [word for word in given.rows if "=" in word]
    for word in words:
        if word.partition("=")[0] not in _MAY_BE_SET:
            raise ConfigError(
                f"{word!r}: a published row is run as it was published; what can be set is {', '.join(_MAY_BE_SET)}. "
                f"For a run of your own: recbench run {_GROUP}={given.table}/ROW {word}"
            )
    names = [word for word in given.rows if "=" not in word]
    for name in names:
        if name not in known:
            raise ConfigError(f"no row {name!r} in table {given.table!r}. {did_you_mean(name, known)}")
    return list(dict.fromkeys(names)) or list(known), words


def _wanted(session: Hydra, table: str, names: Sequence[str], n_seeds: int | None) -> dict[str, _Wanted]:
    """Return the rows and those that they start from, these first; without ``n_seeds`` each has its own number."""
    wanted: dict[str, _Wanted] = {}

    def add(name: str, n_seeds: int | None) -> None:
        job, published = _published(session, f"{table}/{name}")
        n_seeds = n_seeds or published.seeds
        for other in published.starts_from.values():
            add(other, n_seeds)
        if name in wanted and len(wanted[name].configs) >= n_seeds:
            return
        jobs = [job, *(_job(session, f"{table}/{name}", seed) for seed in range(1, n_seeds))]
        configs = tuple(job.resolved.config.to_dict() for job in jobs)
        wanted[name] = _Wanted(table, name, published, configs, code_fingerprint(job.resolved.config))

    for name in names:
        add(name, n_seeds)
    return wanted


def _plan(
    session: Hydra, wanted: Mapping[str, _Wanted], words: Sequence[str], given: argparse.Namespace
) -> dict[str, list[Plan]]:
    """Return the plans of each row, one a seed, checked before the first one starts."""
    plans: dict[str, list[Plan]] = {}
    for name, row in wanted.items():
        plans[name] = []
        for seed in range(len(row.configs)):
            start = {option: plans[other][seed].jobs[0] for option, other in row.published.starts_from.items()}
            plans[name].append(
                make_plan(
                    session,
                    [
                        f"{_GROUP}={row.table}/{name}",
                        f"seed={seed}",
                        "sweep.retry=failed",
                        f"hydra.sweep.dir={written(str(_folder(given, row.table)))}",
                        *(f"{option}={written(str(job.folder))}" for option, job in start.items()),
                        *words,
                    ],
                    multirun=True,
                )
            )
    return plans


def _folder(given: argparse.Namespace, table: str) -> Path:
    return Path(given.folder).absolute() / table


def _run(
    session: Hydra, plans: Mapping[str, Sequence[Plan]], given: argparse.Namespace
) -> tuple[int, dict[str, list[str]]]:
    """Run what is not done; return the exit code, and why runs of a row are missing."""
    codes: list[int] = []
    reasons: dict[str, list[str]] = {}
    for number, (name, of_row) in enumerate(plans.items(), 1):
        logger.info("row %d of %d: %s/%s", number, len(plans), given.table, name)
        for plan in of_row:
            (end,) = launch(session, plan, given)
            if end.error is not None:
                reasons.setdefault(name, []).append(end.error)
                codes.append(EXIT_CODES[end.status])
    return min(codes, default=0), {name: list(dict.fromkeys(several)) for name, several in reasons.items()}


def _row(
    wanted: _Wanted, there: Mapping[str, Result], reasons: Sequence[str] = (), record: Record | None = None
) -> Row:
    """Return what is there of a row: runs, and where there are none what ``record`` has kept of them."""
    results = []
    for seed, config in enumerate(wanted.configs):
        result = there.get(row_identity(config))
        if record is not None:
            result = record.entry(wanted.table, wanted.name, seed, config, result)
        if result is not None:
            results.append(result)
    n_wanted = len(wanted.configs)
    n_missing = n_wanted - len(results)
    if n_missing and not reasons:
        reasons = [f"{n_missing} of {n_wanted} seeds have no run yet" if results else "no run yet"]
    stale = any(result.code != wanted.code for result in results)
    return Row(wanted.table, wanted.name, wanted.published, results, reasons, stale)


def _write_page(session: Hydra, tables: Mapping[str, Sequence[str]], given: argparse.Namespace) -> int:
    """Write what is there of all tables as a page."""
    if given.table is not None or given.seeds is not None:
        raise ConfigError("--page FILE is of all tables with what is done, and takes no TABLE and no --seeds.")
    if not given.page.endswith(".md"):
        raise ConfigError(f"--page {given.page}: should end in .md; what it is made from is kept beside it, in .json.")
    path = Path(given.page)
    record = Record(path.with_suffix(".json"), tables)
    pages = {}
    for table, names in tables.items():
        wanted, there = _wanted(session, table, names, None), finished(_folder(given, table))
        pages[table] = [_row(wanted[name], there, record=record) for name in names]
    record.write()
    with replacing(path) as file:
        file.write(reproduce.page(pages).encode())
    print(f"written to {printable(given.page)} and {printable(str(record.path))}")
    return 0
