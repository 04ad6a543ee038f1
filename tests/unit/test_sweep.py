"""Sweeps: what is done with jobs that failed, what the table says of them, and what ends a sweep early."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from stopping import Stopping, in_a_process

from recbench import negatives
from recbench.cli import main
from recbench.cli.gpus import gpu_of_its_own
from recbench.negatives.uniform import UniformConfig

DATA = ("dataset=planted", "dataset.n_users=40", "dataset.n_items=30", "dataset.n_interactions=300")
WORDS = (*DATA, "threads=1", "device=cpu", "tracking.tensorboard=false", "hydra.sweep.dir=sweep")
PLUGIN = '''
import os
import signal
import time
from pathlib import Path

import torch

from recbench import datasets
from recbench.datasets.planted import Planted, PlantedConfig
from recbench.errors import DivergedError
from recbench.models import Model, register
from recbench.options import Config


class CountedConfig(PlantedConfig):
    """Options of planted data."""


@datasets.register("counted", config=CountedConfig)
class Counted(Planted):
    """Planted data that notes which process has loaded it."""

    def load(self):
        with Path("loaded").open("a") as loaded:
            loaded.write(f"{os.getpid()} ")
        return super().load()


class CrashingConfig(Config):
    """Options."""

    job: int = 0
    """Number of the job."""


@register("crashing", config=CrashingConfig)
class Crashing(Model):
    """Likes all items alike, where the files beside it do not tell this job to do otherwise."""

    def fit(self, train):
        with Path("ran").open("a") as ran:
            ran.write(f"{self.config.job} ")
        deadline = time.monotonic() + 300
        while Path(f"wait-for-others-{self.config.job}").exists() and time.monotonic() < deadline:
            if len(list(Path("sweep").rglob("result.json"))) == self.config.job:
                break
            time.sleep(0.02)
        if Path(f"crash-{self.config.job}").exists():
            raise RuntimeError(f"planted in job {self.config.job}\\nand a second line")
        if Path(f"diverge-{self.config.job}").exists():
            raise DivergedError(f"planted in job {self.config.job}.")
        if Path(f"time-is-over-{self.config.job}").exists():
            os.kill(os.getpid(), signal.SIGUSR2)
        while Path(f"wait-{self.config.job}").exists() and time.monotonic() < deadline:
            if list(Path("sweep").glob(".stop-*")):
                break
            time.sleep(0.02)

    def score(self, batch, items=None):
        return torch.zeros(len(batch.users), self.n_items)
'''


@pytest.fixture
def crashing(command, tmp_path):
    """Return the command, with a model whose jobs crash where a file ``crash-N`` says so."""
    # A module is imported once a process, and registers once.
    plugin = f"plugin_{tmp_path.name}"
    Path(f"{plugin}.py").write_text(PLUGIN)
    return lambda *words: command("run", "-m", f"--plugin={plugin}", *WORDS, "model=crashing", *words)


def ran():
    """Return the numbers of the jobs that have run since this was asked last, in order."""
    path = Path("ran")
    numbers = [int(word) for word in path.read_text().split()] if path.exists() else []
    path.unlink(missing_ok=True)
    return numbers


def statuses(folder="sweep"):
    """Return the status of each job that has one, by its number, without earlier attempts."""
    found = {}
    for path in Path(folder).rglob("result.json"):
        if ".old-" not in path.parent.name:
            result = json.loads(path.read_text())
            found[result["config"]["model"]["job"]] = result["status"]
    return found


def failed_rows(ended):
    """Return the status, error and log of each row of the table of what did not end well."""
    lines = ended.out.splitlines()
    start = next((place for place, line in enumerate(lines) if re.match("status +error +log$", line)), len(lines))
    rows = [re.split(r"  +", line) for line in lines[start + 2 :]]
    return [row for row in rows if len(row) == 3]


def test_twenty_jobs_of_which_three_crash(crashing):
    for job in (4, 11, 17):
        Path(f"crash-{job}").touch()
    words = ("model.job=range(20)",)
    ended = crashing(*words)
    assert ended.code == 1
    assert ran() == list(range(20))
    assert [job for job, status in sorted(statuses().items()) if status == "done"] == sorted({*range(20)} - {4, 11, 17})
    rows = failed_rows(ended)
    assert [row[:2] for row in rows] == [["failed", f"RuntimeError: planted in job {job}"] for job in (4, 11, 17)]
    assert all("planted in job" in Path(row[2]).read_text() for row in rows)
    assert ended.err.endswith(
        "3 of 20 runs did not end well. Typed again, the command leaves alone what failed, unless with "
        "sweep.retry=failed, and runs the rest.\n"
    )

    again = crashing(*words)
    assert (again.code, again.out, ran()) == (1, ended.out, [])
    assert again.err.count("failed before, left alone") == 3

    for job in (4, 11, 17):
        Path(f"crash-{job}").unlink()
    told = crashing(*words, "sweep.retry=failed")
    assert (told.code, ran()) == (0, [4, 11, 17])
    assert set(statuses().values()) == {"done"} and failed_rows(told) == []


def test_what_diverged_counts_as_failed(crashing):
    Path("diverge-1").touch()
    ended = crashing("model.job=0,1")
    assert (ended.code, ran()) == (3, [0, 1])
    assert [row[:2] for row in failed_rows(ended)] == [["diverged", "planted in job 1."]]
    again = crashing("model.job=0,1")
    assert (again.code, again.out, ran()) == (3, ended.out, [])
    assert "diverged before, left alone" in again.err
    assert "(done already)" in (shown := crashing("model.job=0,1", "--dry-run").out)
    assert "(diverged before, is left alone without sweep.retry=failed)" in shown
    Path("diverge-1").unlink()
    assert "(diverged before, runs anew)" in crashing("model.job=0,1", "--dry-run", "sweep.retry=failed").out
    assert (crashing("model.job=0,1", "sweep.retry=failed").code, ran()) == (0, [1])


def test_what_failed_with_other_code_runs_without_being_told(crashing):
    Path("crash-0").touch()
    assert (crashing("model.job=0").code, ran()) == (1, [0])
    (path,) = Path("sweep").rglob("result.json")
    result = json.loads(path.read_text())
    result["fingerprints"]["code"] = "0.0.1+other"
    path.write_text(json.dumps(result))
    assert "(failed before with other code, runs anew)" in crashing("model.job=0", "--dry-run").out
    assert (crashing("model.job=0").code, ran()) == (1, [0])


def test_a_mistake_that_shows_with_the_data_is_left_alone_too(command):
    words = ("run", "-m", "dataset=files", "dataset.interactions=gone.csv", "model=popularity", "hydra.sweep.dir=sweep")
    ended = command(*words)
    again = command(*words)
    assert ended.code == again.code == 2
    assert [row[0] for row in failed_rows(ended)] == [row[0] for row in failed_rows(again)] == ["mistake"]
    pairs = (f"u{user},i{(user * step) % 17}" for user in range(20) for step in range(1, 9))
    Path("gone.csv").write_text("\n".join(["user,item", *pairs]))
    assert command(*words, "sweep.retry=failed").code == 0


def test_the_first_failure_ends_a_sweep_that_is_told_so(crashing):
    Path("crash-1").touch()
    words = ("model.job=range(6)", "sweep.fail_fast=true")
    ended = crashing(*words)
    assert (ended.code, ran()) == (1, [0, 1])
    assert "1 of 6 runs did not end well, 4 of 6 were not begun. Typed again, " in ended.err
    assert not list(Path("sweep").glob(".*"))
    # What is left alone has been told of before, and does not keep the rest from running.
    again = crashing(*words)
    assert (again.code, ran()) == (1, [2, 3, 4, 5])


def outside(*words):
    """Run a command as people do, in a process of its own, and return what it printed and its code."""
    return subprocess.run(
        [sys.executable, "-m", "recbench", *words], capture_output=True, text=True, check=False, timeout=600
    )


JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_workers_are_reused_and_do_not_begin_what_comes_after_a_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plugin.py").write_text(PLUGIN)
    Path("crash-3").touch()
    # The worker that starts first may do three jobs before the other has begun its first.
    Path("wait-for-others-3").touch()
    for job in range(4, 8):
        Path(f"wait-{job}").touch()
    words = [word.replace("planted", "counted") for word in WORDS]
    words += ["model=crashing", "model.job=range(8)", "sweep.fail_fast=true", "--plugin=plugin"]
    ended = outside("run", "-m", *words, *JOBLIB)
    assert ended.returncode == 1, ended.stderr
    began = ran()
    # The other worker may have begun one job when the fourth failed, and waits in it for that.
    assert sorted(began) in ([0, 1, 2, 3], [0, 1, 2, 3, 4])
    assert f"1 of 8 runs did not end well, {8 - len(began)} of 8 were not begun." in ended.stderr
    assert statuses() == {job: "failed" if job == 3 else "done" for job in began}
    assert not list(Path("sweep").glob(".*"))
    readers = Path("loaded").read_text().split()
    assert len(readers) == len(set(readers)) <= 2


def metrics(folder):
    """Return the metrics of each run below a folder, by the run's name."""
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in Path(folder).rglob("result.json")}


@pytest.mark.slow
def test_the_launcher_changes_no_number(command):
    words = ["-m", *WORDS[:-1], "model=ease,mf", "trainer.epochs=2", "trainer.patience=null"]
    assert command("run", *words, "hydra.sweep.dir=basic").code == 0
    assert command("run", *words, "hydra.sweep.dir=submitit", "hydra/launcher=submitit_local").code == 0
    ended = outside("run", *words, "hydra.sweep.dir=joblib", *JOBLIB)
    assert ended.returncode == 0, ended.stderr
    assert len(metrics("basic")) == 2
    assert metrics("basic") == metrics("joblib") == metrics("submitit")
    assert command("run", *words, "hydra.sweep.dir=basic", *JOBLIB, "--dry-run").out.count("(done already)") == 2


def test_where_the_launcher_breaks_the_table_says_what_became_of_each_job(crashing, monkeypatch):
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    launch, n_launched = BasicLauncher.launch, [2, 0]

    def breaks(self, job_overrides, initial_job_idx):
        launch(self, job_overrides[: n_launched.pop(0)], initial_job_idx)
        raise RuntimeError("a worker was killed")

    monkeypatch.setattr(BasicLauncher, "launch", breaks)
    Path("crash-1").touch()
    ended = crashing("model.job=range(3)")
    assert ended.code == 1 and "error: the launcher failed: RuntimeError: a worker was killed\n" in ended.err
    assert [row[:2] for row in failed_rows(ended)] == [["failed", "RuntimeError: planted in job 1"]]
    assert "1 of 3 runs did not end well, 1 of 3 were not begun. " in ended.err
    assert statuses() == {0: "done", 1: "failed"}
    (done,) = (
        path.parent for path in Path("sweep").rglob("result.json") if json.loads(path.read_text())["error"] is None
    )
    (done / "result.json").unlink()
    ended = crashing("model.job=range(3)")
    assert [row[0] for row in failed_rows(ended)] == ["killed", "failed"]


def test_a_job_whose_queue_ends_it_goes_on_without_being_told(crashing):
    def answer(number, frame):
        raise RuntimeError("not queued again")

    before = signal.signal(signal.SIGUSR2, answer)
    try:
        Path("time-is-over-0").touch()
        assert crashing("model.job=0").code == 143
        assert signal.getsignal(signal.SIGUSR2) == answer
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert statuses() == {0: "interrupted"}
    Path("time-is-over-0").unlink()
    ended = crashing("model.job=0")
    assert ended.code == 0 and "was interrupted, goes on" in ended.err and statuses() == {0: "done"}


class KilledConfig(UniformConfig):
    """Options of the sampler in whose midst the process is killed."""


def test_a_sweep_that_is_killed_again_and_again_ends_with_the_same_numbers(command):
    negatives.register("killed", config=KilledConfig)(Stopping)
    words = ["run", "-q", "-m", *WORDS[:-1], "model=mf", "negatives=killed", "seed=0,1,2", "trainer.epochs=3"]
    words += ["trainer.batch_size=16", "trainer.patience=null", "checkpoint_seconds=0"]
    steps = Stopping.step = 0
    assert command(*words, "hydra.sweep.dir=whole").code == 0
    steps = -Stopping.step
    draw = random.Random(5)

    def killed(after):
        Stopping.step, Stopping.number = after, signal.SIGKILL
        os._exit(main([*words, "hydra.sweep.dir=killed"]))

    # Steps of three jobs in all; what an attempt has done, the next one need not do again.
    moments = [draw.randint(2, steps // 4) for _ in range(5)]
    codes = [in_a_process(lambda after=after: killed(after)) for after in moments]
    assert codes[:3] == [-signal.SIGKILL] * 3
    Stopping.step = 0
    assert command(*words, "hydra.sweep.dir=killed").code == 0
    assert metrics("killed") == metrics("whole") and len(metrics("whole")) == 3
    assert not list(Path("killed").glob("*.old-*"))


def test_jobs_at_once_have_a_gpu_each_while_there_are_enough(monkeypatch, tmp_path):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with ExitStack() as first, ExitStack() as rest:
        first.enter_context(gpu_of_its_own("auto"))
        for device in ("cuda", "auto", "cpu", "cuda:2", "auto"):
            rest.enter_context(gpu_of_its_own(device))
        # Three have one each, cpu and cuda:2 choose for themselves, and the fourth shares.
        assert chosen == [0, 1, 2, 0]
        first.close()
        rest.enter_context(gpu_of_its_own("auto"))
        assert chosen == [0, 1, 2, 0, 0]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,1,7")
        rest.enter_context(gpu_of_its_own("auto"))
        # The first of what this process sees is called 5, and nobody's; the second is what another calls 1.
        assert chosen[5:] == [0]
