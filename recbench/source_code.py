"""What tells one state of code from another."""

from __future__ import annotations

import hashlib
import importlib
from functools import lru_cache
from pathlib import Path


@lru_cache
def source_code_sha256(package: str) -> str:
    """Return the SHA-256 of all Python sources of a package or module, by its dotted name; once a process.

    What is edited while a process runs does not change what it has imported. What was defined where there is no
    source file, as in a notebook, counts by its name alone.
    """
    module = importlib.import_module(package)
    roots = [Path(root) for root in getattr(module, "__path__", [])]
    files = [(path.relative_to(root).as_posix(), path) for root in roots for path in root.rglob("*.py")]
    if not roots and getattr(module, "__file__", None):
        files = [(package, Path(str(module.__file__)))]
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\x1e".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
