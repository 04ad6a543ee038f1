"""Whole commands, from the start of the process to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RECBENCH = Path(__file__).resolve().parents[2]
_RECBOLE = """
import os, sys
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
from recbole.quick_start import run_recbole
for seed in range(int(sys.argv[2])):
    run_recbole(model="BPR", dataset="data", config_dict={
        "data_path": sys.argv[1], "load_col": {"inter": ["user_id", "item_id"]}, "use_gpu": False, "epochs": 1,
        "seed": seed, "show_progress": False, "state": "ERROR", "checkpoint_dir": sys.argv[1], "embedding_size": 64,
        "learning_rate": 0.001, "train_batch_size": 2048, "eval_batch_size": 4_000_000,
    })
"""
# As RecBole has it: a split of 8 : 1 : 1 for each user, Adam, pairs a step, one negative for each.
_WORDS = (
    "dataset=files",
    "split.test=0.1",
    "split.valid=0.1111",
    "model=mf",
    "model.dim=64",
    "model.biases=false",
    "model.reg=0",
    "negatives.n_negatives=1",
    "trainer.epochs=1",
    "trainer.optimizer=adam",
    "trainer.lr=0.001",
    "trainer.batch_size=2048",
)
TITLES = {1: "smallest experiment from the command line", 8: "8 small runs from the command line"}


def write(data: Path, folder: Path) -> None:
    """Write all interactions of a file of ``data.make`` in the formats of both."""
    with np.load(data) as file:
        users = np.concatenate([file["users"], file["test_users"]]).tolist()
        items = np.concatenate([file["items"], file["test_items"]]).tolist()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = [f"{user}{{}}{item}\n" for user, item in zip(users, items)]
    (folder / "data" / "data.inter").write_text(
        "user_id:token\titem_id:token\n" + "".join(line.format("\t") for line in lines)
    )
    (folder / "data.csv").write_text("user,item\n" + "".join(line.format(",") for line in lines))


def recbench(folder: Path, n_runs: int, threads: int) -> float:
    """Return the seconds of ``recbench run``: one epoch of mf, evaluation, and all files that it writes."""
    words = [f"dataset.interactions={folder / 'data.csv'}", f"threads={threads}", *_WORDS]
    out = folder / "runs"
    shutil.rmtree(out, ignore_errors=True)
    if n_runs > 1:
        words += ["-m", f"seed=range({n_runs})", f"hydra.sweep.dir={out}"]
    else:
        words += [f"hydra.run.dir={out}"]
    return _seconds([sys.executable, "-m", "recbench", "run", "-q", *words], threads, folder)


def recbole(python: Path, folder: Path, n_runs: int, threads: int) -> float:
    """Return the seconds of RecBole's quick start: one epoch of BPR and evaluation, in a loop in one process."""
    return _seconds([str(python), "-c", _RECBOLE, str(folder), str(n_runs)], threads, folder)


def _seconds(command: list[str], threads: int, folder: Path) -> float:
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
        "PYTHONPATH": str(RECBENCH),
        "RECBENCH_CACHE": str(folder / "cache"),
    }
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ... failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begun
