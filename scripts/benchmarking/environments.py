"""A virtual environment for each peer, since what they need cannot live together."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("implicit", "cornac", "recbole", "lenskit")


def python_of(system: str, folder: Path) -> Path:
    """Return the interpreter of ``system``, whose environment is made in ``folder`` where it is not there.

    Raises:
        SystemExit: The packages cannot be installed.
    """
    if system == "recbench":
        return Path(sys.executable)
    wanted = (REQUIREMENTS / f"{system}.txt").read_text()
    home = folder / system
    stamp, python = home / "installed.txt", home / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        print(f"installing {' '.join(wanted.split())} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS / f"{system}.txt"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"error: {system} cannot be installed:\n{done.stderr}")
        stamp.write_text(wanted)
    return python
