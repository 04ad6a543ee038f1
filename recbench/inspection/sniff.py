"""How a file of ratings is probably written: its encoding, format, delimiter, header, and which columns are what."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recbench.datasets.files import FilesConfig
from recbench.formats import DELIMITERS, LAYOUTS, format_of, sample_parquet
from recbench.formats.source import blocks
from recbench.text import shortened

ROLES = ("user", "item", "rating", "timestamp")

_SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 2_000
_AS_GOOD = 0.02
_MOST_RATING_VALUES = 101
_USUAL_RATING = 10
_EARLIEST_SECONDS = 1e8
_IN_ORDER = ("::", "\t", ";", "|", ",", " ")
_NAMES = {
    "user": "user userid uid useridx customer customerid client clientid member memberid reviewer reviewerid person "
    "personid account accountid visitor visitorid session sessionid buyer buyerid reader readerid",
    "item": "item itemid iid itemidx product productid movie movieid film filmid book bookid isbn asin article "
    "articleid song songid track trackid artist artistid business businessid sku game gameid show showid",
    "rating": "rating ratings score scores stars star overall value vote grade mark preference count plays",
    "timestamp": "timestamp time ts date datetime unixreviewtime unixtime ratedat createdat eventtime day epoch "
    "seconds milliseconds when",
}
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([ T]\d.*)?")
_TYPED = re.compile(r"[^:]+:(token|float|token_seq|float_seq)")


@dataclass(frozen=True)
class Guess:
    """How a file is probably written.

    Attributes:
        options: The ``dataset.*`` that are not as they would be taken by default.
        facts: What was recognised, for people.
        places: The column of each role that was found: its name in the header, or its position from 0.
        dates: Whether the timestamps are written as dates.
    """

    options: Mapping[str, Any]
    facts: Mapping[str, str]
    places: Mapping[str, str | int] = field(default_factory=dict)
    dates: bool = False


def shown(place: str | int) -> str:
    """Return the name or position of a column as people read it."""
    return repr(place if isinstance(place, int) else shortened(place))


def sniff(path: str, known: Mapping[str, Any]) -> Guess:
    """Return how the file is probably written.

    Args:
        path: As ``dataset.interactions`` takes it.
        known: Options of ``FilesConfig`` that the user is sure of; they are taken as they are.

    Raises:
        DataError: The file cannot be read.
    """
    start = next(blocks(Path(path), progress=False), b"")
    if _format(path, known, start) == "parquet":
        table = sample_parquet(path, _SAMPLE_LINES)
        places = _places(table, known)
        facts = {"format": "Parquet", **_roles(table, places)}
        return Guess(_differing(path, known, {"format": "parquet", **places}), facts, places)
    encoding = _encoding(path, known)
    sample = codecs.getincrementaldecoder(encoding)(errors="replace").decode(start[:_SAMPLE_BYTES])
    lines = sample.removeprefix("\ufeff").splitlines()[:_SAMPLE_LINES]
    if len(start) > _SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    chosen = _format(path, known, start) or "delimited"
    facts = {"encoding": encoding}
    if chosen == "jsonl":
        facts["format"] = "JSON lines"
        table = _objects(lines)
        guess: dict[str, Any] = {"format": "jsonl"}
    elif chosen == "user_lists" or (chosen == "delimited" and "delimiter" not in known and _are_user_lists(lines)):
        facts["format"] = "user lists: a user and all its items a line"
        options = _differing(path, known, {"format": "user_lists", "encoding": encoding})
        return Guess(options, facts)
    else:
        delimiter = _delimiter(lines, known)
        rows = _split(lines, delimiter)
        typed = bool(rows) and all(_TYPED.fullmatch(name) for name in rows[0])
        header = known.get("header", typed or _has_header(rows))
        facts["delimiter"] = _named(delimiter)
        facts["header"] = "yes" if header else "no"
        table = _columns(rows, header=header, typed=typed)
        guess = {"delimiter": delimiter, "header": header}
        if typed and chosen != "recbole":
            guess["format"] = "recbole"
    places = _places(table, known)
    facts |= _roles(table, places)
    dates = "timestamp" in places and _are_dates(table[places["timestamp"]])
    return Guess(_differing(path, known, {**guess, "encoding": encoding, **places}), facts, places, dates)


def _roles(table: pd.DataFrame, places: Mapping[str, str | int]) -> dict[str, str]:
    """Return the columns of a file, and which of them has which role, for people."""
    columns = ", ".join(shortened(str(name)) for name in table.columns)
    return {"columns": columns} | {role: f"column {shown(places[role])}" for role in ROLES if role in places}


def _format(path: str, known: Mapping[str, Any], start: bytes) -> str | None:
    """Return the name of the format where the options, the content or the file's name tell it."""
    if known.get("format", "auto") != "auto":
        return str(known["format"])
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.lstrip(b"\xef\xbb\xbf \n\r").startswith(b"{"):
        return "jsonl"
    named = format_of(path)
    return named if named not in ("jsonl", "parquet") else None


def _encoding(path: str, known: Mapping[str, Any]) -> str:
    """Return the encoding of the whole file."""
    if "encoding" in known:
        return str(known["encoding"])
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
    start = b""
    for block in blocks(Path(path), progress=False):
        start = start or block
        for name, decoder in list(decoders.items()):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                del decoders[name]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Of cp1252 and latin-1 only the first has letters where the second has control characters.
    return next(iter(decoders), "latin-1")


def _delimiter(lines: Sequence[str], known: Mapping[str, Any]) -> str:
    """Return the delimiter that splits most lines into the same number of fields."""
    if known.get("delimiter") is not None:
        return DELIMITERS.get(known["delimiter"], str(known["delimiter"]))
    bare = [re.sub('"[^"]*"', "", line) for line in lines if line.strip()]
    shares = {}
    for delimiter in _IN_ORDER:
        counts = Counter(line.count(delimiter) for line in bare)
        n_delimiters, n_lines = counts.most_common(1)[0] if counts else (0, 0)
        shares[delimiter] = n_lines / len(bare) if n_delimiters else 0.0
    best = max(shares.values())
    return next(delimiter for delimiter, share in shares.items() if share >= best - _AS_GOOD) if best else ","


def _are_user_lists(lines: Sequence[str]) -> bool:
    """Return whether lines are whole numbers between spaces, and not equally many."""
    words = [line.split(" ") for line in lines]
    numbers = all(word.isdigit() for row in words for word in row)
    return numbers and max(map(len, words), default=0) > 2 and len({len(row) for row in words}) > 2


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    if delimiter in (",", ";"):
        rows: list[list[str]] = []
        # A field beyond the limit of csv ends the sample; where a quote is at fault, the reader tells it.
        with suppress(csv.Error):
            rows.extend(row for row in csv.reader(lines, delimiter=delimiter) if row)
        return rows
    return [line.split(delimiter) for line in lines if line]


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names columns, or is text where the others have numbers."""
    if not rows:
        return True
    if any(_plain(name) in _ROLE_OF for name in rows[0]):
        return True
    width = len(rows[0])
    others = pd.DataFrame([row for row in rows[1:] if len(row) == width], columns=range(width))
    return len(others) > 0 and any(
        _share_of_numbers(others[place]) > 0.9 and not _share_of_numbers(pd.Series([rows[0][place]]))
        for place in range(width)
    )


def _columns(rows: Sequence[Sequence[str]], *, header: bool, typed: bool) -> pd.DataFrame:
    """Return the sample as a table of texts, columns named by the header, or by their positions."""
    if not rows:
        return pd.DataFrame()
    width = len(rows[0]) if header else Counter(map(len, rows)).most_common(1)[0][0]
    names: list[Any] = [name.rpartition(":")[0] if typed else name for name in rows[0]] if header else [*range(width)]
    body = [row for row in rows[1 if header else 0 :] if len(row) == width]
    return pd.DataFrame(body, columns=pd.Index(names, dtype=object), dtype=object)


def _objects(lines: Sequence[str]) -> pd.DataFrame:
    """Return a sample of JSON lines as a table of texts; a line that is no object is left for the reader to tell."""
    objects = []
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            objects.append({key: "" if inner is None else str(inner) for key, inner in value.items()})
    return pd.DataFrame(objects, dtype=object).fillna("")


def _places(table: pd.DataFrame, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the column of each role: as the user says, else by its usual name, else by what it holds."""
    places: dict[str, Any] = {role: known[role] for role in ROLES if known.get(role) is not None}
    names: list[Any] = list(dict.fromkeys(table.columns))
    # A name that is the role itself comes before those that only mean it.
    for name in sorted(names, key=lambda name: _plain(name) not in ROLES):
        role = _ROLE_OF.get(_plain(name))
        if role is not None and role not in places and name not in places.values():
            places[role] = name
    rest = [name for name in names if name not in places.values() and isinstance(table[name], pd.Series)]
    looks = {"timestamp": _looks_like_time, "rating": _looks_like_rating}
    if not {"user", "item"} <= places.keys() or not any(isinstance(name, str) for name in names):
        for role, test in looks.items():
            # Two columns stay for user and item.
            n_free = len(rest) - sum(role not in places for role in ("user", "item"))
            if role not in places and n_free > 0:
                # From the back: they usually stand behind the ids.
                found = next((name for name in reversed(rest) if test(table[name])), None)
                if found is not None:
                    places[role] = found
                    rest.remove(found)
    for role in ("user", "item"):
        if role not in places and rest:
            places[role] = rest.pop(0)
    for position, role in enumerate(ROLES):
        # Without a header the usual position is read, whatever stands there.
        if role not in places and position in rest:
            places[role] = position
    return {role: places[role] for role in ROLES if role in places}


def _looks_like_time(column: pd.Series) -> bool:
    numbers = pd.to_numeric(column, errors="coerce").dropna()
    whole = len(numbers) > 0.9 * len(column) and bool((numbers % 1 == 0).all())
    return (whole and float(numbers.median()) > _EARLIEST_SECONDS) or _are_dates(column)


def _looks_like_rating(column: pd.Series) -> bool:
    """Return whether the values are numbers, for the most part, and small, few or fractions."""
    present = column[column.str.strip() != ""]
    numbers = pd.to_numeric(present, errors="coerce")
    if len(present) == 0 or float(numbers.notna().mean()) <= 0.5:
        return False
    few = numbers.nunique() <= min(_MOST_RATING_VALUES, len(column) / 3)
    return few or bool((numbers.abs().max() <= _USUAL_RATING) or (numbers.dropna() % 1 != 0).any())


def _are_dates(column: pd.Series) -> bool:
    return len(column) > 0 and float(column.str.strip().str.fullmatch(_DATE).fillna(False).mean()) > 0.5


def _share_of_numbers(column: pd.Series) -> float:
    return float(pd.to_numeric(column, errors="coerce").notna().mean())


def _named(delimiter: str) -> str:
    """Return the delimiter as it is typed."""
    return next((name for name, text in DELIMITERS.items() if text == delimiter), delimiter)


def _plain(name: object) -> str:
    return re.sub("[^a-z0-9]", "", str(name).lower())


def _differing(path: str, known: Mapping[str, Any], guess: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user knows, and what is guessed and would be taken otherwise by default."""
    chosen = {key: value for key, value in guess.items() if key == "format"}
    if chosen.get("format") == format_of(path):
        chosen = {}
    named = chosen.get("format", known.get("format", format_of(path)))
    layout = LAYOUTS.get("" if named in (None, "auto") else named)
    if "delimiter" in guess and (layout is None or layout.delimiter != guess["delimiter"]):
        chosen["delimiter"] = next(
            (n for n, text in DELIMITERS.items() if text == guess["delimiter"]), guess["delimiter"]
        )
    header = guess.get("header", named in ("jsonl", "parquet") or (layout.header if layout else True))
    if "header" in guess and guess["header"] != (layout.header if layout else True):
        chosen["header"] = guess["header"]
    if guess.get("encoding", "utf-8") != FilesConfig.model_fields["encoding"].default:
        chosen["encoding"] = guess["encoding"]
    for position, role in enumerate(ROLES):
        usual: str | int = position
        if header:
            usual = f"{role}_id" if named == "recbole" and role in ("user", "item") else role
        if role in guess and guess[role] != usual:
            chosen[role] = guess[role]
    return {**chosen, **known}
