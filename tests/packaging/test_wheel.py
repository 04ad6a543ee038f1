"""The wheel, in an environment of its own and from another folder, with a plugin beside it."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = "random,popularity,item_knn,mf,neumf"

pytestmark = pytest.mark.slow


def call(*words, folder, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(list(map(str, words)), cwd=folder, env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Give the folder of programs of a new environment that holds the wheel and the example plugin."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, folder=folder)
    call(
        *[sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT / "examples" / "plugin"],
        folder=folder,
    )
    venv.create(folder / "venv", with_pip=True)
    wheels = sorted(folder.glob("*.whl"))
    assert len(wheels) == 2
    python = folder / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "--constraint", ROOT / "constraints.txt", *wheels, folder=folder)
    return folder / "venv" / "bin"


def test_the_main_job_runs_from_another_folder(installed, tmp_path):
    words = ["dataset=planted", "seed=0,1", "trainer.epochs=3", "hydra.sweep.dir=sweep"]
    call(installed / "recbench", "run", "-m", f"model={MODELS},truncated_svd", *words, folder=tmp_path)
    table = call(installed / "recbench", "compare", "sweep", "--format", "json", folder=tmp_path)
    assert {row["model"]: row["n_seeds"] for row in json.loads(table)} == dict.fromkeys(
        [*MODELS.split(","), "truncated_svd"], 2
    )


def test_the_main_job_runs_on_real_data(installed, tmp_path, real_data):
    call(
        *[installed / "recbench", "run", "-m", f"model={MODELS}", "seed=0,1", "experiment=quickstart"],
        *["trainer.epochs=2", "hydra.sweep.dir=sweep"],
        folder=tmp_path,
        RECBENCH_MIRROR=str(real_data),
        RECBENCH_CACHE=str(tmp_path / "cache"),
    )
    rows = json.loads(call(installed / "recbench", "compare", "sweep", "--format", "json", folder=tmp_path))
    assert {row["model"] for row in rows} == set(MODELS.split(","))


def test_the_wheel_holds_its_configurations(installed, tmp_path):
    assert "quickstart" in call(
        installed / "recbench", "run", "experiment=quickstart", "model=mf", "--dry-run", folder=tmp_path
    )
