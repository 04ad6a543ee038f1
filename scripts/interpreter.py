"""Which Python a script runs with."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("torch", "pandas", "hydra")
"""Some of what recbench needs: an environment that it was installed into has them all."""
_BEGUN_AGAIN = "RECBENCH_SCRIPT_BEGUN_AGAIN"


def with_recbench() -> None:
    """Begin the script again with the environment of ``scripts/setup``, where this Python lacks what recbench needs.

    Raises:
        SystemExit: There is no such environment, or it lacks it too.
    """
    again = os.environ.pop(_BEGUN_AGAIN, None)
    if all(importlib.util.find_spec(name) is not None for name in NEEDED):
        return
    python = ROOT / ".venv" / "bin" / "python"
    if again or not python.exists():
        raise SystemExit(f"error: {sys.executable} lacks what recbench needs. Type scripts/setup first.")
    os.execve(python, [str(python), *sys.argv], os.environ | {_BEGUN_AGAIN: "1"})
