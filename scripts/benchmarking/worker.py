"""A process that holds one system and one data set, and does a task whenever it is asked to.

    python worker.py SYSTEM DATA.npz THREADS

It reads a line of JSON, ``{"task": ..., "options": {...}, "lists": PATH or null}``, and answers one: ``seconds`` of
what the task measures, ``start`` and ``peak``, the most resident bytes of the process before it read the data and until
now, ``parameters``, the bytes of the model where the system says so, and lists of 20 items a user in PATH where it
gives any.
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

    def asked(self):
        """Return the users who have something to find."""
        return np.unique(self.test_users)

    def lists(self, scores_of, k=20):
        """Return lists of all users by dense scores, without the items of training.

        Args:
            scores_of: Gives the scores of some users, (users, items), which may be written to.
            k: Items a list.
        """
        seen = self.matrix()
        blocks = np.array_split(np.arange(self.n_users), max(1, self.n_users // 1000))
        return np.concatenate([_best(scores_of(block), seen[block], k) for block in blocks])


def _best(scores, seen, k):
    scores[seen.nonzero()] = -np.inf
    few = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, few, 1), axis=1)
    return np.take_along_axis(few, order, 1)


def _most_resident():
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # What ``getrusage`` tells begins, on Linux, with what the process had that started this one.
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main():
    """Answer until the input ends."""
    system, path, threads = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    module = importlib.import_module(f"of_{system}")
    start = _most_resident()
    held = module.begin(Data(path), int(threads))
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            seconds, lists = module.TASKS[asked["task"]](held, **asked["options"])
        if asked["lists"] is not None and lists is not None:
            np.save(asked["lists"], np.asarray(lists, np.int32))
        answer = {"seconds": seconds, "start": start, "peak": _most_resident(), "lists": lists is not None}
        answers.write(json.dumps({**answer, "parameters": getattr(held, "parameters", 0)}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
