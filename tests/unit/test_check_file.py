"""What is wrong with a user's file: each oddity is found, counted, shown, and has its remedy."""

import json
import time

import pandas as pd
import pytest

from recbench.errors import ConfigError, DataError
from recbench.inspection.check import check

HEAD = "user,item,rating,timestamp\n"
SOUND = "".join(f"u{n % 4},i{n // 4},{1 + n % 5},{1_577_836_800 + n}\n" for n in range(40))


@pytest.fixture
def report(tmp_path):
    def report(content, name="a.csv", **known):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return check(str(path), known)

    return report


def found(report, what):
    """Return the one finding whose sentence contains ``what``."""
    (finding,) = [finding for finding in report.findings if what in finding.what]
    return finding


def test_a_sound_file(report):
    told = report(HEAD + SOUND)
    assert (told.findings, told.options, told.error) == ((), {}, None)
    assert told.runs_as_it_is
    assert told.outcome == "40 interactions of 4 users and 10 items."


def test_report_in_full(report, tmp_path):
    told = report(HEAD.replace("user", "customer").replace(",", ";") + (SOUND + "u9,i0,x,5\n").replace(",", ";"))
    path = tmp_path / "a.csv"
    assert (
        str(told)
        == f"""\
{path}
  encoding   utf-8
  delimiter  semicolon
  header     yes
  columns    customer, item, rating, timestamp
  user       column 'customer'
  item       column 'item'
  rating     column 'rating'
  timestamp  column 'timestamp'
  rows       41

must be dealt with:
  - the name of the file does not tell that the delimiter is semicolon. Set dataset.delimiter=semicolon
  - the user is in the column 'customer'. Set dataset.user=customer
  - 1 x rating is no finite number; first: line 42: the rating 'x' should be a finite number. \
Correct them, or leave them out by dataset.bad_rows=drop

this runs it: 40 interactions of 4 users and 10 items.
  recbench run dataset=files dataset.interactions={path} dataset.delimiter=semicolon dataset.user=customer \
dataset.bad_rows=drop"""
    )


@pytest.mark.parametrize(
    "row, what, first",
    [
        ("u0,i90,3", "wrong number of fields", "expected 4 fields separated by ',', found 3: 'u0,i90,3'"),
        (",i90,3,7", "user id is empty", "the user id is empty"),
        ("u0,,3,7", "item id is empty", "the item id is empty"),
        ("u0,i90,good,7", "rating is no finite number", "the rating 'good' should be a finite number"),
        ("u0,i90,3,7.5", "timestamp is no whole number", "the timestamp '7.5' should be a whole number"),
    ],
)
def test_bad_rows(report, row, what, first):
    told = report(HEAD + SOUND + f"{row}\n{row}\n")
    finding = found(told, what)
    assert (finding.n, finding.first) == (2, f"line 42: {first}")
    assert told.options == {"bad_rows": "drop"}
    assert not told.runs_as_it_is
    assert told.outcome.startswith("40 interactions")


def test_decimal_commas(report):
    told = report((HEAD + SOUND).replace(",", ";") + "u0;i90;3,5;7\n")
    assert found(told, "rating is no").remedy == (
        "Write decimals with a point, or leave the rows out by dataset.bad_rows=drop"
    )


@pytest.mark.parametrize("row, column", [("u0,i90,,7", "rating"), ("u0,i90,3,", "timestamp")])
def test_missing_values(report, row, column):
    told = report(HEAD + row + "\n" + SOUND + row.replace("i90", "i80") + "\n")
    finding = found(told, f"{column} is missing")
    rating, timestamp = ("", "7") if column == "rating" else ("3.0", "")
    assert finding.n == 2
    assert finding.first == f"line 2: user 'u0', item 'i90', rating {rating!r}, timestamp {timestamp!r}"
    assert finding.remedy == f"Leave them out by the step 'dataset.clean=[{{step:missing,{column}:drop}}]'"
    assert told.options == {"clean": [{"step": "missing", column: "drop"}]}
    assert told.outcome.startswith("40 interactions")


def test_missing_values_of_both_columns_are_one_step_before_the_users_own(report):
    content = HEAD + SOUND + "u0,i90,,7\nu0,i80,3,\n"
    told = report(content, clean=[{"step": "k_core", "users": 2, "items": 2}])
    assert told.options["clean"] == [
        {"step": "missing", "rating": "drop", "timestamp": "drop"},
        {"step": "k_core", "users": 2, "items": 2},
    ]


def test_missing_values_that_are_seen_to_already(report):
    told = report(HEAD + SOUND + "u0,i90,,7\n", clean=[{"step": "missing", "rating": "constant", "value": 3}])
    assert not any("missing" in finding.what for finding in told.findings)
    assert told.outcome.startswith("41 interactions")


def test_duplicates(report):
    finding = found(report(HEAD + SOUND + "u0,i0,2,9\n"), "occurred before")
    assert (finding.n, finding.first) == (1, "line 42: user 'u0', item 'i0', rating '2.0', timestamp '9'")
    assert "dataset.duplicates=" in finding.remedy
    assert finding.options == {}


def test_lines_are_right_behind_bad_rows_and_quoted_line_ends(report):
    told = report(HEAD + SOUND + "u0,i90,bad,9\nu0,i0,2,9\n")
    assert found(told, "occurred before").first == "line 43: user 'u0', item 'i0', rating '2.0', timestamp '9'"
    told = report(HEAD.replace("\n", ",note\n") + SOUND.replace("\n", ',"two\nlines"\n') + "u0,i0,2,9,-\n")
    assert found(told, "occurred before").first == "line 82: user 'u0', item 'i0', rating '2.0', timestamp '9'"


def test_lines_of_other_formats(report):
    rows = [dict(zip(("user", "item", "rating"), row.split(","))) for row in SOUND.split()]
    content = "".join(json.dumps(row) + "\n" for row in [*rows, {"user": "u0"}, rows[0]])
    told = report(content, "a.jsonl")
    assert found(told, "item id is empty").first == "line 41: the item id is empty"
    assert found(told, "occurred before").first == "line 42: user 'u0', item 'i0', rating '1.0'"
    told = report("0 10 11 12\n1 10 12\n2 10 11 12 10\n", "a.txt")
    assert found(told, "occurred before").first == "line 3: user '2', item '10'"


def test_parquet(report, tmp_path):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    sound = [row.split(",") for row in SOUND.split()]
    rows = [*sound, ["u0", "i90", "bad", "9"], [None, "i1", "3", "9"], ["u0", "i0", "2", "9"], ["NA", "i0", "3", "9"]]
    path = tmp_path / "a.parquet"
    pd.DataFrame(rows, columns=["user", "film", "rating", "timestamp"]).to_parquet(path)
    told = check(str(path), {})
    assert (
        str(told)
        == f"""\
{path}
  format     Parquet
  columns    user, film, rating, timestamp
  user       column 'user'
  item       column 'film'
  rating     column 'rating'
  timestamp  column 'timestamp'
  rows       44

must be dealt with:
  - the item is in the column 'film'. Set dataset.item=film
  - 1 x user id is empty; first: row 42: the user id is empty. Correct them, or leave them out by \
dataset.bad_rows=drop
  - 1 x rating is no finite number; first: row 41: the rating 'bad' should be a finite number. Correct them, or \
leave them out by dataset.bad_rows=drop

good to know:
  - 1 x rows whose user and item occurred before; first: row 43: user 'u0', item 'i0', rating '2.0', timestamp '9'. \
By default the last one counts; dataset.duplicates=first, sum or error decides otherwise
  - 1 x rows whose user looks like a missing value; first: row 44: user 'NA', item 'i0', rating '3.0', timestamp '9'. \
It is taken for the user of that name; delete the rows where there is none
  - 1 x users have one interaction; first: row 44: 'NA'. Little can be learnt of them; \
'dataset.clean=[{{step:min_counts,users:2}}]' leaves them out

this runs it: 41 interactions of 5 users and 10 items.
  recbench run dataset=files dataset.interactions={path} dataset.item=film dataset.bad_rows=drop"""
    )


def test_a_sound_parquet_file_runs_as_it_is(tmp_path):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    rows = [row.split(",")[:2] for row in SOUND.split()]
    pd.DataFrame(rows, columns=["user", "item"]).to_parquet(tmp_path / "a.parquet")
    told = check(str(tmp_path / "a.parquet"), {})
    assert (told.runs_as_it_is, told.findings) == (True, ())
    assert told.outcome == "40 interactions of 4 users and 10 items."


def test_parquet_by_another_name_and_with_other_columns(tmp_path):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    rows = [row.split(",") for row in SOUND.split()]
    table = pd.DataFrame(rows, columns=["person", "song", "stars", "when"])
    table["when"] = pd.to_datetime(table["when"].astype(int), unit="s")
    table["stars"] = table["stars"].astype(float)
    table.to_parquet(tmp_path / "a.data")
    told = check(str(tmp_path / "a.data"), {})
    assert told.options == {"format": "parquet", "user": "person", "item": "song", "rating": "stars"}
    assert told.outcome == "40 interactions of 4 users and 10 items."
    # Dates are no numbers: under the usual name they are in the way, and the reader says so.
    table.rename(columns={"when": "timestamp"}).to_parquet(tmp_path / "a.data")
    told = check(str(tmp_path / "a.data"), {"rating": "stars"})
    assert told.error.startswith(f"{tmp_path / 'a.data'}: the column 'timestamp' for the timestamp holds timestamp[")
    known = check(str(tmp_path / "a.data"), {"user": "song", "item": "person", "timestamp": "stars"})
    assert known.options["user"] == "song"
    assert known.outcome == "40 interactions of 10 users and 4 items."


def test_what_is_long_is_cut(report):
    long = "x" * 3_000_000
    short = "x" * 77 + "..."
    told = report(f"{HEAD}{SOUND}{long},i0,3,7\n{long.upper()},i0,3,7\nu0,i90,{long},9\nu0,i91,{long}\n")
    assert found(told, "no finite number").first == f"line 44: the rating {short!r} should be a finite number"
    assert found(told, "spaces or case").first == f"line 42: {short!r} and line 43: {short.upper()!r}"
    assert found(told, "one interaction").first == f"line 42: {short!r}"
    assert len(str(told)) < 3_000
    named = report(f"{long[:3000]},item\n" + "u1,i1\nu1,i2\n", user=long[:3000])
    assert named.facts["user"] == f"column {short!r}"
    assert named.facts["columns"] == f"{short}, item"
    # csv takes no field of that length; there is no way to know the columns then.
    assert report(f"{long},item\nu1,i1\n").error is not None


@pytest.mark.parametrize(
    "times, what, n",
    [
        (["1577836800000"], "timestamps are in milliseconds, and the others in seconds", 1),
        (["-5", "-1"], "timestamps are negative", 2),
        ([str(int(time.time()) + 30 * 86_400)], "timestamps are in the future", 1),
    ],
)
def test_odd_times(report, times, what, n):
    told = report(HEAD + SOUND + "".join(f"u0,i{90 + at},3,{value}\n" for at, value in enumerate(times)))
    finding = found(told, what)
    assert finding.n == n
    assert finding.first == f"line 42: user 'u0', item 'i90', rating '3.0', timestamp '{times[0]}'"
    assert told.runs_as_it_is


def test_all_in_milliseconds(report):
    told = report(HEAD + SOUND.replace("\n", "000\n"))
    assert found(told, "timestamps").what == "timestamps are in milliseconds, and should be seconds"
    assert found(told, "timestamps").n == 40


def test_ranks_for_times(report):
    told = report(HEAD + SOUND.replace(",15778368", ","))
    finding = found(told, "timestamps lie before 1973")
    assert (finding.n, finding.options) == (40, {})
    assert found(report(HEAD + "u,i,3,100000000\n" * 2), "occurred before")
    assert not any("1973" in finding.what for finding in report(HEAD + "u,i,3,100000000\n").findings)


def test_words_in_the_place_of_ratings(report):
    told = report("".join(f"u{n % 4}\ti{n // 4}\tword\n" for n in range(40)), "a.rating")
    assert told.outcome is None
    assert "none of 40 rows can be used; left out are 40 for 'rating is no finite number'" in told.error


def test_dates_in_the_usual_place_are_in_the_way(report, tmp_path):
    told = report(HEAD + "u1,i1,3,2020-01-31\nu1,i2,3,2020-02-01\n")
    assert found(told, "timestamps are dates").n == 2
    assert told.outcome is None
    assert told.error == "the timestamps are dates, in the place where whole seconds since 1970 are read."
    assert told.conversion[1] == f"recbench data check {tmp_path / 'a.seconds.csv'}"


def test_dates_elsewhere_are_left_alone(report):
    told = report(HEAD.replace("timestamp", "date") + "".join(f"u1,i{n},3,2020-01-31\n" for n in range(10)))
    assert told.runs_as_it_is
    assert len(told.conversion) == 2


def test_dates_that_can_be_read_in_two_ways_are_not_converted(report):
    assert report(HEAD + "u1,i1,3,01/02/2020\nu1,i2,3,03/02/2020\n").conversion == ()


@pytest.mark.parametrize("word", ["NA", "null", "NaN", "None", " na "])
def test_ids_that_look_like_missing_values(report, word):
    told = report(HEAD + SOUND + f"{word},i0,3,7\n{word},i1,3,7\n")
    finding = found(told, "rows whose user looks like a missing value")
    assert (finding.n, finding.first) == (2, f"line 42: user {word!r}, item 'i0', rating '3.0', timestamp '7'")
    assert told.runs_as_it_is
    assert told.outcome.startswith("42 interactions of 5 users")


@pytest.mark.parametrize(
    "one, other, what",
    [
        ("bob", "Bob", "spaces or case"),
        ("bob", "bob ", "spaces or case"),
        ("7", "007", "number"),
        ("7", "7.0", "number"),
    ],
)
def test_ids_that_are_likely_the_same(report, one, other, what):
    told = report(HEAD + SOUND + f"{one},i0,3,7\n{one},i1,3,7\n{other},i2,3,7\n{other},i1,3,7\n")
    finding = found(told, what)
    assert finding.what.startswith("users")
    assert (finding.n, finding.first) == (1, f"line 42: {one!r} and line 44: {other!r}")


def test_ids_that_are_not_the_same(report):
    told = report(HEAD + SOUND + "7,i0,3,7\n7,i1,3,7\n70,i2,3,7\n70,i1,3,7\n7.5,i1,3,7\n7.5,i2,3,7\n")
    assert told.findings == ()


def test_users_and_items_with_one_interaction(report):
    told = report(HEAD + SOUND + "new,i0,3,7\nu0,fresh,3,7\n")
    finding = found(told, "users have one interaction")
    assert (finding.n, finding.first) == (1, "line 42: 'new'")
    assert finding.remedy.startswith("Little can be learnt of them; 'dataset.clean=[{step:min_counts,users:2}]'")
    assert found(told, "items have one interaction").first == "line 43: 'fresh'"


def test_users_with_too_few_interactions_for_every_part(report):
    told = report("user,item\n" + "".join(f"u{n % 10},i{n // 10 + n % 3}\n" for n in range(20)))
    assert told.split == {"scope": "global"}
    assert told.command.endswith(" split.scope=global")
    assert not told.runs_as_it_is


def test_too_little_for_any_split(report):
    told = report("user,item\nu1,i1\n")
    assert told.outcome is None
    assert told.error.startswith("split.test = 0.2: not one of the 1 interactions falls to that part.")


def test_encoding(report):
    told = report((HEAD + SOUND.replace("u0", "José")).encode("latin-1"))
    assert told.options == {"encoding": "cp1252"}
    assert found(told, "not UTF-8").remedy == "Set dataset.encoding=cp1252"


def test_nothing_can_be_read(report, tmp_path):
    path = tmp_path / "a.csv"
    assert report(HEAD).error == f"{path}: holds a header and no rows."
    assert report("").error == f"{path}: is empty (0 bytes)."
    told = report("user,rating\nu1,3\n")
    assert str(told).endswith(
        "it cannot be run as it is:\n  no column can be the item: the file has the columns user, rating."
    )


def test_wrong_options(report):
    with pytest.raises(ConfigError) as raised:
        report(HEAD + SOUND, usr="a")
    assert str(raised.value).startswith(
        "dataset 'files' cannot be configured:\n  usr = 'a': no such option. Did you mean"
    )


def test_no_such_file(tmp_path):
    with pytest.raises(DataError) as raised:
        check(str(tmp_path / "no.csv"), {})
    assert str(raised.value) == f"{tmp_path / 'no.csv'}: there is no such file."


def test_what_others_wrote_moves_no_cursor(report):
    assert "\x1b" not in str(report(HEAD + SOUND + "\x1b[31m,i0,bad,7\n"))
