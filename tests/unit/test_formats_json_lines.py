"""JSON lines: numbers as they are written, ids that stay opaque, and every odd line refused by its number."""

import json
import logging
import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.errors import DataError, EmptyDatasetError
from recbench.formats import Column, read_json_lines, source

COLUMNS = (
    Column("user", "user", "id"),
    Column("item", "item", "id"),
    Column("rating", "rating", "number", optional=True),
    Column("timestamp", "time", "whole", optional=True),
    Column("title", "title", "text", optional=True),
)
SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[1, 16, source.BLOCK_BYTES])
def any_block(request, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", request.param)


def whole_read(folder, content, columns=COLUMNS, **more):
    (folder / "r.jsonl").write_text(content, encoding="utf-8", newline="")
    return read_json_lines(folder / "r.jsonl", columns, **more)


def read(*arguments, **more):
    return whole_read(*arguments, **more).frame


def refuses(folder, content, message, kind=DataError, **more):
    path = folder / "r.jsonl"
    with pytest.raises(kind, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        read(folder, content, **more)


def test_values_as_written(tmp_path, any_block):
    table = read(
        tmp_path,
        '{"user": "a", "item": 7, "rating": 4, "time": 10, "title": "x, \\n\\u00e4"}\n'
        '{"time": "20", "rating": "3.5", "item": "007", "user": 12345678901234567890123, '
        '"title": 1.50, "more": [{}]}\r\n'
        ' {"user": "-1", "item": "7", "rating": 1e-3, "time": 881250949.0, "title": ""} ',
    )
    assert table["user"].tolist() == ["a", "12345678901234567890123", "-1"]
    assert table["item"].tolist() == ["7", "007", "7"]
    assert table["rating"].tolist() == [4.0, 3.5, 1e-3]
    assert table["timestamp"].tolist() == [10, 20, 881250949]
    assert table["title"].tolist() == ["x, \n\u00e4", "1.50", ""]
    assert all(type(name) is str for name in [*table["item"].cat.categories, *table["title"]])
    assert list(read(tmp_path, '{"user": "a", "item": "b"}\n').columns) == ["user", "item"]


@pytest.mark.parametrize(
    ("value", "found"),
    [("7.0", "a fraction"), ("1e3", "a fraction"), ("true", "true or false"), ("[1]", "a list"), ("{}", "an object")],
)
def test_what_is_no_id(tmp_path, value, found):
    refuses(
        tmp_path,
        f'{{"user": "a", "item": "b"}}\n{{"user": "a", "item": {value}}}\n',
        f"PATH, line 2: the item id should be text or a whole number, and is {found}.",
    )


@pytest.mark.parametrize("value", ["null", '""'])
def test_empty_ids(tmp_path, value):
    refuses(tmp_path, f'{{"user": {value}, "item": "b"}}\n', "PATH, line 1: the user id is empty.")


def test_ids_without_line_ends_and_halves_of_surrogates(tmp_path):
    for written, value in (("a\\nb", "a\nb"), ("\\ud800", "\ud800"), ("\\u0000", "\0")):
        refuses(
            tmp_path,
            f'{{"user": "{written}", "item": "b"}}\n',
            f"PATH, line 1: the user id {value!r} should hold no line end, tab, NUL or half of a surrogate pair.",
        )
    refuses(
        tmp_path,
        '{"user": "a", "item": "b", "title": "\\ud800"}\n',
        "PATH, line 1: the title '\\ud800' should hold no line end, tab, NUL or half of a surrogate pair.",
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("null", "the rating is missing."),
        ("true", "the rating should be text or a number, and is true or false."),
        ("NaN", "the rating 'NaN' should be a finite number."),
        ("-Infinity", "the rating '-Infinity' should be a finite number."),
        ("1e999", "the rating '1e999' should be a finite number."),
        ('"1_0"', "the rating '1_0' should be a finite number."),
        ('""', "the rating '' should be a finite number."),
    ],
)
def test_what_is_no_rating(tmp_path, any_block, value, message):
    good = '{"user": "a", "item": "b", "rating": 1}\n'
    refuses(tmp_path, f'{good}{{"user": "a", "item": "b", "rating": {value}}}\n', f"PATH, line 2: {message}")
    # The key is there, so the column is.
    refuses(tmp_path, f'{{"user": "a", "item": "b", "rating": {value}}}\n{good}', f"PATH, line 1: {message}")


GOOD = '{"user": "a", "item": "b"}\n'


def test_lines_that_are_no_record(tmp_path, any_block):
    for line, problem in (
        ('{"user": "a"', " (Expecting ',' delimiter at character 13)"),
        ("", " (Expecting value at character 1)"),
        ('{"user": 1} {}', " (Extra data at character 13)"),
        ("[1]", ""),
        ('"text"', ""),
        ("[" * 100_000, " (it is nested too deep)"),
    ):
        shown = repr(line if len(line) <= 80 else line[:77] + "...")
        refuses(tmp_path, f"{GOOD}{line}\n{GOOD}", f"PATH, line 2: should be one JSON object{problem}: {shown}.")
        refuses(tmp_path, f"{line}\n{GOOD}", f"PATH, line 1: should be one JSON object{problem}: {shown}.")
    twice = '{"user": "a", "item": "b", "user": "a"}'
    refuses(tmp_path, f"{GOOD}{twice}\n", f"PATH, line 2: gives a key twice: {twice!r}.")


def test_objects_across_lines_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"r\.jsonl, line 1: should be one JSON object \("):
        read(tmp_path, '{"user": "a",\n"item": "b"}\n')


def test_keys_that_are_missing(tmp_path, any_block):
    refuses(
        tmp_path,
        '{"user": "a", "movie": "b"}\n',
        "PATH: no column 'item' for the item; the file has: user, movie. Set dataset.item=NAME.",
    )
    refuses(tmp_path, GOOD + '{"user": "a"}\n', "PATH, line 2: the item id is empty.")
    refuses(
        tmp_path,
        GOOD + '{"user": "a", "item": "b", "rating": 3}\n',
        "PATH, line 2: has the key 'rating', which the first record lacks. "
        "Give it in all records, null where it is missing.",
    )
    refuses(
        tmp_path,
        GOOD,
        "PATH: no column 0 for the user: JSON objects have keys and no positions. Set dataset.user=KEY.",
        columns=[Column("user", 0, "id")],
    )


def test_what_may_be_missing(tmp_path, any_block):
    columns = [COLUMNS[0], Column("age", "age", "whole", may_be_missing=True), COLUMNS[1]]
    table = read(
        tmp_path, GOOD + '{"user": "b", "item": "b", "age": 7}\n{"user": "b", "item": "c", "age": ""}\n', columns
    )
    assert table["age"].isna().tolist() == [True, False, True]
    assert table["age"].dtype == pd.Int64Dtype()


def test_bad_records_are_left_out_and_counted(tmp_path, any_block, caplog):
    content = 'no\n[]\n{"user": "a", "item": "b", "rating": 1}\n\n{"user": "a", "item": 1.5, "rating": 2}\n'
    content += '{"user": "a", "item": "c", "rating": null}\n{"user": "a", "user": "c"}\n'
    with caplog.at_level(logging.WARNING, "recbench"):
        done = whole_read(tmp_path, content, bad_rows="drop")
    assert done.frame.values.tolist() == [["a", "b", 1.0]]
    assert done.n_rows == 7
    assert done.dropped == {
        "no JSON object": 3,
        "item id is no text or a whole number": 1,
        "rating is missing": 1,
        "a key given twice": 1,
    }
    assert "3 for 'no JSON object' (first: line 1)" in caplog.text
    refuses(
        tmp_path,
        "no\n[]\n",
        "PATH: none of 2 rows can be used; left out are 2 for 'no JSON object' (first: line 1).",
        kind=EmptyDatasetError,
        bad_rows="drop",
    )


def test_an_optional_key_of_another_column_is_taken(tmp_path):
    columns = [*COLUMNS[:2], Column("timestamp", "rating", "whole"), COLUMNS[2]]
    table = read(tmp_path, '{"user": "a", "item": "b", "rating": 1}\n', columns)
    assert list(table.columns) == ["user", "item", "timestamp"]


def test_an_empty_file(tmp_path):
    refuses(tmp_path, "", "PATH: is empty (0 bytes).", kind=EmptyDatasetError)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["user", "item", "x"]), inner),
    max_leaves=4,
)
LINE = st.one_of(
    st.fixed_dictionaries({"user": JSON, "item": JSON}, optional={"rating": JSON}).map(json.dumps),
    JSON.map(json.dumps),
    st.text(st.sampled_from('{}[]",:1ae\\u\r\0'), max_size=12),
)


@SETTINGS
@given(lines=st.lists(LINE, max_size=6), step=st.integers(1, 40), bad_rows=st.sampled_from(["error", "drop"]))
def test_any_lines_are_read_or_refused_whatever_the_blocks(tmp_path, lines, step, bad_rows):
    def outcome():
        try:
            done = whole_read(tmp_path, "\n".join(lines), bad_rows=bad_rows)
        except DataError as error:
            return EmptyDatasetError if isinstance(error, EmptyDatasetError) else DataError
        return done.n_rows, done.dropped, done.frame.astype(str).values.tolist()

    whole, before = outcome(), source.BLOCK_BYTES
    source.BLOCK_BYTES = step
    try:
        assert outcome() == whole
    finally:
        source.BLOCK_BYTES = before


def test_lines_where_asked(tmp_path, any_block):
    content = '{"user": "a", "item": "x"}\n[]\n{"user": "b", "item": ""}\n{"user": "c", "item": "z"}\n'
    done = whole_read(tmp_path, content, bad_rows="drop", numbered=True)
    assert (done.lines.tolist(), done.where(1)) == ([1, 4], "line 4")
