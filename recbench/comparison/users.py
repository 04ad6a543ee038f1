"""The values of each user that runs keep, averaged over the seeds of a row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbench.comparison.rows import Row
from recbench.errors import RunError
from recbench.per_user import PER_USER, USERS, read_per_user

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Users:
    """What R rows of a comparison have of U test users.

    Attributes:
        values: Metric to (R, U) float64, means over seeds; NaN where a row, or a user in it, has none.
        n_train: (U,) int64, training interactions of each user; None where a run does not keep them.
    """

    values: Mapping[str, np.ndarray]
    n_train: np.ndarray | None


def read_users(rows: Sequence[Row]) -> Users | None:
    """Return the users' values in the runs of ``rows``; None where no run keeps any.

    A row of which a run keeps none has NaN, and a warning says so.

    Raises:
        RunError: A file cannot be read, or the runs have other users.
    """
    tables: list[list[pd.DataFrame]] = []
    for row in rows:
        missing = [run for run in row.runs if not Path(run, PER_USER).is_file()]
        if missing and row.metrics:
            logger.warning("%s: has no %s, so %r gets no interval and no test.", missing[0], PER_USER, row.label)
        tables.append([] if missing else [read_per_user(Path(run, PER_USER)) for run in row.runs])
    named = [(run, table) for row, found in zip(rows, tables) for run, table in zip(row.runs, found)]
    if not named:
        return None
    _refuse_other_users(named)
    users = named[0][1].index
    nothing = np.full(len(users), np.nan)
    names = dict.fromkeys(name for _, table in named for name in table.columns)
    values = {
        name: np.stack([_mean_over_seeds([table.get(name) for table in found], nothing) for found in tables])
        for name in names
    }
    return Users(values, _n_train([run for run, _ in named], users))


def _mean_over_seeds(columns: Sequence[pd.Series | None], nothing: np.ndarray) -> np.ndarray:
    """Return the mean (U,) of the values with each seed; NaN for a user for whom one of them has none."""
    known = [column.to_numpy(dtype=np.float64) for column in columns if column is not None]
    return np.mean(known, axis=0) if known and len(known) == len(columns) else nothing


def _refuse_other_users(named: Sequence[tuple[str, pd.DataFrame]]) -> None:
    first, of_first = named[0]
    for run, table in named[1:]:
        if not table.index.equals(of_first.index):
            raise RunError(
                f"{first} and {run} do not belong in one table, since their test users differ: {PER_USER} has "
                f"{len(of_first):,} and {len(table):,}, of whom {len(of_first.index.intersection(table.index)):,} are "
                "the same. One of the files was altered."
            )


def _n_train(runs: Sequence[str], users: pd.Index) -> np.ndarray | None:
    """Return the number of training interactions of ``users`` from the first run that keeps them: all have one split.

    Raises:
        RunError: They are of other users.
    """
    path = next((path for path in (Path(run, USERS) for run in runs) if path.is_file()), None)
    if path is None:
        logger.info("%s: has no %s, as runs of earlier versions: there are no groups of users.", runs[0], USERS)
        return None
    table = read_per_user(path)
    if not table.index.equals(users) or "n_train" not in table:
        raise RunError(f"{path}: is not of the users of {PER_USER}; one of them was altered. Run the experiment again.")
    return table["n_train"].to_numpy(dtype=np.int64)
