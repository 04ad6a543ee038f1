"""What LensKit does in the comparison."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.data import from_interactions_df
from lenskit.knn import EASEScorer


@dataclass
class Held:
    """The data, and as LensKit has it."""

    data: object
    train: object


def begin(data, threads):
    """Return what the tasks take."""
    from lenskit.parallel import init_threading

    init_threading(processes=1, threads=threads, backend_threads=threads)
    frame = pd.DataFrame({"user_id": data.users, "item_id": data.items})
    return Held(data, from_interactions_df(frame))


def ials(held, *, seed, epochs, dim, reg, weight, exact):
    """Return seconds an iteration by exact solutions; its lists are not taken, since LensKit scores user by user."""
    from lenskit.training import TrainingOptions

    model = ImplicitMFScorer(embedding_size=dim, epochs=epochs, regularization=reg, weight=weight)
    begun = time.perf_counter()
    model.train(held.train, TrainingOptions(rng=np.random.default_rng(seed)))
    return (time.perf_counter() - begun) / epochs, None


def ease(held, *, seed, reg):
    """Return seconds of fitting."""
    model = EASEScorer(regularization=reg)
    begun = time.perf_counter()
    model.train(held.train)
    return time.perf_counter() - begun, None


TASKS = {"ials": ials, "ease": ease}
