"""Data of the size of the largest MovieLens loads within a hard limit of memory."""

import os
import subprocess
import sys

import numpy as np
import pytest

N_ROWS, N_USERS, N_ITEMS = 25_000_000, 162_541, 59_047
TIMES_ITS_SIZE = 6

LOAD = """
import os, resource, sys
path, times = sys.argv[1], int(sys.argv[2])
limit = times * os.path.getsize(path)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
from recbench import datasets
data = datasets.build("files", interactions=path).load()
read, cleaned = data.provenance
assert len(data) == cleaned.after.n_interactions
print(read.after.n_interactions, data.n_users, data.n_items)
"""


def write(path):
    """Write random ratings block by block."""
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(b"user,item,rating,timestamp\n")
        for _ in range(0, N_ROWS, 1_000_000):
            columns = (
                generator.integers(1, N_USERS + 1, 1_000_000),
                generator.integers(1, N_ITEMS + 1, 1_000_000),
                generator.integers(1, 11, 1_000_000) / 2,
                generator.integers(10**9, 2**30, 1_000_000),
            )
            first, *others = (column.astype("S10") for column in columns)
            for column in others:
                first = np.strings.add(np.strings.add(first, b","), column)
            file.write(b"\n".join(first.tolist()) + b"\n")


@pytest.mark.slow
def test_25_million_rows_load_under_6_times_their_size(tmp_path):
    path = tmp_path / "ratings.csv"
    try:
        write(path)
        environment = {**os.environ, "RECBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(path), str(TIMES_ITS_SIZE)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.returncode) == (f"{N_ROWS} {N_USERS} {N_ITEMS}\n", 0), done.stderr
    finally:
        path.unlink()
