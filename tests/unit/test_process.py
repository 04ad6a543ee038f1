"""The process of the command ends quickly, and loses nothing."""

import os
import subprocess
import sys

import pytest


def ended(code, *words):
    """Run the command with words in a process that did ``code`` before; return what became of it."""
    typed = f"import sys\nsys.argv = ['recbench', *{words!r}]\n{code}\nfrom recbench.__main__ import command\ncommand()"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", typed], capture_output=True, text=True, check=False, env=buffered)


AT_EXIT = "import atexit\natexit.register(lambda: print('at the end'))"


@pytest.mark.parametrize("words, code", [(("list", "losses"), 0), (("list", "loses"), 2)])
def test_what_waits_for_the_end_is_done_and_all_is_written(words, code):
    done = ended(AT_EXIT, *words)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == "at the end"
    assert ("bpr" in done.stdout, "Did you mean 'losses'" in done.stderr) == (code == 0, code == 2)


def test_objects_are_not_taken_apart_at_the_end():
    last = "class Last:\n    def __del__(self):\n        print('taken apart')\nlast = Last()"
    assert "taken apart" not in ended(last, "list", "losses").stdout


def test_a_thread_that_nobody_waits_for_does_not_matter():
    last = "class Last:\n    def __del__(self):\n        print('taken apart')\nlast = Last()"
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    done = ended(f"{last}\n{thread}", "list", "losses")
    assert done.returncode == 0
    assert "taken apart" not in done.stdout


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_that_wait_leave_the_cores_to_others(monkeypatch, given, expected):
    """Unless somebody has said how they should wait; it is said before torch is imported."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = (
        "import os, recbench.__main__ as process\n"
        "process.main = lambda: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules) or 0"
    )
    assert ended(code).stdout == f"{expected} False\n"


def test_a_thread_comes_to_its_end():
    thread = "import threading, time\nthreading.Thread(target=lambda: (time.sleep(2), print('from a thread'))).start()"
    done = ended(f"{AT_EXIT}\n{thread}", "--version")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == ["from a thread", "at the end"]
