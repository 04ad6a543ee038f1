"""What a run takes of the machine: threads, device, memory."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from recbench.errors import ConfigError

KEPT_BYTES, KEPT_BLOCK_BYTES = 2**28, 2**26
"""Freed memory that is kept for the next time at most, and the largest block that is taken from it."""

_TOPOLOGY = Path("/sys/devices/system/cpu")
_CONTROL_GROUPS, _CONTROLLERS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # As in glibc's malloc.h.


def resolve_device(name: str) -> torch.device:
    """Return the device that ``name`` means; ``auto`` is CUDA where there is one.

    Raises:
        ConfigError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device = {name!r}: should be auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"device = {name!r}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def available_cores() -> int:
    """Return the number of cores that this process may use: ``OMP_NUM_THREADS`` where it is set, else all it can.

    Two processors that are threads of one core count once, where the system tells.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return int(os.environ["OMP_NUM_THREADS"])
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    siblings = [_TOPOLOGY / f"cpu{processor}" / "topology" / "thread_siblings_list" for processor in processors]
    if not all(path.exists() for path in siblings):
        return len(processors)
    return len({path.read_text().strip() for path in siblings})


def keep_freed_blocks() -> None:
    """Let the C library keep freed memory instead of giving it back to the system at once.

    A batch or a block of scores takes megabytes, which glibc takes from the system and gives back each time: to be
    handed out anew, every page of it is cleaned first, which takes up to half the time of a training step. There is no
    way back; without glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)


@contextmanager
def torch_settings(threads: int | None, device: torch.device) -> Iterator[None]:
    """Compute deterministically and on a fixed number of threads while inside; what was set before comes back.

    Freed memory is kept, then and later; see ``keep_freed_blocks``.

    Args:
        threads: Number of threads; None takes all cores that the process may use.
        device: Where the run computes.
    """
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    # An attribute that torch's own types do not know.
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_freed_blocks()
    n_threads = threads or available_cores()
    torch.set_num_threads(n_threads)
    # Does the same as use_deterministic_algorithms, which loads torch's compiler too, and that takes a second.
    torch.set_deterministic_debug_mode("error")
    # Every new tensor would be filled with NaN first, which costs a training step up to a third of its time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        # What NumPy and SciPy compute with has threads of its own.
        with threadpool_limits(n_threads, "blas"):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring peak memory anew, where the system allows it (else the peak is the process's own)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists() and os.access(clear, os.W_OK):
        clear.write_text("5")


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of the process's resident memory, and of the CUDA device's where one is used."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = _kibibytes(status)["VmHWM"]
    else:
        # Kibibytes on Linux, bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak + (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0)


def free_memory_bytes(device: torch.device) -> int | None:
    """Return the memory that the process can still have on ``device``, or None where the system does not tell.

    That is what the machine has available, or less where the process has a limit (``RLIMIT_AS``, ``RLIMIT_DATA``), or
    a control group that it is in, as containers and batch systems have it.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine, own = Path("/proc/meminfo"), Path("/proc/self/status")
    if not machine.exists() or not own.exists():
        return None
    available, used = _kibibytes(machine), _kibibytes(own)
    free = [available["MemAvailable"]]
    for limit, taken in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            free.append(max(0, most - used[taken]))
    return min([*free, *_left_by_control_groups()])


def _left_by_control_groups() -> Iterator[int]:
    """Yield the memory that each control group of the process, and each around it, leaves to it.

    What a group holds of files that nobody has read for long is given back before its limit is felt: it counts as free.
    Source: the kernel's documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
    """
    for line in _CONTROL_GROUPS.read_text().splitlines() if _CONTROL_GROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, taken, idle = _CONTROLLERS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, idle = _CONTROLLERS / "memory", "total_inactive_file"
            limit, taken = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own = root / path.lstrip("/")
        # In a container the path may be the host's: what is there of it counts.
        for group in (own, *own.parents):
            if (group / limit).exists() and group.is_relative_to(root):
                most = (group / limit).read_text().strip()
                if most != "max":
                    held = dict(entry.split() for entry in (group / "memory.stat").read_text().splitlines())
                    yield max(0, int(most) - int((group / taken).read_text()) + int(held.get(idle, 0)))


def _kibibytes(file: Path) -> dict[str, int]:
    """Return the sizes in ``file``, lines such as ``VmHWM:  1024 kB``, in bytes."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory could not be had.

    For the CPU torch has no type of its own for it: it raises a plain ``RuntimeError``.
    """
    told = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory", "std::bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in told)
