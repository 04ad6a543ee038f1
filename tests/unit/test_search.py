"""Searches: what is asked for, remembered, pruned and killed, and the winners that are trained anew."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
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
