"""Files are whole or not there, and what is read back is data alone."""

import hashlib
import math
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import torch

from recbench.data import Interactions
from recbench.errors import RunError, StorageError
from recbench.files import (
    finite,
    load_checkpoint,
    read_json,
    read_yaml,
    replacing,
    save_checkpoint,
    write_json,
    write_yaml,
)

TRAIN = Interactions.from_frame(pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}))
OTHER = Interactions.from_frame(pd.DataFrame({"user": ["a", "b"], "item": ["y", "x"]}))
STATE = {"weight": torch.tensor([[1.5, -2.0]]), "count": torch.tensor([3])}


class Marker:
    """Unpickling it makes a file: what a poisoned checkpoint would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def with_checksum(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")


# Writing


def test_replacing_gives_the_new_content_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "value.txt"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["value.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_keeps_the_old_content_when_writing_fails(tmp_path, error):
    path = tmp_path / "value.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half of the ne")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["value.txt"]


def test_replacing_takes_a_name_of_its_own_for_each_writer(tmp_path):
    path = tmp_path / "value.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["value.txt"]


def test_replacing_says_which_folder_is_missing(tmp_path):
    path = tmp_path / "nowhere" / "value.txt"
    with pytest.raises(RunError) as error, replacing(path):
        pass
    assert str(error.value) == f"{path}: cannot be written (No such file or directory)."


def test_replacing_says_that_the_folder_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "value.txt"
    with pytest.raises(StorageError) as error, replacing(path):
        pass
    assert str(error.value) == f"{path}: cannot be written (Not a directory)."


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path):
    """A limit on the size of files stands for the full disk; it holds for the process, hence one of its own."""
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=1)
    before = names(tmp_path)
    script = """
import resource, sys
from pathlib import Path
import pandas as pd, torch
from recbench.data import Interactions
from recbench.files import save_checkpoint
train = Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"]}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save_checkpoint(Path(sys.argv[1]), "mf", {"weight": torch.zeros(1_000_000)}, train, 2)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"StorageError: {tmp_path / 'checkpoint.pt'}: cannot be written (File too large)." in done.stderr
    assert names(tmp_path) == before
    assert torch.equal(load_checkpoint(tmp_path, "mf", TRAIN)["weight"], STATE["weight"])


# JSON and YAML


def test_json_keeps_every_bit_and_knows_no_nan(tmp_path):
    path = tmp_path / "value.json"
    write_json(
        path, {"schema_version": 1, "tenth": 0.1 + 0.2, "lists": [math.nan, (math.inf, 1)], "deep": {"a": -math.inf}}
    )
    assert read_json(path) == {"schema_version": 1, "tenth": 0.1 + 0.2, "lists": [None, [None, 1]], "deep": {"a": None}}
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()


def test_finite_leaves_all_other_values_alone():
    value = {"none": None, "text": "nan", "whole": 2**70, "true": True, "number": 1e-300}
    assert finite(value) == value


def test_json_of_another_schema_is_refused_by_name(tmp_path):
    path = tmp_path / "result.json"
    path.write_text('{"schema_version": 0}')
    with pytest.raises(RunError) as error:
        read_json(path)
    assert str(error.value) == (
        f"{path}: is of schema version 0, and this recbench reads version 1; "
        "run the experiment again, or read it with the recbench that wrote it."
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"schema_version": 1', "Expecting ',' delimiter: line 1 column 21 (char 20)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_json_that_is_not_whole_is_refused_by_name(tmp_path, content, reason):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as error:
        read_json(path)
    assert str(error.value) == f"{path}: cannot be read ({reason})."


def test_json_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("[1]")
    with pytest.raises(RunError, match="is of schema version None, and this recbench reads version 1"):
        read_json(path)


def test_yaml_gives_back_what_was_written_in_its_order(tmp_path):
    path = tmp_path / "config.yaml"
    value = {
        "z": {"name": "mf", "lr": 1e-05, "none": None},
        "a": ["ndcg@10", "1", "ü", "null", "${x}", "on"],
        "t": True,
    }
    write_yaml(path, value)
    assert read_yaml(path) == value
    assert list(read_yaml(path)) == ["z", "a", "t"]
    assert path.read_text(encoding="utf-8").startswith("# schema_version: 1\n")


def test_yaml_that_would_run_code_is_refused_and_does_not(tmp_path):
    path, marker = tmp_path / "config.yaml", tmp_path / "marker"
    path.write_text(f"model: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(RunError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: cannot be read (could not determine a constructor for the tag")
    assert not marker.exists()


def test_yaml_must_be_a_mapping(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("- mf\n")
    with pytest.raises(RunError) as error:
        read_yaml(path)
    assert str(error.value) == f"{path}: should hold a mapping, and holds list."


# Checkpoints


def test_a_checkpoint_gives_back_the_tensors_and_nothing_is_left_over(tmp_path):
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=7)
    loaded = load_checkpoint(str(tmp_path), "mf", TRAIN)
    assert loaded.keys() == STATE.keys()
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)
    assert names(tmp_path) == ["checkpoint.pt", "checkpoint.pt.sha256"]
    plain = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (plain["schema_version"], plain["model"], plain["epoch"]) == (1, "mf", 7)


def test_the_checksum_is_in_the_form_of_sha256sum(tmp_path):
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=None)
    digest = hashlib.sha256((tmp_path / "checkpoint.pt").read_bytes()).hexdigest()
    assert (tmp_path / "checkpoint.pt.sha256").read_text() == f"{digest}  checkpoint.pt\n"


@pytest.mark.parametrize("change", ["flip", "cut"])
def test_a_damaged_checkpoint_is_noticed(tmp_path, change):
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=1)
    path = tmp_path / "checkpoint.pt"
    expected = (tmp_path / "checkpoint.pt.sha256").read_text()[:12]
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content if change == "flip" else content[:-50])
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", TRAIN)
    assert str(error.value) == f"{path}: is damaged: its SHA-256 is {found}..., and {expected}... was written."


def test_no_checkpoint(tmp_path):
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", TRAIN)
    assert str(error.value) == (
        f"{tmp_path / 'checkpoint.pt'}: cannot be read (No such file or directory); is {tmp_path} a finished run?"
    )


def poisoned(path: Path, marker: Path, how: str) -> None:
    if how == "torch":
        torch.save({"schema_version": 1, "model": Marker(marker)}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"schema_version": 1, "model": Marker(marker)}, protocol=2))
    else:
        path.write_bytes({"empty": b"", "text": b"hello"}[how])


@pytest.mark.parametrize("how", ["torch", "pickle", "empty", "text"])
def test_a_poisoned_checkpoint_is_refused_and_runs_nothing(tmp_path, how):
    path, marker = tmp_path / "checkpoint.pt", tmp_path / "marker"
    poisoned(path, marker, how)
    with_checksum(path)
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", TRAIN)
    assert str(error.value) == (
        f"{path}: is refused: it is no checkpoint of plain tensors, and could run code when read. "
        "Ask who made it for what 'recbench export RUN' writes."
    )
    assert not marker.exists()


@pytest.mark.parametrize("content", [{"schema_version": 99}, torch.zeros(1)])
def test_a_checkpoint_of_another_schema_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with_checksum(path)
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", TRAIN)
    version = content["schema_version"] if isinstance(content, dict) else None
    assert str(error.value) == f"{path}: is of schema version {version}, and this recbench reads version 1."


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=1)
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "gmf", TRAIN)
    assert str(error.value) == f"{tmp_path / 'checkpoint.pt'}: holds the model 'mf', and 'gmf' is wanted."


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    save_checkpoint(tmp_path, "mf", STATE, TRAIN, epoch=1)
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", OTHER)
    assert str(error.value) == (
        f"{tmp_path / 'checkpoint.pt'}: was fitted on other training data (fingerprint {TRAIN.fingerprint[:12]}..., "
        f"here {OTHER.fingerprint[:12]}...); use the same dataset.* and split.* options."
    )


WHOLE = {"schema_version": 1, "model": "mf", "train": TRAIN.fingerprint, "epoch": 1, "state_dict": STATE}


@pytest.mark.parametrize(
    "changed",
    [{"model": 1}, {"train": None}, {"state_dict": [torch.zeros(1)]}, {"state_dict": {1: torch.zeros(1)}}]
    + [{"state_dict": {"weight": 1.0}}],
    ids=str,
)
def test_a_file_of_other_values_is_no_checkpoint(tmp_path, changed):
    path = tmp_path / "checkpoint.pt"
    lacking = {name: value for name, value in WHOLE.items() if name not in changed}
    for content in ({**WHOLE, **changed}, lacking):
        torch.save(content, path)
        with_checksum(path)
        with pytest.raises(RunError) as error:
            load_checkpoint(tmp_path, "mf", TRAIN)
        assert str(error.value) == (
            f"{path}: is no checkpoint of a model: it should hold the model's name, the fingerprint of the training "
            "data, and tensors by name."
        )


def test_a_checkpoint_whose_pickle_ends_early_is_refused(tmp_path):
    """It ends within a number of four bytes, in an archive that is sound."""
    path = tmp_path / "checkpoint.pt"
    torch.save(WHOLE, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, b"\x80\x02X\x01\x00" if name.endswith("data.pkl") else content)
    with_checksum(path)
    with pytest.raises(RunError, match="is refused: it is no checkpoint of plain tensors"):
        load_checkpoint(tmp_path, "mf", TRAIN)


def test_a_checkpoint_that_points_before_its_beginning_cannot_be_read(tmp_path):
    """It begins as an archive, and ends with offsets that lead nowhere."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"PK\x03\x04" + b"9" * 5_000)
    with_checksum(path)
    with pytest.raises(RunError) as error:
        load_checkpoint(tmp_path, "mf", TRAIN)
    assert str(error.value) == f"{path}: cannot be read (Invalid argument)."
