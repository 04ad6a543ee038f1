"""Every case of a bad or odd file: read exactly, or refused with the file, the line, the value and the remedy."""

import csv
import io
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.data import Interactions
from recbench.errors import ConfigError, DataError, EmptyDatasetError
from recbench.formats import LAYOUTS, Column, Layout, Read, format_of, read_delimited, source

KINDS = {"user": "id", "item": "id", "rating": "number", "timestamp": "whole"}
BY_NAME = {name: name for name in KINDS}
OPTIONAL = ("rating", "timestamp")
TSV, CSV = Layout("\t"), Layout(",", quotes=True)
ROWS = "user\titem\trating\ttimestamp\na\tx\t5\t10\nb\ty\t3.5\t20\n"


def columns_of(sources, optional=()):
    """The columns that ``sources`` name; those that are neither ids nor numbers are text."""
    return [Column(name, place, KINDS.get(name, "text"), name in optional) for name, place in sources.items()]


def whole_read(folder, content, layout=TSV, columns=BY_NAME, optional=OPTIONAL, name="r.tsv", **more) -> Read:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_delimited(path, columns_of(columns, optional), layout, **more)


def read(folder: Path, content: str | bytes, *layout, **more):
    return whole_read(folder, content, *layout, **more).frame


def refuses(folder: Path, content: str | bytes, message: str, kind=DataError, **more):
    """The whole error text, in which PATH stands for the file."""
    path = folder / more.get("name", "r.tsv")
    with pytest.raises(kind, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        read(folder, content, **more)


@pytest.fixture(params=[1, 2, 7, 64, source.BLOCK_BYTES])
def any_block(request, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", request.param)


def test_columns_have_their_types_and_the_order_of_the_file(tmp_path):
    table = read(tmp_path, ROWS)
    expected = {"user": ["a", "b"], "item": ["x", "y"], "rating": [5.0, 3.5], "timestamp": [10, 20]}
    assert {name: table[name].tolist() for name in table} == expected
    assert table["rating"].dtype == np.float64
    assert table["timestamp"].dtype == np.int64
    for name in ("user", "item"):
        assert isinstance(table[name].dtype, pd.CategoricalDtype)
        assert table[name].cat.categories.dtype == object


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


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'no.tsv'}: there is no such file.")):
        read_delimited(tmp_path / "no.tsv", columns_of(BY_NAME), TSV)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: cannot be read (Is a directory).")):
        read_delimited(tmp_path, columns_of(BY_NAME), TSV)


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
        "PATH, line 1: the column 'item' occurs 2 times. Set dataset.item=POSITION, 0 is the first.",
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


def test_ids_hold_no_line_end_and_no_tab(tmp_path):
    for id_ in ("two\nlines", "a\tb"):
        refuses(
            tmp_path,
            f'user,item\nu,i\n"{id_}",j\n',
            f"PATH, line 3: the user id {id_!r} should hold no line end, tab, NUL or half of a surrogate pair.",
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


def test_lines_where_asked(tmp_path, any_block):
    """A header of two lines, a field of two, a bad row, a blank line."""
    content = 'user,item,"no\nte"\na,x,1\nb,y,"1\n2"\nc,z\nd,x,1\n\ne,y,1\n'
    done = whole_read(tmp_path, content, CSV, bad_rows="drop", numbered=True)
    assert done.frame["user"].tolist() == ["a", "b", "d", "e"]
    assert (done.lines.tolist(), done.where(1)) == ([3, 4, 7, 9], "line 4")
    plain = whole_read(tmp_path, "user\titem\na\tx\nb\ny\tz\n", bad_rows="drop", numbered=True)
    assert plain.lines.tolist() == [2, 4]
    assert whole_read(tmp_path, "user\titem\na\tx\n").lines is None


def test_long_values_are_cut(tmp_path):
    refuses(
        tmp_path,
        f"user\titem\trating\na\tx\t{'9' * 81}x\n",
        f"PATH, line 2: the rating {'9' * 77 + '...'!r} should be a finite number.",
    )


ALIKE = "Take it out of the file, or write all line ends alike."


def test_control_characters_are_refused(tmp_path):
    refuses(tmp_path, "user\titem\na\tx\ry\n", f"PATH, line 2: holds the control character '\\r'. {ALIKE}")
    refuses(
        tmp_path,
        "user\titem\na\tx\0\n",
        "PATH, line 2: holds the control character '\\x00'. Take it out of the file. Where every other byte is one, "
        "set dataset.encoding=utf-16-le or utf-16-be.",
    )
    refuses(
        tmp_path,
        "user::item\na::x\x1f\n",
        "PATH, line 2: holds the control character '\\x1f'. Take it out of the file.",
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


# What may be missing


MISSING = [
    Column("user", 0, "id"),
    Column("friend", 1, "id", may_be_missing=True),
    Column("rating", 2, "number", may_be_missing=True),
    Column("age", 3, "whole", may_be_missing=True),
    Column("title", 4, "text", may_be_missing=True),
    Column("note", 5, "text"),
]


def test_what_may_be_missing(tmp_path, any_block):
    path = tmp_path / "r.tsv"
    path.write_text("a\tb\t1.5\t9007199254740993\tt\t\nb\t\t\t\t\t\n")
    frame = read_delimited(path, MISSING, Layout(header=False)).frame
    assert frame.iloc[0].tolist() == ["a", "b", 1.5, 2**53 + 1, "t", ""]
    assert frame.iloc[1].isna().tolist() == [False, True, True, True, True, False]
    assert frame["age"].dtype == pd.Int64Dtype()
    assert frame["title"].dtype == object
    assert frame["friend"].cat.categories.tolist() == ["b"]


def test_what_may_be_missing_is_a_number_otherwise(tmp_path):
    path = tmp_path / "r.tsv"
    path.write_text("a\tb\tnan\t3\tt\t\n")
    message = re.escape(f"{path}, line 1: the rating 'nan' should be a finite number.")
    with pytest.raises(DataError, match=f"^{message}$"):
        read_delimited(path, MISSING, Layout(header=False))


# Bad rows left out

BAD = (
    "user\titem\trating\ttimestamp\n"
    "a\tx\t5\t10\n"
    "b\ty\t5\n"
    "\tz\t5\t10\n"
    "gone\tx\tmany\t10\n"
    "c\tx\t4\tnever\n"
    "\n"
    "\tz\tnan\t10\n"
    "d\tx\t4\t11\n"
)


def test_bad_rows_are_left_out_and_counted(tmp_path, any_block, caplog):
    with caplog.at_level(logging.WARNING, "recbench"):
        done = whole_read(tmp_path, BAD, bad_rows="drop")
    assert done.frame.values.tolist() == [["a", "x", 5.0, 10], ["d", "x", 4.0, 11]]
    assert done.frame["user"].cat.categories.tolist() == ["a", "d"]
    assert done.n_rows == 8
    assert done.dropped == {
        "wrong number of fields": 2,
        "user id is empty": 2,
        "rating is no finite number": 1,
        "timestamp is no whole number": 1,
    }
    assert done.examples == {
        "wrong number of fields": "line 3: expected 4 fields separated by '\\t', found 3: 'b\\ty\\t5'.",
        "user id is empty": "line 4: the user id is empty.",
        "rating is no finite number": "line 5: the rating 'many' should be a finite number.",
        "timestamp is no whole number": "line 6: the timestamp 'never' should be a whole number.",
    }
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{tmp_path / 'r.tsv'}: 6 of 8 rows are left out: ")
    for part in (
        "2 for 'wrong number of fields' (first: line 3)",
        "2 for 'user id is empty' (first: line 4)",
        "1 for 'rating is no finite number' (first: line 5)",
        "1 for 'timestamp is no whole number' (first: line 6)",
    ):
        assert part in message


def test_the_first_bad_row_is_the_error(tmp_path, any_block):
    refuses(tmp_path, BAD, "PATH, line 3: expected 4 fields separated by '\\t', found 3: 'b\\ty\\t5'.")
    refuses(tmp_path, "user\titem\n\tx\ny\n", "PATH, line 2: the user id is empty.")


def test_nothing_but_bad_rows(tmp_path, any_block):
    refuses(
        tmp_path,
        "user\titem\na\n\tx\nb\n",
        "PATH: none of 3 rows can be used; left out are 2 for 'wrong number of fields' (first: line 2), "
        "1 for 'user id is empty' (first: line 3).",
        kind=EmptyDatasetError,
        bad_rows="drop",
    )


def test_quotes_and_columns_stay_errors_where_rows_are_dropped(tmp_path):
    refuses(
        tmp_path,
        'user,item\na,"x\n',
        "PATH, line 2: a quoted field begins here and never ends.",
        layout=CSV,
        bad_rows="drop",
    )


# Names and layouts


def test_typed_headers_of_recbole(tmp_path):
    content = "user_id:token\titem_id:token\trating:float\tclass:token_seq\na\tx\t5.0\tA B\n"
    sources = {"user": "user_id", "item": "item_id", "rating": "rating", "genres": "class"}
    table = read(tmp_path, content, LAYOUTS["recbole"], sources)
    assert table.values.tolist() == [["a", "x", 5.0, "A B"]]
    refuses(
        tmp_path,
        "user_id:token\titem_id\na\tx\n",
        "PATH, line 1: the column 'item_id' should end in its type, one of token, token_seq, float, float_seq: "
        "user_id:token, rating:float.",
        layout=LAYOUTS["recbole"],
    )


def test_names_need_a_header(tmp_path):
    refuses(
        tmp_path,
        "a\tx\n",
        "PATH: no column 'user' for the user: without a header columns have no names. "
        "Set dataset.user=POSITION, 0 is the first.",
        layout=Layout(header=False),
    )


def test_unknown_encoding(tmp_path):
    for encoding in ("utf-9", "hex"):
        refuses(
            tmp_path,
            ROWS,
            f"PATH: {encoding!r} is no encoding that Python knows. Write e.g. utf-8 or latin-1.",
            layout=Layout(encoding=encoding),
        )


@pytest.mark.parametrize("delimiter", ["", "\n", '"', "a\r"])
def test_impossible_delimiters(delimiter):
    message = (
        f"delimiter = {delimiter!r}: should be one or more characters without line ends, NUL and quotes. "
        "Write one of comma, tab, semicolon, pipe, space, or the characters themselves."
    )
    with pytest.raises(ConfigError, match="^" + re.escape(message) + "$"):
        Layout(delimiter)


def test_the_name_tells_the_format():
    expected = {
        "r.csv": "csv",
        "R.CSV.gz": "csv",
        "r.tsv.zip": "tsv",
        "ml-1m.zip/ml-1m/ratings.dat": "dat",
        "ml-1m.train.rating": "rating",
        "a.inter": "recbole",
        "a.item": "recbole",
        "a.user": "recbole",
        "a.jsonl.gz": "jsonl",
        "a.ndjson": "jsonl",
        "a.parquet": "parquet",
        "a.txt": None,
        "a.zip": None,
        "csv": None,
    }
    assert {name: format_of(name) for name in expected} == expected


def test_the_first_of_two_stray_quotes(tmp_path):
    refuses(
        tmp_path,
        'user,item\na,x"\nb,"y"z\n',
        'PATH, line 2: a quote within a field. Quote the whole field and double its quotes: "5"" disk".',
        layout=CSV,
    )


def test_line_ends_are_those_of_the_first_line(tmp_path, any_block):
    refuses(tmp_path, "user\titem\ra\tx\nb\ty\r", f"PATH, line 2: holds the control character '\\n'. {ALIKE}")
    refuses(tmp_path, "user\titem\r\na\tx\r\nb\ty\r", f"PATH, line 3: holds the control character '\\r'. {ALIKE}")
    mixed = read(tmp_path, "user\titem\r\na\tx\nb\ty\r\n")
    assert mixed.values.tolist() == [["a", "x"], ["b", "y"]]


def test_line_ends_and_encodings_across_blocks(tmp_path, any_block):
    rows = ROWS.replace("a", "\u00e4\u20ac\U0001f600")
    plain = read(tmp_path, rows)
    for content, encoding in (
        (b"\xef\xbb\xbf" + rows.encode(), "utf-8"),
        (rows.replace("\n", "\r\n").encode(), "utf-8"),
        (rows.replace("\n", "\r").encode(), "utf-8"),
        (rows.encode("utf-16"), "utf-16"),
        (rows.encode("utf-16-le"), "utf-16-le"),
        (rows.encode("utf-32"), "utf-32"),
        (rows.encode("gb18030"), "gb18030"),
    ):
        pd.testing.assert_frame_equal(read(tmp_path, content, Layout(encoding=encoding)), plain)


def test_wrong_bytes_across_blocks(tmp_path, any_block):
    for line_end in ("\n", "\r", "\r\n"):
        content = f"user\titem{line_end}a\t\u20ac{line_end}".encode()
        bad = content + b"b\t\xe2\x82"
        refuses(
            tmp_path,
            bad + b"x",
            f"PATH, line 3: byte {len(content) + 2} (0xe2) is not utf-8. "
            "Set dataset.encoding=latin-1 if the file is written so.",
        )
        refuses(
            tmp_path,
            bad,
            f"PATH, line 3: byte {len(content) + 2} (0xe2) is not utf-8. "
            "Set dataset.encoding=latin-1 if the file is written so.",
        )
    refuses(
        tmp_path,
        ROWS.encode(),
        "PATH: is not utf-16 (UTF-16 stream does not start with BOM). Set dataset.encoding=utf-8 if the file is "
        "written so.",
        layout=Layout(encoding="utf-16"),
    )


def test_a_byte_order_mark_within_the_file_is_a_character(tmp_path, any_block):
    table = read(tmp_path, "user\titem\n\ufeffa\tx\na\tx\n")
    assert table["user"].tolist() == ["\ufeffa", "a"]
    table = read(tmp_path, "\ufeff\ufeffa\tx\na\tx\n", Layout(header=False), {"user": 0, "item": 1})
    assert table["user"].tolist() == ["\ufeffa", "a"]


def test_quoted_fields_across_blocks(tmp_path, any_block):
    content = 'title,item,rating\n"a\n\nb",i,1\n"say ""hi""",j,2\n"",k,3\n"x,y","l",bad\n'
    columns = {"title": "title", "item": "item", "rating": "rating"}
    refuses(
        tmp_path,
        content,
        "PATH, line 7: the rating 'bad' should be a finite number.",
        layout=CSV,
        columns=columns,
    )
    table = read(tmp_path, content.replace("bad", "4"), CSV, columns)
    assert table["title"].tolist() == ["a\n\nb", 'say "hi"', "", "x,y"]


def test_ids_are_counted_in_the_order_of_the_file_across_blocks(tmp_path, any_block):
    names = [str(number % 5) for number in range(40)]
    table = read(tmp_path, "user\titem\n" + "".join(f"{name}\ti{n}\n" for n, name in enumerate(names)))
    assert table["user"].tolist() == names
    assert table["user"].cat.categories.tolist() == ["0", "1", "2", "3", "4"]
    assert table["item"].tolist() == [f"i{n}" for n in range(40)]


# Whatever is written

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ID = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\0"), min_size=1, max_size=8)
QUOTABLE = st.text(st.sampled_from('ab,"\n;:\ufeff'), max_size=6)
BLOCK = st.integers(1, 64)


def with_blocks(step, function):
    """Call ``function`` while files are read ``step`` bytes at a time."""
    before, source.BLOCK_BYTES = source.BLOCK_BYTES, step
    try:
        return function()
    finally:
        source.BLOCK_BYTES = before


@SETTINGS
@given(rows=st.lists(st.tuples(ID, ID), min_size=1, max_size=8), step=BLOCK)
def test_every_tsv_comes_back_as_written(tmp_path, rows, step):
    content = "user\titem\n" + "".join(f"{user}\t{item}\n" for user, item in rows)
    table = with_blocks(step, lambda: read(tmp_path, content))
    assert list(zip(table["user"], table["item"])) == rows


@SETTINGS
@given(
    rows=st.lists(st.tuples(QUOTABLE, QUOTABLE), min_size=1, max_size=8),
    step=BLOCK,
    delimiter=st.sampled_from([",", ";", ":"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_every_csv_comes_back_as_written(tmp_path, rows, step, delimiter, quoting):
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([("a", "b"), *rows])
    layout = Layout(delimiter, quotes=True)
    table = with_blocks(step, lambda: read(tmp_path, written.getvalue(), layout, {"a": "a", "b": "b"}))
    assert list(zip(table["a"], table["b"])) == rows


@settings(SETTINGS, max_examples=200)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(st.sampled_from('a1:,\t\n\r"\0\x1f\ufeff\u20ac'), max_size=60).map(str.encode),
    ),
    layout=st.builds(
        Layout,
        st.sampled_from([",", "\t", "::", "\u20ac"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-7", "gb18030", "ascii", "cp1252", "iso2022_jp"]),
        st.booleans(),
    ),
    bad_rows=st.sampled_from(["error", "drop"]),
    kinds=st.tuples(*[st.sampled_from(["id", "number", "whole", "text"])] * 2),
    step=st.integers(1, 20),
)
def test_any_bytes_are_read_or_refused_whatever_the_blocks(tmp_path, content, layout, bad_rows, kinds, step):
    path = tmp_path / "r"
    path.write_bytes(content)
    columns = [Column(str(place), place, kind, may_be_missing=place == 1) for place, kind in enumerate(kinds)]

    def outcome():
        try:
            done = read_delimited(path, columns, layout, bad_rows=bad_rows)
        except DataError as error:
            return EmptyDatasetError if isinstance(error, EmptyDatasetError) else DataError
        return done.n_rows, done.dropped, done.frame.astype(str).values.tolist()

    assert with_blocks(step, outcome) == outcome()


def test_a_wrong_byte_is_found_at_its_line_whatever_the_blocks(tmp_path):
    content = "user\titem\na\t\u20ac\nb\t\u20ac".encode()
    message = f"PATH, line 3: byte {len(content)} (0xff) is not utf-8. "
    message += "Set dataset.encoding=latin-1 if the file is written so."
    for step in range(1, 24):
        with_blocks(step, lambda: refuses(tmp_path, content + b"\xff\nc\td\n", message))


def test_the_same_data_as_tsv_and_csv_has_one_fingerprint(tmp_path):
    tsv = read(tmp_path, ROWS)
    table = read(tmp_path, ROWS.replace("\t", ","), CSV, name="r.csv")
    pd.testing.assert_frame_equal(tsv, table)


def test_long_files_in_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1 << 16)
    numbers = np.arange(30_000)
    content = "user\titem\trating\ttimestamp\n" + "".join(
        f"u{n % 977}\ti{n % 613}\t{n % 9 / 2}\t{n * 1_000_003}\n" for n in numbers.tolist()
    )
    table = read(tmp_path, content)
    assert table["user"].tolist() == [f"u{n % 977}" for n in numbers.tolist()]
    assert table["item"].tolist() == [f"i{n % 613}" for n in numbers.tolist()]
    assert (table["rating"] == numbers % 9 / 2).all()
    assert (table["timestamp"] == numbers * 1_000_003).all()


@pytest.mark.parametrize(
    ("content", "layout", "line", "likely"),
    [
        (b"user\titem\na\tx\n" + b"b" * 101, TSV, 3, ""),
        (b'user,item\na,x\n"b,y\n' + b"c,z\n" * 26, CSV, 3, " It has a quote that is never closed."),
    ],
)
def test_a_record_without_end_is_not_kept_in_memory(tmp_path, monkeypatch, content, layout, line, likely):
    monkeypatch.setattr("recbench.formats.lines._MAX_RECORD_BYTES", 100)
    monkeypatch.setattr(source, "BLOCK_BYTES", 10)
    path = tmp_path / "data.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_delimited(path, columns_of({"user": "user", "item": "item"}), layout)
    assert str(error.value) == f"{path}, line {line}: is longer than 100 bytes.{likely}"


def test_of_many_columns_the_first_are_named(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("\t".join(["a" * 90, *(f"column{n}" for n in range(2, 61))]) + "\n")
    with pytest.raises(DataError) as error:
        read_delimited(path, columns_of({"user": "user", "item": "item"}), TSV)
    shown = ", ".join(["a" * 77 + "...", *(f"column{n}" for n in range(2, 51))])
    assert f"no column 'user' for the user; the file has: {shown} and 10 more. Set" in str(error.value)
