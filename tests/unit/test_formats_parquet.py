"""Parquet in batches, and one table that all formats write and read back alike."""

import csv
import gzip
import io
import json
import re
import sys
import zipfile
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.errors import DataError, EmptyDatasetError
from recbench.formats import LAYOUTS, Column, parquet, read_delimited, read_json_lines, read_parquet, source

COLUMNS = (
    Column("user", "user", "id"),
    Column("item", "item", "id"),
    Column("rating", "rating", "number", optional=True),
    Column("timestamp", "timestamp", "whole", optional=True),
)
PAIR = {"user": ["a", "b"], "item": ["x", "y"]}
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[1, 2, parquet._BATCH_ROWS])
def any_batch(request, monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_ROWS", request.param)


def whole_read(folder, columns, wanted=COLUMNS, **more):
    pq.write_table(pa.table(columns), folder / "r.parquet")
    return read_parquet(folder / "r.parquet", wanted, **more)


def refuses(folder, columns, message, kind=DataError, **more):
    path = folder / "r.parquet"
    with pytest.raises(kind, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        whole_read(folder, columns, **more)


def test_types(tmp_path, any_batch):
    frame = whole_read(
        tmp_path,
        {
            "more": [[1], [2], [3]],
            "user": pa.array([2**63, 7, 7], pa.uint64()),
            "item": pa.array(["7", "007", "7"]).dictionary_encode(),
            "rating": pa.array([0.1, 3.5, 4], pa.float32()),
            "timestamp": [1.0, 881250949.0, -5.0],
        },
    ).frame
    assert frame["user"].tolist() == [str(2**63), "7", "7"]
    assert frame["item"].tolist() == ["7", "007", "7"]
    assert frame["rating"].tolist() == pa.array([0.1, 3.5, 4], pa.float32()).to_pylist()
    assert frame["timestamp"].tolist() == [1, 881250949, -5]
    other = whole_read(
        tmp_path,
        {**PAIR, "rating": [Decimal("1.50"), Decimal("2.00")], "timestamp": ["1", "2"]},
    ).frame
    assert other["rating"].tolist() == [1.5, 2.0]
    assert other["timestamp"].tolist() == [1, 2]


def test_nulls_are_missing(tmp_path, any_batch):
    refuses(tmp_path, PAIR | {"item": ["x", None]}, "PATH, row 2: the item id is empty.")
    refuses(tmp_path, PAIR | {"item": ["x", ""]}, "PATH, row 2: the item id is empty.")
    refuses(tmp_path, PAIR | {"rating": [1.0, None]}, "PATH, row 2: the rating is missing.")
    refuses(tmp_path, PAIR | {"timestamp": [None, 1]}, "PATH, row 1: the timestamp is missing.")
    wanted = [
        *COLUMNS[:2],
        Column("age", "age", "whole", may_be_missing=True),
        Column("mark", "mark", "number", may_be_missing=True),
        Column("title", "title", "text", may_be_missing=True),
    ]
    table = PAIR | {"age": [1, None], "mark": [None, 1.5], "title": [None, "t"]}
    frame = whole_read(tmp_path, table, wanted).frame
    assert frame["age"].tolist() == [1, pd.NA]
    assert frame["mark"].isna().tolist() == [True, False]
    assert frame["title"].isna().tolist() == [True, False]
    text = Column("title", "title", "text")
    refuses(tmp_path, table, "PATH, row 1: the title is missing.", wanted=[*COLUMNS[:2], text])


def test_numbers_are_finite(tmp_path, any_batch):
    refuses(
        tmp_path, PAIR | {"rating": [1.0, float("nan")]}, "PATH, row 2: the rating 'nan' should be a finite number."
    )
    refuses(tmp_path, PAIR | {"timestamp": [1.0, 1.5]}, "PATH, row 2: the timestamp '1.5' should be a whole number.")


def test_types_that_do_not_fit(tmp_path):
    for name, values, found, wanted in (
        ("user", [1.0, 2.0], "double", "strings or whole numbers"),
        ("item", [True, False], "bool", "strings or whole numbers"),
        ("rating", [[1], [2]], "list<element: int64>", "numbers"),
        ("timestamp", pa.array([1, 2], pa.timestamp("s")), "timestamp[ms]", "numbers"),
    ):
        refuses(
            tmp_path,
            PAIR | {name: values},
            f"PATH: the column {name!r} for the {name} holds {found}; it should hold {wanted}. "
            "Convert it before writing the file.",
        )


def test_bad_rows_are_left_out(tmp_path, any_batch):
    table = {"user": ["a", None, "c"], "item": ["x", "y", "z"], "rating": [1.0, 2.0, None]}
    done = whole_read(tmp_path, table, bad_rows="drop")
    assert done.frame.values.tolist() == [["a", "x", 1.0]]
    assert (done.n_rows, done.dropped) == (3, {"user id is empty": 1, "rating is missing": 1})


def test_rows_where_asked(tmp_path, any_batch):
    done = whole_read(tmp_path, {"user": ["a", None, "c"], "item": ["x", "y", "z"]}, bad_rows="drop", numbered=True)
    assert (done.lines.tolist(), done.where(1)) == ([1, 3], "row 3")


def test_sample(tmp_path):
    table = {"user": [7, None, 8], "item": ["x", "y", ""], "rating": [1.5, 2.0, None], "more": [[1], [2], [3]]}
    pq.write_table(pa.table(table), tmp_path / "r.parquet")
    start = parquet.sample_parquet(tmp_path / "r.parquet", 2)
    assert start.to_dict("list") == {"user": ["7", ""], "item": ["x", "y"], "rating": ["1.5", "2.0"]}
    whole = parquet.sample_parquet(tmp_path / "r.parquet", 9)
    assert whole["rating"].tolist() == ["1.5", "2.0", ""]
    pq.write_table(pa.table({"user": pa.array([], pa.string())}), tmp_path / "r.parquet")
    assert parquet.sample_parquet(tmp_path / "r.parquet", 2).columns.tolist() == ["user"]


def test_missing_columns_and_rows(tmp_path):
    refuses(
        tmp_path,
        {"user": ["a"], "movie": ["b"]},
        "PATH: no column 'item' for the item; the file has: user, movie. Set dataset.item=NAME.",
    )
    refuses(
        tmp_path,
        {"user": pa.array([], pa.string()), "item": pa.array([], pa.string())},
        "PATH: holds a header and no rows.",
        kind=EmptyDatasetError,
    )
    by_position = [Column("user", 1, "id"), Column("item", 0, "id")]
    assert whole_read(tmp_path, PAIR, by_position).frame.values.tolist() == [["x", "a"], ["y", "b"]]


def test_files_that_cannot_be_read(tmp_path):
    def refused(path, message):
        with pytest.raises(DataError, match="^" + message.replace("PATH", re.escape(str(path)))):
            read_parquet(path, COLUMNS)

    refused(tmp_path / "no.parquet", r"PATH: there is no such file\.$")
    refused(tmp_path, r"PATH: cannot be read \(Is a directory\)\.$")
    (tmp_path / "text.parquet").write_text("user,item\n")
    refused(tmp_path / "text.parquet", r"PATH: cannot be read as Parquet \(.+\)\.$")
    (tmp_path / "empty.parquet").write_bytes(b"")
    refused(tmp_path / "empty.parquet", r"PATH: cannot be read as Parquet \(.+\)\.$")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("r.parquet", b"PAR1")
    message = r"PATH: Parquet is not read from within a zip archive\. Unpack it first\.$"
    refused(tmp_path / "a.zip" / "r.parquet", message)
    refused(tmp_path / "a.zip", message)


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refuses(
        tmp_path,
        PAIR,
        "PATH: reading Parquet needs pyarrow, which is not installed. Run pip install pyarrow, or write the table as "
        "CSV.",
    )


ID = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\0"), min_size=1, max_size=6)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63), 2**63 - 1)


@SETTINGS
@given(rows=st.lists(st.tuples(ID, ID, NUMBER, WHOLE), min_size=1, max_size=6), step=st.integers(1, 64))
def test_all_formats_give_the_same_table(tmp_path, rows, step):
    names = ["user", "item", "rating", "timestamp"]
    expected = [list(row) for row in rows]
    comma = io.StringIO()
    csv.writer(comma, lineterminator="\r\n").writerows([names, *rows])
    tabs = "".join("\t".join(map(str, row)) + "\n" for row in [names, *rows])
    objects = "".join(json.dumps(dict(zip(names, row))) + "\n" for row in rows)
    (tmp_path / "r.csv").write_bytes(comma.getvalue().encode())
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(comma.getvalue().encode()))
    (tmp_path / "r.tsv").write_bytes(tabs.encode())
    (tmp_path / "r.jsonl").write_bytes(objects.encode())
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.writestr("r.tsv", tabs)
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows))))), tmp_path / "r.parquet")
    before = source.BLOCK_BYTES, parquet._BATCH_ROWS
    source.BLOCK_BYTES, parquet._BATCH_ROWS = step, step
    try:
        frames = [
            read_delimited(tmp_path / "r.csv", COLUMNS, LAYOUTS["csv"]).frame,
            read_delimited(tmp_path / "r.csv.gz", COLUMNS, LAYOUTS["csv"]).frame,
            read_delimited(tmp_path / "r.tsv", COLUMNS, LAYOUTS["tsv"]).frame,
            read_delimited(tmp_path / "r.zip" / "r.tsv", COLUMNS, LAYOUTS["tsv"]).frame,
            read_json_lines(tmp_path / "r.jsonl", COLUMNS).frame,
            read_parquet(tmp_path / "r.parquet", COLUMNS).frame,
        ]
    finally:
        source.BLOCK_BYTES, parquet._BATCH_ROWS = before
    for frame in frames:
        assert frame.values.tolist() == expected
        pd.testing.assert_frame_equal(frame, frames[0])
