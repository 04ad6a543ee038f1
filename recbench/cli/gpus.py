"""The GPUs of a machine, shared out among the jobs that run on it at once: one each, while there are enough."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from filelock import FileLock, Timeout

from recbench.data.cache import cache_path

_SHARED = ("auto", "cuda")
"""Values of ``device`` that leave open which GPU it is."""


@contextmanager
def gpu_of_its_own(device: str) -> Iterator[None]:
    """Let PyTorch compute, while inside, on the GPU that the fewest other jobs of this user have at the moment.

    Which of them it is is no part of a run's identity: it is called ``cuda``. Nothing happens where ``device`` names
    one or none, or where there are fewer than two.

    Args:
        device: The option of the run.
    """
    n_gpus = torch.cuda.device_count() if device in _SHARED else 0
    if n_gpus < 2:
        yield
        return
    gpu, lock = _take(_names(n_gpus))
    torch.cuda.set_device(gpu)
    try:
        yield
    finally:
        lock.release()


def _names(n_gpus: int) -> list[str]:
    """Return what the GPUs are called among all of the machine, which this process may see a part of."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:n_gpus] if visible else [str(gpu) for gpu in range(n_gpus)]


def _take(names: list[str]) -> tuple[int, FileLock]:
    """Return the place of a GPU and the lock that is now held on it: a first job on each, then a second, and so on."""
    folder = cache_path() / "gpus" / (platform.node() or "here")
    folder.mkdir(parents=True, exist_ok=True)
    place = 0
    while True:
        nth, gpu = divmod(place, len(names))
        lock = FileLock(folder / f"{names[gpu]}-{nth}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            place += 1
        else:
            return gpu, lock
