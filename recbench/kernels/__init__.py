"""Loops that numba compiles, on plain arrays: no model, no configuration; the package itself imports no numba."""

from __future__ import annotations

import importlib.util
import sys
from typing import Literal

BackendName = Literal["auto", "torch", "compiled"]
Backend = Literal["torch", "compiled"]


def installed() -> bool:
    """Return whether all is there that the loops need."""
    return all(importlib.util.find_spec(module) is not None for module in ("numba", "threadpoolctl"))


def loaded() -> bool:
    """Return whether numba has been imported, which takes longer than many a small task."""
    return "numba" in sys.modules
