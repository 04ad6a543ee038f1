"""What is compared: each task with its data, the sides, and the ratio that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        title: For people.
        data: Name of the data set.
        task: Function of the workers.
        unit: What the seconds are of.
        wanted: How many times faster than ``against`` recbench should be, with quality at most 1 % below.
        against: The peer that is meant.
        ours: Options of recbench.
        peers: System to its options.
        per_user: Whether to show users a second instead of seconds.
    """

    title: str
    data: str
    task: str
    unit: str
    wanted: float | None
    against: str
    ours: Mapping[str, Any]
    peers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    per_user: bool = False


_BPR = {"epochs": 40, "dim": 64, "lr": 0.05, "reg": 0.01}
_ADAM = {"epochs": 10, "dim": 64, "lr": 0.001, "batch_size": 8192}
# A batch of RecBole's holds positives and negatives together.
_NEUMF = {"lr": 0.001, "negatives": 1}


def _ials(dim: int, exact: bool) -> dict[str, Any]:
    return {"epochs": 15, "dim": dim, "reg": 10.0, "weight": 10.0, "exact": exact}


TASKS = {
    "bpr-1m": Task(
        "MF with BPR, 64 factors", "ml-1m", "bpr", "an epoch", 4, "cornac", _BPR, {"cornac": _BPR, "implicit": _BPR}
    ),
    "bpr-torch-1m": Task(
        "MF with BPR, 64 factors, Adam, batches of 8,192, plain PyTorch",
        "ml-1m",
        "bpr",
        "an epoch",
        5,
        "recbole",
        {**_ADAM, "backend": "torch"},
        {"recbole": _ADAM},
    ),
    "ials-cg-64-1m": Task(
        "iALS, 64 factors, conjugate gradient",
        "ml-1m",
        "ials",
        "an iteration",
        2,
        "implicit",
        _ials(64, False),
        {"implicit": _ials(64, False)},
    ),
    "ials-cg-128-1m": Task(
        "iALS, 128 factors, conjugate gradient",
        "ml-1m",
        "ials",
        "an iteration",
        1.7,
        "implicit",
        _ials(128, False),
        {"implicit": _ials(128, False)},
    ),
    "ials-64-1m": Task(
        "iALS, 64 factors, exact",
        "ml-1m",
        "ials",
        "an iteration",
        3,
        "implicit",
        _ials(64, True),
        {"implicit": _ials(64, True), "lenskit": _ials(64, True)},
    ),
    "ials-128-1m": Task(
        "iALS, 128 factors, exact",
        "ml-1m",
        "ials",
        "an iteration",
        4,
        "implicit",
        _ials(128, True),
        {"implicit": _ials(128, True)},
    ),
    "item-knn-1m": Task(
        "item-kNN, 100 neighbours, and 20 items for each user with something to find",
        "ml-1m",
        "item_knn",
        "fit and lists",
        3,
        "implicit",
        {"neighbours": 100},
        {"implicit": {"neighbours": 100}},
    ),
    "ease-1m": Task(
        "EASE",
        "ml-1m",
        "ease",
        "a fit",
        4,
        "cornac",
        {"reg": 500.0},
        {"cornac": {"reg": 500.0}, "lenskit": {"reg": 500.0}},
    ),
    "neumf-100k": Task(
        "NeuMF, 8 factors, batches of 256",
        "ml-100k",
        "neumf",
        "an epoch",
        3.5,
        "recbole",
        {**_NEUMF, "epochs": 10, "batch_size": 256},
        {"recbole": {**_NEUMF, "epochs": 10, "batch_size": 256}},
    ),
    "neumf-1m": Task(
        "NeuMF, 8 factors, batches of 8,192",
        "ml-1m",
        "neumf",
        "an epoch",
        2,
        "recbole",
        {**_NEUMF, "epochs": 5, "batch_size": 8192},
        {"recbole": {**_NEUMF, "epochs": 5, "batch_size": 8192}},
    ),
    "evaluation-1m": Task(
        "full ranking of all items, Recall and NDCG; loops loaded, as after a training",
        "ml-1m",
        "evaluation",
        "users a second",
        3,
        "recbole",
        {"dim": 64},
        {"recbole": {"dim": 64}, "implicit": {"dim": 64}},
        per_user=True,
    ),
    "evaluation-20m": Task(
        "full ranking of all items; implicit without metrics",
        "ml-20m",
        "evaluation",
        "users a second",
        2.5,
        "implicit",
        {"dim": 64},
        {"implicit": {"dim": 64}},
        per_user=True,
    ),
    "bpr-20m": Task(
        "MF with BPR, 64 factors",
        "ml-20m",
        "bpr",
        "an epoch",
        6,
        "implicit",
        {**_BPR, "epochs": 3},
        {"implicit": {**_BPR, "epochs": 3}},
    ),
}

QUICK = ("bpr-1m", "ials-cg-64-1m", "item-knn-1m", "ease-1m", "neumf-100k", "evaluation-1m")
