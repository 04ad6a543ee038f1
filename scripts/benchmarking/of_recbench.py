"""What recbench does in the comparison, by its Python interface."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recbench import models, negatives, resolve, trainers
from recbench.data import TEST, TRAIN, Interactions, Split, Vocabulary
from recbench.evaluation import evaluate
from recbench.models import Model
from recbench.resources import torch_settings

_CPU = torch.device("cpu")


@dataclass
class Held:
    """The data as recbench has it, the number of threads, and the bytes of the model of the last task."""

    n_users: int
    split: Split
    threads: int
    parameters: int = 0


def begin(data: Any, threads: int) -> Held:
    """Return what the tasks take."""
    users = np.concatenate([data.users, data.test_users])
    items = np.concatenate([data.items, data.test_items])
    order = np.argsort(users, kind="stable")
    interactions = Interactions(
        users=torch.from_numpy(users[order]).long(),
        items=torch.from_numpy(items[order]).long(),
        user_vocabulary=_named(data.n_users, "user"),
        item_vocabulary=_named(data.n_items, "item"),
    )
    parts = np.repeat(np.array([TRAIN, TEST], np.int8), [len(data.users), len(data.test_users)])[order]
    del users, items, order
    return Held(data.n_users, Split.from_parts(interactions, torch.from_numpy(parts)), threads)


def _named(n: int, kind: str) -> Vocabulary:
    """Return 0 .. n - 1 as ids; with zeros in front they are sorted as the numbers are."""
    return Vocabulary((f"{number:08d}" for number in range(n)), kind)


def _fitted(held: Held, seed: int, backend: str, plain: Mapping[str, Any]) -> tuple[float, Model]:
    """Return the seconds of ``Trainer.fit`` and the model."""
    metrics = {"metrics": ["recall@20", "ndcg@10"]}
    config = resolve({"dataset": {"name": "ml-100k"}, "evaluation": metrics, "seed": seed, **plain}).config
    assert config.trainer is not None
    with torch_settings(held.threads, _CPU):
        model = models.registry.make(config.model, held.split.train, seed)
        sampler = negatives.registry.make(config.negatives, held.split.train) if config.negatives else None
        trainer = trainers.registry.make(config.trainer)
        begun = time.perf_counter()
        trainer.fit(model, held.split, seed=seed, negatives=sampler, backend=backend)  # type: ignore[arg-type]
        seconds = time.perf_counter() - begun
        held.parameters = _bytes(model)
        return seconds, model


def _bytes(model: Model) -> int:
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _lists(held: Held, model: Model) -> np.ndarray:
    with torch_settings(held.threads, _CPU):
        ranking = evaluate(model, held.split, "test", _evaluation()).ranking
    lists = np.full((held.n_users, ranking.k), -1, np.int32)
    lists[ranking.users.numpy()] = ranking.items.numpy()
    return lists


def _evaluation() -> Any:
    return resolve(
        {"dataset": {"name": "ml-100k"}, "model": {"name": "popularity"}, "evaluation": {"metrics": _METRICS}}
    ).config.evaluation


_METRICS = ["recall@10", "recall@20", "ndcg@10", "ndcg@20"]


def bpr(
    held: Held,
    *,
    seed: int,
    epochs: int,
    dim: int,
    lr: float,
    reg: float = 0.0,
    batch_size: int = 1,
    backend: str = "auto",
) -> tuple[float, np.ndarray]:
    """Return seconds an epoch, and lists; in batches with Adam and without biases, as RecBole has it."""
    alone = batch_size == 1
    model = {"name": "mf", "dim": dim, "loss": "bpr", "reg": reg}
    if not alone:
        # RecBole's first values are Xavier's: those of both tables, with their mean rows.
        n_rows = (held.n_users + held.split.train.n_items) / 2
        model |= {"biases": False, "init_std": math.sqrt(2 / (n_rows + dim))}
    plain = {
        "model": model,
        "negatives": {"name": "uniform", "n_negatives": 1, "reject_seen": True},
        "trainer": {
            "name": "gradient",
            "optimizer": "sgd" if alone else "adam",
            "lr": lr,
            "batch_size": batch_size,
            "epochs": epochs,
            "selection": "last",
            "patience": None,
        },
    }
    seconds, model = _fitted(held, seed, backend, plain)
    return seconds / epochs, _lists(held, model)


def ials(
    held: Held, *, seed: int, epochs: int, dim: int, reg: float, weight: float, exact: bool
) -> tuple[float, np.ndarray]:
    """Return seconds an iteration, and lists."""
    plain = {
        "model": {
            "name": "ials",
            "dim": dim,
            # What is the same where observed pairs weigh ``weight`` and all others 1: see ``recbench.models.ials``.
            "alpha0": 1 / (weight - 1),
            "reg": reg / weight,
            "nu": 0.0,
            # Two steps come as far as the peers' three, since what all rows share is taken out of them first.
            **({"solver": "cholesky"} if exact else {"solver": "cg", "cg_steps": 2}),
        },
        "trainer": {"name": "alternating", "epochs": epochs, "selection": "last", "patience": None},
    }
    seconds, model = _fitted(held, seed, "auto", plain)
    return seconds / epochs, _lists(held, model)


def item_knn(held: Held, *, seed: int, neighbours: int) -> tuple[float, np.ndarray]:
    """Return seconds of fitting and of all lists, and lists."""
    plain = {"model": {"name": "item_knn", "neighbours": neighbours, "similarity": "cosine", "shrink": 0.0}}
    begun = time.perf_counter()
    _, model = _fitted(held, seed, "auto", plain)
    lists = _lists(held, model)
    return time.perf_counter() - begun, lists


def ease(held: Held, *, seed: int, reg: float) -> tuple[float, np.ndarray]:
    """Return seconds of fitting, and lists."""
    seconds, model = _fitted(held, seed, "auto", {"model": {"name": "ease", "reg": reg}})
    return seconds, _lists(held, model)


def neumf(
    held: Held, *, seed: int, epochs: int, lr: float, batch_size: int, negatives: int
) -> tuple[float, np.ndarray]:
    """Return seconds an epoch, and lists.

    Args:
        held: The data.
        seed: Of everything.
        epochs: How many.
        lr: Learning rate of Adam.
        batch_size: Pairs a step, positives and negatives together.
        negatives: For each positive.
    """
    plain = {
        "model": {"name": "neumf", "dim": 8, "layers": [64, 32, 16, 8]},
        "negatives": {"name": "uniform", "n_negatives": negatives, "reject_seen": True},
        "trainer": {
            "name": "gradient",
            "optimizer": "adam",
            "lr": lr,
            # Of positives alone.
            "batch_size": batch_size // (1 + negatives),
            "epochs": epochs,
            "selection": "last",
            "patience": None,
        },
    }
    seconds, model = _fitted(held, seed, "auto", plain)
    return seconds / epochs, _lists(held, model)


def evaluation(held: Held, *, seed: int, dim: int) -> tuple[float, None]:
    """Return seconds of recall and NDCG at 10 and 20 of all test users by vectors at random."""
    # As after a training of this model, which by default loads the loops; less than 134 million scores alone would not.
    import numba  # noqa: F401

    config = resolve({"dataset": {"name": "ml-100k"}, "model": {"name": "mf", "dim": dim, "biases": False}}).config
    with torch_settings(held.threads, _CPU):
        model = models.registry.make(config.model, held.split.train, seed)
        held.parameters = _bytes(model)
        begun = time.perf_counter()
        evaluate(model, held.split, "test", _evaluation())
        return time.perf_counter() - begun, None


TASKS = {
    "bpr": bpr,
    "ials": ials,
    "item_knn": item_knn,
    "ease": ease,
    "neumf": neumf,
    "evaluation": evaluation,
}
