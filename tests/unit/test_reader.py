"""Every case of a bad or odd file: read exactly, or refused with the file, the line, the value and the remedy."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.data import Interactions, reader
from recbench.data.reader import Layout, read_delimited
from recbench.errors import DataError, EmptyDatasetError

BY_NAME = {"user": "user", "item": "item", "rating": "rating", "timestamp": "timestamp"}
OPTIONAL = ("rating", "timestamp")
TSV, CSV = Layout("\t"), Layout(",", quotes=True)
ROWS = "user\titem\trating\ttimestamp\na\tx\t5\t10\nb\ty\t3.5\t20\n"


def read(folder: Path, content: str | bytes, layout: Layout = TSV, columns=BY_NAME, optional=OPTIONAL, name="r.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_delimited(path, layout, columns, optional)


def refuses(folder: Path, content: str | bytes, message: str, kind=DataError, **more):
    """The whole error text, in which PATH stands for the file."""
    path = folder / more.get("name", "r.tsv")
    with pytest.raises(kind, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        read(folder, content, **more)


def test_columns_have_their_types_and_the_order_of_the_file(tmp_path):
    table = read(tmp_path, ROWS)
    expected = {"user": ["a", "b"], "item": ["x", "y"], "rating": [5.0, 3.5], "timestamp": [10, 20]}
    assert {name: table[name].tolist() for name in table} == expected
    assert table["rating"].dtype == np.float64
    assert table["timestamp"].dtype == np.int64


def test_columns_by_position_without_header_and_in_another_order(tmp_path):
    table = read(
        tmp_path,
        "10|x|4|a|ignored\n20|y|3|b|ignored\n",
        layout=Layout("|", header=False),
        columns={"user": 3, "item": 1, "rating": 2, "timestamp": 0},
    )
    assert list(table.columns) == ["user", "item", "rating", "timestamp"]
    assert table.values.tolist() == [["a", "x", 4.0, 10], ["b", "y", 3.0, 20]]


def test_other_columns_are_text(tmp_path):
    table = read(tmp_path, "item|title\n7|NA\n8|\n", Layout("|"), {"item": "item", "title": "title"})
    assert table["title"].tolist() == ["NA", ""]


def test_optional_columns_may_be_absent(tmp_path):
    assert list(read(tmp_path, "user\titem\na\tx\n").columns) == ["user", "item"]


def test_delimiter_of_two_characters(tmp_path):
    table = read(tmp_path, "1::x::5::10\n2::y:z::3::20\n", Layout("::", header=False), dict(zip(BY_NAME, range(4))))
    assert table["item"].tolist() == ["x", "y:z"]


def test_gzip_by_name(tmp_path):
    plain = read(tmp_path, ROWS)
    assert read(tmp_path, gzip.compress(ROWS.encode()), name="r.tsv.gz").equals(plain)


def test_damaged_gzip(tmp_path):
    with pytest.raises(DataError, match=r"r\.tsv\.gz: is not a whole gzip file \(.+\)\.$"):
        read(tmp_path, gzip.compress(ROWS.encode())[:-9], name="r.tsv.gz")
    with pytest.raises(DataError, match=r"r\.tsv\.gz: is not a whole gzip file \(.+\)\.$"):
        read(tmp_path, ROWS, name="r.tsv.gz")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'no.tsv'}: there is no such file.")):
        read_delimited(tmp_path / "no.tsv", TSV, BY_NAME)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: cannot be read (Is a directory).")):
        read_delimited(tmp_path, TSV, BY_NAME)


# Case 1
def test_wrong_delimiter_names_the_likely_one(tmp_path):
    refuses(
        tmp_path,
        ROWS,
        "PATH, line 1: expected fields separated by ',', found one field: 'user\\titem\\trating\\ttimestamp'. "
        "It looks separated by tabs: set dataset.delimiter=tab.",
        layout=CSV,
    )
    refuses(
        tmp_path,
        "user;item\na;b\n",
        "PATH, line 1: expected fields separated by '\\t', found one field: 'user;item'. "
        "It looks separated by semicolons: set dataset.delimiter=semicolon.",
    )
    refuses(tmp_path, "user\n", "PATH, line 1: expected fields separated by '\\t', found one field: 'user'.")


# Case 2
def test_missing_column_lists_the_present_ones_and_the_key(tmp_path):
    refuses(
        tmp_path,
        "user\tmovie\na\tx\n",
        "PATH: no column 'item' for the item; the file has: user, movie. "
        "Set dataset.item=NAME, or dataset.header=false where the first line is data.",
    )
    refuses(
        tmp_path,
        "a\tx\n",
        "PATH: no column 5 for the user; the file has 2 columns, 0 to 1. Set dataset.user=POSITION.",
        layout=Layout(header=False),
        columns={"user": 5, "item": 1},
    )
    refuses(
        tmp_path,
        "user\titem\titem\na\tx\ty\n",
        "PATH, line 1: the column 'item' occurs 2 times.",
        optional=("item", *OPTIONAL),
    )


def test_two_columns_of_the_table_are_not_one_of_the_file(tmp_path):
    refuses(
        tmp_path,
        "a\tx\n",
        "PATH: the user and the item are both the column 1. Set dataset.user or dataset.item to another one.",
        layout=Layout(header=False),
        columns={"user": 1, "item": 1},
    )
    refuses(
        tmp_path,
        "user\titem\na\tx\n",
        "PATH: the user and the item are both the column 'user'. Set dataset.user or dataset.item to another one.",
        columns={"user": 0, "item": "user"},
    )


def test_a_usual_place_that_holds_something_else_is_left_out(tmp_path):
    usual = {"user": 0, "item": 1, "rating": 2, "timestamp": 3}
    bare = Layout(header=False)
    timed = read(tmp_path, "a\tx\t10\n", bare, usual | {"timestamp": 2}, optional=("rating",))
    assert timed.to_dict("list") == {"user": ["a"], "item": ["x"], "timestamp": [10]}
    mixed = read(tmp_path, "7\tx\ta\n", bare, usual | {"user": 2}, optional=OPTIONAL)
    assert mixed.to_dict("list") == {"user": ["a"], "item": ["x"]}


# Case 3
def test_stray_quote_in_tsv_is_a_character(tmp_path):
    table = read(tmp_path, 'user\titem\na\t5" disk\nb\t"y\nc\tz\n')
    assert table["item"].tolist() == ['5" disk', '"y', "z"]


def test_csv_quotes_as_in_rfc_4180(tmp_path):
    content = 'user,item,rating\n"a, b","say ""hi""",4\nc,"two\nlines",5\n"","",3\n'
    columns = {"first": "user", "second": "item", "rating": "rating"}
    table = read(tmp_path, content, CSV, columns)
    assert table["first"].tolist() == ["a, b", "c", ""]
    assert table["second"].tolist() == ['say "hi"', "two\nlines", ""]


def test_quoted_header(tmp_path):
    assert read(tmp_path, '"user","item","a ""b"", c"\nu,i,x\n', CSV)["item"].tolist() == ["i"]
    assert read(tmp_path, '"user","item","two\nlines"\nu,i,x\n', CSV)["user"].tolist() == ["u"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('a,5" disk', 'a quote within a field. Quote the whole field and double its quotes: "5"" disk".'),
        ('a,"x" ', 'a quote within a field. Quote the whole field and double its quotes: "5"" disk".'),
        ('a,"x', "a quoted field begins here and never ends."),
    ],
)
def test_misplaced_quotes_in_csv(tmp_path, line, message):
    refuses(tmp_path, f'user,item\n"u","i"\n{line}\nb,y\n', f"PATH, line 3: {message}", layout=CSV)


def test_line_of_a_mistake_behind_a_field_of_two_lines(tmp_path):
    refuses(
        tmp_path,
        'user,item,rating\na,"two\nlines",4\nb,y,bad\n',
        "PATH, line 4: the rating 'bad' should be a finite number.",
        layout=CSV,
    )


# Cases 4 and 5
def test_too_many_and_too_few_fields(tmp_path):
    refuses(
        tmp_path,
        ROWS + "c\tz\t1\t3\t?\n",
        "PATH, line 4: expected 4 fields separated by '\\t', found 5: 'c\\tz\\t1\\t3\\t?'.",
    )
    refuses(tmp_path, ROWS + "c\tz\t1\n", "PATH, line 4: expected 4 fields separated by '\\t', found 3: 'c\\tz\\t1'.")
    refuses(tmp_path, ROWS + "\nc\tz\t1\t30\n", "PATH, line 4: expected 4 fields separated by '\\t', found 1: ''.")
    # One too many and one too few: the totals agree.
    refuses(
        tmp_path,
        "user\titem\na\tx\ty\nb\n",
        "PATH, line 2: expected 2 fields separated by '\\t', found 3: 'a\\tx\\ty'.",
    )
    refuses(
        tmp_path,
        "1::2::3::4\n12::99::5\n",
        "PATH, line 2: expected 4 fields separated by '::', found 3: '12::99::5'.",
        layout=Layout("::", header=False),
        columns=dict(zip(BY_NAME, range(4))),
    )


def test_a_long_line_is_cut_in_the_message(tmp_path):
    refuses(
        tmp_path,
        "user\titem\n" + "x" * 100 + "\n",
        f"PATH, line 2: expected 2 fields separated by '\\t', found 1: '{'x' * 77}...'.",
    )


# Cases 6 and 7
def test_byte_order_mark_and_line_ends_change_nothing(tmp_path):
    plain = Interactions.from_frame(read(tmp_path, ROWS)).fingerprint
    variants = [
        b"\xef\xbb\xbf" + ROWS.encode(),
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\r"),
        ROWS.removesuffix("\n"),
        ROWS.replace("\n", "\r\n").removesuffix("\r\n"),
    ]
    for variant in variants:
        assert Interactions.from_frame(read(tmp_path, variant)).fingerprint == plain
    utf_16 = read(tmp_path, ROWS.encode("utf-16"), Layout(encoding="utf-16"))
    assert Interactions.from_frame(utf_16).fingerprint == plain


def test_control_characters_are_refused(tmp_path):
    refuses(tmp_path, "user\titem\na\tx\ry\n", "PATH, line 2: holds the control character '\\r'.")
    refuses(tmp_path, "user\titem\na\tx\0\n", "PATH, line 2: holds the control character '\\x00'.")
    refuses(
        tmp_path,
        "user::item\na::x\x1f\n",
        "PATH, line 2: holds the control character '\\x1f'.",
        layout=Layout("::"),
    )


def test_other_line_separators_of_unicode_are_characters(tmp_path):
    table = read(tmp_path, "user\titem\na\tx\u2028y\x85\x0b\n")
    assert table["item"].tolist() == ["x\u2028y\x85\x0b"]


# Case 8
def test_latin_1_bytes_name_the_offset_and_the_key(tmp_path):
    content = "user\titem\na\tcaf\xe9\n".encode("latin-1")
    refuses(
        tmp_path,
        content,
        f"PATH, line 2: byte {content.index(0xE9)} (0xe9) is not utf-8. "
        "Set dataset.encoding=latin-1 if the file is written so.",
    )
    assert read(tmp_path, content, Layout(encoding="latin-1"))["item"].tolist() == ["caf\xe9"]
    refuses(
        tmp_path,
        content,
        f"PATH, line 2: byte {content.index(0xE9)} (0xe9) is not ascii. "
        "Set dataset.encoding=utf-8 if the file is written so.",
        layout=Layout(encoding="ascii"),
    )


# Case 9
def test_empty_file_and_header_only(tmp_path):
    refuses(tmp_path, "", "PATH: is empty (0 bytes).", kind=EmptyDatasetError)
    refuses(tmp_path, "user\titem\n", "PATH: holds a header and no rows.", kind=EmptyDatasetError)
    refuses(tmp_path, "user\titem", "PATH: holds a header and no rows.", kind=EmptyDatasetError)


# Case 11
def test_empty_ids(tmp_path):
    refuses(tmp_path, "user\titem\na\tx\n\ty\n", "PATH, line 3: the user id is empty.")
    refuses(tmp_path, "user\titem\na\t\n", "PATH, line 2: the item id is empty.")


# Cases 12, 13 and 14
def test_ids_are_opaque(tmp_path):
    ids = ["NA", "null", "nan", "None", "N/A", "#N/A", "NULL", "NaN", "True", "-", " ", " 7", "7", "007", "7.0", "1e5"]
    ids += ["100000", str(2**53 + 1), str(2**63 - 1), str(2**64), "-1", "+1", "x" * 10_000, "\u3042", "#", "\\t", "'"]
    table = read(tmp_path, "user\titem\n" + "".join(f"{name}\ti\n" for name in ids))
    assert table["user"].tolist() == ids
    vocabulary = Interactions.from_frame(table).user_vocabulary
    assert sorted(vocabulary.ids) == sorted(ids)


def test_numbers_alone_as_ids_stay_text(tmp_path):
    table = read(tmp_path, "user\titem\n007\t1.0\n7\t1\n")
    assert table.values.tolist() == [["007", "1.0"], ["7", "1"]]


# Case 15
@pytest.mark.parametrize(
    "value", ["", "nan", "NaN", "inf", "-inf", "1e999", "good", "1,5", "1_0", "True", " 4", "0x1", "--1"]
)
def test_ratings_that_are_no_finite_number(tmp_path, value):
    message = f"PATH, line 3: the rating {value!r} should be a finite number."
    refuses(tmp_path, f"user\titem\trating\na\tx\t4\nb\ty\t{value}\n", message)


def test_ratings_as_written(tmp_path):
    written = ["4", "3.5", "-1", "+2", "1e-3", "5E2", ".5", "0.1"]
    table = read(tmp_path, "user\titem\trating\n" + "".join(f"u{n}\ti\t{value}\n" for n, value in enumerate(written)))
    assert table["rating"].tolist() == [4.0, 3.5, -1.0, 2.0, 1e-3, 5e2, 0.5, 0.1]


@pytest.mark.parametrize(
    "value", ["", "nan", "yesterday", "12.5", "1e30", "1e16", "-", str(2**63), "1_0", " 1", "2020-01-01"]
)
def test_timestamps_that_are_no_whole_number(tmp_path, value):
    message = f"PATH, line 3: the timestamp {value!r} should be a whole number."
    refuses(tmp_path, f"user\titem\ttimestamp\na\tx\t4\nb\ty\t{value}\n", message)


def test_timestamps_as_written(tmp_path):
    table = read(tmp_path, f"user\titem\ttimestamp\na\tx\t{2**63 - 1}\nb\ty\t-5\n")
    assert table["timestamp"].tolist() == [2**63 - 1, -5]
    table = read(tmp_path, "user\titem\ttimestamp\na\tx\t881250949.0\nb\ty\t9e2\n")
    assert table["timestamp"].tolist() == [881250949, 900]


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\0"), min_size=1, max_size=8)
QUOTABLE = st.text(st.sampled_from('ab,"\n;'), min_size=1, max_size=6)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8))
def test_every_tsv_comes_back_as_written(tmp_path, rows):
    table = read(tmp_path, "user\titem\n" + "".join(f"{user}\t{item}\n" for user, item in rows))
    assert list(zip(table["user"], table["item"])) == rows


@SETTINGS
@given(rows=st.lists(st.tuples(QUOTABLE, QUOTABLE), min_size=1, max_size=8), step=st.integers(1, 64))
def test_every_csv_comes_back_as_written(tmp_path, rows, step):
    # Tiny blocks, so that fields and quotes lie across their borders.
    content = "user,item\n" + "".join(
        ",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows
    )
    before, reader._BLOCK_BYTES = reader._BLOCK_BYTES, step
    try:
        table = read(tmp_path, content, CSV)
    finally:
        reader._BLOCK_BYTES = before
    assert list(zip(table["user"], table["item"])) == rows


def test_the_same_data_as_tsv_and_csv_has_one_fingerprint(tmp_path):
    tsv = read(tmp_path, ROWS)
    csv = read(tmp_path, ROWS.replace("\t", ","), CSV, name="r.csv")
    pd.testing.assert_frame_equal(tsv, csv)
