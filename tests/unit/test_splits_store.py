"""Splits that are kept: found again, refused when altered, and never in the way."""

import hashlib
import logging
import re
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import splits
from recbench.data import Interactions
from recbench.errors import ConfigError, DataError
from recbench.splits.store import assigned


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The folder of the kept splits, which is not there yet."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "splits"


def data(n_items: int = 10) -> Interactions:
    pairs = [(user, item) for user in range(4) for item in range(n_items)]
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))


def assign(name: str, interactions: Interactions, **options) -> torch.Tensor:
    return assigned(splits.build(name, **options), name, interactions)


def test_a_split_is_drawn_once(kept, caplog):
    caplog.set_level(logging.INFO, "recbench")
    interactions = data()
    drawn = splits.build("random", seed=3).assign(interactions)
    assert torch.equal(assign("random", interactions, seed=3), drawn)
    assert caplog.messages == []
    (path,) = kept.iterdir()
    written = path.stat()
    found = assign("random", interactions, seed=3)
    assert caplog.messages == [f"split random: taken from {path}."]
    assert torch.equal(found, drawn)
    assert found.dtype == torch.int8
    assert path.stat() == written


def test_what_is_kept_is_what_is_used(kept):
    """The file is read, not only written: one that holds other parts, and is whole, gives those."""
    interactions = data()
    assign("random", interactions)
    (path,) = kept.iterdir()
    with np.load(path) as file:
        content = dict(file)
    content["parts"] = content["parts"][::-1].copy()
    content["sha256"] = np.array(hashlib.sha256(content["parts"].tobytes()).hexdigest())
    np.savez(path, **content)
    assert assign("random", interactions).tolist() == content["parts"].tolist()


def test_data_options_seed_and_name_each_have_their_own(kept):
    assign("random", data())
    for n_kept, (name, interactions, options) in enumerate(
        [
            ("random", data(), {"seed": 1}),
            ("random", data(), {"test": 0.3}),
            ("random", data(11), {}),
            ("leave_one_out", data(), {}),
            ("user_disjoint", data(), {"test_users": 1, "valid_users": 0}),
        ],
        2,
    ):
        assign(name, interactions, **options)
        assert len(list(kept.iterdir())) == n_kept
    assign("random", data(), test=0.2, seed=0)
    assert len(list(kept.iterdir())) == 6
    assigned(splits.build("random"), "another_of_the_same_file", data())
    assert len(list(kept.iterdir())) == 7


def test_times_kept_as_seconds_are_refused_as_ranks(kept):
    frame = pd.DataFrame({"user": ["a"] * 10, "item": range(10), "timestamp": range(10)})
    assign("global_time", Interactions.from_frame(frame, time="seconds"))
    with pytest.raises(ConfigError, match="the timestamps of this data are ranks within each user"):
        assign("global_time", Interactions.from_frame(frame, time="rank"))


def test_what_needs_no_draw_is_not_kept(kept):
    frame = pd.DataFrame([("a", "x", 0), ("a", "y", 2)], columns=["user", "item", "part"])
    published = Interactions.from_frame(frame, part="part")
    assert assign("fixed", published).tolist() == [0, 2]
    assert assign("none", published).tolist() == [0, 0]
    assert not kept.exists()


def test_a_protocol_without_a_source_file_is_not_kept(kept):
    namespace = {"__name__": "a_notebook", "Base": splits.Splitter, "torch": torch}
    sys.modules["a_notebook"] = types.ModuleType("a_notebook")
    try:
        exec(
            "class Mine(Base):\n    def assign(self, interactions):\n"
            "        return torch.zeros(len(interactions), dtype=torch.int8)\n",
            namespace,
        )
        splitter = namespace["Mine"](splits.registry.entry("none").configure({}))
        assert assigned(splitter, "mine", data()).tolist() == [0] * 40
    finally:
        del sys.modules["a_notebook"]
    assert not kept.exists()


@pytest.mark.parametrize(
    "alter",
    [
        lambda content: {**content, "parts": np.roll(content["parts"], 1)},
        lambda content: {**content, "parts": content["parts"][:-1]},
        lambda content: {**content, "parts": content["parts"].astype(np.int64)},
        lambda content: {**content, "parts": content["parts"] - 1},
        lambda content: {**content, "data": np.array("0" * 64)},
        lambda content: {**content, "counts": content["counts"][::-1]},
        lambda content: {key: value for key, value in content.items() if key != "parts"},
        lambda content: {key: value for key, value in content.items() if key != "sha256"},
        lambda content: {**content, "more": np.array(1)},
    ],
)
def test_an_altered_split_is_refused(kept, alter):
    assign("random", data())
    (path,) = kept.iterdir()
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **alter(content))
    text = f"{path}: was altered after it was written. Delete it, and the split is drawn anew."
    with pytest.raises(DataError, match="^" + re.escape(text) + "$"):
        assign("random", data())
    path.unlink()
    assert torch.equal(assign("random", data()), splits.build("random").assign(data()))


def test_parts_of_other_data_are_refused_though_they_are_whole(kept):
    assign("random", data())
    (path,) = kept.iterdir()
    parts = np.zeros(39, dtype=np.int8)
    digest = np.array(hashlib.sha256(parts.tobytes()).hexdigest())
    np.savez(path, parts=parts, sha256=digest, counts=[39, 0, 0, 0, 0], data=np.array(data().fingerprint))
    with pytest.raises(DataError, match=re.escape("was altered after it was written")):
        assign("random", data())


def test_a_damaged_split_is_refused(kept):
    assign("random", data())
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    pickled = np.array([{}], dtype=object)
    for content in (whole[: len(whole) // 2], b"", b"not a zip archive", whole[:60] + b"\xff" * 20 + whole[80:]):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            assign("random", data())
        assert str(error.value) == f"{path}: is damaged. Delete it, and the split is drawn anew."
    np.savez(path, parts=pickled)
    with pytest.raises(DataError, match=r"is damaged\. Delete it"):
        assign("random", data())


def test_a_cache_that_cannot_be_written_to_is_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "file"))
    parts = assign("random", data())
    assert torch.equal(parts, splits.build("random").assign(data()))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages == [f"the split is not kept: [Errno 17] File exists: '{tmp_path / 'file'}'"]


def test_nothing_else_is_left_in_the_cache(kept):
    assign("random", data())
    assert [path.suffix for path in kept.iterdir()] == [".npz"]
    assert kept.parent.stat().st_mode & 0o777 == 0o700
