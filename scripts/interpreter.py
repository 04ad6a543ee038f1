"""Which Python a script runs with."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def with_recbench() -> None:
    """Begin the script again with the environment of ``scripts/setup``, where this Python lacks what recbench needs.

    Raises:
        SystemExit: There is no such environment.
    """
    if importlib.util.find_spec("torch") is not None:
        return
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists() or Path(sys.executable) == python:
        raise SystemExit(f"error: {sys.executable} lacks what recbench needs. Type scripts/setup first.")
    os.execv(python, [str(python), *sys.argv])
