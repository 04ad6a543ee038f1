"""How many jobs of a sweep the launcher runs at once, and so how many threads each of them has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recbench.resources import available_cores


def threads_of_a_job(launcher: Mapping[str, Any], n_runs: int) -> int | None:
    """Return the threads of each job of a sweep; None where a job has the machine for itself.

    Args:
        launcher: The node ``hydra.launcher``.
        n_runs: All runs of the sweep.
    """
    given = _THREADS.get(str(launcher["_target_"]).rpartition(".")[2])
    return None if given is None else given(launcher, n_runs)


def threads_each(n_runs: int, n_jobs: int | None, n_cores: int) -> int | None:
    """Return the threads of each of several runs at once; None where they run one after the other.

    Args:
        n_runs: All runs of the sweep.
        n_jobs: How many the launcher starts at once: -1 is one a core, -2 one less; None is one.
        n_cores: What there is to share.
    """
    at_once = 1 if n_jobs is None else n_jobs if n_jobs > 0 else n_cores + 1 + n_jobs
    at_once = min(at_once, n_runs)
    return max(1, n_cores // at_once) if at_once > 1 else None


def _joblib(launcher: Mapping[str, Any], n_runs: int) -> int | None:
    return threads_each(n_runs, launcher["n_jobs"], available_cores())


def _submitit_on_this_machine(launcher: Mapping[str, Any], n_runs: int) -> int | None:
    # It starts all of them at once, whatever there is to share.
    return threads_each(n_runs, n_runs, available_cores())


def _submitit_on_slurm(launcher: Mapping[str, Any], n_runs: int) -> int:
    # What a job asks the queue for is its own; without a word it gets one core.
    return launcher["cpus_per_task"] or 1


def _ray(launcher: Mapping[str, Any], n_runs: int) -> int:
    # Ray's own default for a task is one core.
    return max(1, int((launcher["ray"].get("remote") or {}).get("num_cpus") or 1))


_THREADS: Mapping[str, Callable[[Mapping[str, Any], int], int | None]] = {
    "JoblibLauncher": _joblib,
    "LocalLauncher": _submitit_on_this_machine,
    "SlurmLauncher": _submitit_on_slurm,
    "RayLauncher": _ray,
}
"""By the class of the launcher; Hydra's own runs the jobs one after the other."""

EXTRAS: Mapping[str, str] = {"joblib": "sweep", "submitit_local": "slurm", "submitit_slurm": "slurm"}
"""Which extra brings the launcher of each name."""
