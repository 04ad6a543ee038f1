"""A process that holds one system and one data set, and does a task whenever it is asked to.

    python worker.py SYSTEM DATA.npz THREADS

It reads a line of JSON, ``{"task": ..., "options": {...}, "lists": PATH or null}``, and answers one: ``seconds`` of
what the task measures, ``peak`` resident bytes of the process, and lists of 20 items a user in PATH where it gives any.
"""

import contextlib
import importlib
import json
import resource
import sys
from pathlib import Path

import numpy as np


class Data:
    """What is in a file of ``data.make``, and the training part as a sparse matrix."""

    def __init__(self, path):
        """Read the file."""
        self.path = Path(path)
        with np.load(path) as file:
            for name in file.files:
                setattr(self, name, file[name])
        self.n_users, self.n_items = int(self.n_users), int(self.n_items)

    def matrix(self, dtype=np.float32):
        """Return the training part, (users, items) in CSR."""
        from scipy.sparse import csr_matrix

        values = np.ones(len(self.users), dtype)
        return csr_matrix((values, (self.users, self.items)), (self.n_users, self.n_items))


def main():
    """Answer until the input ends."""
    system, path, threads = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    module = importlib.import_module(f"of_{system}")
    held = module.begin(Data(path), int(threads))
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            seconds, lists = module.TASKS[asked["task"]](held, **asked["options"])
        if asked["lists"] is not None and lists is not None:
            np.save(asked["lists"], np.asarray(lists, np.int32))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answers.write(json.dumps({"seconds": seconds, "peak": peak, "lists": lists is not None}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
