"""Where a run was made: versions, machine, and the state of the code under version control."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from recbench import __version__

_SOURCES = Path(__file__).resolve().parent
_DISTRIBUTIONS = (
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "pydantic",
    "hydra-core",
    "omegaconf",
    "tensorboard",
)
_OPTIONAL = ("numba", "llvmlite")


def environment() -> dict[str, Any]:
    """Return plain values: what the interpreter, the packages, the machine and the sources are."""
    versions = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    versions |= {name: importlib.metadata.version(name) for name in _OPTIONAL if importlib.util.find_spec(name)}
    return {
        "versions": {"python": platform.python_version(), "recbench": __version__, **versions},
        "git": {"recbench": _recbench_checkout(), "working_folder": git_state(Path.cwd())},
        "host": platform.node(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "working_folder": str(Path.cwd()),
        "argv": sys.argv,
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit that is checked out in ``folder``, and whether tracked files differ from it.

    None where ``folder`` is not in a git work tree, where it has no commit yet, or where there is no git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": _git(folder, "status", "--porcelain", "--untracked-files=no") != ""}


def _recbench_checkout() -> dict[str, Any] | None:
    """Return the state of the checkout that recbench runs from; None where it was installed as a wheel."""
    top = _git(_SOURCES, "rev-parse", "--show-toplevel")
    return git_state(_SOURCES) if top is not None and Path(top) == _SOURCES.parent else None


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
