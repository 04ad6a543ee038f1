"""A few kills of real processes; many are for people: ``scripts/kill_harness``."""

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).resolve().parents[2] / "scripts" / "kill_harness"


@pytest.mark.slow
def test_killed_runs_come_to_the_same_bits(tmp_path):
    words = [sys.executable, HARNESS, "--kills", "12", "--seed", "1", "--folder", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(", seed 1: 0 wrong")
