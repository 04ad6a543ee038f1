"""The cache of loaded data sets: everything comes back, nothing stale or damaged does."""

import errno
import json
import logging
import shutil
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench import datasets
from recbench.data import Counts, Histories, Interactions, Stage
from recbench.data.cache import cache_folder
from recbench.data.feature_config import CategoricalConfig, MultiConfig, NumericConfig, TextConfig
from recbench.datasets import store
from recbench.datasets.store import Loaded, stored
from recbench.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache that keeps small data too."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "MIN_INTERACTIONS", 1)
    return tmp_path / "cache" / "tables"


def loaded(**columns):
    frame = pd.DataFrame({"user": ["b", "a", "ü", "a"], "item": ["x", "y", "x", "\U0001f600"], **columns})
    interactions = Interactions.from_frame(frame, part="part" if "part" in columns else None, time="rank")
    return Loaded(interactions)


def everything():
    data = loaded(rating=[1.0, 2.5, 3.0, 0.1], timestamp=[5, -3, 2**60, 7], part=[0, 0, 1, 2])
    return Loaded(
        replace(
            data.interactions,
            candidates=Histories.from_pairs(torch.tensor([0, 0, 2]), torch.tensor([2, 2, 1]), 3),
            provenance=(
                Stage("read x", Counts(9), Counts(4), {"blank": 5}),
                Stage("s", Counts(4), Counts(4, 3, 2), {}, "users", True),
            ),
        ),
        users=pd.DataFrame(
            {
                "user": pd.Categorical(["ü", "a", "b"]),
                "age": pd.array([3, None, 2**60 + 1], dtype="Int64"),
                "height": [1.5, np.nan, -0.0],
                "name": np.array(["Ünal", np.nan, ""], dtype=object),
            }
        ),
        items=pd.DataFrame({"item": ["x", "y", "z"], "n": [1, 2, 3], "flag": [True, False, True]}),
        user_columns=(NumericConfig(name="age", missing="mean"), TextConfig(name="name", missing="constant", value="")),
        item_columns=(CategoricalConfig(name="flag"), MultiConfig(name="n", missing_values=("3",))),
    )


def never():
    raise AssertionError("it is made although it is kept")


def same(left, right):
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert left.numpy().tobytes() == right.numpy().tobytes()
    elif isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(as_objects(left), as_objects(right), check_exact=True)
    elif isinstance(left, Loaded | Interactions | Histories):
        assert type(left) is type(right)
        for field in fields(left):
            same(getattr(left, field.name), getattr(right, field.name))
    elif hasattr(left, "ids"):
        assert (left.kind, left.ids.tolist()) == (right.kind, right.ids.tolist())
    elif type(left).__name__ != "Features":
        assert left == right


def as_objects(table):
    """Return the table with ids and texts as objects, whatever pandas keeps them in."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name].dtype)]
    return table.astype(dict.fromkeys(texts, object))


def test_everything_comes_back(cache):
    first = stored("k", everything)
    same(first, everything())
    second = stored("k", never)
    same(second, everything())
    assert second.interactions.fingerprint == everything().interactions.fingerprint
    assert [path.suffix for path in (cache / "k").iterdir() if path.suffix not in (".npy", ".json")] == [""]


@pytest.mark.parametrize("columns", [{}, {"rating": [1, 2, 3, 4]}, {"timestamp": [1, 2, 3, 4]}], ids=str)
def test_what_is_not_there_is_not_there_afterwards(columns):
    stored("k", lambda: loaded(**columns))
    same(stored("k", never), loaded(**columns))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(_TEXT.filter(bool), _TEXT.filter(bool)), min_size=1, unique=True, max_size=20),
    texts=st.lists(st.none() | _TEXT, min_size=1, max_size=8),
)
def test_any_ids_and_texts_come_back(cache, pairs, texts):
    shutil.rmtree(cache, ignore_errors=True)
    table = pd.DataFrame({"item": [str(place) for place in range(len(texts))]})
    table["text"] = np.array([np.nan if text is None else text for text in texts], dtype=object)
    data = Loaded(Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"])), items=table)
    stored("k", lambda: data)
    same(stored("k", never), data)


def test_small_data_is_not_kept(cache, monkeypatch):
    monkeypatch.setattr(store, "MIN_INTERACTIONS", 5)
    stored("k", loaded)
    assert not cache.exists()


def test_each_key_has_its_own(cache):
    stored("a", loaded)
    assert stored("b", everything).interactions.ratings is not None
    assert stored("a", never).interactions.ratings is None
    assert {path.name for path in cache.iterdir()} == {"a", "b", "lock"}


def test_keys_differ_by_name_options_and_content():
    keys = {
        store.key("a", "{}", ["1"]),
        store.key("b", "{}", ["1"]),
        store.key("a", '{"min_rating":4}', ["1"]),
        store.key("a", "{}", ["2"]),
        store.key("a", "{}", ["1", "2"]),
    }
    assert len(keys) == 5
    assert store.key("a", "{}", ["1"]) in keys


def test_keys_differ_by_code(monkeypatch):
    before = store.key("a", "{}", ["1"])
    monkeypatch.setattr(store, "_CODE", ("recbench.data",))
    assert store.key("a", "{}", ["1"]) != before


@pytest.mark.parametrize("name", ["items.npy", "ratings.npy", "meta.json", "user_ids_bytes.npy", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_what_is_damaged_is_made_again(cache, caplog, name, damage):
    caplog.set_level(logging.WARNING, "recbench")
    stored("k", everything)
    path = cache / "k" / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[-5] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-5])
    same(stored("k", everything), everything())
    (message,) = caplog.messages
    assert message.startswith(f"{cache / 'k'}: ")
    assert message.endswith(". The data is read anew.")
    same(stored("k", never), everything())
    assert len(caplog.messages) == 1


def test_the_warning_about_damage_names_the_file(cache, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    stored("k", loaded)
    (cache / "k" / "meta.json").write_text(json.dumps({}))
    stored("k", loaded)
    assert caplog.messages[0].startswith(f"{cache / 'k'}: meta.json has the SHA-256 ")


@pytest.mark.parametrize("lost", ["", "ratings.npy"])
def test_checksums_that_lost_lines_lose_no_column(cache, caplog, lost):
    """Without its line the column of ratings would be absent, and nothing would say so."""
    caplog.set_level(logging.WARNING, "recbench")
    stored("k", everything)
    path = cache / "k" / "SHA256SUMS"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if lost and lost not in line))
    same(stored("k", everything), everything())
    assert caplog.messages == [f"{cache / 'k'}: SHA256SUMS does not list all files. The data is read anew."]


def test_warnings_and_stages_are_told_each_time(caplog):
    caplog.set_level(logging.DEBUG, "recbench")

    def make():
        logging.getLogger("recbench.cleaning").warning("3 rows %s", "repeat a pair")
        return everything()

    stored("k", make)
    caplog.clear()
    stored("k", never)
    assert caplog.messages[-3:] == [*map(str, everything().interactions.provenance), "3 rows repeat a pair"]
    assert [record.levelname for record in caplog.records][-4:] == ["INFO", "DEBUG", "INFO", "WARNING"]


def test_what_became_of_the_rows_is_told_as_loud_as_the_first_time(tmp_path, caplog):
    """A bad row, a repeat, a row below the threshold, a negative of an unknown item: each is told, each time alike."""
    rows = "user,item,rating\na,x,5\na,x,4\nb,x,1\nb,y,3\nc,y,bad\n"
    (tmp_path / "r.csv").write_text(rows)
    (tmp_path / "n.negative").write_text("(a,x)\ty\tz\n")
    dataset = datasets.build(
        "files",
        interactions=str(tmp_path / "r.csv"),
        negatives=str(tmp_path / "n.negative"),
        bad_rows="drop",
        min_rating=2,
    )
    caplog.set_level(logging.DEBUG, "recbench")

    def told():
        caplog.clear()
        dataset.load()
        return sorted((record.levelname, record.getMessage()) for record in caplog.records)

    first, (read, *again) = told(), told()
    again = sorted([read, *again])
    fresh = [line for line in again if "read from the cache" in line[1]]
    assert fresh and first == [line for line in again if line not in fresh]
    texts = [f"{level} {message}" for level, message in first]
    wanted = (
        "DEBUG read ",
        "WARNING duplicates(keep=last): leaves out 1 of 4 ",
        "INFO rating(min=2.0): leaves out 1 of 3 ",
        "INFO published candidates: leaves out 1 of 2 candidates",
    )
    for start in wanted:
        assert any(text.startswith(start) for text in texts), (start, texts)


def test_what_fails_is_not_kept(cache):
    def fail():
        raise DataError("no such file.")

    with pytest.raises(DataError, match=r"^no such file\.$"):
        stored("k", fail)
    assert not cache.exists()
    stored("k", loaded)
    assert logging.getLogger("recbench").handlers == []


def test_where_nothing_can_be_written_the_data_is_there_all_the_same(cache, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    cache_folder().mkdir()
    cache.write_text("a file")
    same(stored("k", everything), everything())
    assert caplog.messages == [
        f"{cache / 'k'}: the cache folder {cache} cannot be made (File exists). Set RECBENCH_CACHE. "
        "The data is read anew the next time."
    ]


def test_a_disk_that_is_full_is_a_warning(cache, caplog, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    caplog.set_level(logging.WARNING, "recbench")
    monkeypatch.setattr(np, "save", full)
    same(stored("k", everything), everything())
    assert caplog.messages == [
        f"{cache / 'k'}: cannot be written (No space left on device). The data is read anew the next time."
    ]
    assert {path.name for path in cache.iterdir()} == {"lock"}


def test_tables_that_hold_neither_numbers_nor_text_are_refused():
    items = pd.DataFrame({"item": ["x"], "tags": [["a", "b"]]})
    text = r"^a column of the table of users or items holds mixed; it should hold numbers or text\.$"
    with pytest.raises(DataError, match=text):
        stored("k", lambda: replace(loaded(), items=items))


def test_nothing_is_left_behind(cache):
    stored("k", everything)
    stored("k", everything)
    assert {path.name for path in cache.iterdir()} == {"k", "lock"}
    assert cache_folder() == cache.parent
