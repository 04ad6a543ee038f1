"""A run's folder tells how the run went, whatever happened."""

import gzip
import hashlib
import json
import logging
import math
import os
import platform
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from filelock import FileLock, Timeout

from recbench import ConfigError, DivergedError, ExperimentConfig, RunError, resolve, run
from recbench.candidates import candidates_fingerprint
from recbench.configuration import Settings
from recbench.datasets.planted import PlantedConfig
from recbench.environment import git_state
from recbench.evaluation import EvaluationConfig
from recbench.files import read_json, read_yaml, write_json
from recbench.logs import ROOT, run_name
from recbench.models.mf import MFConfig
from recbench.models.popularity import PopularityConfig
from recbench.report import RunFolder, read_run
from recbench.splits.none import NoSplitConfig
from recbench.tracking import TrackingConfig
from recbench.trainers import EpochRecord
from recbench.trainers.gradient import GradientConfig

DATA = PlantedConfig(n_users=30, n_items=40, n_interactions=300)
QUIET = TrackingConfig(tensorboard=False)
MF = resolve(
    {
        "model": {"name": "mf", "dim": 2},
        "dataset": {"name": "planted", **DATA.model_dump()},
        "trainer": {"epochs": 3},
        "tracking": {"tensorboard": False},
        "seed": 5,
        "threads": 1,
        "label": "mine",
    }
).config
POPULARITY = ExperimentConfig(model=PopularityConfig(), dataset=DATA, tracking=QUIET)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give the folder and the outcome of a run of MF."""
    folder = tmp_path_factory.mktemp("outputs") / "mf-1"
    outcome = run(MF, folder, not_applicable=["trainer.nesterov"], progress=False)
    return folder, outcome


def test_a_folder_holds_what_was_promised(finished):
    folder, _ = finished
    assert {path.name for path in folder.iterdir()} - {".lock"} == {
        "checkpoint.pt",
        "checkpoint.pt.sha256",
        "config.yaml",
        "metrics.jsonl",
        "per_user.csv.gz",
        "result.json",
        "run.json",
        "run.log",
        "status.json",
        "users.csv.gz",
    }


def test_the_result_is_complete_and_in_full_precision(finished):
    folder, outcome = finished
    result = read_json(folder / "result.json")
    assert (result["status"], result["error"]) == ("done", None)
    assert [result[key] for key in ("model", "dataset", "split")] == ["mf", "planted", "random"]
    assert (result["seed"], result["label"]) == (5, "mine")
    assert result["metrics"] == {part: dict(outcome.reports[part].values) for part in ("test", "valid")}
    assert result["metrics"]["test"]["ndcg@10"] == outcome.reports["test"].values["ndcg@10"]
    assert result["n_users"] == {part: len(outcome.reports[part].users) for part in ("test", "valid")}
    assert result["n_users_without_target"].keys() == {"test", "valid"}
    assert result["tie_rate"]["test"] == {"@10": 0.0, "@20": 0.0}
    assert result["seconds"]["fit"] == outcome.fit.seconds
    assert result["seconds"]["evaluate"] == outcome.reports["test"].seconds + outcome.reports["valid"].seconds
    assert result["seconds"]["total"] > result["seconds"]["fit"] + result["seconds"]["evaluate"]
    assert result["peak_memory_bytes"] == outcome.peak_memory_bytes > 10**7
    assert (result["selection"], result["best_epoch"], result["epochs"]) == ("valid", outcome.fit.best_epoch, 3)
    assert result["not_applicable"] == ["trainer.nesterov"]
    assert (result["threads"], result["device"]) == (1, "cpu")
    assert (result["schema_version"], result["metric_definitions_version"]) == (1, 1)
    assert result["started"] < result["ended"]


def test_the_fingerprints_are_those_of_data_split_and_configuration(finished):
    folder, outcome = finished
    found = read_json(folder / "result.json")["fingerprints"]
    assert found.keys() == {"data", "features", "split", "candidates", "config", "code"}
    assert found["data"] == outcome.prepared.data_fingerprint
    assert found["split"] == outcome.split.fingerprint
    assert found["config"] == MF.identity
    assert found.pop("candidates") is None, "all items are ranked"
    assert all(found.values()), "the generated data has features"


def test_the_result_says_what_became_of_the_data_and_what_leaks(finished):
    folder, outcome = finished
    result, leaks = read_json(folder / "result.json"), outcome.prepared.leaks
    steps = [stage.to_dict() for stage in outcome.split.train.provenance]
    assert result["data"] == {"verified": None, "steps": steps}, "generated data was not published"
    assert result["leaks"] == leaks.to_dict()
    assert result["leaks"]["sentence"].startswith("The split leaks across time: ")
    assert result["leaks"]["seen_pairs"] == {"n": 0, "of": int(leaks.seen_pairs.of), "share": 0.0}
    assert result["candidates"] == {"kind": "full"}
    assert f" INFO [mf-1] split random: {leaks.sentence}\n" in (folder / "run.log").read_text()


def test_the_result_tells_of_the_candidates(tmp_path):
    evaluation = EvaluationConfig(candidates="sampled", n_candidates=5, metrics=("hr@10",))
    outcome = run(replace(POPULARITY, evaluation=evaluation), tmp_path / "run", progress=False)
    result = read_json(tmp_path / "run" / "result.json")
    nothing = {"n_duplicates": 0, "n_positives": 0, "n_users_with_positives": 0}
    assert result["candidates"] == {"kind": "sampled", "test": nothing, "valid": nothing}
    assert result["fingerprints"]["candidates"] == candidates_fingerprint(outcome.prepared.candidates)


def test_the_configuration_is_kept_as_data_that_resolves_to_itself(finished):
    folder, _ = finished
    assert resolve(read_yaml(folder / "config.yaml")).config == MF
    assert resolve(read_json(folder / "result.json")["config"]).config == MF


def test_the_run_can_be_repeated_from_its_record(finished):
    folder, _ = finished
    record = read_json(folder / "run.json")
    assert record["repeat"] == (
        "recbench run model=mf model.dim=2 dataset=planted dataset.n_users=30 dataset.n_items=40 "
        "dataset.n_interactions=300 trainer.epochs=3 "
        "tracking.tensorboard=false seed=5 threads=1 label=mine"
    )
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["torch"] == torch.__version__
    assert (record["device"], record["threads"]) == ("cpu", 1)
    assert record["git"].keys() == {"recbench", "working_folder"}
    assert record["fingerprints"].keys() == {"config", "code"}
    assert record["host"] == platform.node()
    assert isinstance(record["argv"], list)


def test_the_curve_has_a_line_an_epoch(finished):
    folder, outcome = finished
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"epoch": point.epoch, **point.values} for point in outcome.fit.curve]
    assert [line["epoch"] for line in lines] == [1, 2, 3]


def test_per_user_values_have_the_means_of_the_result(finished):
    folder, outcome = finished
    table = pd.read_csv(folder / "per_user.csv.gz", dtype={"user": str}, keep_default_na=False)
    report = outcome.reports["test"]
    assert list(table.columns) == ["user", *report.per_user]
    assert list(table["user"]) == list(outcome.split.train.user_vocabulary.names(report.users.numpy()))
    for name in report.per_user:
        assert table[name].mean() == pytest.approx(report.values[name], abs=1e-12)


def test_the_training_interactions_of_each_test_user_are_kept(finished):
    folder, outcome = finished
    users = pd.read_csv(folder / "users.csv.gz", dtype={"user": str}, keep_default_na=False)
    values = pd.read_csv(folder / "per_user.csv.gz", dtype={"user": str}, keep_default_na=False)
    train = outcome.split.train
    counts = pd.Series(train.user_vocabulary.names(train.users.numpy())).value_counts()
    assert list(users.columns) == ["user", "n_train"] and list(users["user"]) == list(values["user"])
    assert list(users["n_train"]) == [counts.get(user, 0) for user in users["user"]]


def test_the_same_values_give_the_same_bytes(finished, tmp_path):
    folder, _ = finished
    run(MF, tmp_path / "again", progress=False)
    assert (tmp_path / "again" / "per_user.csv.gz").read_bytes() == (folder / "per_user.csv.gz").read_bytes()
    packed = (folder / "per_user.csv.gz").read_bytes()
    assert gzip.decompress(packed).startswith(b"user,ndcg@10,")
    assert packed[4:8] == bytes(4), "the time stamp of gzip"


def test_the_checkpoint_holds_the_parameters_of_the_chosen_epoch(finished):
    folder, outcome = finished
    plain = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert plain["epoch"] == outcome.fit.best_epoch
    assert all(torch.equal(plain["state_dict"][name], tensor) for name, tensor in outcome.model.state_dict().items())
    digest = hashlib.sha256((folder / "checkpoint.pt").read_bytes()).hexdigest()
    assert (folder / "checkpoint.pt.sha256").read_text() == f"{digest}  checkpoint.pt\n"


def test_the_log_has_time_level_and_the_name_of_the_run(finished):
    folder, _ = finished
    lines = (folder / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|DEBUG) \[mf-1\] ", line) for line in lines)
    epoch = re.escape("[mf-1] epoch 2 loss=") + r"0\.\d+ lr=[\d.]+ valid/ndcg@10=0\.\d+$"
    assert any(re.search(epoch, line) for line in lines), lines


def test_the_result_is_written_last(finished):
    folder, _ = finished
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert max(times, key=lambda name: times[name]) == "result.json"


def test_nothing_of_the_run_stays_in_the_process(finished):
    folder, _ = finished
    assert run_name.get() == ""
    assert not [handler for handler in ROOT.handlers if isinstance(handler, logging.FileHandler)]
    assert ROOT.level == logging.NOTSET
    with FileLock(folder / ".lock", blocking=False):
        pass


def test_a_model_without_epochs(tmp_path):
    run(POPULARITY, tmp_path / "run", progress=False)
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["selection"], result["best_epoch"], result["epochs"]) == (None, None, 0)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""


def test_without_parts_to_evaluate_the_metrics_are_empty(tmp_path):
    run(replace(MF, split=NoSplitConfig()), tmp_path / "run", progress=False)
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "done"
    assert result["metrics"] == {"test": {}, "valid": {}}
    assert result["n_users"] == {"test": 0, "valid": 0}
    assert result["selection"] == "last"
    assert result["leaks"] is None
    assert not (tmp_path / "run" / "per_user.csv.gz").exists()


def test_a_value_that_is_not_defined_is_null(finished, tmp_path):
    _, outcome = finished
    report = replace(outcome.reports["test"], values={"auc": math.nan, "recall@10": 0.5})
    with RunFolder(tmp_path / "run", MF, CPU) as folder:
        folder.epoch(EpochRecord(1, {"loss": 0.5, "valid/auc": math.nan}))
        folder.finish(replace(outcome, reports={"test": report}))
    assert read_json(tmp_path / "run" / "result.json")["metrics"]["test"] == {"auc": None, "recall@10": 0.5}
    line = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert line == '{"epoch": 1, "loss": 0.5, "valid/auc": null}\n'


# Ends that are not good


@pytest.mark.parametrize(
    ("error", "status", "described"),
    [
        (
            DivergedError("the loss is inf\nand more"),
            "diverged",
            {"type": "DivergedError", "message": "the loss is inf"},
        ),
        (KeyboardInterrupt(), "interrupted", {"type": "KeyboardInterrupt", "message": ""}),
        (SystemExit(143), "interrupted", {"type": "SystemExit", "message": "143"}),
        (ZeroDivisionError("division by zero"), "failed", {"type": "ZeroDivisionError", "message": "division by zero"}),
    ],
)
def test_how_a_run_ended_is_recorded_and_the_error_goes_on(tmp_path, error, status, described):
    with pytest.raises(type(error)) as raised, RunFolder(tmp_path / "run", MF, CPU) as folder:
        folder.epoch(EpochRecord(1, {"loss": 0.5}))
        assert read_json(tmp_path / "run" / "status.json")["status"] == "running"
        assert not (tmp_path / "run" / "result.json").exists()
        raise error
    assert raised.value is error
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["error"]) == (status, described)
    assert result["metrics"] == {"test": {}, "valid": {}}
    assert result["fingerprints"]["data"] is None and result["fingerprints"]["config"] == MF.identity
    assert result["data"] == {"verified": None, "steps": []}
    assert (result["leaks"], result["candidates"]) == (None, None)
    assert result["seconds"]["fit"] is None and result["seconds"]["total"] > 0
    assert read_json(tmp_path / "run" / "status.json")["status"] == status
    log = (tmp_path / "run" / "run.log").read_text()
    assert "Traceback (most recent call last)" in log and type(error).__name__ in log
    assert run_name.get() == "" and not ROOT.handlers
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text()) == {"epoch": 1, "loss": 0.5}


def test_a_traceback_goes_to_the_log_alone(tmp_path, caplog):
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "run", MF, CPU):
        raise ZeroDivisionError("oops")
    assert "oops" not in caplog.text


def test_a_diverging_run_ends_as_diverged(tmp_path):
    trainer = GradientConfig(optimizer="sgd", lr=1e30, batch_size=32)
    with pytest.raises(DivergedError):
        run(replace(MF, model=MFConfig(loss="mse"), negatives=None, trainer=trainer), tmp_path / "run", progress=False)
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "diverged"
    assert result["error"]["message"].startswith("the loss of MF is no longer finite in epoch 1")


def test_a_failure_that_cannot_be_recorded_is_told_with_the_error(tmp_path):
    with pytest.raises(ZeroDivisionError) as error, RunFolder(tmp_path / "run", MF, CPU) as folder:
        (tmp_path / "run").rename(tmp_path / "moved")
        raise ZeroDivisionError
    assert folder.folder == tmp_path / "run"
    path = tmp_path / "run" / "status.json"
    assert error.value.__notes__ == [
        f"This could not be recorded: {path}: cannot be written (No such file or directory)."
    ]
    assert run_name.get() == "" and not ROOT.handlers


def test_a_curve_on_a_full_disk_does_not_keep_the_end_from_being_recorded(tmp_path):
    with (
        Path("/dev/full").open("w") as full,
        pytest.raises(ZeroDivisionError) as error,
        RunFolder(tmp_path / "run", MF, CPU) as folder,
    ):
        folder._tracker._curve = full
        full.write("a point")
        raise ZeroDivisionError
    assert error.value.__notes__ == ["This could not be recorded: [Errno 28] No space left on device"]
    assert read_json(tmp_path / "run" / "result.json")["status"] == "failed"


def test_an_interrupt_after_the_result_leaves_it_done(tmp_path):
    outcome = run(POPULARITY, progress=False)
    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run", POPULARITY, CPU) as folder:
        folder.finish(outcome)
        raise KeyboardInterrupt
    assert read_json(tmp_path / "run" / "result.json")["status"] == "done"


# Folders


@pytest.mark.parametrize("name", ["result.json", "status.json", "config.yaml", "metrics.jsonl"])
def test_a_folder_with_another_run_is_refused_and_stays(tmp_path, name):
    (tmp_path / name).write_text("of another run")
    with pytest.raises(RunError) as error, RunFolder(tmp_path, MF, CPU):
        pass
    assert str(error.value) == (
        f"the folder {tmp_path} already holds a run ({name}); choose another one (hydra.run.dir=FOLDER)."
    )
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {name}
    assert (tmp_path / name).read_text() == "of another run"


def test_what_hydra_puts_there_before_is_welcome(tmp_path):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    with RunFolder(tmp_path / "run", MF, CPU):
        pass
    assert (tmp_path / "run" / "config.yaml").exists()


def test_a_folder_that_another_process_holds_is_refused(tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(RunError) as error, RunFolder(tmp_path, MF, CPU):
        pass
    assert str(error.value) == (
        f"the folder {tmp_path} is in use by a run that is going on; choose another one (hydra.run.dir=FOLDER)."
    )


def test_a_run_holds_its_folder_to_the_end(tmp_path):
    with RunFolder(tmp_path, MF, CPU), pytest.raises(Timeout):
        FileLock(tmp_path / ".lock", blocking=False).acquire()
    with FileLock(tmp_path / ".lock", blocking=False):
        pass


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError) as error, RunFolder(tmp_path / "run", MF, CPU):
        pass
    assert str(error.value) == (
        f"the folder {tmp_path / 'run'} cannot be used (File exists); choose another one (hydra.run.dir=FOLDER)."
    )


# Reading back


def test_a_run_without_result_is_running_while_somebody_holds_it_and_else_dead(tmp_path):
    write_json(tmp_path / "status.json", {"schema_version": 1, "status": "running", "model": "mf"})
    with FileLock(tmp_path / ".lock"):
        assert read_run(tmp_path)["status"] == "running"
    (tmp_path / ".lock").unlink(missing_ok=True)
    (tmp_path / ".lock").mkdir()
    assert read_run(tmp_path)["status"] == "running"
    (tmp_path / ".lock").rmdir()
    assert read_run(tmp_path) == {
        "schema_version": 1,
        "status": "dead",
        "model": "mf",
        "folder": str(tmp_path),
    }


def test_a_result_is_read_with_its_folder(finished):
    folder, _ = finished
    assert read_run(folder) == {**read_json(folder / "result.json"), "folder": str(folder)}


def test_no_run(tmp_path):
    with pytest.raises(RunError) as error:
        read_run(tmp_path)
    assert str(error.value) == f"{tmp_path / 'status.json'}: cannot be read (No such file or directory)."


# What it says


def test_many_ties_are_worth_a_warning_and_few_are_not(finished, tmp_path, caplog):
    _, outcome = finished
    report = replace(outcome.reports["test"], tie_rate={"@5": 0.01, "@10": 0.032, "@20": 0.5})
    with RunFolder(tmp_path / "run", MF, CPU) as folder:
        folder.finish(replace(outcome, reports={"test": report}))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "test: lists are cut between equal scores, and so by lot, @10 for 3.2 %, @20 for 50.0 % of the users."
    ]
    assert warnings[0] in (tmp_path / "run" / "run.log").read_text()


def test_git_tells_commit_and_whether_tracked_files_differ(tmp_path):
    assert git_state(tmp_path) is None
    git = f"git -C {tmp_path} -c user.name=a -c user.email=a@example.org"
    (tmp_path / "file").write_text("1")
    assert os.system(f"{git} init -q && {git} add file && {git} commit -qm one") == 0
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "untracked").write_text("1")
    assert git_state(tmp_path) == clean
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_a_setting_that_does_not_resolve_writes_nothing(tmp_path):
    with pytest.raises(ConfigError):
        run(replace(MF, settings=Settings(device="cuda:99")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
