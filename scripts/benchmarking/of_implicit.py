"""What implicit does in the comparison."""

import time
from dataclasses import dataclass

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import CosineRecommender


@dataclass
class Held:
    """The data and the number of threads."""

    data: object
    matrix: object
    threads: int


def begin(data, threads):
    """Return what the tasks take."""
    from threadpoolctl import threadpool_limits

    # As implicit itself asks: its own threads, and one for BLAS.
    threadpool_limits(1, "blas")
    return Held(data, data.matrix(), threads)


def _lists(model, held, k=20):
    """Return lists of the users who have something to find, since recbench makes no others; -1 for the rest."""
    users = held.data.asked()
    lists = np.full((held.data.n_users, k), -1, np.int32)
    lists[users], _ = model.recommend(users, held.matrix[users], N=k, filter_already_liked_items=True)
    return lists


def bpr(held, *, seed, epochs, dim, lr, reg):
    """Return seconds an epoch, and lists."""
    model = BayesianPersonalizedRanking(
        factors=dim,
        learning_rate=lr,
        regularization=reg,
        iterations=epochs,
        num_threads=held.threads,
        verify_negative_samples=True,
        random_state=seed,
    )
    begun = time.perf_counter()
    model.fit(held.matrix, show_progress=False)
    return (time.perf_counter() - begun) / epochs, _lists(model, held)


def ials(held, *, seed, epochs, dim, reg, weight, exact):
    """Return seconds an iteration, and lists."""
    model = AlternatingLeastSquares(
        factors=dim,
        regularization=reg,
        alpha=weight,
        iterations=epochs,
        use_cg=not exact,
        num_threads=held.threads,
        random_state=seed,
    )
    begun = time.perf_counter()
    model.fit(held.matrix, show_progress=False)
    return (time.perf_counter() - begun) / epochs, _lists(model, held)


def item_knn(held, *, seed, neighbours):
    """Return seconds of fitting and of all lists, and lists."""
    begun = time.perf_counter()
    model = CosineRecommender(K=neighbours, num_threads=held.threads)
    model.fit(held.matrix, show_progress=False)
    lists = _lists(model, held)
    return time.perf_counter() - begun, lists


def evaluation(held, *, seed, dim):
    """Return seconds of all lists by vectors at random; no metrics are computed."""
    stream = np.random.default_rng(seed)
    model = AlternatingLeastSquares(factors=dim, num_threads=held.threads)
    model.user_factors = stream.standard_normal((held.data.n_users, dim)).astype(np.float32)
    model.item_factors = stream.standard_normal((held.data.n_items, dim)).astype(np.float32)
    begun = time.perf_counter()
    _lists(model, held)
    return time.perf_counter() - begun, None


TASKS = {"bpr": bpr, "ials": ials, "item_knn": item_knn, "evaluation": evaluation}
