"""Trials that are stopped since they are hopeless: when, what stays of them, and what they count for."""

import json
from pathlib import Path

import pytest

from recbench import comparison, experiment, resolve
from recbench.cli.standing import standing
from recbench.doctor.runs import verified
from recbench.errors import PrunedError, RunError
from recbench.report import read_run
from recbench.search.pruning import judge
from recbench.search.record import Memory, Search, Trial, write_searches
from recbench.trainers import EpochRecord

DATA = {"dataset": {"name": "planted", "n_users": 40, "n_items": 30, "n_interactions": 300}}


def write_curve(folder, values):
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"epoch": epoch, "loss": 1.0, **point}) for epoch, point in values.items()]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


def remember(folder, known, *, prune="median", monitor="ndcg@10", n_done=5):
    """Let ``folder`` hold a search with trials that ended, one of them failed, and one that runs in ``run``."""
    ended = [
        Trial(number=number, options={}, folder=f"t{number}", known=number, status="done", value=0.5)
        for number in range(n_done)
    ]
    failed = Trial(number=n_done, options={}, folder="f", known=n_done, status="failed")
    running = Trial(number=n_done + 1, options={}, folder="run", known=known)
    fixed = {"budget": 20, "seeds": (), "sampler": "tpe", "sampler_seed": 0, "space": {}, "given": {}}
    search = Search(model="mf", monitor=monitor, prune=prune, trials=(*ended, failed, running), **fixed)
    write_searches(folder, Memory(searches=(search,)))


def verdicts(folder, curve, name="valid/ndcg@10"):
    """Return the epochs after which the run with ``curve`` is found hopeless, each asked as it ends."""
    hopeless, so_far = [], {}
    judged = judge(folder / "run")
    for epoch, value in enumerate(curve, 1):
        so_far[epoch] = {} if value is None else {name: value}
        write_curve(folder / "run", so_far)
        if judged(EpochRecord(epoch, so_far[epoch])) is not None:
            hopeless.append(epoch)
    return hopeless


def test_worse_than_the_median_at_the_epoch_from_the_fifth_on(tmp_path):
    for number, level in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
        write_curve(tmp_path / f"t{number}", {epoch: {"valid/ndcg@10": level} for epoch in range(1, 9)})
    remember(tmp_path, known=6)
    assert verdicts(tmp_path, [0.29] * 8) == [5, 6, 7, 8]
    assert verdicts(tmp_path, [0.3] * 8) == []
    # What it had at best so far counts, not what it has now; without a value at the epoch nothing is said.
    assert verdicts(tmp_path, [0.31, 0.0, 0.0, 0.0, 0.0, 0.0]) == []
    assert verdicts(tmp_path, [0.1, 0.1, 0.1, 0.1, None, 0.1]) == [6]
    reason = judge(tmp_path / "run")(EpochRecord(6, {}))
    assert reason == (
        "epoch 6: ndcg@10 on validation was 0.1 at best, which is worse than the median of the trials before at that "
        "epoch."
    )


def test_only_trials_that_had_ended_when_it_was_asked_for_count(tmp_path):
    for number in range(5):
        write_curve(tmp_path / f"t{number}", {epoch: {"valid/ndcg@10": 0.5} for epoch in range(1, 9)})
    remember(tmp_path, known=4)
    assert verdicts(tmp_path, [0.1] * 8) == []
    # Of the five, one stopped early: at later epochs there are four, too few for a median.
    remember(tmp_path, known=6)
    write_curve(tmp_path / "t4", {epoch: {"valid/ndcg@10": 0.5} for epoch in range(1, 7)})
    assert verdicts(tmp_path, [0.1] * 8) == [5, 6]


def test_of_errors_the_small_ones_are_good_and_candidates_are_named_beside(tmp_path):
    for number in range(5):
        write_curve(tmp_path / f"t{number}", {epoch: {"valid/rmse[sampled9]": 1.0} for epoch in range(1, 9)})
    remember(tmp_path, known=6, monitor="rmse")
    assert verdicts(tmp_path, [0.9] * 6, "valid/rmse[sampled9]") == []
    assert verdicts(tmp_path, [1.1] * 6, "valid/rmse[sampled9]") == [5, 6]


def test_where_nobody_asked_nothing_is_pruned(tmp_path):
    assert judge(tmp_path / "run") is None
    remember(tmp_path, known=6, prune="none")
    assert judge(tmp_path / "run") is None
    remember(tmp_path, known=6)
    assert judge(tmp_path / "other") is None and judge(tmp_path / "run") is not None


def test_a_pruned_run_has_a_status_of_its_own(tmp_path):
    config = resolve(
        {**DATA, "model": {"name": "mf", "dim": 4}, "trainer": {"epochs": 9}, "checkpoint_seconds": 0}
    ).config
    run = tmp_path / "run"
    with pytest.raises(PrunedError, match="^no hope$"):
        experiment.run(config, run, hopeless=lambda record: "no hope" if record.epoch == 3 else None)
    result = read_run(run)
    assert (result["status"], result["error"]) == ("pruned", {"type": "PrunedError", "message": "no hope"})
    assert result["metrics"] == {"test": {}, "valid": {}}
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    assert "Traceback" not in (run / "run.log").read_text() and not list(run.glob("*.pt"))
    assert comparison.compare([result]) == []
    (found,) = (finding for finding in verified(run) if "trial" in finding.text)
    assert (found.level, found.text) == ("note", "was a trial of a search, and pruned: no hope")
    with pytest.raises(RunError, match="is 'pruned': there is nothing to go on with"):
        experiment.run(config, run, resume=True)
    # In a grid it is a run like any other, and runs.
    assert standing(run, config, retry=False).action == "run"


def test_a_search_prunes(command):
    words = ("model=mf", "model.dim=4", "trainer.epochs=8", "trainer.lr=tag(log,interval(1e-5,0.3))")
    words = (*words, *(f"dataset.{key}={value}" for key, value in DATA["dataset"].items() if key != "name"))
    words = ("run", "-m", "dataset=planted", *words, "tracking.tensorboard=false", "threads=1", "--quiet")
    words = (*words, "sweep.budget=10", "sweep.prune=median", "hydra.sweep.dir=s")
    assert command(*words).code == 0
    (search,) = json.loads(Path("s/search.json").read_text())["searches"]
    trials = search["trials"]
    pruned = [trial for trial in trials if trial["status"] == "pruned"]
    assert len(trials) == 10 and pruned and all(trial["number"] >= 5 and trial["value"] is None for trial in pruned)
    for trial in pruned:
        n_epochs = len((Path("s") / trial["folder"] / "metrics.jsonl").read_text().splitlines())
        assert 5 <= n_epochs <= 8 and read_run(Path("s") / trial["folder"])["status"] == "pruned"
    before = {path: path.stat().st_mtime_ns for path in Path("s").rglob("result.json")}
    assert command(*words).code == 0
    assert {path: path.stat().st_mtime_ns for path in Path("s").rglob("result.json")} == before
