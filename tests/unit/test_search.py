"""Searches: what is asked for, remembered, pruned and killed, and the winners that are trained anew."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from stopping import in_a_process

from recbench import models
from recbench.cli import main
from recbench.models import Model
from recbench.options import Config

DATA = (
    "dataset=planted",
    "dataset.n_users=40",
    "dataset.n_items=30",
    "dataset.n_interactions=300",
    "tracking.tensorboard=false",
    "checkpoints=none",
    "threads=1",
)


class BentConfig(Config):
    """Options of a model whose quality is a smooth function of two numbers."""

    x: float = 0.9
    """Best at 0.3."""

    y: float = 1.0
    """Best at 0.01."""


class Bent(Model):
    """Popularity, the more disturbed the further its options are from the best; the process dies in the fit told."""

    config: BentConfig

    def fit(self, train):
        fits = Path("fits")
        fits.write_text(fits.read_text() + "." if fits.exists() else ".")
        if len(fits.read_text()) == int(os.environ.get("DIES_IN_FIT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.x > float(os.environ.get("FAILS_ABOVE", 1)):
            raise RuntimeError(f"x is {self.config.x}")
        popularity = torch.bincount(train.items, minlength=train.n_items).float()
        off = abs(self.config.x - 0.3) + abs(self.config.y - 0.01)
        noise = torch.randn(train.n_items, generator=torch.Generator().manual_seed(0))
        self.scores = popularity / popularity.max() + off * noise

    def score(self, batch, items=None):
        return self.scores.expand(len(batch.users), self.n_items).clone()


@pytest.fixture
def bent(command):
    """Return the command, with a model that is quick and easy to tune."""
    models.register("bent", config=BentConfig)(Bent)
    return command


SPACE = ("model=bent", "model.x=interval(0,1)", "model.y=tag(log,interval(1e-4,10))")


def searches(folder):
    return json.loads((Path(folder) / "search.json").read_text())["searches"]


def trials(folder):
    (search,) = searches(folder)
    return search["trials"]


def result(folder):
    return json.loads((Path(folder) / "result.json").read_text())


def told(folder):
    """Return what must not depend on how often a search was stopped."""
    return [{key: trial[key] for key in ("number", "options", "folder", "status", "value")} for trial in trials(folder)]


def test_a_search_that_is_killed_goes_on_to_its_total(bent, monkeypatch):
    words = ("run", "-m", *DATA, *SPACE, "sweep.budget=20", "--quiet")
    assert bent(*words, "hydra.sweep.dir=whole").code == 0
    Path("fits").unlink()
    with monkeypatch.context() as patch:
        patch.setenv("DIES_IN_FIT", "10")
        assert in_a_process(lambda: main([*words, "hydra.sweep.dir=killed"])) == -signal.SIGKILL
    assert [trial["status"] for trial in trials("killed")] == ["done"] * 9 + [None]
    ended = bent(*words, "hydra.sweep.dir=killed")
    assert ended.code == 0 and ended.out.startswith("bent: 20 trials (20 done)")
    assert told("killed") == told("whole")
    assert len(Path("fits").read_text()) == 21
    options = [json.dumps(trial["options"]) for trial in trials("killed")]
    assert len(set(options)) == 20
    assert trials("killed")[0]["options"] == {"model.x": 0.9, "model.y": 1.0}
    (search,) = searches("killed")
    assert search["winner"] == max(range(20), key=lambda number: search["trials"][number]["value"]) != 0
    # Typed once more there is nothing to do; with a larger budget there is.
    assert bent(*words, "hydra.sweep.dir=killed").code == 0
    assert bent(*words, "hydra.sweep.dir=killed", "sweep.budget=21").code == 0
    assert len(Path("fits").read_text()) == 22 and told("killed")[:20] == told("whole")


def test_a_sweep_remembers_what_it_asked_for_before(bent):
    words = ("run", "-m", *DATA, *SPACE, "--quiet", "hydra.sweep.dir=s")
    assert bent(*words, "sweep.budget=3").code == 0
    first = told("s")
    assert bent(*words, "sweep.budget=3", "sweep.sampler=random", "sweep.sampler_seed=1").code == 0
    memory = json.loads(Path("s/search.json").read_text())
    assert [search["sampler"] for search in (*memory["searches"], *memory["earlier"])] == ["random", "tpe"]
    # The defaults are the first trial of both, and were run once.
    assert told("s")[0] == first[0] and len(Path("fits").read_text()) == 5
    assert bent(*words, "sweep.budget=3").code == 0
    assert told("s") == first and len(Path("fits").read_text()) == 5


def test_lists_share_no_budget(bent):
    words = ("model=bent,popularity,ease", "sweep=ease", "sweep.budget=2", "--quiet", "hydra.sweep.dir=s")
    ended = bent("run", "-m", *DATA, *words)
    assert ended.code == 2 and "model 'bent'" in ended.err and not Path("s").exists()
    ended = bent("run", "-m", *DATA, "model=popularity,ease", "sweep=auto", *words[2:])
    assert ended.code == 0
    assert {search["model"]: len(search["trials"]) for search in searches("s")} == {"popularity": 1, "ease": 2}
    assert all(search["winner"] is not None for search in searches("s"))
    assert "popularity: 1 trial (1 done)" in ended.out and "within 2 trials" in ended.out


def test_a_budget_of_seconds_counts_what_the_trials_took(bent):
    words = ("run", "-m", *DATA, *SPACE, "--quiet", "hydra.sweep.dir=s")
    assert bent(*words, "sweep.budget=1s").code == 0
    seconds = [trial["seconds"] for trial in trials("s")]
    assert sum(seconds[:-1]) < 1 <= sum(seconds)
    assert bent(*words, "sweep.budget=1s").code == 0
    assert [trial["seconds"] for trial in trials("s")] == seconds


def test_each_result_says_what_was_spent(bent):
    assert bent("run", "-m", *DATA, *SPACE, "sweep.budget=3", "--quiet", "hydra.sweep.dir=s").code == 0
    for number, trial in enumerate(trials("s")):
        metrics = result(Path("s") / trial["folder"])["metrics"]
        assert trial["value"] == metrics["valid"]["ndcg@10"] != metrics["test"]["ndcg@10"]
        spent = result(Path("s") / trial["folder"])["tuning"]
        assert (spent["budget"], spent["trials"]) == ("3 trials", number + 1)
        assert spent["seconds"] == sum(before["seconds"] for before in trials("s")[:number])
    assert bent("run", *DATA, "model=popularity", "hydra.run.dir=alone").code == 0
    assert result("alone")["tuning"] is None


def test_what_fails_counts_and_runs_again_when_told(bent, monkeypatch):
    words = ("run", "-m", *DATA, *SPACE, "sweep.budget=4", "--quiet", "hydra.sweep.dir=s")
    with monkeypatch.context() as patch:
        patch.setenv("FAILS_ABOVE", "0.8")
        ended = bent(*words)
    statuses = [trial["status"] for trial in trials("s")]
    assert ended.code == 1 and statuses[0] == "failed" and "done" in statuses and len(statuses) == 4
    assert trials("s")[0]["error"] == "RuntimeError: x is 0.9"
    assert "trial 0, failed: RuntimeError: x is 0.9 (see s/bent-" in ended.out
    assert bent(*words).code == 1 and [trial["status"] for trial in trials("s")] == statuses
    assert bent(*words, "sweep.retry=failed").code == 0
    assert [trial["status"] for trial in trials("s")] == ["done"] * 4
    with monkeypatch.context() as patch:
        patch.setenv("FAILS_ABOVE", "0.8")
        assert bent(*words, "hydra.sweep.dir=fast", "sweep.fail_fast=true").code == 1
    assert len(trials("fast")) == 1


def test_a_search_shows_what_it_would_do(bent):
    words = ("run", "-m", *DATA, *SPACE, "sweep.budget=2", "--quiet", "hydra.sweep.dir=s", "sweep.seeds=[1]")
    ended = bent(*words, "--dry-run")
    assert ended.code == 0 and not Path("s").exists()
    assert ended.out.splitlines() == [
        "1 search in s; nothing is run.",
        "bent: 2 trials by tpe, for ndcg@10 on validation; 0 so far",
        "  model.x  0 to 1, first 0.9",
        "  model.y  0.0001 to 10, by powers, first 1.0",
        "  then the winner on training and validation with seeds 1",
    ]
    bent(*words)
    assert "2 so far" in bent(*words, "--dry-run").out


def test_two_at_once_are_refused(bent):
    Path("s").mkdir()
    with FileLock("s/.search.lock"):
        ended = bent("run", "-m", *DATA, *SPACE, "hydra.sweep.dir=s")
    assert ended.code == 2 and "the search in s is going on, in another process" in ended.err


def test_a_foreign_memory_is_refused_by_name(bent):
    Path("s").mkdir()
    Path("s/search.json").write_text(json.dumps({"schema_version": 1, "searches": [{"model": 3}]}))
    ended = bent("run", "-m", *DATA, *SPACE, "hydra.sweep.dir=s")
    assert ended.code == 2 and "s/search.json: is not what a search keeps (searches.0.model: " in ended.err


def test_without_optuna_nothing_begins(bent, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    ended = bent("run", "-m", *DATA, *SPACE, "hydra.sweep.dir=s")
    assert ended.code == 2 and not Path("s").exists()
    assert ended.err == "error: a search needs optuna; install it: pip install 'recbench[sweep]'.\n"


def test_winners_are_trained_anew_on_training_and_validation(bent):
    words = ("model=mf,popularity", "trainer.epochs=6", "trainer.lr=interval(0.05,0.5)", "sweep.seeds=[3,4]")
    words = ("run", "-m", *DATA, *words, "sweep.budget=3", "--quiet", "hydra.sweep.dir=s")
    ended = bent(*words)
    assert ended.code == 0
    for search in searches("s"):
        winner = result(Path("s") / search["trials"][search["winner"]]["folder"])
        finals = [result(Path("s") / folder) for folder in search["finals"]]
        assert [final["seed"] for final in finals] == [3, 4]
        for final in finals:
            assert (final["status"], final["selection"]) == ("done", "last" if search["model"] == "mf" else None)
            assert final["n_users"]["valid"] == 0 and final["metrics"]["valid"] == {}
            assert final["n_users"]["test"] == winner["n_users"]["test"]
            assert final["epochs"] == (winner["best_epoch"] or 0)
            assert final["tuning"] == {
                "budget": "3 trials",
                "trials": len(search["trials"]),
                "seconds": sum(trial["seconds"] for trial in search["trials"]),
            }
    assert "winners, trained on training and validation together; tuned within 3 trials each:" in ended.out
    table = bent("compare", "s/winners", "--format", "json")
    assert {row["model"]: row["n_seeds"] for row in json.loads(table.out)} == {"mf": 2, "popularity": 2}
    before = {path: path.stat().st_mtime_ns for path in Path("s").rglob("result.json")}
    assert bent(*words).code == 0
    assert {path: path.stat().st_mtime_ns for path in Path("s").rglob("result.json")} == before


def test_the_tuned_comparison(bent):
    words = ("model=ease,popularity", "sweep.budget=2", "sweep.seeds=[0]", "--quiet", "hydra.sweep.dir=s")
    ended = bent("run", "experiment=tuned_comparison", *DATA, *words)
    assert ended.code == 0
    assert [(search["model"], len(search["finals"])) for search in searches("s")] == [("ease", 1), ("popularity", 1)]
    assert "tuned within 2 trials each:" in ended.out
    final = result(next(Path("s/winners").iterdir()))
    assert final["config"]["experiment"] is None and final["config"]["fit_on"] == "train_valid"


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_launchers_run_batches_of_trials(command, launcher):
    words = (*DATA, "model=ease", "model.reg=tag(log,interval(1,1000))", "sweep.budget=4", "sweep.batch=2", "--quiet")
    assert command("run", "-m", *words, "hydra.sweep.dir=here").code == 0
    assert command("run", "-m", *words, f"hydra/launcher={launcher}", "hydra.sweep.dir=there").code == 0
    assert told("there") == told("here")
    assert [trial["known"] for trial in trials("there")] == [0, 0, 2, 2]
