"""Tables of users and items and negatives beside the user's own interactions: each row and byte is accounted for."""

import re

import pytest

from recbench import datasets
from recbench.errors import ConfigError, DataError

INTERACTIONS = "user,item\na,x\nb,y\nJosé,z\n"
AGE = {"name": "age", "kind": "numeric"}
TITLE = {"name": "title", "kind": "text"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Let all files of a test lie in a folder of its own, so that messages name them without it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.csv").write_text(INTERACTIONS, encoding="utf-8")
    return tmp_path


def build(**options):
    return datasets.build("files", interactions="r.csv", **options)


def refuses(message, make, kind=DataError):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        make()


def test_every_row_of_every_file_is_in_a_stage(folder):
    """Of 5 users one is bad and one is unknown, of 4 items one; of 5 negatives one has a bad line, one is unknown."""
    (folder / "u.csv").write_text("user,age\na,1\nb,2\nJosé,3\nc,4\nd\n", encoding="utf-8")
    (folder / "i.jsonl").write_text("".join(f'{{"item": "{item}", "title": "T"}}\n' for item in "wxyz"))
    (folder / "n.negative").write_text("(a,x)\ty\tz\nb;y\tx\n(b,y)\tx\tw\n")
    data = build(
        users="u.csv",
        items="i.jsonl",
        negatives="n.negative",
        user_columns=[AGE],
        item_columns=[TITLE],
        bad_rows="drop",
    ).load()
    assert [str(stage) for stage in data.provenance] == [
        "read r.csv: keeps all 3 interactions",
        "read u.csv: leaves out 1 of 5 users (wrong number of fields: 1)",
        "read i.jsonl: keeps all 4 items",
        "read n.negative: leaves out 1 of 5 negatives (no pair and negatives: 1)",
        "duplicates(keep=last): keeps all 3 interactions; 3 users and 3 items are left",
        "published candidates: leaves out 1 of 4 candidates (the item is not in the data: 1)",
        "descriptions of users: leaves out 1 of 4 users (the user is not in the data: 1)",
        "descriptions of items: leaves out 1 of 4 items (the item is not in the data: 1)",
    ]
    stage = data.provenance[1].to_dict()
    assert (stage["counted"], stage["asked"]) == ("users", False)


@pytest.mark.parametrize(
    ("name", "content", "options", "fault"),
    [
        ("u.csv", "user,age\na,1\nb\n", {"users": "u.csv", "user_columns": [AGE]}, "line 3: expected 2 fields "
         "separated by ',', found 1: 'b'."),
        ("i.csv", "item,title\n,X\n", {"items": "i.csv", "item_columns": [TITLE]}, "line 2: the item id is empty."),
        ("n.negative", "(a,x)\ty\n(b,y)\n", {"negatives": "n.negative"}, "line 2: should begin with (user,item), and "
         "item ids should follow, each behind a tab; it begins with '(b,y)'."),
    ],
)  # fmt: skip
def test_a_bad_row_beside_the_interactions_has_its_remedy(folder, name, content, options, fault):
    (folder / name).write_text(content)
    refuses(
        f"{name}, {fault} Mend it, or leave such rows out, counted, with dataset.bad_rows=drop.",
        lambda: build(**options).load(),
    )


def test_the_remedy_of_a_bad_row_names_the_file_for_the_shell(folder):
    (folder / "my ratings.csv").write_text("user,item\na\n")
    refuses(
        "my ratings.csv, line 2: expected 2 fields separated by ',', found 1: 'a'. Mend it, or leave such rows out, "
        "counted, with dataset.bad_rows=drop. All that is wrong with the file shows: "
        "recbench data check 'my ratings.csv'.",
        lambda: datasets.build("files", interactions="my ratings.csv").load(),
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_tables_may_be_in_encodings_of_their_own(folder, suffix):
    users = "user,age\na,1\nb,2\nJosé,3\n"
    if suffix == "jsonl":
        users = "".join(f'{{"user": "{user}", "age": {age}}}\n' for age, user in enumerate(("a", "b", "José"), 1))
    (folder / f"u.{suffix}").write_text(users, encoding="latin-1")
    (folder / "i.csv").write_text("item,title\nx,Š\ny,Y\nz,Z\n", encoding="utf-16")
    tables = {"users": f"u.{suffix}", "items": "i.csv", "user_columns": [AGE], "item_columns": [TITLE]}
    data = build(**tables, users_encoding="latin-1", items_encoding="utf-16").load()
    assert data.features.items.text("title").tolist() == ["Š", "Y", "Z"]
    assert str(data.provenance[-2]) == "descriptions of users: keeps all 3 users"
    with pytest.raises(DataError, match=r"\(0xe9\) is not utf-8\. Set dataset\.users_encoding=latin-1 if the file is"):
        build(**tables, items_encoding="utf-16").load()
    with pytest.raises(DataError, match=r"\(0xff\) is not utf-8\. Set dataset\.items_encoding=utf-16 if the file is"):
        build(**tables, users_encoding="latin-1").load()


def test_negatives_are_in_the_encoding_of_the_interactions(folder):
    (folder / "r.csv").write_text(INTERACTIONS, encoding="latin-1")
    (folder / "n.negative").write_text("(José,z)\tx\n", encoding="latin-1")
    data = build(encoding="latin-1", negatives="n.negative").load()
    assert data.candidates.items.tolist() == [0]
    assert data.candidates.row_of_each().tolist() == data.user_vocabulary.indices(["José"]).tolist()


def test_negatives_of_another_test_part_are_refused(folder):
    (folder / "train.csv").write_text("user,item\nu,x\nv,y\n")
    (folder / "test.csv").write_text("user,item\nu,y\nv,x\n")
    (folder / "n.negative").write_text("(u,y)\tz\n(v,y)\tz\n")
    with pytest.raises(DataError) as error:
        datasets.build("files", train="train.csv", test="test.csv", negatives="n.negative").load()
    assert str(error.value) == (
        "n.negative: the line (v,y) is not of this split, where 'y' is not in the test part of user 'v'; 1 of 2 lines "
        "are so. Give the negatives that were made for dataset.test."
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"users_encoding": "latin-1"},
            "users_encoding = 'latin-1': has no effect, since there is no table: dataset.users=PATH.",
        ),
        (
            {"items": "i.parquet", "item_columns": [TITLE], "items_encoding": "latin-1"},
            "items_encoding = 'latin-1': has no effect, since Parquet knows its own; leave it out.",
        ),
        (
            {"items": "i.csv", "item_columns": [TITLE], "items_encoding": "utf-7000"},
            "items_encoding = 'utf-7000': is no encoding that Python knows. Write e.g. utf-8, latin-1 or cp1252.",
        ),
    ],
)
def test_encodings_without_effect(options, line):
    refuses(f"dataset 'files' cannot be configured:\n  {line}", lambda: build(**options), ConfigError)
