"""What a run keeps of each test user: the values of the metrics, and how much training has of the user."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbench.data import Interactions
from recbench.errors import RunError
from recbench.evaluation import Report
from recbench.files import replacing

PER_USER, USERS = "per_user.csv.gz", "users.csv.gz"


def write_per_user(folder: Path, report: Report, train: Interactions) -> None:
    """Write both files, one row a user; the same values give the same bytes.

    Args:
        folder: The run's.
        report: Of the test part.
        train: What the model was fitted on.

    Raises:
        StorageError: They cannot be written.
    """
    users = train.user_vocabulary.names(report.users.numpy())
    _write(folder / PER_USER, {"user": users, **report.per_user})
    _write(folder / USERS, {"user": users, "n_train": train.histories.counts[report.users]})


def read_per_user(path: Path) -> pd.DataFrame:
    """Return the numbers of one of the files, with the published ids as index; an empty field is NaN.

    Raises:
        RunError: It cannot be read, or is no such table.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            # An id may look like a missing value, and must stay.
            names = pd.read_csv(file, nrows=0, index_col=False).columns
            file.seek(0)
            numbers = {name: [""] for name in names if name != "user"}
            table = pd.read_csv(
                file,
                dtype={"user": str} | dict.fromkeys(numbers, float),
                keep_default_na=False,
                na_values=numbers,
                index_col=False,
            )
        return table.set_index("user")
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise RunError(f"{path}: cannot be read ({reason}).") from None


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    table = pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
    with replacing(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(table.to_csv(index=False, lineterminator="\n").encode())
