"""What the README says is typed as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
LINES = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("recbench ") and "compare" not in line]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "examples" / "plugin")}


def test_there_is_something_to_type():
    assert len(PYTHON) == 2 and len(COMMANDS) >= 7


@pytest.mark.parametrize("block", PYTHON)
def test_python_runs(block, tmp_path):
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line, tmp_path):
    """Runs, and published tables, are only resolved; the quick start and the wheel's test run them for good."""
    words = shlex.split(line, comments=True)[1:]
    rows = [f"{user},{item},{1 + (user * item) % 5}\n" for user in range(12) for item in range(user % 3, 12)]
    (tmp_path / "ratings.csv").write_text("customer,article,rating\n" + "".join(rows))
    if words[0] == "run":
        words.insert(1, "--dry-run")
    if words[0] == "reproduce":
        words.insert(1, "--show")
    if "circle" in line:
        words += ["--plugin", "recbench_example"]
    done = subprocess.run(
        [sys.executable, "-m", "recbench", *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    # This file needs its columns named, as the check says.
    assert done.returncode == (2 if line.startswith("recbench data check") else 0), done.stderr


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
