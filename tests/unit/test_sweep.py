"""Sweeps: what is done with jobs that failed, what the table says of them, and what ends a sweep early."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

DATA = ("dataset=planted", "dataset.n_users=40", "dataset.n_items=30", "dataset.n_interactions=300")
WORDS = (*DATA, "threads=1", "device=cpu", "tracking.tensorboard=false", "hydra.sweep.dir=sweep")
PLUGIN = '''
import os
import signal
import time
from pathlib import Path

import torch

from recbench.errors import DivergedError
from recbench.models import Model, register
from recbench.options import Config


class CrashingConfig(Config):
    """Options."""

    job: int = 0
    """Number of the job."""


@register("crashing", config=CrashingConfig)
class Crashing(Model):
    """Likes all items alike, where the files beside it do not tell this job to crash, diverge or die."""

    def fit(self, train):
        with Path("ran").open("a") as ran:
            ran.write(f"{self.config.job} ")
        if Path(f"crash-{self.config.job}").exists():
            raise RuntimeError(f"planted in job {self.config.job}\\nand a second line")
        if Path(f"diverge-{self.config.job}").exists():
            raise DivergedError(f"planted in job {self.config.job}.")
        if Path(f"die-{self.config.job}").exists():
            os.kill(os.getpid(), signal.SIGKILL)

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
    assert "1 of 6 runs did not end well, and 4 were not begun. Typed again, " in ended.err
    assert not list(Path("sweep").glob(".*"))
    # What is left alone has been told of before, and does not keep the rest from running.
    again = crashing(*words)
    assert (again.code, ran()) == (1, [2, 3, 4, 5])
