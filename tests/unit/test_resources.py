"""What a run takes of the machine."""

import ctypes
import os
import subprocess
import sys

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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_memory_that_was_freed_is_used_again_without_the_system():
    code = """
import resource, torch
from recbench.resources import torch_settings

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with torch_settings(1, torch.device("cpu")):
    print([faults() for _ in range(20)][-1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # of 32 MiB, which are 8,192 pages
