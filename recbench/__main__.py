"""The command ``recbench``, and ``python -m recbench``: one process from its start to its end."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from recbench.cli import main

WAITING = {"GOMP_SPINCOUNT": "2000"}
"""How often a thread of GNU's OpenMP, by which torch computes, looks for work before it sleeps.

Where nothing is said it looks for some milliseconds: meanwhile no other loop, compiled or of another
process, has its core. A step of training takes as long either way on an idle machine, and less than half as long on a
busy one.
"""


def command() -> NoReturn:
    """Do what was typed, and end the process with the exit code.

    What waits for the end (``atexit``) is done and all output is written. That Python then takes apart every object of
    every library, which takes it over half a second with torch, is left out; not where threads are at work that
    Python would wait for.
    """
    # Read when the library is loaded, which nothing so far has done.
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
    code = main()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
