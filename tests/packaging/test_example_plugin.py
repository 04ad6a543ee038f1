"""The example plugin, used as a third party's: named on the command line, and through the public contract."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
WORDS = ["dataset=circle", "evaluation.metrics=[ndcg@10,rank_of_first@10]"]


def recbench(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(PLUGIN), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "recbench", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_model_data_loss_and_metric_make_an_experiment(tmp_path):
    sweep = ["run", "-m", "--plugin", "recbench_example", *WORDS, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    recbench(tmp_path, *sweep, "model=truncated_svd,popularity")
    recbench(
        tmp_path,
        *["run", "--plugin", "recbench_example", *WORDS, "model=mf", "model.loss=hinge", "trainer.epochs=10"],
        f"hydra.run.dir={tmp_path / 'sweep' / 'mf'}",
    )
    rows = json.loads(recbench(tmp_path, "compare", str(tmp_path / "sweep"), "--format", "json"))
    values = {row["model"]: row["metrics"] for row in rows}
    assert set(values) == {"truncated_svd", "popularity", "mf"}
    assert values["truncated_svd"]["ndcg@10"]["mean"] > 2 * values["popularity"]["ndcg@10"]["mean"]
    assert values["truncated_svd"]["rank_of_first@10"]["mean"] < values["popularity"]["rank_of_first@10"]["mean"]
    assert values["mf"]["ndcg@10"]["mean"] > values["popularity"]["ndcg@10"]["mean"]


@pytest.mark.parametrize(
    "family, name",
    [("models", "truncated_svd"), ("datasets", "circle"), ("losses", "hinge"), ("metrics", "rank_of_first")],
)
def test_its_parts_are_listed(tmp_path, family, name):
    assert name in recbench(tmp_path, "list", family, "--plugin", "recbench_example")


def test_its_model_passes_the_contract():
    code = "import recbench_example; from recbench.testing import check_model; check_model('truncated_svd')"
    environment = os.environ | {"PYTHONPATH": str(PLUGIN), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
