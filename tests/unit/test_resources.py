"""What a run takes of the machine."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

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


def group(folder, most, taken, idle, old=False):
    """Write what the kernel tells of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
    for name, value in zip(names, (most, taken)):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{'total_' if old else ''}inactive_file {idle}\n")


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Give a folder in place of the kernel's, and a function that says which groups the process is in."""
    monkeypatch.setattr(resources, "_CONTROLLERS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "_CONTROL_GROUPS", tmp_path / "own")
    return tmp_path / "cgroup", (tmp_path / "own").write_text


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
@pytest.mark.parametrize("old", [False, True], ids=["v2", "v1"])
def test_a_control_group_leaves_less(groups, old):
    """1,000 at most, 700 taken, of these 50 idle: 350 are left; the group around it leaves 90."""
    folder, told = groups
    told("9:name=systemd:/\n4:cpu,memory:/jobs/one\n" if old else "0::/jobs/one\n")
    folder = folder / "memory" if old else folder
    assert resources.free_memory_bytes(torch.device("cpu")) > 1000
    group(folder / "jobs" / "one", 1000, 700, 50, old)
    assert resources.free_memory_bytes(torch.device("cpu")) == 350
    group(folder / "jobs", 2000, 1910, 0, old)
    assert resources.free_memory_bytes(torch.device("cpu")) == 90
    group(folder / "jobs", 2000, 2100, 0, old)
    assert resources.free_memory_bytes(torch.device("cpu")) == 0


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_a_control_group_without_a_limit_leaves_all(groups):
    folder, told = groups
    told("0::/jobs/one\n")
    group(folder / "jobs" / "one", "max", 700, 50)
    assert resources.free_memory_bytes(torch.device("cpu")) > 2**20


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_in_a_container_the_group_is_the_root(groups):
    """The path is the host's and is not there; the limit stands at the root."""
    folder, told = groups
    told("0::/docker/abc\n")
    group(folder, 1000, 700, 0)
    assert resources.free_memory_bytes(torch.device("cpu")) == 300
