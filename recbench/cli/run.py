"""``recbench run``: checks everything, hands the jobs to Hydra, and says how they ended."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import hydra
from hydra._internal.hydra import Hydra

from recbench import plugins
from recbench.cli import search_report
from recbench.cli.arguments import Parser
from recbench.cli.compare import print_comparison
from recbench.cli.composition import Job, Plan, hydra_words, make_plan
from recbench.cli.hydra_lines import VERSION_BASE
from recbench.cli.overrides import CONFIG
from recbench.cli.searching import begun
from recbench.cli.session import conf_dir, hydra_session
from recbench.cli.standing import standing
from recbench.cli.task import JobEnd, end_found, run_in, run_job
from recbench.cli.workers import AsksWorkers
from recbench.configuration import Resolved, resolve
from recbench.errors import ConfigError, RunError
from recbench.files import read_json
from recbench.interrupts import Interrupts
from recbench.logs import configure_console
from recbench.repeat import CONFIG_DIR
from recbench.report import LOG, RESULT, STATUS, read_run
from recbench.run_config import read_config
from recbench.text import aligned, printable, shortened

logger = logging.getLogger(__name__)

_EPILOG = """\
examples:
  recbench run model=mf model.dim=64 trainer.lr=0.01 seed=1
  recbench run -m model=popularity,mf,neumf seed=0,1,2
  recbench run -m model=mf model.dim=8,16,32 hydra/launcher=joblib
  recbench run -m model=mf model.dim=8,16,32 sweep.retry=failed
  recbench run -m model=mf 'trainer.lr=tag(log,interval(0.01,1))' sweep.budget=20
  recbench run -m model=mf,ease sweep=auto sweep.budget=600s
  recbench run experiment=tuned_comparison model=item_knn,ease,mf
  recbench run experiment=NAME
  recbench run model=mf hydra.run.dir=outputs/mine
  recbench run --resume outputs/mine

The first Ctrl-C (or SIGTERM, or SIGUSR1) ends a run once the step that it is at is done and its state is kept, with all
that hydra/launcher=joblib has running; a second one ends it at once. Such a run, or one that was killed, goes on with
--resume, or in a sweep when the command is typed again, and ends with the same bits as if nothing had happened. A state
is kept every checkpoint_seconds=60; none by checkpoints=none.

A sweep goes on where a job fails, unless sweep.fail_fast=true. Typed again, it leaves alone what failed, unless
sweep.retry=failed. Jobs run at once by hydra/launcher=joblib, submitit_local or submitit_slurm.

interval(), and beside it choice() and range(), are searched by optuna for the best value of the monitored metric on
validation; sweep=auto searches where conf/sweep/MODEL.yaml says. sweep.budget is for each search: trials, or seconds as
in 600s. sweep.prune=median stops hopeless trials; sweep.seeds=[0,1] trains the winner anew on training and validation.

A value with commas is a sweep, one in brackets a list. A text with '=', brackets, commas, quotes or letters beyond
English has quotes of its own: 'dataset.interactions="/data/a=b.csv"'. Hydra's own flags --cfg, --resolve, --package,
--info and --hydra-help do what they do in Hydra.
"""
EXIT_CODES = {"failed": 1, "killed": 1, "unbegun": 1, "mistake": 2, "diverged": 3}
"""Of a job that ended with an error, by its status; the lowest is the worst."""


def main(arguments: Sequence[str]) -> int:
    """Run one experiment or a sweep; return the exit code of the worst that happened.

    Raises:
        ConfigError: The user's mistakes; nothing has run.
        RunError: The chosen folder already holds a run.
    """
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    configure_console(given.quiet)
    plugins.load(given.plugin)
    if given.cfg or given.info or given.hydra_help:
        return _hydras_own(given)
    if given.resume is not None:
        return _resume(given)
    with hydra_session(given.config_dir) as session:
        plan = make_plan(session, given.overrides, multirun=given.multirun, progress=not given.quiet)
        _warn_of_what_has_no_effect(plan)
        if given.dry_run:
            search_report.show(plan.folder, plan.searches) if plan.searches else _show(plan)
            return 0
        if not plan.multirun:
            _refuse_occupied(plan.folder)
        ends = launch(session, plan, given)
    if plan.searches:
        return search_report.summarise(plan.folder, ends)
    if plan.multirun:
        _summarise_sweep(plan, ends)
    else:
        _summarise_run(ends[0])
    return min((EXIT_CODES[end.status] for end in ends if end.error is not None), default=0)


def _parser() -> Parser:
    parser = Parser("run", "Run one experiment, or with -m all combinations of several values.", _EPILOG)
    parser.add_overrides()
    parser.add_argument(
        "--multirun",
        "-m",
        action="store_true",
        help="run a sweep; what is done is skipped, what was interrupted goes on, what failed is left alone unless "
        "sweep.retry=failed",
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder, as it was configured")
    parser.add_argument("--dry-run", action="store_true", help="show the jobs and their folders, and run nothing")
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress, and no lines but warnings")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"), help=argparse.SUPPRESS)
    parser.add_argument("--resolve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--package", "-p", help=argparse.SUPPRESS)
    parser.add_argument(
        "--info",
        "-i",
        nargs="?",
        const="all",
        choices=("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
        help=argparse.SUPPRESS,
    )
    parser.add_argument("--hydra-help", action="store_true", help=argparse.SUPPRESS)
    return parser


def launch(session: Hydra, plan: Plan, given: argparse.Namespace) -> list[JobEnd]:
    """Let Hydra run the jobs of ``plan`` with its launcher, and return how each ended.

    Args:
        session: That the plan was made in.
        plan: From ``make_plan``.
        given: The flags ``plugin``, ``config_dir`` and ``quiet``.

    Raises:
        RunError: The folder cannot be used, or is by another process that searches.
    """
    _make(plan)
    stop = plan.folder.absolute() / f".stop-{secrets.token_hex(4)}" if plan.sweep.fail_fast else None
    task = partial(run_job, quiet=given.quiet, retry=plan.sweep.retry == "failed", stop=stop, parent=os.getpid())
    interrupts = AsksWorkers()
    with (
        plugins.told_to_workers(given.plugin),
        _told_config_dir(given.config_dir),
        interrupts.caught(),
        _begun(plan),
    ):
        try:
            if not plan.multirun:
                return [session.run(CONFIG, task, list(plan.overrides)).return_value]
            try:
                batches = session.multirun(CONFIG, task, list(plan.overrides))
                ends = [job.return_value for batch in batches for job in batch]
            finally:
                interrupts.stop_if_asked()
            if any(end.status == "interrupted" for end in ends):
                raise KeyboardInterrupt
            return ends
        except KeyboardInterrupt:
            again = "typed again, the command goes on" if plan.multirun else _how_to_resume(plan.folder)
            print(f"interrupted; what is done so far is in {plan.folder}; {again}", file=sys.stderr)
            raise
        except Exception as error:  # Other people's launchers may raise anything, as where a worker was killed.
            if not plan.multirun:
                raise
            logger.error("the launcher failed: %s: %s", type(error).__name__, str(error).partition("\n")[0])
            return [end_found(job.folder) for job in plan.jobs]
        finally:
            if stop is not None:
                stop.unlink(missing_ok=True)


def _begun(plan: Plan) -> AbstractContextManager[None]:
    """Let the folder remember what the plan searches for, where it does."""
    if not plan.searches:
        return nullcontext()
    return begun(plan.folder, plan.searches, retry=plan.sweep.retry == "failed")


def _resume(given: argparse.Namespace) -> int:
    """Go on with the run that ``--resume`` names; return the exit code.

    Raises:
        ConfigError: More is given than goes together.
        RunError: There is no run, or it cannot go on.
    """
    folder = Path(given.resume)
    other = [*given.overrides, *["-m"] * given.multirun, *["--dry-run"] * given.dry_run]
    if other:
        raise ConfigError(
            f"--resume {folder}: goes on with the run as it was configured; leave out {' '.join(other)!r}. A sweep "
            "goes on when its command is typed again."
        )
    if read_run(folder)["status"] == "done":
        print(f"{folder}: is done already, there is nothing to resume.", file=sys.stderr)
        _summarise_run(JobEnd(folder, "done"))
        return 0
    resolved = Resolved(resolve(read_config(folder)).config)
    with Interrupts().caught():
        try:
            end = run_in(folder, resolved, progress=not given.quiet, resume=True)
        except KeyboardInterrupt:
            print(f"interrupted; {_how_to_resume(folder)}", file=sys.stderr)
            raise
    _summarise_run(end)
    return EXIT_CODES.get(end.status, 0)


def _how_to_resume(folder: Path) -> str:
    return f"to go on: recbench run --resume {shlex.quote(str(folder))}"


def _hydras_own(given: argparse.Namespace) -> int:
    """Answer Hydra's own flags by Hydra's own command line."""
    with hydra_session(given.config_dir) as session:
        words = hydra_words(session, given.overrides)
    flags = [f"--{name}={value}" for name in ("cfg", "info", "package") if (value := getattr(given, name))]
    flags += ["--resolve"] * given.resolve + ["--hydra-help"] * given.hydra_help + ["--multirun"] * given.multirun
    if given.config_dir is not None:
        flags.append(f"--config-dir={given.config_dir}")
    before = sys.argv
    sys.argv = [before[0], *flags, *words]
    try:
        hydra.main(**VERSION_BASE, config_path=str(conf_dir()), config_name=CONFIG)(run_job)()
    finally:
        sys.argv = before
    return 0


@contextmanager
def _told_config_dir(folder: str | None) -> Iterator[None]:
    """Let the jobs that are started inside know the folder with further files."""
    if folder is None:
        yield
        return
    os.environ[CONFIG_DIR] = folder
    try:
        yield
    finally:
        del os.environ[CONFIG_DIR]


def _refuse_occupied(folder: Path) -> None:
    for name in (RESULT, STATUS):
        if (folder / name).exists():
            raise RunError(f"hydra.run.dir: {folder} already holds a run ({name}); choose another folder.")


def _make(plan: Plan) -> None:
    """Make the folder, which Hydra would do without a word on what to do where it cannot."""
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(plan.folder, os.W_OK) else "it cannot be written to"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        option = "hydra.sweep.dir" if plan.multirun else "hydra.run.dir"
        raise RunError(f"the folder {plan.folder} cannot be used ({reason}); choose another one with {option}=FOLDER.")


def _warn_of_what_has_no_effect(plan: Plan) -> None:
    models: dict[str, list[str]] = {}
    for job in plan.jobs:
        for option in job.resolved.not_applicable:
            models.setdefault(option, []).append(_choices(job)["model"])
    if models:
        options = "; ".join(f"{option} ({', '.join(dict.fromkeys(names))})" for option, names in models.items())
        print(f"warning: without effect on some models of this sweep: {options}", file=sys.stderr)


def _show(plan: Plan) -> None:
    """Print the jobs."""
    n_jobs = len(plan.jobs)
    print(f"{n_jobs} job{'s' if n_jobs != 1 else ''}; nothing is run.")
    first: dict[Path, int] = {}
    for number, job in enumerate(plan.jobs, 1):
        note = ""
        if job.folder in first:
            note = f"  (the same as job {first[job.folder]})"
        elif plan.multirun:
            note = _note(job, retry=plan.sweep.retry == "failed")
        first.setdefault(job.folder, number)
        print(f"job {number} of {n_jobs}: {' '.join(job.overrides)}")
        print(f"  folder  {job.folder}{note}")
        print("  " + "  ".join(f"{key} {value}" for key, value in _choices(job).items()))


def _note(job: Job, *, retry: bool) -> str:
    """Return what an earlier attempt at a job of a sweep means for it."""
    found = standing(job.folder, job.resolved.config, retry=retry)
    then = {"run": ", runs anew", "resume": ", goes on", "leave": ", is left alone without sweep.retry=failed"}
    return "" if found.why is None else f"  ({found.why}{then.get(found.action, '')})"


def _choices(job: Job) -> dict[str, str]:
    """Return the names of the parts, the seed, the device and the threads."""
    plain = job.resolved.config.to_dict()
    chosen = {key: value["name"] for key, value in plain.items() if isinstance(value, dict) and "name" in value}
    return chosen | {key: str(plain[key]) for key in ("seed", "device", "threads") if plain[key] is not None}


def _summarise_run(end: JobEnd) -> None:
    if end.error is not None:
        _say_what_failed(end)
        return
    result = read_json(end.folder / RESULT)
    found: dict[str, dict[str, float]] = result["metrics"]
    if result["config"]["published"] is not None:
        found["published"] = _published(found["test"], result["config"]["published"]["values"])
    parts = [part for part in ("test", "valid", "published") if found.get(part)]
    names = list(dict.fromkeys(name for part in parts for name in found[part]))
    width = max(map(len, names), default=0)
    print(" ".join([" " * width, *(f"{part:>10}" for part in parts)]))
    for name in names:
        print(" ".join([f"{name:{width}}", *(f"{_number(found[part].get(name)):>10}" for part in parts)]))
    print(end.folder)


def _published(test: Mapping[str, float], printed: Mapping[str, str | None]) -> dict[str, float]:
    """Return the published value of each metric that has one, under its name in the results."""
    values = {name: printed.get(name.partition("[")[0]) for name in test}
    return {name: float(value) for name, value in values.items() if value is not None}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"


def _summarise_sweep(plan: Plan, ends: Sequence[JobEnd]) -> None:
    folder = shlex.quote(str(plan.folder))
    hints = [f"in TensorBoard:  recbench board {folder}"]
    if print_comparison([plan.folder]):
        hints.insert(0, f"the same table:  recbench compare {folder}")
    last = {end.folder: end for end in ends}.values()
    bad = [end for end in last if end.error is not None and end.status != "unbegun"]
    counts = Counter(end.status for end in last)
    if bad:
        lines = [(end.status, printable(shortened(_first_line(end))), str(_log(end))) for end in bad]
        print("\n".join(aligned([("status", "error", "log"), *lines], right=())))
    said = [f"{len(bad)} of {len(last)} runs did not end well"] * bool(bad)
    said += [f"{counts['unbegun']} of {len(last)} were not begun"] * bool(counts["unbegun"])
    said += [f"{counts['elsewhere']} of {len(last)} are being run by another process"] * bool(counts["elsewhere"])
    if said:
        print(
            f"{', '.join(said)}. Typed again, the command leaves alone what failed, unless with sweep.retry=failed, "
            "and runs the rest.",
            file=sys.stderr,
        )
    print("\n".join(hints))


def _first_line(end: JobEnd) -> str:
    assert end.error is not None
    return end.error.partition("\n")[0]


def _log(end: JobEnd) -> Path:
    """Return the log of a job, or its folder where there is none; from the working folder where that holds it."""
    path = end.folder / LOG if (end.folder / LOG).exists() else end.folder
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _say_what_failed(end: JobEnd) -> None:
    log = end.folder / LOG
    see = f" (see {log})" if log.exists() else ""
    kind = "" if end.status == "mistake" else f"{end.status}: "
    print(f"error: {kind}{end.error}{see}", file=sys.stderr)
