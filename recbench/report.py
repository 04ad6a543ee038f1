"""The folder of one run: what is in it, in which order it is written, and how it is read back.

``status.json`` says that the run is running, ``config.yaml`` and ``run.json`` how to repeat it, ``metrics.jsonl``
and the TensorBoard events grow with it, ``run.log`` tells its story. While it trains, ``last.pt``, ``previous.pt`` and
``best.pt`` have what resuming needs (see ``recbench.checkpoints``). At the end come ``per_user.csv.gz`` and
``users.csv.gz`` (see ``recbench.per_user``), ``checkpoint.pt`` and, last and whole, ``result.json``: where it is, the
run has ended as its ``status`` says.
"""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from recbench.checkpoints import Checkpoints, FolderCheckpoints, Found, read_state, remove_states
from recbench.configuration import ExperimentConfig
from recbench.data import Split
from recbench.environment import environment
from recbench.errors import DivergedError, PrunedError, RunError
from recbench.evaluation import METRIC_DEFINITIONS_VERSION, Report
from recbench.files import (
    SCHEMA_VERSION,
    read_json,
    remove_leftovers,
    save_checkpoint,
    write_json,
    write_yaml,
)
from recbench.interrupts import Interrupts
from recbench.logs import ROOT, RunFormatter, name_the_run, run_name
from recbench.per_user import write_per_user
from recbench.redaction import redacted, redacted_text
from recbench.repeat import command_line
from recbench.resources import peak_memory_bytes
from recbench.resuming import (
    RUN,
    circumstances,
    difference,
    fingerprints_of_data,
    other_circumstances,
    refuse,
)
from recbench.run_config import CONFIG
from recbench.text import markdown_cell
from recbench.tracking import CURVE, Tracker
from recbench.trainers import EpochRecord

if TYPE_CHECKING:
    from recbench.experiment import Outcome, Prepared

logger = logging.getLogger(__name__)

RESULT, STATUS = "result.json", "status.json"
LOG, _LOCK = "run.log", ".lock"

OLD_ATTEMPT = re.compile(r"\.old-\d+$")
"""How the name of a folder ends whose run did not end well and was run anew elsewhere."""

TIES_WORTH_A_WARNING = 0.01
"""Share of users whose list is cut between equal scores above which the run says so."""

_PARTS = ("test", "valid")
NOTHING_KNOWN: dict[str, Any] = {
    "metrics": {"test": {}, "valid": {}},
    "n_users": {"test": 0, "valid": 0},
    "n_users_without_target": {},
    "tie_rate": {},
    "user_block": {},
    "item_block": {},
    "seconds": {"fit": None, "evaluate": None},
    "data": {"verified": None, "steps": []},
    "leaks": None,
    "candidates": None,
    "fingerprints": {"data": None, "features": None, "split": None, "candidates": None},
    "selection": None,
    "best_epoch": None,
    "epochs": None,
}


class RunFolder:
    """Keeps one run; a context manager around all of it, so that its end is recorded however it comes."""

    def __init__(
        self,
        folder: Path,
        config: ExperimentConfig,
        device: torch.device,
        not_applicable: tuple[str, ...] = (),
        *,
        resume: bool = False,
    ) -> None:
        """Remember what is to be recorded; nothing is written before the context is entered.

        Args:
            folder: Made where it is missing.
            config: The experiment.
            device: Where it computes.
            not_applicable: Options that were given and have no effect.
            resume: Whether to go on with the run that the folder holds; nothing of it is changed before ``begin``.
        """
        self.folder = folder
        self.config = config
        self._device = device
        self._not_applicable = not_applicable
        self._resume = resume
        self._resumed: list[str] = []
        self._found: Found | None = None
        self._interrupts = Interrupts()
        self._tracker: Tracker | None = None
        self._ended = False

    def __enter__(self) -> RunFolder:
        """Take the folder.

        Raises:
            RunError: It cannot be made, or holds another run; or the one to go on with is going on or done, was begun
                with other options, code or threads or on another device, or is damaged.
        """
        self._begun = time.perf_counter()
        self._started = _now()
        self._repeat = redacted_text(command_line(self.config))
        self._circumstances = circumstances(
            self.config, torch.get_num_threads(), str(self._device), self.config.backend(self._device)
        )
        self._fingerprints = {name: self._circumstances[name] for name in ("config", "code")}
        with ExitStack() as undo:
            undo.enter_context(self._interrupts.caught())
            self._occupy(undo)
            if self._resume:
                self._look_at_what_was_left()
            self._attach_log(undo)
            if not self._resume:
                self._open()
            self._undo = undo.pop_all()
        return self

    def begin(self, prepared: Prepared) -> Checkpoints:
        """Return where training finds and keeps its states, now that the data is known.

        Raises:
            RunError: The run to go on with was begun with other data; it stays as it was.
        """
        data = fingerprints_of_data(prepared)
        if self._found is not None:
            refuse(self.folder, difference(self._found.fingerprints, self._circumstances | data))
        if self._resume:
            self._open()
        if self.config.settings.checkpoints == "none":
            return Checkpoints()
        seconds = self.config.settings.checkpoint_seconds
        return FolderCheckpoints(self.folder, seconds, self._circumstances | data, self._interrupts, self._found)

    def _look_at_what_was_left(self) -> None:
        """Read what an earlier attempt left in the folder.

        Raises:
            RunError: See ``__enter__``.
        """
        refuse(self.folder, other_circumstances(self.folder, self.config, self._circumstances))
        before = read_run(self.folder)
        if before["status"] in ("done", "diverged", "pruned"):
            raise RunError(f"the run {self.folder} is {before['status']!r}: there is nothing to go on with.")
        self._found = read_state(self.folder)
        run = read_json(self.folder / RUN)
        self._started = run["started"]
        self._resumed = [*run["resumed"], _now()]
        self._not_applicable = self._not_applicable or tuple(run["not_applicable"])

    def _open(self) -> None:
        """Begin to write."""
        write_json(self.folder / STATUS, {**self._head("running"), "started": self._started})
        curve: tuple[EpochRecord, ...] = ()
        if self._resume:
            (self.folder / RESULT).unlink(missing_ok=True)
            remove_leftovers(self.folder)
            if self._found is None:
                logger.warning("no state of the training was kept: it starts anew")
            else:
                curve = self._found.state.curve
                self._begun -= self._found.state.seconds
                logger.info("goes on after epoch %d", len(curve))
        else:
            write_yaml(self.folder / CONFIG, redacted(self.config.to_dict()))
            logger.info("started")
        write_json(self.folder / RUN, redacted(self._run()))
        self._tracker = Tracker(self.folder, self.config, self._card(), curve)
        logger.debug("repeat with: %s", self._repeat)

    def epoch(self, record: EpochRecord) -> None:
        """Add one point to the curve."""
        assert self._tracker is not None
        self._tracker.epoch(record)
        monitor = getattr(self.config.trainer, "monitor", None)
        shown = [
            f"{name}={value:.4g}"
            for name, value in record.values.items()
            if "/" not in name or name.partition("/")[2].partition("[")[0] == monitor
        ]
        logger.debug("epoch %d %s", record.epoch, " ".join(shown))

    def finish(self, outcome: Outcome) -> None:
        """Keep the outcome; ``result.json`` last.

        Raises:
            RunError: A file cannot be written.
        """
        for part, report in outcome.reports.items():
            _warn_of_ties(part, report)
        if "test" in outcome.reports:
            write_per_user(self.folder, outcome.reports["test"], outcome.split.train)
        if self.config.settings.checkpoints != "none":
            name = self._head("done")["model"]
            save_checkpoint(self.folder, name, outcome.model.state_dict(), outcome.split.train, outcome.fit.best_epoch)
        assert self._tracker is not None
        self._tracker.finish(outcome)
        self._tracker.close("done")
        logger.info("done: %s", self.folder)
        self._end("done", self._result(outcome))
        if self.config.settings.checkpoints != "last":
            remove_states(self.folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Record what went wrong, if anything did, and leave the folder."""
        with self._undo:
            if error is not None and self._tracker is not None and not self._ended:
                if isinstance(error, PrunedError):
                    logger.info("pruned: %s", error)
                    remove_states(self.folder)
                else:
                    self._log_traceback(error)
                # On a full disk the one may fail and the other succeed.
                for record in (
                    partial(self._tracker.close, _status_of(error)),
                    partial(self._end, _status_of(error), {"error": _described(error)}),
                ):
                    try:
                        record()
                    except (OSError, RunError) as second:
                        error.add_note(f"This could not be recorded: {second}")

    def _occupy(self, undo: ExitStack) -> None:
        """Make the folder and lock it; ``undo`` unlocks it."""
        elsewhere = "choose another one (hydra.run.dir=FOLDER)."
        try:
            if not self._resume:
                self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK)
            lock.acquire(blocking=False)
        except Timeout:
            if self._resume:
                raise RunError(f"the run {self.folder} is going on, in another process.") from None
            raise RunError(f"the folder {self.folder} is in use by a run that is going on; {elsewhere}") from None
        except OSError as error:
            if self._resume:
                raise RunError(f"the run {self.folder} cannot be resumed ({error.strerror}).") from None
            raise RunError(f"the folder {self.folder} cannot be used ({error.strerror}); {elsewhere}") from None
        undo.callback(lock.release)
        if self._resume:
            return
        for name in (RESULT, STATUS, CONFIG, CURVE):
            if (self.folder / name).exists():
                raise RunError(f"the folder {self.folder} already holds a run ({name}); {elsewhere}")

    def _attach_log(self, undo: ExitStack) -> None:
        """Let recbench's lines, which name this run from now on, go to the run's log too."""
        token = run_name.set(self.folder.name)
        undo.callback(run_name.reset, token)
        self._log = logging.FileHandler(self.folder / LOG, encoding="utf-8")
        undo.callback(self._log.close)
        self._log.setFormatter(RunFormatter())
        self._log.addFilter(name_the_run)
        ROOT.addHandler(self._log)
        undo.callback(ROOT.removeHandler, self._log)
        undo.callback(ROOT.setLevel, ROOT.level)
        ROOT.setLevel(logging.DEBUG)

    def _log_traceback(self, error: BaseException) -> None:
        """Put the traceback into the log alone; what people see of an error is the caller's to say."""
        trace = (type(error), error, error.__traceback__)
        record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "%s", (_status_of(error),), trace)
        self._log.handle(record)

    def _head(self, status: str) -> dict[str, Any]:
        """Return what every file about the run begins with."""
        plain = self.config.to_dict()
        return {
            "schema_version": SCHEMA_VERSION,
            "status": status,
            **{name: plain[name]["name"] for name in ("model", "dataset", "split")},
            "seed": self.config.seed,
            "label": redacted(self.config.settings.label),
        }

    def _run(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "repeat": self._repeat,
            "started": self._started,
            "resumed": self._resumed,
            "not_applicable": list(self._not_applicable),
            **environment(),
            "threads": torch.get_num_threads(),
            "device": str(self._device),
            "backend": self.config.backend(self._device),
            "fingerprints": self._fingerprints,
        }

    def _card(self) -> str:
        """Return the run's options as a table in Markdown."""
        lines = [f"    {self._repeat}", "", "| option | value |", "|---|---|"]
        for name, value in redacted(self.config.to_dict()).items():
            for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
                option = f"{name}.{key}" if key else name
                lines.append(f"| {option} | {markdown_cell(str(inner))} |")
        return "\n".join(lines)

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        """Return the part of ``result.json`` that only a run which is done has."""
        reports, split, candidates = outcome.reports, outcome.split, outcome.prepared.candidates
        leaks = outcome.prepared.leaks
        return {
            "metrics": {part: dict(reports[part].values) if part in reports else {} for part in _PARTS},
            "n_users": {part: len(reports[part].users) if part in reports else 0 for part in _PARTS},
            "n_users_without_target": {part: report.n_without_target for part, report in reports.items()},
            "tie_rate": {part: dict(report.tie_rate) for part, report in reports.items()},
            "user_block": {part: report.ranking.user_block for part, report in reports.items()},
            "item_block": {part: report.ranking.item_block for part, report in reports.items()},
            "seconds": {
                "fit": outcome.fit.seconds,
                "evaluate": sum(report.seconds for report in reports.values()),
            },
            "peak_memory_bytes": outcome.peak_memory_bytes,
            "data": {
                "verified": outcome.prepared.verified,
                "steps": [stage.to_dict() for stage in split.train.provenance],
            },
            "leaks": None if leaks is None else leaks.to_dict(),
            "candidates": {
                "kind": self.config.evaluation.candidates,
                **{part: found.counts for part, found in candidates.items()},
            },
            "fingerprints": fingerprints_of_data(outcome.prepared),
            "selection": _selection(self.config, split),
            "best_epoch": outcome.fit.best_epoch,
            "epochs": len(outcome.fit.curve),
        }

    def _end(self, status: str, known: dict[str, Any]) -> None:
        """Write the final status and all that is ``known``; what is not has an empty value of its kind."""
        total = time.perf_counter() - self._begun
        result = {
            **self._head(status),
            "error": None,
            **NOTHING_KNOWN,
            "peak_memory_bytes": peak_memory_bytes(self._device),
            **known,
            "metric_definitions_version": METRIC_DEFINITIONS_VERSION,
            "not_applicable": list(self._not_applicable),
            "threads": torch.get_num_threads(),
            "device": str(self._device),
            "backend": self.config.backend(self._device),
            "started": self._started,
            "resumed": len(self._resumed),
            "ended": _now(),
            "tuning": self.config.to_dict()["tuning"],
            "config": self.config.to_dict(),
        }
        result["seconds"] = {**result["seconds"], "total": total}
        result["fingerprints"] = {**result["fingerprints"], **self._fingerprints}
        write_json(self.folder / STATUS, {**self._head(status), "started": self._started})
        write_json(self.folder / RESULT, redacted(result))
        self._ended = True


def read_run(folder: Path) -> dict[str, Any]:
    """Return the result of the run in ``folder``, with the folder's path as ``folder``.

    Of a run without a result there is what ``status.json`` says, its status ``running`` or, where nobody holds the
    folder any more, ``dead``.

    Raises:
        RunError: There is no run, or what is there cannot be read.
    """
    if (folder / RESULT).exists():
        return {**read_json(folder / RESULT), "folder": str(folder)}
    status = "running" if _is_held(folder) else "dead"
    return {**read_json(folder / STATUS), "status": status, "folder": str(folder)}


def _is_held(folder: Path) -> bool:
    """Return whether a process holds the folder; of folders that cannot be written to that is believed."""
    try:
        with FileLock(folder / _LOCK, blocking=False):
            return False
    except (Timeout, OSError):
        return True


def _status_of(error: BaseException) -> str:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, PrunedError):
        return "pruned"
    return "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"


def _described(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error).partition("\n")[0]}


def _selection(config: ExperimentConfig, split: Split) -> str | None:
    """Return by which part the epoch was chosen, or ``last``; None for models that have no epochs."""
    chosen: str | None = getattr(config.trainer, "selection", None)
    if chosen == "auto":
        return "last" if split.valid is None else "valid"
    return chosen


def _warn_of_ties(part: str, report: Report) -> None:
    """Say, in one line, at which cuts many lists end between equal scores."""
    many = {cut: share for cut, share in report.tie_rate.items() if share > TIES_WORTH_A_WARNING}
    if many:
        shares = ", ".join(f"{cut} for {100 * share:.1f} %" for cut, share in many.items())
        logger.warning("%s: lists are cut between equal scores, and so by lot, %s of the users.", part, shares)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
