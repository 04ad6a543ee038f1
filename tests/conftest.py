"""What every test has: one thread a worker, a cache of its own, and the real data where it is there."""

import logging
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

DATA = Path(os.environ.get("RECBENCH_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def untouched_log():
    """Leave the logger of recbench as it was: a command line that a test calls shows lines on the console."""
    logger = logging.getLogger("recbench")
    handlers, propagate, level = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep tests out of the user's cache; RECBENCH_CACHE names another one."""
    with pytest.MonkeyPatch.context() as patch:
        if "RECBENCH_CACHE" not in os.environ:
            patch.setenv("RECBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data():
    """Give the folder of published data sets; RECBENCH_TEST_DATA names it."""
    if not DATA.is_dir():
        pytest.skip(f"no published data in {DATA}: set RECBENCH_TEST_DATA to a folder laid out like a mirror.")
    return DATA
