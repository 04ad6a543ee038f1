"""What a run takes of the machine."""

import os

import pytest
import torch
from threadpoolctl import threadpool_info

from recbench import resources
from recbench.resources import available_cores, torch_settings


@pytest.mark.parametrize(
    ("siblings", "cores"),
    [({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, 2), ({0: "0", 1: "1", 2: "2", 3: "3"}, 4), ({0: "0,2", 2: "0,2"}, 4)],
    ids=["two threads a core", "one thread a core", "not told of all"],
)
def test_threads_of_one_core_count_once(monkeypatch, tmp_path, siblings, cores):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(resources, "_TOPOLOGY", tmp_path)
    for processor, text in siblings.items():
        (tmp_path / f"cpu{processor}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{processor}" / "topology" / "thread_siblings_list").write_text(f"{text}\n")
    assert available_cores() == cores


def test_blas_computes_on_the_threads_of_the_run():
    def blas():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = blas(), torch.get_num_threads()
    for threads in (2, 1):
        with torch_settings(threads, torch.device("cpu")):
            assert (blas(), torch.get_num_threads()) == ({threads}, threads)
    assert (blas(), torch.get_num_threads()) == before
