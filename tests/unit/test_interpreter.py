"""scripts/interpreter.py: scripts that any Python begins go on with the one that has what recbench needs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def begun(tmp_path):
    """Return what becomes of a script in a checkout of its own, begun by a Python without packages."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPTS / "interpreter.py", tmp_path / "scripts")
    script = tmp_path / "scripts" / "script"
    script.write_text("from interpreter import with_recbench\nwith_recbench()\nprint('goes on')\n")

    def begin(*words):
        command = [sys.executable, *words, str(script), "a word", "--flag"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent, timeout=60)

    return begin


def environment(folder, text):
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)


def test_a_python_with_all_goes_on(begun, tmp_path):
    environment(tmp_path, "echo another")
    assert begun().stdout == "goes on\n"


def test_a_python_without_hands_over_to_the_environment(begun, tmp_path):
    environment(tmp_path, 'echo "$2, $3"')
    assert begun("-S").stdout == "a word, --flag\n"


def test_where_there_is_no_environment_it_says_how_to_make_one(begun):
    ended = begun("-S")
    told = f"error: {sys.executable} lacks what recbench needs. Type scripts/setup first.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)


def test_an_environment_that_lacks_it_too_ends(begun, tmp_path):
    environment(tmp_path, f'exec "{sys.executable}" -S "$@"')
    ended = begun("-S")
    assert ended.returncode == 1 and ended.stderr.endswith("Type scripts/setup first.\n")
