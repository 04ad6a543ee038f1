"""The doctor finds what is wrong with an installation and with runs, says what to do, and changes nothing."""

import gzip
import importlib.metadata
import json
import os
import re
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from recbench import RunError, plugins, resolve, run
from recbench.data.checksums import digest
from recbench.doctor import Finding, installation, render
from recbench.doctor.installation import _package, _requirements
from recbench.doctor.installation import installation as examine
from recbench.doctor.runs import runs as examine_runs
from recbench.doctor.runs import verified
from recbench.files import read_yaml, write_json, write_yaml
from recbench.redaction import REDACTED

SMALL = {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give the folder of a finished run of MF."""
    place = tmp_path_factory.mktemp("outputs") / "mf"
    composed = {
        "model": "mf",
        "dataset": SMALL,
        "trainer": {"epochs": 3},
        "tracking": {"tensorboard": False},
        "threads": 1,
    }
    run(resolve(composed).config, place, progress=False)
    return place


@pytest.fixture
def spoilt(finished, tmp_path):
    """Give a copy of it, to be spoilt."""
    return shutil.copytree(finished, tmp_path / "runs" / "mf", ignore=shutil.ignore_patterns(".lock"))


def changed(path, **values):
    write_json(path, {**json.loads(path.read_text()), **values})


def signed(path):
    path.with_name(f"{path.name}.sha256").write_text(f"{digest(path)}  {path.name}\n")


def wrong(folder):
    """Return what is wrong with a run: the place below it and the text with what to do."""
    found = [finding for finding in verified(folder) if finding.level == "wrong"]
    return [(str(Path(finding.subject).relative_to(folder)), f"{finding.text} {finding.remedy}") for finding in found]


# Runs


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_a_good_run_is_one_line_and_stays_as_it_is(spoilt):
    before = {path.name: path.read_bytes() for path in spoilt.iterdir()}
    assert verified(spoilt) == [Finding("ok", str(spoilt), "done")]
    after = {path.name: path.read_bytes() for path in spoilt.iterdir() if path.name != ".lock"}
    assert after == before


def test_a_damaged_checkpoint(spoilt):
    path = spoilt / "checkpoint.pt"
    written = digest(path)
    with path.open("ab") as file:
        file.write(b"x")
    ((place, text),) = wrong(spoilt)
    assert (place, text) == (
        "checkpoint.pt",
        f"is damaged: its SHA-256 is {digest(path)[:12]}..., and {written[:12]}... was written. "
        "Run the experiment again.",
    )


def test_every_checkpoint_is_looked_at(spoilt):
    for name in ("last.pt", "best.pt"):
        shutil.copy(spoilt / "checkpoint.pt", spoilt / name)
    signed(spoilt / "best.pt")
    (spoilt / "previous.pt.sha256").write_text("0  previous.pt\n")
    found = wrong(spoilt)
    assert [place for place, _ in found] == ["last.pt", "previous.pt"]
    assert found[0][1] == (
        "it, or its checksum beside it, cannot be read (No such file or directory). Run the experiment again."
    )
    # Between two states there are the checksums of both.
    (spoilt / "last.pt.sha256").write_text(f"{digest(spoilt / 'last.pt')}  last.pt\n{'0' * 64}  last.pt\n")
    assert [place for place, _ in wrong(spoilt)] == ["previous.pt"]


def test_a_checkpoint_of_another_run(spoilt):
    plain = torch.load(spoilt / "checkpoint.pt", weights_only=True)
    torch.save({**plain, "model": "gmf", "fingerprints": {"config": "0" * 64, "other": "x"}}, spoilt / "checkpoint.pt")
    signed(spoilt / "checkpoint.pt")
    wanted = json.loads((spoilt / "result.json").read_text())["fingerprints"]["config"]
    assert wrong(spoilt) == [
        (
            "checkpoint.pt",
            "holds the model 'gmf', and the run is of 'mf'. It is of another run. Run the experiment again.",
        ),
        (
            "checkpoint.pt",
            f"its fingerprint 'config' is 000000000000..., and result.json has {wanted[:12]}.... "
            "They are of different runs. Run the experiment again.",
        ),
    ]


def test_fingerprints_of_different_runs(spoilt):
    told = json.loads((spoilt / "run.json").read_text())
    changed(spoilt / "run.json", fingerprints={**told["fingerprints"], "code": "other"})
    ((place, text),) = wrong(spoilt)
    assert place == "run.json"
    assert text.startswith("its fingerprint 'code' is other..., and result.json has 0.1.0+")


def test_a_configuration_that_was_changed_afterwards(spoilt):
    values = read_yaml(spoilt / "config.yaml")
    write_yaml(spoilt / "config.yaml", {**values, "seed": 7})
    assert wrong(spoilt) == [
        (
            "config.yaml",
            "is not what was run: seed differ from 'config' in result.json. "
            "Bring back what result.json has, or run the experiment again.",
        )
    ]
    changed(spoilt / "result.json", config={**values, "seed": 7})
    ((place, text),) = wrong(spoilt)
    assert place == "result.json"
    assert re.match(r"its fingerprint 'config' is \w{12}\.\.\., and its configuration has \w{12}\.\.\.\.", text)


def test_means_that_are_not_those_of_the_users(spoilt):
    told = json.loads((spoilt / "result.json").read_text())
    metrics = {**told["metrics"], "test": {**told["metrics"]["test"], "ndcg@10": 0.9}}
    changed(spoilt / "result.json", metrics=metrics)
    ((place, text),) = wrong(spoilt)
    assert place == "per_user.csv.gz"
    assert text == (
        f"the mean of ndcg@10 is {told['metrics']['test']['ndcg@10']:.12g}, and result.json has 0.9. "
        "One of them was altered. Run the experiment again."
    )


def test_users_that_are_missing_and_a_file_that_is_damaged(spoilt):
    path = spoilt / "per_user.csv.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:-1])))
    assert wrong(spoilt)[0][1].startswith(f"has {len(lines) - 2} users, and result.json has {len(lines) - 1}.")
    path.write_bytes(path.read_bytes()[:-20])
    ((place, text),) = wrong(spoilt)
    assert text.startswith("cannot be read (")
    path.unlink()
    assert (
        wrong(spoilt)[0][1] == "cannot be read ([Errno 2] No such file or directory: "
        f"{str(path)!r}). Run the experiment again."
    )


def test_what_is_kept_of_the_users_is_of_those_who_have_values(spoilt):
    path = spoilt / "users.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace("u0", "w0", 1).encode()))
    assert wrong(spoilt) == [
        ("users.csv.gz", "is not of the users of per_user.csv.gz. One of them was altered. Run the experiment again.")
    ]
    path.write_bytes(path.read_bytes()[:-20])
    ((place, told),) = wrong(spoilt)
    assert place == "users.csv.gz" and told.startswith("cannot be read (")
    path.unlink()
    assert wrong(spoilt) == [], "runs of earlier versions have none"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"epoch": 3}', "line 4 has epoch 3 after 3; epochs should only grow."),
        ('{"epoch": 4', "line 4 is no whole point of the curve."),
        ("[]", "line 4 is no whole point of the curve."),
        ('{"epoch": 4}', None),
    ],
)
def test_the_curve_only_grows(spoilt, line, text):
    with (spoilt / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    found = [("metrics.jsonl", f"{text} Run the experiment again.")] if text else []
    assert wrong(spoilt) == found


def test_a_dead_run(spoilt):
    (spoilt / "result.json").unlink()
    changed(spoilt / "status.json", status="running")
    assert wrong(spoilt) == [
        (
            ".",
            "says that it is running, and no process holds it: it was killed. To go on: recbench run --resume "
            f"{spoilt}, or the command of its sweep again.",
        )
    ]


def test_other_schemas_and_statuses(spoilt):
    changed(spoilt / "status.json", status="failed")
    assert wrong(spoilt)[0][1] == (
        "status.json says 'failed' and result.json 'done'. One is of another run. Run the experiment again."
    )
    changed(spoilt / "status.json", schema_version=0)
    assert "status.json: is of schema version 0" in wrong(spoilt)[0][1]
    changed(spoilt / "result.json", schema_version=99)
    ((_, text),) = wrong(spoilt)
    assert "is of schema version 99, and this recbench reads version 1" in text


def test_what_is_worth_a_note(spoilt):
    (spoilt / f".result.json.{'0' * 16}.tmp").touch()
    config = {**json.loads((spoilt / "result.json").read_text())["config"], "label": REDACTED}
    changed(spoilt / "result.json", config=config)
    write_yaml(spoilt / "config.yaml", config)
    notes = [finding.text for finding in verified(spoilt) if finding.level == "note"]
    assert notes[0] == f"holds half-written .result.json.{'0' * 16}.tmp, left by a kill."
    assert notes[1:] == ["has an option left out as a secret; its fingerprint was not recomputed."]
    assert not wrong(spoilt)


def test_a_run_that_failed_is_no_fault_of_its_folder(spoilt):
    changed(spoilt / "result.json", status="diverged", error={"type": "DivergedError", "message": "epoch 3"})
    changed(spoilt / "status.json", status="diverged")
    levels = {finding.level: finding.text for finding in verified(spoilt)}
    assert levels == {"ok": "diverged", "note": "did not end well, diverged: DivergedError: epoch 3"}


def test_an_export_is_verified_too(spoilt):
    from recbench.export import export

    (export(spoilt) / "users.json").write_text("[]")
    ((place, text),) = wrong(spoilt)
    assert place == "export"
    assert re.fullmatch(r"users.json has the SHA-256 \w+ instead of \w+\. Delete it, and export the run again\.", text)


def test_the_command_looks_at_all_runs_below(spoilt, command, tmp_path):
    shutil.copytree(spoilt, tmp_path / "runs" / "mf2")
    shutil.copytree(spoilt, tmp_path / "runs" / "mf2.old-1")
    ended = command("doctor", "runs")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "ok     runs/mf: done",
        "ok     runs/mf2: done",
        "note   runs: left out 1 earlier attempt (*.old-N). Delete what is not wanted any more.",
        "0 wrong, 1 to note, 2 ok.",
    ]
    (tmp_path / "runs" / "mf2" / "checkpoint.pt").write_bytes(b"")
    ended = command("doctor", "runs", "--format", "json")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert [finding["level"] for finding in found] == ["ok", "wrong", "note"]
    assert found[1].keys() == {"level", "subject", "text", "remedy"}
    (tmp_path / "empty").mkdir()
    for folder, text in (("empty", "no run below 'empty': expected folders that hold"), ("no", "'no': is no folder;")):
        ended = command("doctor", folder)
        assert ended.code == 2
        assert text in ended.err
    assert "exit code is 1 where something is wrong" in command("doctor", "--help").out


def test_no_run(tmp_path):
    with pytest.raises(RunError):
        examine_runs(tmp_path)


# The installation


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Give what is found by subject, in an empty folder with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("RECBENCH_MIRROR", "RECBENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return lambda: {finding.subject: finding for finding in examine()}


def test_an_installation_that_works(here, command):
    found = here()
    assert {"Python", "recbench", "torch", "pydantic", "threads", "devices", "cache", "working folder"} <= found.keys()
    assert found["extra parquet"].text.startswith("gives reading Parquet files: pyarrow")
    assert not [finding for finding in found.values() if finding.level == "wrong"]
    ended = command("doctor")
    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("0 wrong, ")


def test_packages_and_their_ranges():
    torch_version = importlib.metadata.version("torch")
    assert _package(Requirement("torch>=2"), torch_version.partition("+")[0]) == Finding("ok", "torch", torch_version)
    assert _package(Requirement("torch<1"), None) == Finding(
        "wrong", "torch", f"{torch_version}, and recbench needs <1.", "pip install 'torch<1'"
    )
    assert _package(Requirement("no-such-package>=1"), None) == Finding(
        "wrong", "no-such-package", "is not installed.", "pip install 'no-such-package>=1'"
    )
    assert _package(Requirement("torch>=2"), "2.0.0") == Finding(
        "note",
        "torch",
        f"{torch_version}; constraints.txt, with which results were made, has 2.0.0.",
        "For the same bits: pip install torch==2.0.0",
    )
    assert {"torch", "hydra-core"} <= {one.name for one in _requirements(None)}
    assert [one.name for one in _requirements("parquet")] == ["pyarrow"]


def test_an_extra_that_is_not_there(here, monkeypatch):
    monkeypatch.setattr(installation, "_version", lambda name: None if name == "pyarrow" else "99")
    assert here()["extra parquet"] == Finding(
        "note",
        "extra parquet",
        "gives reading Parquet files, and is not there: pyarrow.",
        "If wanted: pip install 'recbench[parquet]'",
    )


def test_a_plugin_that_fails_to_load(here, monkeypatch):
    points = [EntryPoint("broken", "no_such_module_anywhere", plugins.GROUP)]
    monkeypatch.setattr(plugins, "_installed", lambda: points)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    assert here()["plugin broken"] == Finding(
        "wrong",
        "plugin broken",
        "fails to load: ModuleNotFoundError: No module named 'no_such_module_anywhere'.",
        "Mend it, or uninstall its package.",
    )


def test_a_cache_that_is_not_the_users_alone(here, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.touch()
    assert here()["cache"].text == f"{cache} is no folder."
    cache.unlink()
    cache.mkdir()
    cache.chmod(0o777)
    assert here()["cache"] == Finding(
        "wrong", "cache", f"{cache} can be written to by others (mode 777).", f"chmod go-w {cache}"
    )
    cache.chmod(0o700)
    assert here()["cache"].level == "ok"
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    assert here()["cache"] == Finding(
        "wrong", "cache", f"{cache} belongs to another user.", "Set RECBENCH_CACHE to a folder of your own."
    )


def test_folders_that_cannot_be_written_to_and_full_disks(here, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert here()["working folder"] == Finding(
        "wrong",
        "working folder",
        f"{tmp_path} cannot be written to.",
        "Runs write below outputs here; go to a folder of your own.",
    )
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    assert {finding.subject: finding for finding in examine()}["working folder"] == Finding(
        "note",
        "working folder",
        f"{tmp_path}, 1.0 GB free.",
        "Make room: a data set or a checkpoint takes up to some gigabytes.",
    )


def test_mirror_and_network(here, tmp_path, monkeypatch):
    assert not {"mirror", "network"} & here().keys()
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path / "no"))
    found = here()
    assert found["network"].text == "RECBENCH_OFFLINE forbids it; data sets have to be at hand."
    assert found["mirror"].level == "wrong"
    (tmp_path / "no" / "ml-100k").mkdir(parents=True)
    assert here()["mirror"] == Finding("ok", "mirror", f"{tmp_path / 'no'} has ml-100k")


def test_lines_hold_no_control_characters():
    assert render([Finding("wrong", "a\x1b[2J", "b\nc.", "d")]).splitlines() == [
        "wrong  a[2J: bc. d",
        "1 wrong, 0 to note, 0 ok.",
    ]
    assert render([]) == "0 wrong, 0 to note, 0 ok."
