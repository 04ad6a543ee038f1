"""Training and evaluation within a hard limit of memory, as a process that asks for more is refused it."""

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's"),
]

GIB = 2**30

MAKE = """
import numpy as np
import pandas as pd
from recbench.data import Interactions


def interactions(n_users, n_items, n_wanted):
    '''Return distinct pairs: log-normal activity, items of low number more often; nothing has to be sorted.'''
    stream = np.random.default_rng(0)
    activity = stream.lognormal(0, 1, n_users).clip(0.1)
    counts = np.minimum(activity * (1.3 * n_wanted / activity.sum()), n_items / 4).astype(np.int64) + 1
    users = np.repeat(np.arange(n_users, dtype=np.int32), counts)
    place = np.arange(len(users)) - np.repeat(counts.cumsum() - counts, counts)
    # A user's items ascend: one in each of as many steps, so that only neighbours can be equal.
    within = (place + stream.random(len(users), dtype=np.float32)) / counts[users]
    del place
    items = np.minimum(n_items * within**2, n_items - 1).astype(np.int32)
    new = np.flatnonzero((np.diff(users, prepend=-1) != 0) | (np.diff(items, prepend=-1) != 0))
    kept = np.delete(new, stream.choice(len(new), len(new) - n_wanted, replace=False))
    frame = pd.DataFrame({"user": users[kept], "item": items[kept]})
    del users, items, within, new, kept
    return Interactions.from_frame(frame)
"""

RUN = """
import resource, sys
limit, shape, name, options, trainer = eval(sys.argv[1])
# Libraries that are loaded when first used are no part of what is measured.
import torch, scipy.sparse.linalg, recbench.kernels.compiling
from recbench import models, negatives, splits, trainers
from recbench.evaluation import EvaluationConfig, evaluate

torch.set_num_threads(1)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
split = splits.build("random", valid=0.0).apply(interactions(*shape))
model = models.build(name, split.train, **options)
sampler = negatives.build(model.negatives, split.train, n_negatives=1) if model.negatives else None
trainers.build(model.trainer, **trainer).fit(model, split, negatives=sampler)
values = evaluate(model, split, "test", EvaluationConfig(metrics=("ndcg@10", "recall@20"))).values
assert all(0 < value <= 1 for value in values.values()), values
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print("done", len(split.train) + len(split.test.target.items), f"{int(peak) / 2**20:.2f} GiB")
"""

SGD = {"epochs": 1, "optimizer": "sgd", "lr": 0.05, "batch_size": 1}


def run_within(limit, shape, name, options, trainer, **variables):
    """Return the output of a process that trains and evaluates a model on generated data of ``shape``."""
    arguments = [sys.executable, "-c", MAKE + RUN, repr((limit, shape, name, options, trainer))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "options", "trainer"),
    [("popularity", {}, {}), ("mf", {"dim": 64}, SGD), ("ials", {"dim": 64}, {"epochs": 1})],
)
def test_data_of_the_size_of_ml_20m_trains_and_is_evaluated_under_4_gib(name, options, trainer):
    shape = (138_493, 26_744, 20_000_263)
    assert run_within(4 * GIB, shape, name, options, trainer).startswith("done 20000263 ")


@pytest.mark.parametrize(
    ("name", "options", "trainer"),
    [
        ("popularity", {}, {}),
        ("mf", {"dim": 16}, SGD),
        ("gmf", {}, {"epochs": 1}),
        ("ials", {"dim": 16}, {"epochs": 1}),
        ("pure_svd", {}, {}),
        ("item_knn", {}, {}),
        ("user_knn", {}, {}),
    ],
)
def test_nothing_of_users_times_items_is_held(name, options, trainer):
    """100,000 users and 30,000 items: one bit a pair would be 0.35 GiB, one byte 2.8, a score 11.2."""
    shape = (100_000, 30_000, 500_000)
    # Arrow's own allocator takes an address range of 1 GiB when it begins, which counts against the limit unused.
    done = run_within(int(0.75 * GIB), shape, name, options, trainer, ARROW_DEFAULT_MEMORY_POOL="system")
    assert done.startswith("done 500000 ")
