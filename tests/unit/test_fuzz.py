"""Damaged and hostile files: read whole, counted, or refused with a clear error; no crash, no hang, no silent loss.

What is expected of a table is found by other means than the reader's: Python's own ``csv`` and ``json``, record by
record. ``RECBENCH_FUZZ=N`` (see ``fuzzing``) runs N times as many examples.
"""

import csv
import gzip
import io
import json
import math
import re
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
from fuzzing import damaged, fuzz, promptly
from hypothesis import given
from hypothesis import strategies as st

from recbench.data.places import Archive, File
from recbench.errors import ConfigError, DataError
from recbench.formats import (
    LAYOUTS,
    Column,
    read_delimited,
    read_json_lines,
    read_negatives,
    read_parquet,
    read_user_lists,
)
from recbench.formats.source import blocks

CLEAR = (DataError, ConfigError)
NAMES = ("user", "item", "rating", "timestamp")
KINDS = ("id", "id", "number", "whole")
ENCODINGS = ("utf-8", "latin-1", "utf-16-le")

ids = st.text("ab7é\u2028\x85 \"'", min_size=1, max_size=5) | st.sampled_from(
    ["NA", "007", "null", "-1", "\ufeffx", '"']
)
ratings = st.sampled_from(["1", "4.5", "-0", "1e-3", "5.", ".5", "+2", "1e300"])
timestamps = st.sampled_from(["0", "881250949", "-5", "881250949.0", "1e9", str(2**62)])
rows = st.lists(st.tuples(ids, ids, ratings, timestamps), max_size=6)
bad_rows = st.sampled_from(["error", "drop"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@st.composite
def files(draw, content: bytes, name: str) -> tuple[str, bytes, str]:
    """Return the name of a file, its bytes, plain or packed, and what is read of it."""
    packed = io.BytesIO()
    match draw(st.sampled_from(["plain", "plain", "gzip", "zip", "member", "gzip in zip"])):
        case "plain":
            return name, content, name
        case "gzip":
            return f"{name}.gz", gzip.compress(content, mtime=0), f"{name}.gz"
        case "zip":
            inner, read = name, f"{name}.zip"
        case "member":
            inner, read = f"folder/{name}", f"{name}.zip/folder/{name}"
        case _:
            inner, read, content = f"{name}.gz", f"{name}.zip", gzip.compress(content, mtime=0)
    with zipfile.ZipFile(packed, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        archive.writestr(zipfile.ZipInfo(inner), content)
    return f"{name}.zip", packed.getvalue(), read


def read_or_refused(function, path, *arguments, **options):
    """Return what is read, or None where it is refused with a clear error."""
    try:
        with promptly():
            return function(path, *arguments, **options)
    except CLEAR as error:
        assert str(error).startswith(str(path)) or "no encoding" in str(error)
        return None


def normal(text: str) -> str:
    """Return the text without its byte order mark, with line feeds as line ends and none at its end."""
    text = text.removeprefix("\ufeff")
    end = re.search("\r\n?|\n", text)
    text = text.replace("\r", "\n") if end and end[0] == "\r" else text.replace("\r\n", "\n")
    return text.removesuffix("\n")


def is_number(text: str) -> bool:
    if re.fullmatch(r"[-+0-9.eE]+", text) is None:
        return False
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def is_whole(text: str) -> bool:
    if re.fullmatch(r"[-+]?[0-9]+", text):
        digits = text.lstrip("+-0")
        return len(digits) < 20 and -(2**63) <= int(text) < 2**63
    return is_number(text) and abs(float(text)) < 2**53 and float(text) == int(float(text))


def is_id(text: str) -> bool:
    return bool(text) and not re.search("[\n\r\t\0\ud800-\udfff]", text)


def whole(text: str) -> int:
    return int(text) if text.lstrip("+-").isdigit() else int(float(text))


VALUES = {"user": str, "item": str, "rating": float, "timestamp": whole}
GOOD = {"user": is_id, "item": is_id, "rating": is_number, "timestamp": is_whole}


def written(table, layout) -> str:
    """Return a table as text; quoted where the layout quotes."""
    head = [f"{name}:token" for name in NAMES] if layout.typed_header else list(NAMES)
    lines = [head, *table] if layout.header else table
    if layout.quotes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=layout.delimiter, lineterminator="\n").writerows(lines)
        return text.getvalue()
    return "".join(layout.delimiter.join(line) + "\n" for line in lines)


def records_of(text: str, layout) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header's names, and each record with the line in which it begins, by Python's own parser."""
    lines = normal(text)
    if layout.quotes and '"' in lines:
        found, first = [], 1
        reader = csv.reader(io.StringIO(lines, newline=""), delimiter=layout.delimiter, strict=True)
        for fields in reader:
            found.append((first, fields or [""]))
            first = reader.line_num + 1
        # A last record that is one empty field leaves nothing behind for the parser to see.
        if lines.endswith("\n"):
            found.append((first, [""]))
    else:
        found = [(number, line.split(layout.delimiter)) for number, line in enumerate(lines.split("\n"), 1)]
    if not layout.header:
        return list(NAMES), found
    names = [name.rpartition(":")[0] if layout.typed_header else name for name in found[0][1]]
    return names, found[1:]


@fuzz(100)
@given(st.data())
def test_every_record_of_a_delimited_text_is_read_or_has_its_reason(folder, data):
    kind = data.draw(st.sampled_from(list(LAYOUTS)))
    layout, encoding = LAYOUTS[kind], data.draw(st.sampled_from(ENCODINGS))
    content = data.draw(damaged(written(data.draw(rows), layout).encode(encoding, "replace")))
    name, packed, path = data.draw(files(content, f"data.{kind}"))
    (folder / name).write_bytes(packed)
    columns = [
        Column(column, column if layout.header else place, KINDS[place], optional=place > 1)
        for place, column in enumerate(NAMES)
    ]
    layout = type(layout)(layout.delimiter, layout.header, layout.quotes, encoding, layout.typed_header)
    read = read_or_refused(
        read_delimited, folder / path, columns, layout, bad_rows=data.draw(bad_rows), numbered=True, progress=False
    )
    if read is None:
        return
    names, records = records_of(content.decode(encoding), layout)
    assert read.n_rows == len(records) == len(read.frame) + sum(read.dropped.values())
    place = {column: names.index(column) if layout.header else NAMES.index(column) for column in read.frame.columns}
    n_fields = len(names) if layout.header else len(records[0][1])
    good = [
        (line, fields)
        for line, fields in records
        if len(fields) == n_fields and all(GOOD[column](fields[place[column]]) for column in place)
    ]
    assert read.lines.tolist() == [line for line, _ in good]
    for column, found in read.frame.items():
        texts = [fields[place[column]] for _, fields in good]
        assert found.tolist() == [VALUES[column](text) for text in texts]


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({"a": 1})
)


@fuzz(50)
@given(st.data())
def test_every_line_of_json_is_read_or_counted(folder, data):
    table = [dict(zip(NAMES, (user, item, float(rating), 5))) for user, item, rating, _ in data.draw(rows)]
    for record in table:
        if data.draw(st.integers(0, 3)) == 0:
            record[data.draw(st.sampled_from(NAMES))] = data.draw(scalars)
    text = "".join(json.dumps(record) + "\n" for record in table)
    content = data.draw(damaged(text.encode()))
    name, packed, path = data.draw(files(content, "data.jsonl"))
    (folder / name).write_bytes(packed)
    columns = [
        Column(column, column, kind, optional=place > 1) for place, (column, kind) in enumerate(zip(NAMES, KINDS))
    ]
    read = read_or_refused(read_json_lines, folder / path, columns, bad_rows=data.draw(bad_rows), numbered=True)
    if read is None:
        return
    lines = normal(content.decode()).split("\n")
    assert read.n_rows == len(lines) == len(read.frame) + sum(read.dropped.values())
    kept = [json.loads(lines[number - 1]) for number in read.lines]
    for column in ("user", "item"):
        assert read.frame[column].tolist() == [str(record[column]) for record in kept]


@fuzz(50)
@given(st.data())
def test_every_item_of_user_lists_and_negatives_is_read_or_counted(folder, data):
    published = data.draw(st.booleans())
    separator = "\t" if published else " "
    word = st.text("ab7é", min_size=1, max_size=3)
    lists = data.draw(st.lists(st.tuples(word, st.lists(word, max_size=4)), max_size=5))
    heads = [f"({user},x)" if published else user for user, _ in lists]
    text = "".join(separator.join([head, *items]) + "\n" for head, (_, items) in zip(heads, lists))
    content = data.draw(damaged(text.encode()))
    name, packed, path = data.draw(files(content, "data.txt"))
    (folder / name).write_bytes(packed)
    read = read_or_refused(
        read_negatives if published else read_user_lists, folder / path, bad_rows=data.draw(bad_rows)
    )
    if read is None:
        return
    lines = normal(content.decode()).split("\n")
    if not published:
        lines = [line.removesuffix(separator) for line in lines]
    counts = [line.count(separator) for line in lines]
    assert read.n_rows == sum(max(n, 1) for n in counts) == len(read.frame) + sum(read.dropped.values())
    assert len(read.frame) <= sum(counts)


@fuzz(30)
@given(st.data())
def test_parquet_is_read_or_refused(folder, data):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    table = pd.DataFrame(data.draw(rows), columns=NAMES, dtype=object)
    content = io.BytesIO()
    table.to_parquet(content)
    (folder / "data.parquet").write_bytes(data.draw(damaged(content.getvalue())))
    columns = [
        Column(column, column, kind, optional=place > 1) for place, (column, kind) in enumerate(zip(NAMES, KINDS))
    ]
    read = read_or_refused(read_parquet, folder / "data.parquet", columns, bad_rows=data.draw(bad_rows))
    assert read is None or read.n_rows == len(read.frame) + sum(read.dropped.values())


@fuzz(100)
@given(st.data())
def test_packed_content_comes_out_whole_or_not_at_all(folder, data):
    content = data.draw(st.binary(max_size=60) | st.just(b"user,item\n" * 50))
    name, packed, path = data.draw(files(content, "data.csv").filter(lambda made: made[0] != "data.csv"))
    (folder / name).write_bytes(data.draw(damaged(packed)))
    try:
        with promptly():
            unpacked = b"".join(blocks(folder / path, progress=False))
    except DataError as error:
        assert str(error).startswith(str(folder / path))
        return
    # A checksum guards it; a gzip file of no bytes is one of nothing.
    assert unpacked in (content, b"")


@fuzz(60)
@given(st.data())
def test_members_of_an_archive_are_copied_whole_or_not_at_all(folder, data):
    content = data.draw(st.binary(max_size=40))
    names = st.sampled_from(
        ["set/u.data", "set/u.item", "../u.data", "/u.data", "set/u.data/", "set/../u.data", "u.data"]
    )
    members = data.draw(st.lists(st.tuples(names, st.integers(0, 0o177777), st.binary(max_size=9)), max_size=4))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/u.data", content)
        for name, mode, other in members:
            if name != "set/u.data":
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                archive.writestr(info, other)
    (folder / "set.zip").write_bytes(data.draw(damaged(packed.getvalue())))
    into = folder / "into"
    into.mkdir(exist_ok=True)
    place = Archive(
        folder / "set.zip", folder="set", files=(File("u.data", bytes=data.draw(st.none() | st.just(len(content)))),)
    )
    try:
        with promptly():
            place.fetch(into)
        assert (into / "u.data").read_bytes() == content
    except (DataError, OSError) as error:
        assert str(error)
    left = list(folder.rglob("u.*"))
    assert left in ([], [into / "u.data"]), "nothing is written anywhere else"
    for path in left:
        path.unlink()


# What a few bytes ask for, in a process that may take 600 MiB beyond what its packages take.
_HOSTILE = """
import gzip, hashlib, io, pickle, resource, sys, zipfile
from pathlib import Path
import pandas as pd
from recbench import datasets, resolve
from recbench.cli.composition import make_plan
from recbench.cli.session import hydra_session
from recbench.data import Interactions
from recbench.errors import ConfigError, DataError, RunError
from recbench.files import load_checkpoint

folder = Path(sys.argv[1])
train = Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"]}))

def table(name, content):
    (folder / name).write_bytes(content)
    return lambda: datasets.build("files", interactions=str(folder / name)).load()

class Huge:
    def __reduce__(self):
        return bytearray, (10**13,)

def checkpoint(content):
    (folder / "checkpoint.pt").write_bytes(content)
    (folder / "checkpoint.pt.sha256").write_text(hashlib.sha256(content).hexdigest() + "  checkpoint.pt")
    return lambda: load_checkpoint(folder, "mf", train)

def words(*given):
    with hydra_session() as session:
        make_plan(session, ["model=popularity", "dataset=planted", *given], multirun=True)

deep = []
for _ in range(200_000):
    deep = [deep]
endless = gzip.compress(b"user,item\\na," + b"x" * (150 << 20), 1)
twice = io.BytesIO()
with zipfile.ZipFile(twice, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("twice.csv.gz", gzip.compress(bytes(64 << 20)))
cases = [
    (DataError, table("endless.csv.gz", endless)),
    (DataError, table("quote.csv.gz", gzip.compress(b'user,item\\n"a,' + b"x,y\\n" * (12 << 20), 1))),
    (DataError, table("twice.csv.zip", twice.getvalue())),
    (DataError, table("wide.csv", b"," * (4 << 20))),
    (DataError, table("deep.jsonl", b"[" * (4 << 20))),
    (DataError, table("deep_too.jsonl", b'{"user":' * (1 << 20))),
    (RunError, checkpoint(pickle.dumps({"schema_version": 1, "model": Huge()}, protocol=2))),
    (ConfigError, lambda: resolve({"model": {"name": "mf", "dim": deep}, "dataset": "planted"})),
    (ConfigError, lambda: words("seed=range(0,1000000000000)")),
    (ConfigError, lambda: words("seed=range(0,90000)", "label=range(0,90000)")),
]
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (600 << 20),) * 2)
for wanted, call in cases:
    try:
        call()
    except wanted as error:
        print(wanted.__name__, len(str(error)) < 5000)
"""


def test_a_few_bytes_take_neither_the_memory_nor_the_day(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _HOSTILE, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*(["DataError", "True"] * 6), "RunError", "True", *(["ConfigError", "True"] * 3)]
