"""What LensKit does in the comparison."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import from_interactions_df
from lenskit.knn import EASEScorer
from lenskit.parallel import initialize
from lenskit.training import TrainingOptions


@dataclass
class Held:
    """The data, and as LensKit has it."""

    data: object
    train: object


def begin(data, threads):
    """Return what the tasks take."""
    initialize(processes=1, threads=threads, backend_threads=threads)
    frame = pd.DataFrame({"user_id": data.users, "item_id": data.items})
    return Held(data, from_interactions_df(frame))


def _rows(vocabulary):
    """Return the row of each of our indices."""
    return vocabulary.numbers(np.arange(len(vocabulary)))


def ials(held, *, seed, epochs, dim, reg, weight, exact):
    """Return seconds an iteration by exact solutions, and lists.

    LensKit scores user by user; the lists are made of its vectors at once, and no time is taken of that.
    """
    # Here ``weight`` is what an observed pair has beyond that of all others.
    model = ImplicitMFScorer(embedding_size=dim, epochs=epochs, regularization=reg, weight=weight - 1)
    begun = time.perf_counter()
    model.train(held.train, TrainingOptions(rng=np.random.default_rng(seed)))
    seconds = (time.perf_counter() - begun) / epochs
    users, items = model.user_embeddings[_rows(model.users)], model.item_embeddings[_rows(model.items)]
    return seconds, held.data.lists(lambda some: users[some] @ items.T)


def ease(held, *, seed, reg):
    """Return seconds of fitting, and lists, made as those of ``ials``."""
    model = EASEScorer(regularization=reg)
    begun = time.perf_counter()
    model.train(held.train)
    seconds = time.perf_counter() - begun
    rows = _rows(model.items)
    weights, matrix = model.weights[np.ix_(rows, rows)], held.data.matrix()
    return seconds, held.data.lists(lambda some: np.asarray(matrix[some] @ weights))


TASKS = {"ials": ials, "ease": ease}
