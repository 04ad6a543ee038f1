"""The commands, run in this process on little data: what they print, write and return."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import datasets, models, plugins
from recbench.datasets.planted import Planted, PlantedConfig
from recbench.errors import DataError, DivergedError, NonFiniteScoresError
from recbench.models import Model
from recbench.options import Config

TABLES = {
    path.parent.name: " ".join(sorted(row.stem for row in path.parent.glob("[!_]*.yaml")))
    for path in sorted(Path(__file__).parents[2].glob("conf/experiment/*/_table.yaml"))
}
DATA = ("dataset=planted", "dataset.n_users=60", "dataset.n_items=40", "dataset.n_interactions=500")


class FailingConfig(Config):
    """Options of a model that fails as it is told."""

    how: str = "not"
    """The way."""


FAILURES = {
    "wrongly": lambda: KeyError("first line\nsecond line"),
    "by_data": lambda: DataError("there is no such file."),
    "by_divergence": lambda: DivergedError("epoch 3: the loss is nan."),
    "by_scores": lambda: NonFiniteScoresError("Failing gave NaN."),
    "by_ctrl_c": KeyboardInterrupt,
}


class Failing(Model):
    """Fails, or gives the same score to all."""

    def fit(self, train):
        if self.config.how == "by_signal":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.config.how in FAILURES:
            raise FAILURES[self.config.how]()

    def score(self, batch, items=None):
        return torch.zeros(len(batch.users), self.n_items)


@pytest.fixture
def failing(command):
    """Return the command, with a model that fails as ``model.how`` says."""
    models.register("failing", config=FailingConfig)(Failing)
    return command


def results(folder="outputs"):
    """Return what ``result.json`` says, by the name of its folder."""
    return {path.parent.name: json.loads(path.read_text()) for path in Path(folder).rglob("result.json")}


def test_help_teaches(command):
    for words in ((), ("--help",), ("-h",)):
        ended = command(*words)
        assert (ended.code, ended.err) == (0, "")
        for name in ("run", "compare", "evaluate", "recommend", "list", "config", "board"):
            assert f"recbench {name}" in ended.out
    assert re.fullmatch(r"recbench \d+\.\d+\.\d+\n", command("--version").out)
    for name in ("run", "compare", "evaluate", "recommend", "list", "config", "board"):
        ended = command(name, "--help")
        assert (ended.code, ended.err) == (0, "") and ended.out.startswith(f"usage: recbench {name}")


def test_a_single_run(command):
    ended = command("run", *DATA, "model=popularity", "hydra.run.dir=mine")
    assert ended.code == 0
    result = results(".")["mine"]
    assert (result["status"], result["model"], result["dataset"]) == ("done", "popularity", "planted")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["test", "valid"]
    row = next(line for line in lines if line.startswith("ndcg@10"))
    assert row.split() == [
        "ndcg@10",
        f"{result['metrics']['test']['ndcg@10']:.4f}",
        f"{result['metrics']['valid']['ndcg@10']:.4f}",
    ]
    assert lines[-1] == str(Path("mine").resolve())
    assert "[mine] done: " in ended.err


def test_the_same_run_typed_twice_runs_twice(command):
    for _ in range(2):
        assert command("run", "-q", *DATA, "model=popularity").code == 0
    assert [result["status"] for result in results().values()] == ["done", "done"]
    again = command(
        "run", "-q", *DATA, "model=popularity", f"hydra.run.dir={next(Path('outputs').rglob('result.json')).parent}"
    )
    assert again.code == 2 and "already holds a run" in again.err


def test_quiet_leaves_the_result_alone(command):
    ended = command("run", "--quiet", *DATA, "model=item_knn")
    assert ended.err == "" and "ndcg@10" in ended.out


def test_flags_stand_anywhere(command):
    ended = command("run", "model=popularity", "-m", DATA[0], "--quiet", *DATA[1:], "seed=0,1")
    assert ended.code == 0 and len(results()) == 2


def test_a_sweep_skips_what_is_done_and_compares(command):
    words = ("run", "-m", *DATA, "model=popularity,item_knn")
    first = command(*words)
    assert first.code == 0
    written = {name: result["started"] for name, result in results().items()}
    assert len(written) == 2
    (sweep,) = Path("outputs/sweeps").iterdir()
    rows = first.out.splitlines()
    assert rows[0].split()[:2] == ["model", "seeds"]
    assert [row.split()[:2] for row in rows[2:4]] == [["item_knn", "1"], ["popularity", "1"]]
    assert rows[-2:] == [f"the same table:  recbench compare {sweep}", f"in TensorBoard:  recbench board {sweep}"]

    second = command(*words)
    assert second.code == 0 and second.out == first.out
    assert second.err.count("done already, skipped") == 2
    assert {name: result["started"] for name, result in results().items()} == written
    assert not list(sweep.glob(".*"))

    grown = command("run", "-m", *DATA, "model=item_knn", "seed=0,1", f"hydra.sweep.dir={sweep}")
    assert grown.err.count("done already, skipped") == 1
    assert len(results()) == 3
    assert grown.out.splitlines()[2].split()[:2] == ["item_knn", "2"]


def rewritten(path, **changes):
    """Change what a result says, and leave the time of its file."""
    before = path.stat()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def finished(command):
    """Return the words of a sweep of one job on a file of one's own, and its result, which is done."""
    pairs = [f"u{user},i{(user * step) % 17}" for user in range(20) for step in range(1, 9)]
    Path("mine.csv").write_text("\n".join(["user,item", *pairs]))
    words = ("run", "-m", "dataset=files", "dataset.interactions=mine.csv", "model=popularity")
    assert command(*words).code == 0
    (path,) = Path("outputs").rglob("result.json")
    return words, path


def run_anew(command, words, path):
    """Return why a sweep runs its one job again, and check that it does and keeps what was there."""
    before = path.read_text()
    assert "(done already)" not in command(*words, "--dry-run").out
    ended = command(*words)
    assert ended.code == 0 and "done already, skipped" not in ended.err
    name = path.parent.name
    aside = path.parent.with_name(f"{name}.old-1")
    assert aside.joinpath("result.json").read_text() == before
    assert list(path.parent.glob("*tfevents*")) and not list(aside.glob("*tfevents*")), "the board shows one of them"
    assert command(*words).err.count("done already, skipped") == 1
    (why,) = re.findall(f"{re.escape(name)}: (.*); what was there is now {re.escape(name)}.old-1\n", ended.err)
    return why


def test_what_was_done_with_other_code_is_run_anew(command, finished):
    words, path = finished
    rewritten(path, fingerprints=json.loads(path.read_text())["fingerprints"] | {"code": "0.0.1+other"})
    assert run_anew(command, words, path) == "done before with other code, run anew"


def test_what_was_done_on_other_threads_is_run_anew(command, finished, monkeypatch):
    words, path = finished
    threads = json.loads(path.read_text())["threads"]
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads + 1))
    assert run_anew(command, words, path) == f"done before with threads {threads}, now {threads + 1}, run anew"


def test_what_was_done_on_another_device_is_run_anew(command, finished):
    words, path = finished
    here = json.loads(path.read_text())["device"]
    rewritten(path, device="cuda:7")
    assert run_anew(command, words, path) == f"done before with device cuda:7, now {here}, run anew"


def test_what_was_done_with_other_data_is_run_anew(command, finished):
    words, path = finished
    just = path.stat().st_mtime_ns
    os.utime("mine.csv", ns=(just, just))
    assert "(done already)" in command(*words, "--dry-run").out
    os.utime("mine.csv", ns=(just + 1, just + 1))
    assert run_anew(command, words, path) == "done before with other data (mine.csv is newer), run anew"


def test_a_file_in_a_named_folder_counts_as_data(tmp_path):
    from recbench import resolve
    from recbench.cli.standing import why_other_result
    from recbench.fingerprints import code_fingerprint
    from recbench.resources import available_cores

    (tmp_path / "data").mkdir()
    ratings = tmp_path / "data" / "u.data"
    ratings.write_text("")
    config = resolve(
        {"model": "popularity", "device": "cpu", "dataset": {"name": "ml-100k", "path": str(ratings.parent)}}
    ).config
    result = {"schema_version": 1, "status": "done", "threads": available_cores(), "device": "cpu", "backend": "torch"}
    result["fingerprints"] = {"code": code_fingerprint(config)}
    (tmp_path / "result.json").write_text(json.dumps(result))
    written = (tmp_path / "result.json").stat().st_mtime_ns
    for path in (ratings, ratings.parent):
        os.utime(path, ns=(written, written))
    assert why_other_result(tmp_path, config) is None
    os.utime(ratings, ns=(written + 1, written + 1))
    assert why_other_result(tmp_path, config) == f"other data ({ratings} is newer)"


def test_a_result_whose_data_is_gone_stays(command, finished):
    words, _ = finished
    Path("mine.csv").unlink()
    assert command(*words).err.count("done already, skipped") == 1


def test_a_sweep_on_a_device_that_is_not_here_leaves_the_result(command, finished):
    words, path = finished
    folder = Path(command(*words, "device=cuda:99", "--dry-run").out.splitlines()[2].split()[1])
    folder.parent.mkdir()
    path.parent.rename(folder)
    ended = command(*words, "device=cuda:99")
    assert ended.code == 2 and "device = 'cuda:99': this machine has " in ended.err
    assert "1 of 1 runs did not end well" in ended.err
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
    assert not list(folder.parent.glob("*.old-*"))


def test_jobs_on_the_same_data_read_it_once(command, monkeypatch):
    loaded = []

    class CountedConfig(PlantedConfig):
        """Options of planted data that count how often they are loaded."""

    class Counted(Planted):
        """Counts."""

        def load(self):
            loaded.append(self.config.seed)
            return super().load()

    datasets.register("counted", config=CountedConfig)(Counted)
    words = ("dataset=counted", *DATA[1:], "model=popularity", "seed=0,1")
    assert command("run", "-q", "-m", *words).code == 0
    assert loaded == [0]
    assert command("run", "-q", "-m", *words, "dataset.seed=1,2").code == 0
    assert loaded == [0, 1, 2, 1, 2]


def test_a_dry_run_shows_the_jobs_and_runs_nothing(command):
    words = ("run", "-m", *DATA, "model=popularity,mf", "trainer.lr=0.1,0.2")
    ended = command(*words, "--dry-run")
    assert ended.code == 0 and list(Path.cwd().iterdir()) == []
    assert ended.err == "warning: without effect on some models of this sweep: trainer.lr (popularity)\n"
    lines = ended.out.splitlines()
    assert lines[0] == "4 jobs; nothing is run."
    assert lines[1] == f"job 1 of 4: {' '.join(DATA)} model=popularity trainer.lr=0.1"
    assert re.fullmatch(r"  folder  outputs/sweeps/[0-9a-f]{8}/popularity-planted-[0-9a-f]{8}", lines[2])
    assert lines[3] == "  dataset planted  split random  model popularity  trainer closed_form  seed 0  device auto"
    assert lines[5] == f"{lines[2]}  (the same as job 1)"
    assert command("run", *DATA, "model=mf", "--dry-run").out.startswith("1 job; nothing is run.\njob 1 of 1: ")

    folder = Path(lines[2].split()[1])
    assert command("run", "-q", *DATA, "model=popularity", f"hydra.run.dir={folder}").code == 0
    assert command(*words, "--dry-run").out.splitlines()[2] == f"{lines[2]}  (done already)"


def test_jobs_that_come_to_the_same_run_once(command):
    ended = command("run", "-m", *DATA, "model=popularity,item_knn", "trainer.lr=0.1,0.2")
    assert ended.code == 0 and len(results()) == 2
    assert ended.err.count("warning: without effect") == 1
    assert results()[min(results())]["not_applicable"] == ["trainer.lr"]


ON = "interrupted; what is done so far is in mine; to go on: recbench run --resume mine\n"


@pytest.mark.parametrize(
    ("how", "code", "status", "said"),
    [
        ("wrongly", 1, "failed", "error: failed: KeyError: 'first line\\nsecond line' (see {log})\n"),
        ("by_scores", 1, "failed", "error: failed: NonFiniteScoresError: Failing gave NaN. (see {log})\n"),
        ("by_data", 2, "failed", "error: there is no such file. (see {log})\n"),
        ("by_divergence", 3, "diverged", "error: diverged: epoch 3: the loss is nan. (see {log})\n"),
        ("by_ctrl_c", 130, "interrupted", ON),
        ("by_signal", 143, "interrupted", ON),
    ],
)
def test_how_a_run_ends(failing, how, code, status, said):
    ended = failing("run", "-q", *DATA, "model=failing", f"model.how={how}", "hydra.run.dir=mine")
    assert (ended.code, ended.out) == (code, "")
    assert results(".")["mine"]["status"] == status
    assert ended.err.endswith(said.format(log=Path("mine/run.log").resolve()))
    assert ("Traceback" in ended.err) == (status == "failed" and how != "by_data")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_failing_job_does_not_stop_the_sweep(failing):
    words = ("run", "-q", "-m", *DATA, "model=failing", "model.how=wrongly,by_divergence,not")
    ended = failing(*words)
    assert ended.code == 1
    assert sorted(result["status"] for result in results().values()) == ["diverged", "done", "failed"]
    assert "2 of 3 runs did not end well. Typed again, the command leaves alone what failed, unless " in ended.err
    assert ended.out.splitlines()[2].split()[:2] == ["failing", "1"]

    before = results()
    again = failing(*words)
    assert (again.code, again.out) == (1, ended.out)
    assert results() == before
    again = failing(*words, "sweep.retry=failed")
    assert (again.code, again.out) == (1, ended.out)
    assert {name: result for name, result in results().items() if name.endswith(".old-1")} == {
        f"{name}.old-1": result for name, result in before.items() if result["status"] != "done"
    }


@pytest.mark.parametrize(
    ("hows", "code"),
    [("by_data,by_divergence", 2), ("not,by_divergence", 3), ("by_divergence,by_data,wrongly", 1)],
)
def test_a_sweep_ends_with_the_code_of_the_worst(failing, hows, code):
    assert failing("run", "-q", "-m", *DATA, "model=failing", f"model.how={hows}").code == code


def test_an_interrupted_sweep_goes_on_when_typed_again(failing):
    words = ("run", "-m", *DATA, "model=failing", "model.how=not,by_ctrl_c")
    ended = failing(*words)
    assert ended.code == 130 and "interrupted; what is done so far is in outputs/sweeps/" in ended.err
    assert sorted(result["status"] for result in results().values()) == ["done", "interrupted"]
    assert failing(*words).err.count("done already, skipped") == 1


@pytest.mark.parametrize(("flags", "option"), [((), "hydra.run.dir"), (("-m",), "hydra.sweep.dir")])
def test_a_folder_that_cannot_be_made(command, flags, option):
    Path("file").write_text("")
    ended = command("run", *flags, "model=popularity", *DATA, f"{option}=file/mine")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        f"error: the folder file/mine cannot be used (Not a directory); choose another one with {option}=FOLDER."
    )


def test_a_sweep_over_two_splits_has_no_table(command):
    ended = command("run", "-q", "-m", *DATA, "model=popularity", "split=random,leave_one_out")
    assert ended.code == 0 and ended.out.startswith("no comparison: ") and "recbench compare" not in ended.out


def test_a_job_in_use_is_left_alone(command):
    from filelock import FileLock

    words = ("run", "-m", *DATA, "model=popularity", "hydra.sweep.dir=mine")
    folder = Path(command(*words, "--dry-run").out.splitlines()[2].split()[1])
    folder.mkdir(parents=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        ended = command(*words)
    assert "is being run by another process, skipped" in ended.err
    assert "1 of 1 are being run by another process. Typed again, " in ended.err
    assert list(folder.iterdir()) == []


def test_compare(command):
    command("run", "-q", "-m", *DATA, "model=item_knn", "seed=0,1")
    command("run", "-q", *DATA, "model=popularity")
    ended = command("compare", "outputs", "--format", "json", "--metric", "recall@20")
    rows = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert [(row["model"], row["n_seeds"]) for row in rows] == [("item_knn", 2), ("popularity", 1)]
    assert rows[0]["metrics"]["recall@20"]["std"] == 0.0
    assert command("compare", "outputs", "--format", "csv").out.startswith("model,label,")
    assert command("compare", "outputs", "--metric", "auc").code == 2


def test_compare_tests_against_a_baseline_and_writes_what_is_asked_for(command):
    command("run", "-q", "-m", *DATA, "model=item_knn,popularity", "hydra.sweep.dir=mine")
    ended = command("compare", "mine", "--baseline", "popularity", "--groups")
    assert (ended.code, ended.err) == (0, "")
    assert "ndcg@10 of each user, mean over seeds, less that of popularity:" in ended.out
    assert "ndcg@10 by training interactions of the user" in ended.out
    ended = command("compare", "mine", "--baseline", "popularity", "--format", "html", "--output", "page.html")
    assert (ended.code, ended.out) == (0, "") and Path("page.html").read_text().startswith("<!DOCTYPE html>")
    assert command("compare", "mine", "--output", "table.txt").code == 0
    assert Path("table.txt").read_text() == command("compare", "mine").out
    assert command("compare", "mine", "--format", "latex").out.startswith("\\begin{tabular}")
    ended = command("compare", "mine", "--tensorboard")
    assert ended.err == "in TensorBoard:  recbench board mine\n"
    assert list(Path("mine", "comparison").glob("events.out.tfevents.*"))
    ended = command("compare", "mine", "--baseline", "mf")
    assert ended.code == 2 and ended.err.startswith("error: baseline 'mf': no row is called so.")
    ended = command("compare", "mine", "--format", "html", "--groups")
    assert ended.code == 2
    assert ended.err == "error: --groups has no effect on --format html, which has them anyway; leave it out.\n"
    ended = command("compare", "mine", "--output", "nowhere/table.txt")
    assert ended.code == 1 and ended.err.startswith("error: nowhere/table.txt: cannot be written (")


def test_compare_says_what_is_not_done(failing):
    failing("run", "-q", "-m", *DATA, "model=failing", "model.how=by_divergence,not")
    ended = failing("compare", "outputs")
    assert ended.code == 0 and ": diverged: DivergedError: epoch 3: the loss is nan." in ended.err


def test_recommend(command):
    command("run", "-q", *DATA, "model=item_knn", "hydra.run.dir=mine")
    users = pd.read_csv("mine/per_user.csv.gz")["user"]
    ended = command("recommend", "mine", "--user", users[0], "--k", "3", "--format", "json")
    rows = json.loads(ended.out)
    assert ended.code == 0 and [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["user"] for row in rows} == {users[0]}
    table = command("recommend", "mine", "--user", users[0], "--k", "2").out.splitlines()
    assert table[0].split()[:4] == ["user", "rank", "item", "score"] and len(table) == 3

    history = ",".join(row["item"] for row in rows)
    ended = command("recommend", "mine", "--history", history, "--k", "2", "--format", "csv")
    assert ended.out.startswith("rank,item,score") and len(ended.out.splitlines()) == 3

    assert command("recommend", "mine", "--all-users", "all.csv", "--k", "1").code == 0
    assert len(pd.read_csv("all.csv")["user"].unique()) == 60

    more = command("recommend", "mine", "--user", users[0], "--k", "40", "--keep-heldout", "--format", "csv").out
    less = command("recommend", "mine", "--user", users[0], "--k", "40", "--format", "csv").out
    assert len(more.splitlines()) > len(less.splitlines())

    unknown = command("recommend", "mine", "--user", "nobody")
    assert unknown.code == 2 and unknown.err.startswith("error: no user 'nobody' among the 60 users.")


def test_recommend_says_what_failed(failing, monkeypatch):
    assert failing("run", "-q", *DATA, "model=failing", "hydra.run.dir=mine").code == 0
    ended = failing("recommend", "mine", "--all-users", "nowhere/all.csv")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: nowhere/all.csv: cannot be written (No such file or directory).\n"

    monkeypatch.setattr(Failing, "score", lambda self, batch, items=None: torch.full((len(batch.users), 40), math.nan))
    ended = failing("recommend", "mine", "--all-users", "all.csv")
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(r"error: .*Failing.*\n", ended.err)


def test_list(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = command("list", "models")
    assert ended.code == 0 and max(map(len, ended.out.splitlines())) <= 80
    assert "\npopularity      Number of training interactions of each item.\n" in ended.out
    for family in ("datasets", "splits", "trainers", "negatives", "metrics", "losses", "optimizers"):
        listed = command("list", family)
        assert listed.code == 0
        names = [line.split()[0] for line in listed.out.splitlines() if not line.startswith(" ")]
        for name in names:
            assert command("list", family, name).out.startswith(f"{name}: ")


def test_list_shows_options(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = command("list", "models", "neumf").out
    assert "options, written model.OPTION=VALUE:" in shown
    assert "    dim: a whole number at least 1; by default 8\n        Width of the GMF vectors.\n" in shown
    assert "layers: a list, each a whole number; by default [64,32,16,8]" in shown
    assert "dropout: a number at least 0 and less than 1; by default 0.0" in shown
    assert "pretrained_gmf: text or null; by default null" in shown
    assert "Source: He et al., Neural Collaborative Filtering, WWW 2017" in shown
    assert "negatives: uniform with n_negatives=4" in shown
    assert "schedule: constant or linear or cosine; by default constant" in command("list", "trainers", "gradient").out
    assert "popularity=" not in command("list", "models", "popularity").out.replace("model=popularity", "")
    assert "model=popularity has no options." in command("list", "models", "popularity").out
    card = command("list", "datasets", "ml-100k").out
    assert "users: 943" in card and "licence: " in card and "citation: " in card
    assert "written as: ndcg@K" in command("list", "metrics", "ndcg").out
    assert "written as: auc\n" in command("list", "metrics", "auc").out


def test_board_serves_a_folder_on_this_machine_only():
    from recbench.cli.board import _free_port, command

    port = _free_port()
    assert command("outputs", port) == [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        "outputs",
        "--host",
        "localhost",
        "--port",
        str(port),
    ]
    import socket

    with socket.create_server(("localhost", port)):
        assert _free_port() > port


def test_hydras_own_flags(command):
    ended = command("run", "--cfg", "job", "model=popularity", "trainer.lr=3", "--package", "trainer")
    assert (ended.code, ended.out) == (0, "# @package trainer\nname: auto\nlr: 3\n")
    assert "provider" in command("run", "--info", "searchpath").out.lower()
    assert "hydra/launcher: " in command("run", "--hydra-help").out
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("recbench ", "run compare evaluate reproduce recommend export list data config board doctor"),
        ("recbench co", "compare config"),
        ("recbench list ", "models datasets cleaning splits trainers negatives metrics losses optimizers"),
        ("recbench compare out", ""),
        ("recbench reproduce mcrec user_knn_dice ta", TABLES["mcrec"]),
        ("recbench reproduce ", " ".join(TABLES)),
        ("recbench run model=n", "model=neumf"),
        ("recbench run -q --dry-run --plugin json model=neumf model.dro", "model.dropout="),
        ("recbench run -m trainer.lr", "trainer.lr="),
        ("recbench run trainer=gradient trainer.lr", "trainer.lr="),
        ("recbench config see", "seed="),
        ("recbench run experiment=quick", "experiment=quickstart"),
    ],
)
def test_completion(command, monkeypatch, line, offered):
    monkeypatch.setenv("COMP_LINE", line)
    ended = command("-sc", "query=bash")
    assert (ended.code, ended.out.strip(), ended.err) == (0, offered, "")
    assert os.environ["COMP_LINE"] == line


def test_completion_knows_the_users_own_files(command, monkeypatch):
    Path("mine/model").mkdir(parents=True)
    Path("mine/model/mf_small.yaml").write_text("defaults: [mf]\n")
    monkeypatch.setenv("COMP_LINE", "recbench run --config-dir mine model=mf_")
    assert command("-sc", "query=bash").out.strip() == "model=mf_small"


def test_completion_can_be_installed(command):
    assert "complete -o nospace" in command("-sc", "install=bash").out


PLUGIN = '''
from recbench.models import Model, register
from recbench.options import Config


class LongConfig(Config):
    scale: float = 1.0
    """Of all scores."""


@register("{name}", config=LongConfig)
class Long(Model):
    """Prefers the last items."""

    def fit(self, train):
        pass

    def score(self, batch, items=None):
        import torch

        return self.config.scale * torch.arange(self.n_items).float().expand(len(batch.users), -1)
'''


def test_a_plugin_from_the_working_folder(command):
    Path("cli_plugin_here.py").write_text(PLUGIN.format(name="plugged_here"))
    ended = command("run", "-q", "--plugin", "cli_plugin_here", *DATA, "model=plugged_here", "model.scale=2")
    assert ended.code == 0 and results()[min(results())]["model"] == "plugged_here"
    shown = command("list", "models", "plugged_here", "--plugin", "cli_plugin_here").out
    assert "scale: a number; by default 1.0" in shown and "defined in: cli_plugin_here" in shown


def test_an_installed_plugin_and_one_that_fails(command, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("cli_plugin_installed.py").write_text(PLUGIN.format(name="plugged_installed"))
    Path("cli_plugin_broken.py").write_text("import a_module_that_is_missing\n")
    Path("cli_plugin_taken.py").write_text(PLUGIN.format(name="mf"))
    folder = Path("plugins-1.0.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[recbench.plugins]\ngood = cli_plugin_installed\nbroken = cli_plugin_broken\ntaken = cli_plugin_taken\n"
    )
    monkeypatch.setattr(plugins, "_installed", plugins._installed.__wrapped__)  # As in a process that begins now.
    ended = command("run", "-q", *DATA, "model=plugged_installed")
    assert ended.code == 0
    assert ended.err.splitlines()[:2] == [
        "warning: plugin 'broken' is left out, it fails to load: ModuleNotFoundError: "
        "No module named 'a_module_that_is_missing'",
        "warning: plugin 'taken' is left out, it fails to load: ConfigError: model 'mf' is registered twice: "
        "in recbench.models.mf and in cli_plugin_taken.",
    ]


def test_nobody_reads_what_is_printed():
    words = [sys.executable, "-m", "recbench", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == ""


def test_a_named_plugin_that_fails_ends_the_command(command):
    Path("cli_plugin_taken_too.py").write_text(PLUGIN.format(name="mf"))
    ended = command("run", "--plugin", "cli_plugin_taken_too", *DATA, "model=popularity")
    assert ended.code == 2
    assert ended.err.startswith(
        "error: --plugin 'cli_plugin_taken_too': fails to load: ConfigError: model 'mf' is registered twice: in "
    )
    assert not Path("outputs").exists()


def test_board_refuses_a_taken_port(command):
    Path("events.out.tfevents.1").touch()
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = command("board", ".", "--port", str(port))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: --port {port}: somebody listens there already; leave it out for a free one.\n"


def test_from_outside(tmp_path):
    """As users call it: through the interpreter, in workers of their own, with a plugin, and again."""
    (tmp_path / "cli_plugin_workers.py").write_text(PLUGIN.format(name="plugged_workers"))
    words = ["run", "-m", *DATA, "model=plugged_workers,popularity", "--plugin", "cli_plugin_workers"]
    words += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "threads=1"]
    done = subprocess.run(
        [sys.executable, "-m", "recbench", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert sorted(result["model"] for result in found.values()) == ["plugged_workers", "popularity"]
    assert all(
        result["status"] == "done" and np.isfinite(result["metrics"]["test"]["ndcg@10"]) for result in found.values()
    )
