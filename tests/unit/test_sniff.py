"""How a file is written is recognised from its content."""

import gzip
import json
from pathlib import Path

import pytest

from recbench.errors import DataError
from recbench.inspection.sniff import sniff

ROWS = [("u1", "i1", 5, 1_577_836_800), ("u1", "i2", 3, 1_577_836_801), ("u2", "i1", 4, 1_577_836_802)]
NAMES = ("user", "item", "rating", "timestamp")


@pytest.fixture
def write(tmp_path):
    def write(name, delimiter, names=NAMES, rows=ROWS, encoding="utf-8", end="\n"):
        lines = [delimiter.join(map(str, row)) for row in ([names] if names else []) + list(rows)]
        path = tmp_path / name
        path.write_bytes((end.join(lines) + end).encode(encoding))
        return str(path)

    return write


@pytest.mark.parametrize(
    "name, delimiter, names",
    [
        ("a.csv", ",", NAMES),
        ("a.tsv", "\t", NAMES),
        ("a.dat", "::", None),
        ("a.rating", "\t", None),
        ("a.inter", "\t", ("user_id:token", "item_id:token", "rating:float", "timestamp:float")),
    ],
)
def test_usual_files_need_no_option(write, name, delimiter, names):
    assert sniff(write(name, delimiter, names), {}).options == {}


@pytest.mark.parametrize(
    "delimiter, option", [(";", "semicolon"), ("\t", "tab"), ("|", "pipe"), (" ", "space"), ("::", "::")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters(write, delimiter, option, end):
    assert sniff(write("a.csv", delimiter, end=end), {}).options == {"delimiter": option}


def test_an_unknown_name_needs_a_delimiter(write):
    assert sniff(write("a.txt", ","), {}).options == {"delimiter": "comma"}
    assert sniff(write("a.txt", "\t", None), {}).options == {"delimiter": "tab", "header": False}


def test_a_delimiter_is_what_is_constant_over_the_lines(write):
    # The titles hold commas, the dates spaces: one each, but not in every line.
    rows = [(*row, title) for row, title in zip(ROWS, ("One, two", "Three", "Four, five, six"))]
    assert sniff(write("a.txt", ";", (*NAMES, "title"), rows), {}).options == {"delimiter": "semicolon"}
    # As many spaces as commas: the comma is the likelier one.
    rows = [(user, item, "2020-01-01 10:00") for user, item, *_ in ROWS]
    assert sniff(write("b.txt", ",", None, rows), {}).options["delimiter"] == "comma"


def test_most_lines_decide(write):
    rows = [*ROWS] * 4
    path = write("a.csv", ",", rows=rows)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("u9;i9;3;1577836800\n")
    assert sniff(path, {}).options == {}


def test_quoted_delimiters_do_not_count(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('user,item,title\nu1,i1,"a; b; c"\nu1,i2,"d, e"\nu2,i1,f\n')
    assert sniff(str(path), {}).options == {}


@pytest.mark.parametrize("names", [("userId", "movieId", "rating", "timestamp"), ("USER", "ITEM", "Score", "ts")])
def test_columns_by_their_usual_names(write, names):
    options = sniff(write("a.csv", ",", names), {}).options
    assert options == {role: name for role, name in zip(NAMES, names) if role != name}


def test_columns_in_another_order(write):
    rows = [row[::-1] for row in ROWS]
    assert sniff(write("a.csv", ",", NAMES[::-1], rows), {}).options == {}
    guess = sniff(write("b.csv", ",", None, rows), {})
    assert guess.places == {"timestamp": 0, "rating": 1, "user": 2, "item": 3}


def test_a_name_that_is_the_role_comes_before_its_synonyms(write):
    guess = sniff(write("a.csv", ",", ("uid", "item", "user", "timestamp")), {})
    assert guess.places["user"] == "user"


def test_columns_by_what_they_hold(write):
    assert sniff(write("a.csv", ",", ("wer", "was", "wie", "wann")), {}).options == {
        "user": "wer",
        "item": "was",
        "rating": "wie",
        "timestamp": "wann",
    }
    rows = [(user, item, at) for user, item, _, at in ROWS]
    assert sniff(write("b.csv", ",", None, rows), {}).options == {"header": False, "timestamp": 2}
    rows = [(user, item) for user, item, *_ in ROWS]
    assert sniff(write("c.csv", ",", None, rows), {}).options == {"header": False}


def test_whole_numbers_as_ids_leave_two_columns_for_user_and_item(write):
    assert sniff(write("a.csv", ",", None, [(1, 2), (1, 3), (2, 2)]), {}).places == {"user": 0, "item": 1}


def test_dates(write):
    rows = [(user, item, 3, "2020-01-31 10:00:00") for user, item, *_ in ROWS]
    guess = sniff(write("a.csv", ",", rows=rows), {})
    assert guess.dates
    assert guess.places["timestamp"] == "timestamp"
    assert not sniff(write("b.csv", ","), {}).dates


@pytest.mark.parametrize(
    "encoding, options",
    [("utf-8-sig", {}), ("latin-1", {"encoding": "cp1252"}), ("utf-16", {"encoding": "utf-16"})],
)
def test_encodings(write, encoding, options):
    assert sniff(write("a.csv", ",", rows=[("José", "i1", 3, 1_577_836_800)], encoding=encoding), {}).options == options


def test_bytes_that_cp1252_has_no_letter_for_are_latin_1(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"user,item\nJos\xe9,i1\n\x81,i2\n")
    assert sniff(str(path), {}).options == {"encoding": "latin-1"}


def test_json_lines_under_any_name(tmp_path):
    lines = [json.dumps({"uid": user, "item": item, "stars": rating}) for user, item, rating, _ in ROWS]
    for name, format in (("a.jsonl", {}), ("a.json", {"format": "jsonl"}), ("a.csv", {"format": "jsonl"})):
        (tmp_path / name).write_text("\n".join(lines))
        assert sniff(str(tmp_path / name), {}).options == {**format, "user": "uid", "rating": "stars"}


def test_user_lists(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("0 1 2 3\n1 2\n2 5 6\n")
    assert sniff(str(path), {}).options == {"format": "user_lists"}


def test_typed_headers_under_any_name(write):
    names = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    assert sniff(write("a.txt", "\t", names), {}).options == {"format": "recbole"}


def test_what_is_known_is_taken_as_it_is(write):
    path = write("a.csv", ",", ("a", "b", "c", "d"))
    guess = sniff(path, {"user": "b", "rating": "c"})
    assert guess.options == {"user": "b", "rating": "c", "item": "a", "timestamp": "d"}
    assert sniff(path, {"delimiter": "comma"}).options["delimiter"] == "comma"


def test_packed_files(tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("user;item\nu1;i1\nu1;i2\n")
    assert sniff(str(path), {}).options == {"delimiter": "semicolon"}


def test_no_such_file(tmp_path):
    with pytest.raises(DataError) as raised:
        sniff(str(tmp_path / "a.csv"), {})
    assert str(raised.value) == f"{tmp_path / 'a.csv'}: there is no such file."


def test_without_header_the_usual_positions_are_read_whatever_they_hold(write):
    rows = [(user, item, rating, place) for place, (user, item, rating, _) in enumerate(ROWS * 10)]
    assert sniff(write("a.rating", "\t", None, rows), {}).places["timestamp"] == 3
    rows = [(user, item, "words") for user, item, *_ in ROWS]
    assert sniff(write("b.rating", "\t", None, rows), {}).places["rating"] == 2
