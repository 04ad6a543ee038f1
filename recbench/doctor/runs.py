"""Whether folders of runs are what was written: whole, of one piece, and about one and the same run."""

from __future__ import annotations

import gzip
import json
import math
import re
import shlex
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recbench.configuration import identity_of
from recbench.data.checksums import RECORD, checked, digest
from recbench.doctor import Finding
from recbench.errors import DataError, RunError
from recbench.files import load_plain, read_json
from recbench.per_user import PER_USER, USERS, read_per_user
from recbench.redaction import REDACTED
from recbench.report import OLD_ATTEMPT, RESULT, STATUS, read_run
from recbench.resuming import RUN
from recbench.run_config import CONFIG, read_config
from recbench.tracking import CURVE

_AGAIN = "Run the experiment again."
_CHECKSUM = ".sha256"
_LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_NOT_THE_SAME = 1e-9
"""Relative difference of a mean, which another order of adding up may move by less."""


def runs(folder: Path) -> list[Finding]:
    """Return what was found in all runs below ``folder``, sorted by path; one ``ok`` for each run with nothing wrong.

    Raises:
        RunError: There is no run.
    """
    found = sorted({path.parent for name in (RESULT, STATUS) for path in folder.rglob(name)})
    old = [run for run in found if OLD_ATTEMPT.search(run.name)]
    if not found:
        raise RunError(
            f"no run below {str(folder)!r}: expected folders that hold a {RESULT}, as 'recbench run' makes them below "
            "outputs."
        )
    findings = [finding for run in found if run not in old for finding in verified(run)]
    if old:
        text = f"left out {len(old)} earlier attempt{'s' if len(old) > 1 else ''} (*.old-N)."
        findings.append(Finding("note", str(folder), text, "Delete what is not wanted any more."))
    return findings


def verified(run: Path) -> list[Finding]:
    """Return what is wrong with one run or worth knowing, or that it is all right."""
    try:
        result = read_run(run)
    except RunError as error:
        return [Finding("wrong", str(run), str(error), _AGAIN)]
    status = result["status"]
    findings = [
        *_status(run, result),
        *_curve(run),
        *_checkpoints(run, result),
        *_exports(run),
        *_left_over(run, status),
    ]
    if status == "done":
        findings += [*_fingerprints(run, result), *_per_user(run, result)]
    if not any(finding.level == "wrong" for finding in findings):
        findings.insert(0, Finding("ok", str(run), status))
    return findings


def _status(run: Path, result: Mapping[str, Any]) -> Iterator[Finding]:
    status = result["status"]
    if status == "dead":
        yield Finding(
            "wrong",
            str(run),
            "says that it is running, and no process holds it: it was killed.",
            f"To go on: recbench run --resume {shlex.quote(str(run))}, or the command of its sweep again.",
        )
    elif status == "running":
        yield Finding("note", str(run), "is running; what it has so far was looked at.")
    elif status == "pruned":
        yield Finding("note", str(run), f"was a trial of a search, and pruned: {result['error']['message']}")
    elif status != "done":
        error = result.get("error") or {}
        why = f": {error['type']}: {error['message']}" if error else ""
        yield Finding("note", str(run), f"did not end well, {status}{why}", "Typed again, its sweep runs it anew.")
    if (run / RESULT).exists() and (run / STATUS).exists():
        try:
            said = read_json(run / STATUS)["status"]
        except RunError as error:
            yield Finding("wrong", str(run / STATUS), str(error), _AGAIN)
            return
        if said != status:
            yield Finding(
                "wrong",
                str(run),
                f"{STATUS} says {said!r} and {RESULT} {status!r}.",
                "One is of another run. " + _AGAIN,
            )


def _fingerprints(run: Path, result: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare what the files of a run say of its configuration, code and data."""
    try:
        values, told = read_config(run), read_json(run / RUN)
    except RunError as error:
        yield Finding("wrong", str(run), str(error), _AGAIN)
        return
    if values != result["config"]:
        differ = sorted(key for key in values.keys() | result["config"] if values.get(key) != result["config"].get(key))
        yield Finding(
            "wrong",
            str(run / CONFIG),
            f"is not what was run: {', '.join(differ)} differ from 'config' in {RESULT}.",
            f"Bring back what {RESULT} has, or run the experiment again.",
        )
    yield from _same(run / RUN, told["fingerprints"], result)
    if REDACTED in json.dumps(result["config"]):
        yield Finding(
            "note", str(run / CONFIG), "has an option left out as a secret; its fingerprint was not recomputed."
        )
        return
    identity = identity_of(result["config"])
    if identity != result["fingerprints"]["config"]:
        yield Finding(
            "wrong",
            str(run / RESULT),
            f"its fingerprint 'config' is {result['fingerprints']['config'][:12]}..., and its configuration has "
            f"{identity[:12]}....",
            f"It was altered. {_AGAIN}",
        )


def _same(path: Path, fingerprints: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the fingerprints in a file with those in the result; what only one of them has is no matter."""
    for name, value in fingerprints.items():
        wanted = result["fingerprints"].get(name, value)
        if value != wanted:
            yield Finding(
                "wrong",
                str(path),
                f"its fingerprint {name!r} is {str(value)[:12]}..., and {RESULT} has {str(wanted)[:12]}....",
                f"They are of different runs. {_AGAIN}",
            )


def _checkpoints(run: Path, result: Mapping[str, Any]) -> Iterator[Finding]:
    """Check every checkpoint against the checksum beside it, and what it says of itself against the result."""
    files = {path.name for path in run.glob("*.pt")} | {
        path.name.removesuffix(_CHECKSUM) for path in run.glob(f"*.pt{_CHECKSUM}")
    }
    for path in (run / name for name in sorted(files)):
        try:
            written = path.with_name(path.name + _CHECKSUM).read_text(encoding="utf-8").splitlines()
            found = digest(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding("wrong", str(path), f"it, or its checksum beside it, cannot be read ({reason}).", _AGAIN)
            continue
        # Between two states of a file, the checksums of both are there.
        if found not in [line.partition(" ")[0] for line in written]:
            wanted = f"{written[0][:12]}..." if written else "nothing"
            text = f"is damaged: its SHA-256 is {found[:12]}..., and {wanted} was written."
            yield Finding("wrong", str(path), text, _AGAIN)
            continue
        try:
            plain = load_plain(path)
        except RunError as error:
            yield Finding(
                "wrong", str(path), str(error).removeprefix(f"{path}: "), "Do not trust the run's other files."
            )
            continue
        if plain.get("model") != result["model"] and isinstance(plain.get("model"), str):
            text = f"holds the model {plain['model']!r}, and the run is of {result['model']!r}."
            yield Finding("wrong", str(path), text, f"It is of another run. {_AGAIN}")
        if "fingerprints" in result:
            yield from _same(path, plain.get("fingerprints") or {}, result)


def _exports(run: Path) -> Iterator[Finding]:
    for record in sorted(run.rglob(RECORD)):
        try:
            checked(record.parent)
        except (DataError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding("wrong", str(record.parent), f"{reason}.", "Delete it, and export the run again.")


def _per_user(run: Path, result: Mapping[str, Any]) -> Iterator[Finding]:
    """Recompute the means over users."""
    path = run / PER_USER
    n_users = result["n_users"]["test"]
    if not path.exists() and not n_users:
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            table = pd.read_csv(file, dtype={"user": str}, index_col=False)
        means = {name: float(table[name].mean()) for name in table.columns if name != "user"}
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        yield Finding("wrong", str(path), f"cannot be read ({' '.join(str(error).split())}).", _AGAIN)
        return
    if len(table) != n_users:
        yield Finding("wrong", str(path), f"has {len(table):,} users, and {RESULT} has {n_users:,}.", _AGAIN)
    for name, mean in means.items():
        value = result["metrics"]["test"].get(name)
        there = math.nan if value is None else float(value)
        if not (
            math.isclose(mean, there, rel_tol=_NOT_THE_SAME, abs_tol=_NOT_THE_SAME) or mean != mean and there != there
        ):
            text = f"the mean of {name} is {mean:.12g}, and {RESULT} has {there:.12g}."
            yield Finding("wrong", str(path), text, f"One of them was altered. {_AGAIN}")
    yield from _users(run)


def _users(run: Path) -> Iterator[Finding]:
    """Check that what is kept of the users is of those who have values; runs of earlier versions keep nothing."""
    path = run / USERS
    if not path.exists():
        return
    try:
        same = read_per_user(path).index.equals(read_per_user(run / PER_USER).index)
    except RunError as error:
        yield Finding("wrong", str(path), str(error).removeprefix(f"{path}: "), _AGAIN)
        return
    if not same:
        yield Finding("wrong", str(path), f"is not of the users of {PER_USER}.", f"One of them was altered. {_AGAIN}")


def _curve(run: Path) -> Iterator[Finding]:
    """Check that each line of the curve is whole and that epochs only grow."""
    path = run / CURVE
    if not path.exists():
        return
    before = -math.inf
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            epoch = json.loads(line)["epoch"]
        except (ValueError, KeyError, TypeError):
            yield Finding("wrong", str(path), f"line {number} is no whole point of the curve.", _AGAIN)
            return
        if not isinstance(epoch, int) or epoch <= before:
            text = f"line {number} has epoch {epoch!r} after {before}; epochs should only grow."
            yield Finding("wrong", str(path), text, _AGAIN)
            return
        before = epoch


def _left_over(run: Path, status: str) -> Iterator[Finding]:
    names = sorted(path.name for path in run.iterdir() if _LEFT_OVER.fullmatch(path.name))
    if names and status != "running":
        yield Finding("note", str(run), f"holds half-written {', '.join(names)}, left by a kill.", "Delete it.")
