"""Every known case of bad input, of splits that leak and of keys that wrap: what is said of it, what is counted.

One test or more a case, numbered as in the project's list of cases: 1 to 21 are about files, 22 to 29 about splits,
sampling and keys.
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import datasets, resolve, run, splits
from recbench.candidates import Draw, sampled_candidates
from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.errors import ConfigError, DataError, EmptyDatasetError, EncodingError
from recbench.experiment import prepare
from recbench.leaks import Share
from recbench.negatives.popularity import PopularityNegatives, PopularityNegativesConfig
from recbench.negatives.uniform import Uniform, UniformConfig
from recbench.randomness import generator

HEADER = "user,item,rating,timestamp\n"
QUIET = {"tensorboard": False}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Let all files of a test lie in a folder of its own, so that messages name them without it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(caplog):
    """Return what recbench logs from ``INFO`` on, without what cleaning keeps whole."""
    caplog.set_level(logging.INFO, "recbench")
    return lambda level="WARNING": [record.getMessage() for record in caplog.records if record.levelname == level]


@contextmanager
def within(seconds: int):
    """Break off what takes longer."""

    def late(*_):
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def write(content: str | bytes, name: str = "data.csv") -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def load(content: str | bytes, name: str = "data.csv", **options) -> Interactions:
    return datasets.build("files", interactions=write(content, name), **options).load()


def error_of(content: str | bytes, name: str = "data.csv", kind: type[Exception] = DataError, **options) -> str:
    with pytest.raises(kind) as error:
        load(content, name, **options)
    assert type(error.value) is kind
    return str(error.value)


def mend(name: str = "data.csv") -> str:
    """Return what the error about a bad row ends in."""
    return (
        " Mend it, or leave such rows out, counted, with dataset.bad_rows=drop. "
        f"All that is wrong with the file shows: recbench data check {name}."
    )


def ids(interactions: Interactions) -> list[str]:
    return interactions.user_vocabulary.ids.tolist()


def pairs(interactions: Interactions) -> list[tuple[str, str]]:
    """Return the pairs of ids in the canonical order."""
    users = interactions.user_vocabulary.names(interactions.users.numpy())
    items = interactions.item_vocabulary.names(interactions.items.numpy())
    return list(zip(users, items))


def experiment(model: str | dict = "popularity", split: str | dict = "none", evaluation: dict | None = None, **dataset):
    """Return the configuration of a run on files of the user's own."""
    given = {"dataset": {"name": "files", **dataset}, "split": split, "model": model, "tracking": QUIET}
    return resolve({**given, "evaluation": evaluation or {}, "threads": 1}).config


def result_of(config) -> dict:
    """Run, and return what ``result.json`` says."""
    run(config, "run", progress=False)
    return json.loads(Path("run/result.json").read_text())


def steps_of(result: dict) -> list[tuple[str, int, int, dict]]:
    """Return of each step its name, the interactions before and after it, and its further numbers."""
    return [
        (step["name"], step["before"]["n_interactions"], step["after"]["n_interactions"], step["details"])
        for step in result["data"]["steps"]
        if not step["name"].startswith("split ")
    ]


def dense(n_users: int, n_items: int, seed: int = 0) -> pd.DataFrame:
    """Return half of all pairs, each at a time of its own, with ratings from 1 to 5."""
    drawn = np.random.default_rng(seed)
    taken = np.argwhere(drawn.random((n_users, n_items)) < 0.5)
    return pd.DataFrame(
        {
            "user": [f"u{user:03d}" for user in taken[:, 0]],
            "item": [f"i{item:03d}" for item in taken[:, 1]],
            "rating": drawn.integers(1, 6, len(taken)),
            "timestamp": 1_000_000_000 + drawn.permutation(len(taken)),
        }
    )


# 1.A: files


@pytest.mark.parametrize(
    ("name", "character", "seen", "remedy"),
    [
        ("data.csv", ";", "','", "semicolons: set dataset.delimiter=semicolon."),
        ("data.csv", "\t", "','", "tabs: set dataset.delimiter=tab."),
        ("data.tsv", ",", r"'\t'", "commas: set dataset.delimiter=comma."),
        ("data.tsv", "|", r"'\t'", "pipes: set dataset.delimiter=pipe."),
        ("data.csv", "::", "','", "'::': set dataset.delimiter=::."),
    ],
)
def test_case_01_wrong_delimiter(name, character, seen, remedy):
    """Fields are separated by something else than the format says. -> An error names file and line, what was expected
    and what the line looks separated by, with the option to set."""
    content = "user,item,rating\na,x,1\n".replace(",", character)
    first = "user,item,rating".replace(",", character)
    assert error_of(content, name) == (
        f"{name}, line 1: expected fields separated by {seen}, found one field: {first!r}. "
        f"It looks separated by {remedy}"
    )
    delimiter = remedy.removesuffix(".").rpartition("=")[2]
    assert pairs(load(content, name, delimiter=delimiter)) == [("a", "x")], "what is advised works"


def test_case_01_wrong_delimiter_that_looks_like_several_columns():
    assert error_of("user;item,rating\na;x,1\n") == (
        "data.csv: no column 'user' for the user; the file has: user;item, rating. "
        "Set dataset.user=NAME, or dataset.header=false where the first line is data."
    )


def test_case_02_missing_column():
    """A wanted column is not there, or twice. -> An error lists the columns that there are and the option that names
    one."""
    assert error_of("user,movie,stars\na,x,1\n") == (
        "data.csv: no column 'item' for the item; the file has: user, movie, stars. "
        "Set dataset.item=NAME, or dataset.header=false where the first line is data."
    )
    assert error_of("user,item\na,x\n", rating="stars") == (
        "data.csv: no column 'stars' for the rating; the file has: user, item. "
        "Set dataset.rating=NAME, or dataset.header=false where the first line is data."
    )
    loaded = load("user,movie,stars\na,x,1\n", item="movie", rating="stars")
    assert pairs(loaded) == [("a", "x")] and loaded.ratings.tolist() == [1]


def test_case_02_column_that_occurs_twice():
    assert error_of("user,item,item\na,x,y\n") == (
        "data.csv, line 1: the column 'item' occurs 2 times. Set dataset.item=POSITION, 0 is the first."
    )
    assert pairs(load("user,item,item\na,x,y\n", item=2)) == [("a", "y")]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (
            [{"name": "cost", "kind": "numeric"}],
            "items.csv: no column 'cost' for the cost; the file has: item, price. "
            "Declare {name: cost, column: NAME, ...}.",
        ),
        (
            [{"name": "cost", "kind": "numeric", "column": 2}],
            "items.csv: no column 2 for the cost; the file has 2 columns, 0 to 1. "
            "Declare {name: cost, column: POSITION, ...}.",
        ),
        (
            [{"name": "name", "kind": "text", "column": "item"}],
            "items.csv: the item and the name are both the column 'item'. "
            "Each declared column should be another one, and none that of the ids.",
        ),
    ],
)
def test_case_02_missing_column_of_a_table_of_items(declared, message):
    write("item,price\nx,1\n", "items.csv")
    assert error_of("user,item\na,x\n", items="items.csv", item_columns=declared) == message


def test_case_03_stray_quote_in_tsv_swallows_no_row():
    """A quote stands alone in a field. -> In TSV it is a character like any other; in CSV quotes are those of RFC 4180,
    and a stray or open one is an error with its line. As many rows are kept or counted as there are records."""
    write('user\titem\na"\tx\nb\ty\n"c\tz\nd\t"q"\n', "data.tsv")
    result = result_of(experiment(interactions="data.tsv"))
    n_lines = len(Path("data.tsv").read_text().splitlines()) - 1
    assert steps_of(result)[0] == ("read data.tsv", n_lines, 4, {})
    loaded = datasets.build("files", interactions="data.tsv").load()
    assert pairs(loaded) == [('"c', "z"), ('a"', "x"), ("b", "y"), ("d", '"q"')]


def test_case_03_quotes_in_csv_are_those_of_rfc_4180():
    assert pairs(load('user,item\n"a,1","say ""x"""\nb,y\n')) == [("a,1", 'say "x"'), ("b", "y")]
    assert error_of('user,item\na,x\n"b,y\nc,z\n') == "data.csv, line 3: a quoted field begins here and never ends."
    assert error_of('user,item\na,x\nb"q,y\nc,z\n') == (
        'data.csv, line 3: a quote within a field. Quote the whole field and double its quotes: "5"" disk".'
    )


def test_case_04_row_with_too_many_fields():
    """A row has too many fields. -> An error with its line; no column is shifted."""
    assert error_of("user,item,rating\na,x,1\nb,y,2,9\n") == (
        "data.csv, line 3: expected 3 fields separated by ',', found 4: 'b,y,2,9'." + mend()
    )


def test_case_05_row_with_too_few_fields(told):
    """A row has too few fields. -> An error with its line; with `dataset.bad_rows=drop` it is left out, counted in
    `result.json` and told."""
    content = "user,item,rating\na,x,1\nb,y\nc,z,3\n\n"
    assert error_of(content) == "data.csv, line 3: expected 3 fields separated by ',', found 2: 'b,y'." + mend()
    result = result_of(experiment(interactions="data.csv", bad_rows="drop"))
    assert told() == ["data.csv: 2 of 4 rows are left out: 2 for 'wrong number of fields' (first: line 3)."]
    assert steps_of(result) == [
        ("read data.csv", 4, 2, {"wrong number of fields": 2}),
        ("duplicates(keep=last)", 2, 2, {}),
    ]


def test_case_06_byte_order_mark():
    """The file begins with a byte order mark. -> It is taken off: the same data, the same fingerprint."""
    content = "user,item,rating\na,x,1\nb,y,2\n"
    plain, marked = load(content), load("\ufeff" + content)
    assert marked.fingerprint == plain.fingerprint and ids(marked) == ["a", "b"]


@pytest.mark.parametrize("last", ["\n", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_case_07_line_ends(end, last):
    """Lines end in LF, CRLF or CR, the last one in nothing. -> The same data, the same fingerprint."""
    content = "user,item,rating,timestamp\na,x,1,5\nb,y,2,6" + last
    loaded = load(content.replace("\n", end))
    assert loaded.fingerprint == load("user,item,rating,timestamp\na,x,1,5\nb,y,2,6\n").fingerprint
    assert loaded.item_vocabulary.ids.tolist() == ["x", "y"] and loaded.timestamps.tolist() == [5, 6]


def test_case_08_latin_1_bytes():
    """The bytes are not of the encoding. -> An error with line, byte and the encoding that is likely; nothing is
    replaced or left out."""
    content = "user,item\nJosé,x\n".encode("latin-1")
    offset = content.index(b"\xe9")
    assert error_of(content, kind=EncodingError) == (
        f"data.csv, line 2: byte {offset} (0xe9) is not utf-8. Set dataset.encoding=latin-1 if the file is written so."
    )
    assert ids(load(content, encoding="latin-1")) == ["José"]


def test_case_08_utf_16_is_known_by_its_mark():
    content = "user,item\nJosé,x\n".encode("utf-16")
    assert error_of(content, kind=EncodingError) == (
        f"data.csv, line 1: byte 0 ({content[0]:#04x}) is not utf-8. "
        "Set dataset.encoding=utf-16 if the file is written so."
    )
    assert ids(load(content, encoding="utf-16")) == ["José"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.csv: is empty (0 bytes)."),
        ("\ufeff", "data.csv: is empty (0 bytes)."),
        ("user,item,rating\n", "data.csv: holds a header and no rows."),
        ("user,item,rating", "data.csv: holds a header and no rows."),
    ],
)
def test_case_09_no_bytes_or_a_header_alone(content, message):
    """The file has no bytes, or nothing but a header. -> One `EmptyDatasetError` that says which."""
    assert error_of(content, kind=EmptyDatasetError) == message


def test_case_10_nothing_left_after_cleaning():
    """Cleaning leaves nothing. -> An error with the counts after every step."""
    content = "user,item,rating\na,x,4\na,x,5\na,y,3\nb,y,2\nb,z,1\n"
    message = error_of(
        content, kind=EmptyDatasetError, min_rating=3, clean=[{"step": "k_core", "users": 2, "items": 2}]
    )
    assert message == (
        "k_core(users=2, items=2) leaves no interaction. What each step left:\n"
        "  duplicates(keep=last): leaves out 1 of 5 interactions; 2 users and 3 items are left\n"
        "  rating(min=3.0): leaves out 2 of 4 interactions; 1 users and 2 items are left "
        "(lowest rating: 1.0, highest rating: 5.0)\n"
        "  k_core(users=2, items=2): leaves out 2 of 2 interactions; 0 users and 0 items are left (rounds: 1)"
    )


@pytest.mark.parametrize(("row", "kind"), [(",x", "user"), ("b,", "item"), (",", "user")])
def test_case_11_empty_id_is_an_error(row, kind):
    """A user or item id is empty or missing. -> An error with its line; with `dataset.bad_rows=drop` the rows are
    counted."""
    assert error_of(f"user,item\na,x\n{row}\n") == f"data.csv, line 3: the {kind} id is empty." + mend()


def test_case_11_ids_that_are_missing_in_parquet_and_json():
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    pd.DataFrame({"user": ["a", None], "item": ["x", "y"]}).to_parquet("data.parquet")
    with pytest.raises(DataError) as error:
        datasets.build("files", interactions="data.parquet").load()
    assert str(error.value) == "data.parquet, row 2: the user id is empty." + mend("data.parquet")
    assert error_of('{"user": "a", "item": "x"}\n{"user": "b", "item": null}\n', "data.jsonl") == (
        "data.jsonl, line 2: the item id is empty." + mend("data.jsonl")
    )


def test_case_11_empty_ids_dropped_are_counted(told):
    write("user,item\na,x\nb,\n,\n,z\n")
    result = result_of(experiment(interactions="data.csv", bad_rows="drop"))
    assert told() == [
        "data.csv: 3 of 4 rows are left out: 2 for 'user id is empty' (first: line 4), "
        "1 for 'item id is empty' (first: line 3)."
    ]
    assert steps_of(result)[0] == ("read data.csv", 4, 1, {"user id is empty": 2, "item id is empty": 1})


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.parquet", "data.jsonl"])
def test_case_12_ids_that_look_like_nothing(name):
    """An id reads NA, null, nan or None. -> It is an id like any other."""
    words = ["NA", "null", "nan", "None", "NULL", "N/A", "NaN", "-", "#N/A", "<NA>"]
    frame = pd.DataFrame({"user": words, "item": [*words[1:], "x"]})
    if name == "data.parquet":
        pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
        frame.to_parquet(name)
    elif name == "data.jsonl":
        frame.to_json(name, orient="records", lines=True)
    else:
        frame.to_csv(name, index=False, sep="," if name == "data.csv" else "\t")
    loaded = datasets.build("files", interactions=name).load()
    assert pairs(loaded) == sorted(frame.itertuples(index=False, name=None))


def test_case_13_ids_are_opaque():
    """Ids look like the same number: 007 and 7, 1 and 1.0. -> Ids are text and stay apart."""
    texts = ["007", "7", "1", "1.0", "1e5", "100000", " 7", "+7", "٧", "True", "a", "A"]
    loaded = load("user,item\n" + "".join(f"{text},x\n" for text in texts))
    assert ids(loaded) == sorted(texts, key=str.encode)


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_case_14_ids_come_back_exactly(name):
    """Ids are huge, negative, beyond 2^53 or 10 kB long. -> They come back exactly."""
    texts = [
        str(2**53),
        str(2**53 + 1),
        str(2**63 - 1),
        str(-(2**63)),
        str(2**64),
        "-5",
        "-0",
        "z" * 10_000,
        "é",
        "e\u0301",
    ]
    frame = pd.DataFrame({"user": texts, "item": [f"i{text}" for text in texts]})
    if name == "data.parquet":
        pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
        frame.to_parquet(name)
    else:
        frame.to_csv(name, index=False)
    loaded = datasets.build("files", interactions=name).load()
    assert pairs(loaded) == sorted(frame.itertuples(index=False, name=None), key=lambda pair: pair[0].encode())


def test_case_14_whole_numbers_in_parquet_come_back_exactly():
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    numbers = [2**53 + 1, 2**53, 2**63 - 1, -(2**63)]
    pd.DataFrame({"user": numbers, "item": ["x"] * 4}).to_parquet("data.parquet")
    loaded = datasets.build("files", interactions="data.parquet").load()
    assert ids(loaded) == sorted(map(str, numbers))


@pytest.mark.parametrize(
    "value", ["nan", "NaN", "inf", "-inf", "Infinity", "1e400", "", " ", "abc", "1_0", "0x1", "1,5"]
)
def test_case_15_rating_that_is_no_finite_number(value):
    """A rating is NaN, infinite, empty or no number. -> An error with its line; left out and counted where asked for;
    never filled in silently."""
    message = error_of(f"user\titem\trating\na\tx\t1\nb\ty\t{value}\n", "data.tsv")
    assert message == f"data.tsv, line 3: the rating {value!r} should be a finite number." + mend("data.tsv")


def test_case_15_ratings_dropped_are_counted():
    write("user,item,rating\na,x,1\nb,y,nan\nc,z,inf\nd,z,\n")
    result = result_of(experiment(interactions="data.csv", bad_rows="drop"))
    assert steps_of(result)[0] == ("read data.csv", 4, 1, {"rating is no finite number": 3})


def test_case_15_missing_ratings_by_the_declared_step():
    write("user,item,rating\na,x,1\nb,y,\nc,z,\n")
    result = result_of(experiment(interactions="data.csv", clean=[{"step": "missing", "rating": "drop"}]))
    assert steps_of(result) == [
        ("read data.csv", 3, 3, {}),
        ("missing(rating=drop, timestamp=error)", 3, 1, {"rating is missing": 2}),
        ("duplicates(keep=last)", 1, 1, {}),
    ]


@pytest.mark.parametrize("value", ["nan", "", "1.5", "2001-01-01", "inf", str(2**63)])
def test_case_16_timestamp_that_is_no_whole_number(value):
    """Timestamps are no whole numbers, negative, of mixed units, in the future or equal. -> An error for the first; the
    others are kept with a warning; equal ones are ordered by item id, everywhere alike."""
    assert error_of(f"user,item,timestamp\na,x,5\nb,y,{value}\n") == (
        f"data.csv, line 3: the timestamp {value!r} should be a whole number." + mend()
    )


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        (
            -5,
            "1 of 2 timestamps are negative, before 1970, e.g. -5. They are kept as they are; a step time_window "
            "leaves them out.",
        ),
        (
            1_500_000_000_000,
            "1 of 2 timestamps look like milliseconds, e.g. 1500000000000, and the others like seconds: they are in "
            "mixed units. They are kept as they are; write them all in seconds where time matters.",
        ),
        (
            99_999_999_999,
            "1 of 2 timestamps lie in the future, e.g. 99999999999. They are kept as they are; a step time_window "
            "leaves them out.",
        ),
    ],
)
def test_case_16_timestamps_that_look_wrong_are_kept_with_a_warning(odd, sentence, told):
    loaded = load(f"user,item,timestamp\na,x,1500000000\na,y,{odd}\n")
    assert sorted(loaded.timestamps.tolist()) == sorted([1_500_000_000, odd])
    assert told() == [sentence]


def test_case_16_equal_timestamps_go_by_the_item_id():
    rows = ["a,x,1,5", "a,z,2,5", "a,y,3,5", "b,z,1,5", "b,y,1,5"]
    forth, back = load(HEADER + "\n".join(rows)), load(HEADER + "\n".join(reversed(rows)))
    assert forth.fingerprint == back.fingerprint
    assert pairs(forth) == [("a", "x"), ("a", "y"), ("a", "z"), ("b", "y"), ("b", "z")]
    parts = splits.build("leave_one_out", valid=False).assign(forth)
    assert parts.tolist() == [TRAIN, TRAIN, TEST, TRAIN, TEST], "the greatest id is the last one, for z"


REPEATED = HEADER + "a,x,1,9\na,x,2,7\na,x,4,8\na,y,5,1\nb,x,3,2\n"


@pytest.mark.parametrize(("policy", "rating", "time"), [("last", 1, 9), ("first", 2, 7), ("sum", 1 + 2 + 4, 9)])
def test_case_17_repeated_pairs_become_one(policy, rating, time, told):
    """A pair of user and item occurs more than once. -> One of them is kept by a declared policy
    (`dataset.duplicates`), with a count and a warning; no pair is in two parts of a split unless repeats are kept."""
    loaded = load(REPEATED, duplicates=policy)
    kept = dict(zip(pairs(loaded), zip(loaded.ratings.tolist(), loaded.timestamps.tolist())))
    assert kept == {("a", "x"): (rating, time), ("a", "y"): (5, 1), ("b", "x"): (3, 2)}
    sentence = f"duplicates(keep={policy}): leaves out 2 of 5 interactions; 2 users and 2 items are left"
    assert told() == [sentence] and str(loaded.provenance[-1]) == sentence


def test_case_17_repeated_pairs_as_an_error():
    assert error_of(REPEATED, duplicates="error") == (
        "user 'a' and item 'x' occur together more than once (2 rows too many). Say what becomes of repeats: "
        "dataset.duplicates=last, first, sum or keep."
    )


@pytest.mark.parametrize("name", ["random", "leave_one_out", "leave_k_out", "global_time", "k_fold"])
def test_case_17_no_pair_is_in_two_parts_unless_kept(name):
    frame = dense(20, 12)
    twice = pd.concat([frame, frame.assign(timestamp=frame["timestamp"] + 10**6)])
    twice.to_csv("data.csv", index=False)
    prepared = prepare(experiment(split=name, interactions="data.csv"))
    train, holdouts = prepared.split.train, (prepared.split.valid, prepared.split.test)
    keys = [train.users * train.n_items + train.items]
    keys += [part.users[part.target.row_of_each()] * train.n_items + part.target.items for part in holdouts if part]
    together = torch.cat(keys)
    assert len(together) == len(together.unique()) == len(frame)
    assert prepared.leaks.seen_pairs.n == 0
    kept = prepare(experiment(split=name, interactions="data.csv", duplicates="keep"))
    assert kept.leaks.seen_pairs.n > 0 and "pairs of user and item are in training too." in kept.leaks.sentence


def test_case_18_user_with_one_interaction_stays_in_training(told):
    """A user has one interaction under leave-one-out. -> It stays in training, the user is not asked, and is
    counted."""
    write(HEADER + "a,x,1,1\nb,x,1,1\nb,y,1,2\nc,x,1,1\nc,y,1,2\nc,z,1,3\n")
    result = result_of(experiment(split="leave_one_out", interactions="data.csv"))
    assert result["data"]["steps"][-1]["details"] == {
        "training": 3,
        "users in training": 3,
        "validation": 1,
        "users in validation": 1,
        "test": 2,
        "users in test": 2,
    }
    assert (
        "split leave_one_out: keeps all 6 interactions; 3 users and 3 items are left (training: 3, users in training: "
        "3, validation: 1, users in validation: 1, test: 2, users in test: 2)"
    ) in told("INFO")
    assert result["n_users"] == {"test": 2, "valid": 1}
    assert result["n_users_without_target"] == {"test": 1, "valid": 2}
    assert result["leaks"]["unknown_users"] == {"n": 0, "of": 2, "share": 0.0}, "nobody is asked without a history"
    prepared = prepare(experiment(split="leave_one_out", interactions="data.csv"))
    assert pairs(prepared.split.train) == [("a", "x"), ("b", "x"), ("c", "x")]


def test_case_19_unknown_users_and_items_are_counted():
    """Users or items of the test part are unknown in training. -> They are asked and counted in `leaks`; the number of
    users behind a mean is in the result."""
    write("user,item\na,x\na,y\nb,x\ne,y\n", "train.csv")
    write("user,item\na,z\nb,y\nc,x\nd,z\n", "test.csv")
    result = result_of(experiment(split="fixed", train="train.csv", test="test.csv"))
    assert result["leaks"]["unknown_users"] == {"n": 2, "of": 4, "share": 2 / 4}
    assert result["leaks"]["unknown_items"] == {"n": 1, "of": 3, "share": 1 / 3}
    assert result["n_users"]["test"] == 4, "they count in the mean"
    assert result["n_users_without_target"]["test"] == 1, "e is not asked"


def test_case_20_one_table_in_three_formats():
    """The same table comes as CSV, TSV and Parquet. -> The same fingerprint and the same metrics."""
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    frame = dense(20, 12)
    frame.to_csv("data.csv", index=False)
    frame.to_csv("data.tsv", index=False, sep="\t")
    frame.to_parquet("data.parquet")
    outcomes = [
        run(experiment("item_knn", "leave_one_out", interactions=name), progress=False)
        for name in ("data.csv", "data.tsv", "data.parquet")
    ]
    assert len({outcome.prepared.data_fingerprint for outcome in outcomes}) == 1
    assert len({json.dumps(dict(outcome.reports["test"].values)) for outcome in outcomes}) == 1


_SHOW = """
from recbench import resolve
from recbench.experiment import prepare
dataset = {"name": "files", "interactions": "data.csv", "clean": [{"step": "sample_users", "share": 0.9}]}
evaluation = {"candidates": "sampled", "n_candidates": 3}
prepared = prepare(resolve({"dataset": dataset, "split": "random", "model": "mf", "evaluation": evaluation}).config)
train = prepared.split.train
print(prepared.data_fingerprint, prepared.split.fingerprint, *train.user_vocabulary.ids, *train.item_vocabulary.ids)
print(train.users.tolist(), train.items.tolist(), prepared.split.test.candidates.tolist())
"""


def test_case_21_the_order_of_ids_does_not_depend_on_the_hash_seed(folder):
    """The order of hashing differs from process to process. -> Ids are sorted by their bytes: the same indices, splits
    and candidates."""
    dense(30, 15).to_csv("data.csv", index=False)
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", _SHOW],
            stdout=subprocess.PIPE,
            text=True,
            # A cache for each, so that the split of one is not what the other reads.
            env={**os.environ, "PYTHONHASHSEED": seed, "RECBENCH_CACHE": str(folder / seed), "OMP_NUM_THREADS": "1"},
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate()[0] for process in asked)
    assert [process.returncode for process in asked] == [0, 0]
    assert first == second and first.split()[2:4] == ["u000", "u001"]


# 1.B: splits, sampling, keys

SIDE = 46_341
"""The least whole number whose square is beyond 2^31."""


@pytest.fixture(scope="module")
def beyond_32_bits():
    """Give a table whose pairs have keys around 2^31: each user takes the item of the same number, and the last user
    also those whose ``user * n_items + item`` is 2^31 - 1, 2^31 and 2^31 + 1."""
    last = SIDE - 1
    middle = 2**31 - last * SIDE
    numbers = np.arange(SIDE)
    users = np.append(numbers, [last] * 3)
    items = np.append(numbers, [middle - 1, middle, middle + 1])
    return pd.DataFrame(
        {
            "user": [f"{number:05d}" for number in users],
            "item": [f"{number:05d}" for number in items],
            "timestamp": np.arange(len(users)),
        }
    )


def test_case_22_keys_beyond_32_bits_repeat_where_the_pairs_do(beyond_32_bits, told):
    """`user * n_items + item` is beyond 32 bits. -> Keys are 64 bits wide in repeats, splits, candidates and
    negatives."""
    again = beyond_32_bits.iloc[[-2]].assign(timestamp=10**6)
    pd.concat([beyond_32_bits, again]).to_csv("data.csv", index=False)
    loaded = datasets.build("files", interactions="data.csv").load()
    assert len(loaded) == len(beyond_32_bits) == SIDE + 3
    assert told() == [
        f"duplicates(keep=last): leaves out 1 of {SIDE + 4:,} interactions; {SIDE:,} users and {SIDE:,} items are left"
    ]


def test_case_22_keys_that_are_the_same_in_32_bits_are_no_repeats(told):
    side = 2**16 + 1
    user, item = divmod(2**32, side)  # Its key would wrap to 0, that of user 0 and item 0.
    numbers = np.arange(side)
    frame = pd.DataFrame({"user": np.append(numbers, user), "item": np.append(numbers, item)})
    frame.to_csv("data.csv", index=False)
    assert len(datasets.build("files", interactions="data.csv").load()) == side + 1
    assert told() == []


def test_case_22_keys_beyond_32_bits_in_splits_candidates_and_negatives(beyond_32_bits):
    interactions = Interactions.from_frame(beyond_32_bits)
    last, middle = SIDE - 1, 2**31 - (SIDE - 1) * SIDE
    assert last * interactions.n_items + middle == 2**31
    split = splits.build("leave_one_out", valid=False).apply(interactions)
    (test_user,), (test_item,) = split.test.users.tolist(), split.test.target.items.tolist()
    assert (test_user, test_item) == (last, middle + 1)
    history = {middle - 1, middle, last}
    assert set(split.test.history.items.tolist()) == history
    drawn = sampled_candidates(split.test, split.train, Draw(n=SIDE - 4), "test").items
    assert set(drawn[0].tolist()) == set(range(SIDE)) - history, "each of the others, and what is relevant"
    sampler = Uniform(UniformConfig(n_negatives=500), split.train)
    users = torch.full((200,), last)
    negatives = sampler.sample(users, users, generator(0, "case", "22")).items
    assert not set(negatives.unique().tolist()) & history
    assert int(negatives.min()) >= 0 and int(negatives.max()) < SIDE
    assert PopularityNegatives(PopularityNegativesConfig(), split.train).seen.contains(
        torch.full((5,), last), torch.tensor([middle - 1, middle, middle + 1, last, 0])
    ).tolist() == [True, True, False, True, False]


def everything_taken() -> pd.DataFrame:
    """Return a table in which the user ``all`` takes every item."""
    frame = dense(10, 8).assign(timestamp=0)
    return pd.concat([frame, pd.DataFrame({"user": "all", "item": [f"i{n:03d}" for n in range(8)], "rating": 1})])[
        ["user", "item", "rating"]
    ]


def test_case_23_a_user_who_has_everything_never_loops():
    """A user has taken every item, so that there is no negative. -> An error that names the user and the option; never
    a loop."""
    everything_taken().to_csv("data.csv", index=False)
    with within(seconds=20):
        with pytest.raises(ConfigError) as error:
            run(experiment("mf", interactions="data.csv"), progress=False)
        assert str(error.value) == (
            "user 'all' has taken all 8 items, so there is no negative for them; set negatives.reject_seen=false."
        )
        given = {"dataset": {"name": "files", "interactions": "data.csv"}, "split": "none", "model": "mf"}
        for negatives in ({"reject_seen": False}, {"name": "popularity"}, {"name": "in_batch"}):
            config = resolve({**given, "negatives": negatives, "trainer": {"epochs": 1}, "threads": 1}).config
            assert run(config, progress=False).fit.curve


def test_case_23_no_candidates_for_a_user_who_has_everything():
    everything_taken().to_csv("data.csv", index=False)
    evaluation = {"candidates": "sampled", "n_candidates": 1}
    with within(seconds=20), pytest.raises(ConfigError) as error:
        prepare(experiment(split="random", evaluation=evaluation, interactions="data.csv"))
    assert str(error.value) == (
        "evaluation.n_candidates = 1: for user 'all' there are only 0 items to draw from. "
        "Ask for no more, or rank all items: evaluation.candidates=full."
    )


def test_case_24_the_one_item_that_is_left_is_drawn_at_once():
    """A user has taken all items but a few. -> What is left is drawn at once, each item equally often."""
    n_items = 5_000
    frame = pd.DataFrame({"user": "most", "item": [f"{n:04d}" for n in range(n_items) if n != 1234]})
    interactions = Interactions.from_frame(pd.concat([frame, pd.DataFrame({"user": ["b"], "item": ["1234"]})]))
    users = torch.full((1_000,), interactions.user_vocabulary.ids.tolist().index("most"))
    with within(seconds=5):
        sampler = Uniform(UniformConfig(n_negatives=10), interactions)
        drawn = sampler.sample(users, users, generator(0, "case", "24")).items
    assert drawn.unique().tolist() == [1234]


def test_case_24_the_items_that_are_left_are_drawn_equally_often():
    left = [0, 3, 4, 9]
    frame = pd.DataFrame({"user": "a", "item": [f"{n}" for n in range(10) if n not in left]})
    interactions = Interactions.from_frame(
        pd.concat([frame, pd.DataFrame({"user": "b", "item": [str(n) for n in left]})])
    )
    users, n_draws = torch.zeros(1_000, dtype=torch.int64), 4_000
    drawn = Uniform(UniformConfig(n_negatives=4), interactions).sample(users, users, generator(0, "case", "24")).items
    counts = torch.bincount(drawn.flatten(), minlength=10)
    assert torch.nonzero(counts).flatten().tolist() == left
    expected = n_draws / len(left)
    chi_square = sum((float(counts[item]) - expected) ** 2 / expected for item in left)
    assert chi_square < 16.27, "the value of 3 degrees of freedom that is exceeded once in 1,000 times"


def test_case_25_candidates_are_the_same_for_every_model_and_seed():
    """Candidates could be drawn anew for each model or epoch. -> They are drawn once from data, split and their own
    seed, hashed, and the same for all."""
    dense(30, 20).to_csv("data.csv", index=False)
    evaluation = {"candidates": "sampled", "n_candidates": 5}
    found = []
    for place, (model, seed) in enumerate([("popularity", 0), ("item_knn", 0), ("random", 3)]):
        config = experiment(model, "random", evaluation, interactions="data.csv").to_dict()
        run(resolve({**config, "seed": seed}).config, f"run{place}", progress=False)
        found.append(json.loads(Path(f"run{place}/result.json").read_text()))
    assert len({result["fingerprints"]["candidates"] for result in found}) == 1
    assert len({result["fingerprints"]["split"] for result in found}) == 1
    assert found[0]["fingerprints"]["candidates"] is not None


def test_case_26_sampled_metrics_are_labelled_with_a_warning(told):
    """Metrics are measured among sampled candidates. -> They carry it in their name (`ndcg@10[sampled100]`), with a
    warning; all items are the default."""
    dense(30, 20).to_csv("data.csv", index=False)
    evaluation = {"candidates": "sampled", "n_candidates": 5, "metrics": ["ndcg@10", "coverage@10"]}
    result = result_of(experiment("popularity", "random", evaluation, interactions="data.csv"))
    assert set(result["metrics"]["test"]) == {"ndcg@10[sampled5]", "coverage@10[sampled5]"}
    assert [line for line in told() if "sampled" in line] == [
        "metrics among sampled candidates are not those among all items, and may put models in another order: "
        "evaluation.candidates=full ranks them all."
    ]


@settings(max_examples=30, deadline=None)
@given(
    times=st.lists(st.integers(-5, 30), min_size=12, max_size=60),
    test=st.floats(0.1, 0.6),
    valid=st.floats(0, 0.4),
)
def test_case_27_nothing_in_training_is_later_than_what_is_asked(times, test, valid):
    """Training holds what happened after the test. -> `global_time` never does; of every other split the result says
    how much of it does."""
    frame = pd.DataFrame(
        {"user": [f"u{n % 5}" for n in range(len(times))], "item": [f"i{n}" for n in range(len(times))]}
    )
    interactions = Interactions.from_frame(frame.assign(timestamp=times))
    try:
        splitter = splits.build("global_time", test=test, valid=valid)
        parts = splitter.assign(interactions)
        splitter.cut(interactions, parts)
    except (ConfigError, EmptyDatasetError):
        return  # So few moments that a part would be empty.
    by_part = {part: interactions.timestamps[parts == part] for part in (TRAIN, VALID, TEST)}
    assert int(by_part[TRAIN].max()) <= int(by_part[TEST].min())
    if len(by_part[VALID]):
        assert int(by_part[TRAIN].max()) <= int(by_part[VALID].min())
        assert int(by_part[VALID].max()) <= int(by_part[TEST].min())


def test_case_27_leave_one_out_is_said_to_leak_across_time():
    write(HEADER + "a,x,1,1\na,y,1,2\nb,x,1,3\nb,y,1,4\nc,x,1,5\nc,y,1,6\n")
    leaky = result_of(experiment(split={"name": "leave_one_out", "valid": False}, interactions="data.csv"))
    assert leaky["leaks"]["later"] == {"n": 2, "of": 3, "share": 2 / 3}
    assert leaky["leaks"]["sentence"] == (
        "The split leaks across time: 66.7 % of the training interactions are later than the earliest test interaction."
    )
    tight = prepare(experiment(split={"name": "global_time", "test": 0.4, "valid": 0}, interactions="data.csv"))
    assert tight.leaks.later == Share(0, 4)
    assert tight.leaks.sentence == (
        "The split does not leak across time: no training interaction is later than the earliest test interaction."
    )


def trained_bits(model: dict, test_rows: pd.DataFrame, ages: dict[str, float]) -> str:
    """Return the SHA-256 of everything that a model has learnt from one training part, with another test part."""
    Path("users.csv").write_text("user,age\n" + "".join(f"{user},{age}\n" for user, age in ages.items()))
    test_rows.to_csv("test.csv", index=False)
    config = resolve(
        {
            "dataset": {
                "name": "files",
                "train": "train.csv",
                "test": "test.csv",
                "users": "users.csv",
                "user_columns": [{"name": "age", "kind": "numeric", "scale": "standard"}],
                "clean": [
                    {"step": "k_core", "users": 2, "items": 2, "after_split": True},
                    {"step": "normalise", "by": "item", "to": "z_score"},
                ],
            },
            "split": "fixed",
            "model": model,
            "threads": 1,
            "trainer": {"epochs": 2} if model["name"] == "mf" else {},
        }
    ).config
    outcome = run(config, progress=False)
    digest = hashlib.sha256()
    for name, tensor in sorted(outcome.model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    train = outcome.split.train
    ages_scaled = train.features.users.matrix()[train.users.unique()]
    learnt = (train.users, train.items, train.ratings, train.popularity, train.scale.offset, train.scale.factor)
    for tensor in (*learnt, ages_scaled):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "model", [{"name": "mf", "loss": "mse", "dim": 4}, {"name": "mf", "dim": 4}, {"name": "item_knn"}]
)
def test_case_28_canary_test_rows_change_no_trained_bit(model):
    """Statistics, scalers or graphs see the test part. -> They are made from training alone: other test rows change no
    trained bit."""
    frame = dense(30, 12)
    late = frame["timestamp"] >= frame["timestamp"].quantile(0.7)
    # A stranger and an item of the test part alone, which the vocabulary knows and training must not.
    extra = pd.DataFrame(
        {"user": ["stranger", "u000"], "item": ["i001", "unseen"], "rating": 5, "timestamp": 2 * 10**9}
    )
    frame[~late].to_csv("train.csv", index=False)
    test_rows = pd.concat([frame[late], extra])
    ages = {user: 20.0 + place for place, user in enumerate(sorted({*frame["user"], "stranger"}))}
    usual = trained_bits(model, test_rows, ages)
    # Other ratings, other pairs of the same ids, and another age of the stranger.
    rewired = test_rows.assign(rating=6 - test_rows["rating"], timestamp=test_rows["timestamp"] + 1)
    taken = set(zip(frame[~late]["user"], frame[~late]["item"]))
    rewired = rewired.assign(item=np.roll(rewired["item"], 1))
    rewired = pd.concat([rewired, extra])
    rewired = rewired[[pair not in taken for pair in zip(rewired["user"], rewired["item"])]]
    rewired = rewired.drop_duplicates(["user", "item"])
    assert trained_bits(model, rewired, {**ages, "stranger": 1000.0}) == usual
    other = frame[~late].assign(rating=6 - frame[~late]["rating"]).iloc[1:]
    other.to_csv("train.csv", index=False)
    assert trained_bits(model, test_rows, ages) != usual, "the canary can sing"


@pytest.mark.parametrize("candidates", ["full", "sampled"])
@pytest.mark.parametrize(("mask", "hidden"), [("train_valid", True), ("train", False)])
def test_case_29_masked_items_are_never_listed(mask, hidden, candidates):
    """Items of training or validation could be listed at test. -> What is masked is in no list, however long."""
    dense(30, 12).to_csv("data.csv", index=False)
    evaluation = {"mask": mask, "candidates": candidates, "metrics": ["ndcg@50"]}
    evaluation |= {"n_candidates": 2} if candidates == "sampled" else {}
    outcome = run(experiment("popularity", "random", evaluation, interactions="data.csv"), progress=False)
    split, lists = outcome.split, outcome.reports["test"].ranking
    listed = torch.zeros(len(lists.users), split.train.n_items, dtype=torch.bool)
    rows, places = torch.nonzero(lists.items >= 0, as_tuple=True)
    listed[rows, lists.items[rows, places]] = True
    assert len(rows) == int(listed.sum()), "no item is listed twice"
    trained = split.train.histories.rows(lists.users).mask(split.train.n_items)
    known = split.test.history.mask(split.train.n_items)
    wanted = split.test.target.mask(split.train.n_items)
    assert not bool((listed & trained).any())
    assert bool((listed & known).any()) == (not hidden and candidates == "full")
    assert bool(listed[wanted].all()), "a list of 50 holds all that may be listed"
    if candidates == "full":
        assert torch.equal(listed, ~(known if hidden else trained))
