"""What cornac does in the comparison."""

import time
from dataclasses import dataclass

import numpy as np
from cornac.data import Dataset
from cornac.models import BPR, EASE


@dataclass
class Held:
    """The data as cornac has it, and the number of threads."""

    data: object
    train: object
    threads: int


def begin(data, threads):
    """Return what the tasks take."""
    known = {user: user for user in range(data.n_users)}, {item: item for item in range(data.n_items)}
    rows = zip(data.users.tolist(), data.items.tolist(), np.ones(len(data.users)).tolist())
    train = Dataset.build(list(rows), global_uid_map=known[0], global_iid_map=known[1], fmt="UIR", seed=0)
    return Held(data, train, threads)


def bpr(held, *, seed, epochs, dim, lr, reg):
    """Return seconds an epoch, and lists."""
    model = BPR(
        k=dim, max_iter=epochs, learning_rate=lr, lambda_reg=reg, num_threads=held.threads, seed=seed, use_bias=True
    )
    begun = time.perf_counter()
    model.fit(held.train)
    seconds = (time.perf_counter() - begun) / epochs
    return seconds, held.data.lists(lambda users: model.u_factors[users] @ model.i_factors.T + model.i_biases)


def ease(held, *, seed, reg):
    """Return seconds of fitting, and lists."""
    model = EASE(lamb=reg, posB=False)
    begun = time.perf_counter()
    model.fit(held.train)
    seconds = time.perf_counter() - begun
    matrix = held.data.matrix()
    weights = np.asarray(model.B)
    return seconds, held.data.lists(lambda users: np.asarray(matrix[users] @ weights))


TASKS = {"bpr": bpr, "ease": ease}
