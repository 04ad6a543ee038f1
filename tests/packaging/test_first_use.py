"""The process that compiles a loop computes the same bits as those that find its code kept."""

import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.slow

DATA = ("dataset=planted", "dataset.n_users=600", "dataset.n_items=400", "dataset.n_interactions=20000")


@pytest.mark.parametrize(
    "words",
    [
        ("model=gmf", "trainer.epochs=2"),
        ("model=neumf", "trainer.epochs=2"),
        ("model=neumf", "trainer.epochs=2", "trainer.optimizer=sgd"),
        ("model=mf", "trainer.epochs=2", "trainer.optimizer=sgd", "trainer.batch_size=1"),
        ("model=mf", "trainer.epochs=2", "trainer.optimizer=sgd", "trainer.batch_size=1", "negatives.n_negatives=1"),
        ("model=ials", "trainer.epochs=2", "model.solver=cg"),
        ("model=ials", "trainer.epochs=2", "model.solver=cholesky"),
        ("model=item_knn",),
    ],
    ids=" ".join,
)
def test_whether_the_code_is_new_or_kept_changes_no_bit(tmp_path, monkeypatch, words):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    learnt = []
    for place in ("new", "kept"):
        folder = tmp_path / place
        typed = ("run", "-q", *DATA, "backend=compiled", *words, f"hydra.run.dir={folder}")
        subprocess.run([sys.executable, "-m", "recbench", *typed], cwd=tmp_path, check=True, capture_output=True)
        assert list((tmp_path / "code").rglob("*.nbc"))
        learnt.append(torch.load(folder / "checkpoint.pt", weights_only=True)["state_dict"])
    assert learnt[0].keys() == learnt[1].keys()
    assert [name for name in learnt[0] if not torch.equal(learnt[0][name], learnt[1][name])] == []
