"""What is wrong with a user's file, how much of it, and the command that runs it all the same."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from recbench import datasets, splits
from recbench.data import Interactions
from recbench.datasets import Dataset
from recbench.datasets.files import FilesConfig
from recbench.errors import ConfigError, DataError
from recbench.formats import (
    DELIMITERS,
    Column,
    Kind,
    Read,
    read_delimited,
    read_json_lines,
    read_parquet,
    read_user_lists,
)
from recbench.inspection.sniff import Guess, shown, sniff
from recbench.repeat import written
from recbench.text import printable, shortened

_KINDS: Mapping[str, Kind] = {"user": "id", "item": "id", "rating": "number", "timestamp": "whole"}
_MILLISECONDS = 10**11
_SMALL_SECONDS = 10**8
_DAY_SECONDS = 86_400
_SAME = "They are taken for different {kind}s; write them alike where they are the same"
_YEAR_FIRST = r"\s*\d{4}[-/.]"
_LIKE_MISSING = ("na", "n/a", "nan", "null", "none", "nil", "undefined", "unknown", "?", "-", "#n/a")


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about a file.

    Attributes:
        what: A sentence without its full stop.
        n: How often.
        first: The first one, with its line where that is known.
        remedy: The option or step that deals with it, or what can be done.
        options: Those without which the file cannot be run.
    """

    what: str
    n: int
    first: str
    remedy: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        text = f"{self.n:,} x {self.what}" if self.n else self.what
        if self.first:
            text += f"; first: {self.first}"
        return printable(f"{text}. {self.remedy}")


@dataclass(frozen=True)
class Report:
    """What was found in a file.

    Attributes:
        path: The file.
        facts: How it is written.
        findings: What is odd about it, in the order in which a run would meet it.
        options: What ``recbench run dataset=files`` has to be told.
        outcome: What is read with these options; None where nothing can be.
        error: Why nothing can be read.
        conversion: Commands that write the file anew with dates as seconds and check that; none where not needed, or
            where the dates can be read in two ways.
    """

    path: str
    facts: Mapping[str, str]
    findings: tuple[Finding, ...]
    options: Mapping[str, Any]
    outcome: str | None = None
    error: str | None = None
    conversion: tuple[str, ...] = ()
    split: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs_as_it_is(self) -> bool:
        """Whether nothing but the name of the file has to be given."""
        return self.outcome is not None and not self.options and not self.split

    @property
    def command(self) -> str:
        """The command that runs the file, quoted for the shell."""
        groups = {"dataset": {"interactions": self.path, **self.options}, "split": self.split}
        words = [f"{group}.{key}={written(value)}" for group, given in groups.items() for key, value in given.items()]
        return shlex.join(["recbench", "run", "dataset=files", *words])

    def __str__(self) -> str:
        width = max(map(len, self.facts), default=0)
        lines = [printable(self.path), *(f"  {key:{width}}  {printable(value)}" for key, value in self.facts.items())]
        must = [finding for finding in self.findings if finding.options]
        notes = [finding for finding in self.findings if not finding.options]
        for title, findings in (("must be dealt with", must), ("good to know", notes)):
            if findings:
                lines += ["", f"{title}:", *(f"  - {finding}" for finding in findings)]
        if self.outcome is None:
            lines += ["", "it cannot be run as it is:", f"  {self.error}"]
        else:
            how = "it runs as it is:" if self.runs_as_it_is else "this runs it:"
            lines += ["", f"{how} {self.outcome}", f"  {self.command}"]
        if self.conversion:
            lines += ["", "to have the dates as times, write them as seconds to another file, and look at that:"]
            lines += [f"  {command}" for command in self.conversion]
        return "\n".join(lines)


def check(path: str, known: Mapping[str, Any]) -> Report:
    """Return what is wrong with a file, how to fix it, and the command that runs it.

    Args:
        path: As ``dataset.interactions`` takes it.
        known: Options of ``FilesConfig`` that the user is sure of.

    Raises:
        ConfigError: One of them is none, or has a wrong value.
        DataError: The file is not there, is empty, or is damaged.
    """
    _config(path, {"format": "csv", **known})
    guess = sniff(path, known)
    options, findings = dict(guess.options), _about_the_layout(guess, known)
    if guess.dates:
        # What is no number is not read; under the usual name it is, and the run would say so.
        options.pop("timestamp", None)
    for role in ("user", "item"):
        if guess.places and role not in guess.places:
            why = f"no column can be the {role}: the file has the columns {guess.facts['columns']}."
            return Report(path, guess.facts, tuple(findings), options, error=why)
    try:
        read = _read(path, guess, options)
    except (ConfigError, DataError) as fault:
        return Report(path, guess.facts, tuple(findings), options, error=str(fault))
    findings += [*_bad_rows(read), *_about_the_rows(read, guess, _config(path, options).tolerates)]
    options |= _needed(findings, known)
    facts = {**guess.facts, "rows": f"{read.n_rows:,}"}
    told = Report(path, facts, tuple(findings), options, conversion=_conversion(path, guess, read))
    if guess.dates and "timestamp" not in guess.options:
        return replace(told, error="the timestamps are dates, in the place where whole seconds since 1970 are read.")
    return _tried(told)


def _config(path: str, options: Mapping[str, Any]) -> FilesConfig:
    entry = datasets.registry.entry("files")
    config = entry.configure({"interactions": path, **options})
    assert isinstance(config, FilesConfig)
    return config


def _tried(report: Report) -> Report:
    """Return the report with what a run would read, or why there can be none."""
    try:
        interactions = _loaded(report.path, report.options)
        scope = _scope(interactions)
    except (ConfigError, DataError) as fault:
        return replace(report, error=str(fault))
    outcome = (
        f"{len(interactions):,} interactions of {interactions.n_users:,} users and {interactions.n_items:,} items."
    )
    if scope == "user":
        return replace(report, outcome=outcome)
    few = Finding(
        "users have too few interactions to share them out between training, validation and test",
        0,
        "",
        "Share out all interactions together by split.scope=global",
        {"scope": "global"},
    )
    return replace(report, outcome=outcome, findings=(*report.findings, few), split={"scope": "global"})


def _needed(findings: Sequence[Finding], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of all findings together; missing values are one step, in front of the user's own."""
    options: dict[str, Any] = {}
    missing: dict[str, Any] = {}
    for finding in findings:
        for step in finding.options.get("clean", ()):
            missing |= step
        options |= {key: value for key, value in finding.options.items() if key != "clean"}
    if missing:
        options["clean"] = [missing, *known.get("clean", ())]
    return options


def _loaded(path: str, options: Mapping[str, Any]) -> Interactions:
    dataset: Dataset = datasets.registry.make(_config(path, options))
    return dataset.load()


def _scope(interactions: Interactions) -> str:
    """Return the scope in which the usual split gives each part something.

    Raises:
        ConfigError: There is none.
    """
    try:
        splits.build("random").apply(interactions)
    except ConfigError:
        splits.build("random", scope="global").apply(interactions)
        return "global"
    return "user"


def _read(path: str, guess: Guess, options: Mapping[str, Any]) -> Read:
    """Return the rows that can be used, and the counts and first examples of those that cannot."""
    config = _config(path, options)
    chosen = config.format_of(path)
    if chosen == "user_lists":
        return read_user_lists(path, encoding=config.encoding, bad_rows="drop", numbered=True)
    columns = [
        Column(
            role,
            guess.places.get(role, role),
            "text" if role == "timestamp" and guess.dates else kind,
            optional=kind != "id",
            may_be_missing=kind != "id",
        )
        for role, kind in _KINDS.items()
        if role in guess.places or not guess.places
    ]
    if chosen == "jsonl":
        return read_json_lines(path, columns, encoding=config.encoding, bad_rows="drop", numbered=True)
    if chosen == "parquet":
        return read_parquet(path, columns, bad_rows="drop", numbered=True)
    return read_delimited(path, columns, config.layout(path), bad_rows="drop", numbered=True)


def _conversion(path: str, guess: Guess, read: Read) -> tuple[str, ...]:
    """Return the commands that write dates as seconds, for a plain file with a header."""
    column = guess.places.get("timestamp")
    delimiter = DELIMITERS.get(guess.facts.get("delimiter", ""), guess.facts.get("delimiter", ""))
    plain = Path(path).is_file() and Path(path).suffix.lower() not in (".gz", ".zip")
    if not (guess.dates and isinstance(column, str) and len(delimiter) == 1 and plain):
        return ()
    if not read.frame["timestamp"].dropna().str.match(_YEAR_FIRST).all():
        return ()
    target = str(Path(path).with_suffix(".seconds.csv"))
    source, encoding, between, name = map(json.dumps, (path, guess.facts["encoding"], delimiter, column))
    code = (
        f"import pandas; table = pandas.read_csv({source}, sep={between}, encoding={encoding}, dtype=str, "
        f'keep_default_na=False); dates = pandas.to_datetime(table[{name}], utc=True, format="mixed"); '
        f'table[{name}] = dates.dt.as_unit("s").astype("int64"); table.to_csv({json.dumps(target)}, index=False)'
    )
    return shlex.join(["python", "-c", code]), shlex.join(["recbench", "data", "check", target])


def _about_the_layout(guess: Guess, known: Mapping[str, Any]) -> list[Finding]:
    """Return a finding for each option that tells how the file is written."""
    sentences = {
        "format": "the name of the file does not tell its format",
        "delimiter": f"the name of the file does not tell that the delimiter is {guess.facts.get('delimiter')}",
        "header": "the first line is data, and names no columns",
        "encoding": "the text is not UTF-8",
    }
    found = []
    for key, value in guess.options.items():
        if key not in known and not (key == "timestamp" and guess.dates):
            sentence = sentences.get(key, f"the {key} is in the column {shown(value)}")
            if (key, value) == ("header", True):
                sentence = "the first line names the columns, which such files usually do not have"
            found.append(Finding(sentence, 0, "", f"Set dataset.{key}={written(value)}", {key: value}))
    return found


def _bad_rows(read: Read) -> Iterator[Finding]:
    """Yield a finding for each reason for which the reader refuses rows."""
    for reason, example in read.examples.items():
        remedy = "Correct them, or leave them out by dataset.bad_rows=drop"
        if re.search(r"'[-+]?\d+,\d+'", example):
            remedy = "Write decimals with a point, or leave the rows out by dataset.bad_rows=drop"
        yield Finding(reason, read.dropped[reason], example.rstrip("."), remedy, {"bad_rows": "drop"})


def _about_the_rows(read: Read, guess: Guess, tolerated: Collection[str]) -> Iterator[Finding]:
    """Yield what is odd about rows that can be read; ``tolerated`` are the columns whose missing values are seen to."""
    frame = read.frame
    rows = _Rows(read)
    for name in ("rating", "timestamp"):
        if name in frame.columns and name not in tolerated and not guess.dates and frame[name].isna().any():
            step = {"step": "missing", name: "drop"}
            yield rows.finding(
                f"{name} is missing",
                frame[name].isna(),
                f"Leave them out by the step {shlex.quote(f'dataset.clean=[{written(step)}]')}",
                {"clean": [step]},
            )
    repeated = frame.duplicated(["user", "item"])
    if repeated.any():
        yield rows.finding(
            "rows whose user and item occurred before",
            repeated,
            "By default the last one counts; dataset.duplicates=first, sum or error decides otherwise",
        )
    if "timestamp" in frame.columns:
        yield from _about_the_times(rows, frame["timestamp"])
    for kind in ("user", "item"):
        yield from _about_the_ids(rows, frame[kind])


class _Rows:
    """Rows that were read, and their lines in the file."""

    def __init__(self, read: Read) -> None:
        self.read = read

    def finding(
        self,
        what: str,
        marked: pd.Series | np.ndarray,
        remedy: str,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> Finding:
        """Return a finding about the rows that are ``marked``, (N,) bool, with the first of them."""
        flags = np.asarray(marked, dtype=bool)
        row = int(np.argmax(flags))
        values = ", ".join(
            f"{name} {'' if pd.isna(value) else shortened(str(value))!r}"
            for name, value in self.read.frame.iloc[row].items()
        )
        return Finding(what, int(flags.sum()), f"{self.read.where(row)}: {values}", remedy, options)

    def first(self, kind: str, code: int) -> str:
        """Return a user or an item by its code, with the first line that it is in."""
        column = self.read.frame[kind]
        row = int(np.argmax(column.cat.codes.to_numpy() == code))
        return f"{self.read.where(row)}: {shortened(str(column.cat.categories[code]))!r}"


def _about_the_times(rows: _Rows, column: pd.Series) -> Iterator[Finding]:
    if column.dtype == object:
        yield rows.finding(
            "timestamps are dates, and should be whole seconds since 1970",
            np.ones(len(column), dtype=bool),
            "They are no times as they are",
        )
        return
    known = column.notna().to_numpy()
    values = column.fillna(0).to_numpy(dtype=np.int64)
    milliseconds = values > _MILLISECONDS
    divide = "Divide them by 1000: dates and time windows are wrong otherwise"
    if milliseconds[known].all() and known.any():
        yield rows.finding("timestamps are in milliseconds, and should be seconds", milliseconds, divide)
        return
    if milliseconds.any():
        yield rows.finding(
            "timestamps are in milliseconds, and the others in seconds", milliseconds, f"{divide}, and the order too"
        )
    small = known & (values >= 0) & (values < _SMALL_SECONDS)
    if small.sum() > known.sum() / 2:
        yield rows.finding(
            "timestamps lie before 1973: they may be ranks, days or years, and no seconds",
            small,
            "Only their order counts then; dates and time windows mean nothing",
        )
    future = ~milliseconds & (values > time.time() + _DAY_SECONDS)
    if future.any():
        yield rows.finding("timestamps are in the future", future, "Correct them where a split goes by time")
    negative = values < 0
    if negative.any():
        yield rows.finding("timestamps are negative: before 1970", negative, "Correct them where a split goes by time")


def _about_the_ids(rows: _Rows, column: pd.Series) -> Iterator[Finding]:
    """Yield what is odd about the ids of users, or of items."""
    kind = str(column.name)
    ids, codes = column.cat.categories.to_numpy(dtype=object), column.cat.codes.to_numpy()
    plain = pd.Series(ids, dtype=object).str.strip().str.casefold()
    like_missing = plain.isin(_LIKE_MISSING).to_numpy()
    if like_missing.any():
        yield rows.finding(
            f"rows whose {kind} looks like a missing value",
            like_missing[codes],
            f"It is taken for the {kind} of that name; delete the rows where there is none",
        )
    number = plain.str.extract(r"^\+?0*(\d+)(?:\.0*)?$", expand=False)
    for what, normal in (
        ("differ from others by spaces or case alone", plain),
        ("are the same number as others", number),
    ):
        again = (normal.duplicated() & normal.notna()).to_numpy()
        if again.any():
            second = int(np.argmax(again))
            one = int(np.argmax((normal == normal.iloc[second]).to_numpy()))
            first = " and ".join(rows.first(kind, code) for code in (one, second))
            yield Finding(f"{kind}s {what}", int(again.sum()), first, _SAME.format(kind=kind), {})
    single = np.bincount(codes, minlength=len(ids)) == 1
    if single.any():
        step = "{step:min_counts," + f"{kind}s:2" + "}"
        yield Finding(
            f"{kind}s have one interaction",
            int(single.sum()),
            rows.first(kind, int(np.argmax(single))),
            f"Little can be learnt of them; 'dataset.clean=[{step}]' leaves them out",
            {},
        )
