"""``recbench data``: list, fetch, describe, check, through the command line."""

import csv
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from recbench.data.places import File, LocalOnly, Url
from recbench.errors import ConfigError
from recbench.inspection import catalog

SOUND = [(f"u{n % 20}", f"i{(7 * (n // 20) + n) % 30}", 1 + n % 5, 1_577_836_800 + n) for n in range(200)]


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    monkeypatch.delenv("RECBENCH_MIRROR", raising=False)


def ratings(delimiter=",", head=("user", "item", "rating", "timestamp"), rows=SOUND):
    lines = [delimiter.join(map(str, row)) for row in ([head] if head else []) + list(rows)]
    return "\n".join(lines) + "\n"


MESSY = {
    "clean.csv": ratings(),
    "semicolons; and spaces.csv": ratings(";", ("customer", "product id", "Stars!", "ts")),
    "it's.txt": ratings("\t", None),
    "ratings$1.dat": ratings("::"),
    "without time=none.csv": ratings(head=("userId", "movieId", "rating", "timestamp")).replace(",1577836801\n", ",\n"),
    "mixed.csv": ratings()
    + "u1;i1;3;1577836900\nNA,i1,,1577836900\nNA,i1,4,1577836900\nNA,i2,3,1577836900\n"
    + "u1,i1,five,1\nu1,i1,1,1577836999\n",
    "sparse.csv": ratings(rows=SOUND[:40]),
    "José.csv": ratings().replace("u1,", "José,").encode("latin-1"),
    "lists.txt": "".join(f"{user} {' '.join(str(item) for item in range(user % 3 + 4))}\n" for user in range(10)),
    "lines.json": "".join(
        json.dumps({"uid": user, "asin": item, "overall": rating, "unixReviewTime": at}) + "\n"
        for user, item, rating, at in SOUND
    ),
}


@pytest.mark.parametrize("name", MESSY)
def test_the_printed_command_runs(command, name):
    content = MESSY[name]
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = command("data", "check", name)
    assert ended.err == ""
    (printed,) = [line for line in ended.out.splitlines() if line.startswith("  recbench run ")]
    words = shlex.split(printed)
    assert ended.code == (0 if len(words) == 4 else 2)
    ran = command(*words[1:], "model=popularity", "--quiet")
    assert ran.code == 0, ran.err


def test_the_printed_command_needs_no_other_word(command):
    Path("mixed.csv").write_text(MESSY["mixed.csv"])
    printed = command("data", "check", "mixed.csv").out.splitlines()[-1]
    assert "dataset.bad_rows=drop 'dataset.clean=[{step:missing,rating:drop}]'" in printed
    assert command(*shlex.split(printed)[1:], "--dry-run").code == 0


def test_dates_are_converted_by_the_printed_commands(command):
    rows = [(user, item, rating, f"2020-01-{1 + n % 28:02d} 10:00") for n, (user, item, rating, _) in enumerate(SOUND)]
    Path("it's.csv").write_text(ratings(rows=rows))
    ended = command("data", "check", "it's.csv")
    assert ended.code == 2
    *_, convert, again = ended.out.splitlines()
    words = shlex.split(convert)
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert command(*shlex.split(again)[1:]).code == 0
    # 2020-01-01 10:00 UTC
    assert Path("it's.seconds.csv").read_text().splitlines()[1] == f"u0,i0,1,{1_577_836_800 + 10 * 3_600}"


def test_check_with_what_is_known(command):
    Path("a.csv").write_text(ratings(head=("a", "b", "rating", "timestamp")))
    ended = command("data", "check", "a.csv", "dataset.user=b", "dataset.item=a")
    assert ended.out.splitlines()[-1] == (
        "  recbench run dataset=files dataset.interactions=a.csv dataset.user=b dataset.item=a"
    )


@pytest.mark.parametrize(
    "words, error",
    [
        (("check", "no.csv"), "no.csv: there is no such file."),
        (
            ("check", "a.csv", "model=mf"),
            "'model=mf': only options of the data set can be set here, dataset.OPTION=VALUE.",
        ),
        (
            ("check", "a.csv", "dataset.interactions=b.csv"),
            "dataset.interactions: is the FILE that is checked; leave it out.",
        ),
        (("show",), "no command 'data show'. Known: check, describe, fetch, list. See 'recbench data --help'."),
        (
            ("lst",),
            "no command 'data lst'. Did you mean 'list'? Known: check, describe, fetch, list. "
            "See 'recbench data --help'.",
        ),
        (
            ("describe", "planted", "seed=1"),
            "'seed=1': only options of the data set can be set here, dataset.OPTION=VALUE.",
        ),
        (
            ("describe", "a.csv"),
            "'a.csv' is a file and no data set: look at it with 'recbench data check a.csv', or write "
            "'recbench data describe files dataset.interactions=a.csv'.",
        ),
        (("fetch", "planted"), "data set 'planted' has no files to fetch: it is generated, or your own."),
    ],
)
def test_mistakes(command, words, error):
    Path("a.csv").write_text(ratings())
    ended = command("data", *words)
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {error}\n")


def test_no_such_data_set(command):
    ended = command("data", "describe", "plantd")
    assert ended.code == 2
    assert ended.err.startswith("error: no dataset 'plantd'. Did you mean 'planted'? Known: ")


def test_help(command):
    for words in ((), ("--help",)):
        ended = command("data", *words)
        assert ended.code == 0
        assert "recbench data describe NAME" in ended.out
    for name in ("list", "fetch", "describe", "check"):
        assert command("data", name, "--help").code == 0


def test_list_formats(command):
    told = json.loads(command("data", "list", "--format", "json").out)
    (ml,) = [row for row in told if row["name"] == "ml-100k"]
    assert (ml["users"], ml["items"], ml["interactions"], ml["time"]) == (943, 1_682, 100_000, "seconds")
    assert (ml["at_hand"], ml["verified"]) == ("no", True)
    (planted,) = [row for row in told if row["name"] == "planted"]
    assert (planted["users"], planted["at_hand"], planted["time"]) == (None, "needs none", "seconds")
    (files,) = [row for row in told if row["name"] == "files"]
    assert files["time"] is None, "it depends on the options"
    assert planted["verified"] is files["verified"] is None, "they are not published"
    rows = list(csv.DictReader(io.StringIO(command("data", "list", "--format", "csv").out)))
    assert [row["name"] for row in rows] == [row["name"] for row in told]
    assert {row["name"] for row in rows if row["verified"] == ""} == {"files", "planted"}
    assert {row["verified"] for row in rows} == {"true", "false", ""}
    table = command("data", "list").out.splitlines()
    assert table[0].split()[:4] == ["name", "users", "items", "interactions"]
    assert len(table) == 2 + len(told)
    (line,) = [line for line in table if line.startswith("files")]
    assert line.split()[1:] == ["-", "-", "-", "-", "needs", "none", "-", "the", "user's", "own"]
    markdown = command("data", "list", "--format", "markdown").out.splitlines()
    assert markdown[1].startswith("| --- | ---: | ---: | ---: | --- |")


def test_list_escapes_what_ends_a_cell():
    row = catalog.Row("a", None, None, None, "none", "no", False, "free | gratis")
    assert catalog.render([row], "markdown").splitlines()[-1] == "| a | - | - | - | none | no | no | free \\| gratis |"


def test_list_knows_its_formats():
    with pytest.raises(ConfigError) as raised:
        catalog.render([], "xml")
    assert str(raised.value) == "format 'xml': should be 'table', 'markdown', 'csv' or 'json'."


def place():
    content = b"0 1\n"
    file = File("a.txt", hashlib.sha256(content).hexdigest(), len(content))
    return content, Url("https://example.org/a.zip", max_bytes=10, folder="inside", files=(file,))


def test_at_hand_in_the_cache(tmp_path, monkeypatch):
    content, source = place()
    assert catalog.at_hand("a", []) == ("needs none", None)
    assert catalog.at_hand("a", [source]) == ("no", source)
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path))
    held = tmp_path / "datasets" / "a" / source.key
    held.mkdir(parents=True)
    assert catalog.at_hand("a", [source]) == ("no", source)
    (held / "a.txt").write_bytes(content)
    assert catalog.at_hand("a", [source]) == ("cache", source)


@pytest.mark.parametrize("folder", ["a", "a/inside"])
def test_at_hand_in_the_mirror(tmp_path, monkeypatch, folder):
    content, source = place()
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path))
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "a.txt").write_bytes(content)
    other = LocalOnly("a variant", folder="", files=(File("b.txt"),))
    assert catalog.at_hand("a", [other, source]) == ("mirror", source)
    assert catalog.at_hand("b", [other, source]) == ("no", other)


def test_a_listed_data_set_tells_which_of_its_places_were_checked(command):
    told = " ".join(command("list", "datasets", "ml-1m").out.split())
    assert (
        "places: https://files.grouplens.org/datasets/movielens/ml-1m.zip (verified: no); "
        "the variant with time ranks (ratings_time_rank.csv.gz) (verified: yes)"
    ) in told


def test_list_tells_of_the_copy_at_hand(command, tmp_path, monkeypatch):
    def told():
        rows = json.loads(command("data", "list", "--format", "json").out)
        (row,) = [row for row in rows if row["name"] == "ml-1m"]
        return row["at_hand"], row["time"], row["verified"]

    assert told() == ("no", "seconds", False)
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path))
    (tmp_path / "ml-1m").mkdir()
    for name in ("ratings_time_rank.csv.gz", "movies.dat", "users.dat"):
        (tmp_path / "ml-1m" / name).touch()
    assert told() == ("mirror", "rank", True)
    (tmp_path / "ml-1m" / "ratings.dat").touch()
    assert told() == ("mirror", "seconds", False)


def test_fetch_says_where_the_files_are(command, real_ml_100k):
    ended = command("data", "fetch", "ml-100k", f"dataset.path={real_ml_100k}")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == f"ml-100k is in {real_ml_100k}:"
    assert "  u.data  1,979,173 bytes" in lines or "  ml-100k.inter  1,979,230 bytes" in lines
    assert lines[-1].startswith("licence: research use only")


def test_fetch_that_cannot(command):
    ended = command("data", "fetch", "ml-100k")
    assert ended.code == 2
    assert "the data set 'ml-100k' cannot be had." in ended.err


def test_describe(command):
    ended = command("data", "describe", "planted", "dataset.n_users=50", "--format", "json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["name"], told["n_users"]) == ("planted", 50)


def test_describe_files_with_what_was_taken_away(command):
    Path("a.csv").write_text(ratings() + "u1,i1,bad,7\n")
    ended = command(
        "data", "describe", "files", "dataset.interactions=a.csv", "dataset.bad_rows=drop", "dataset.min_rating=4"
    )
    assert ended.code == 0, ended.err
    stages = ended.out.partition("What each step left")[2].splitlines()
    assert any(line.startswith("read a.csv") and line.split()[2:5] == ["201", "1", "200"] for line in stages)


def test_describe_as_a_page(command):
    ended = command("data", "describe", "planted", "--html", "planted.html")
    assert (ended.code, ended.out) == (0, "written to planted.html\n")
    assert Path("planted.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_describe_where_nothing_can_be_written(command):
    ended = command("data", "describe", "planted", "--html", "no/planted.html")
    assert ended.code == 1
    assert ended.err.startswith("error: no/planted.html: cannot be written (")


@pytest.mark.parametrize(
    "line, offered",
    [
        ("recbench data ", "list fetch describe check"),
        ("recbench data describe ", "planted"),
        ("recbench data fetch ", "ml-100k"),
        ("recbench da", "data"),
    ],
)
def test_completion_of_data(command, monkeypatch, line, offered):
    monkeypatch.setenv("COMP_LINE", line)
    assert offered in command("-sc", "query=bash").out


@pytest.fixture
def real_ml_100k():
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("RECBENCH_TEST_DATA") or root.parent / "shared" / "data").resolve() / "ml-100k"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; RECBENCH_TEST_DATA names its folder")
    return folder
