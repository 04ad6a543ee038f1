"""The worker processes of a comparison, asked in turn."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarking.quality import quality
from recbench.__main__ import WAITING

_WORKER = Path(__file__).with_name("worker.py")
_LAST_LINES = 12
PAUSE = 0.5
"""Seconds before a side is asked: threads that another's library keeps spinning (MKL's, for 0.2) are asleep by then."""


@dataclass
class Measured:
    """What a system came to.

    Attributes:
        seconds: One a repeat; the round that warms up is not among them.
        qualities: Metric to its value a repeat, each with a seed of its own.
        start: Resident bytes of the process at most before it read the data.
        peak: Resident bytes of the process at most, its libraries and the data included.
        parameters: Bytes of the model; 0 where the system does not say.
        repeats: Whether the first seed gave the same lists to the last item when it was run again; None where no lists
            are given.
    """

    seconds: list[float] = field(default_factory=list)
    qualities: dict[str, list[float]] = field(default_factory=dict)
    start: int = 0
    peak: int = 0
    parameters: int = 0
    repeats: bool | None = None


class Side:
    """One system on one data set, in a process of its own."""

    def __init__(self, system: str, python: Path, data: Path, threads: int, folder: Path) -> None:
        """Start the process.

        Args:
            system: Name in ``of_NAME.py``.
            python: Interpreter of its environment.
            data: File of ``data.make``.
            threads: Of the system.
            folder: What the process says on standard error is kept here, and what the system writes of its own accord.
        """
        self.system, self.data = system, data
        folder.mkdir(parents=True, exist_ok=True)
        self.errors = folder / f"{system}-{data.stem}.txt"
        # Only what it cannot do without: a peer's own defaults for threads would differ.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        if system == "recbench":
            environment |= WAITING  # As its command does.
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [python, _WORKER, system, data, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=environment,
            )

    def ask(self, task: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[np.int32] | None]:
        """Return what it measured, and its lists.

        Raises:
            RuntimeError: The process has ended; the message has the last lines that it said.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lists.npy"
            # A process that has ended reads nothing: that it answers nothing says so too.
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps({"task": task, "options": options, "lists": str(path)}) + "\n")
                self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(self._last_words(task))
            answer = json.loads(line)
            return answer, np.load(path) if answer["lists"] else None

    def _last_words(self, task: str) -> str:
        status = self.process.wait()
        said = self.errors.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        head = f"{self.system} ended with status {status} in the task {task!r}; the last lines of {self.errors}:"
        return "\n".join([head, *(f"  {line}" for line in said)])

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def measure(sides: Mapping[str, Side], task: str, options: Mapping[str, Any], repeats: int) -> dict[str, Measured]:
    """Return what each side measured, asked in turn: A B A B.

    Args:
        sides: System to its process.
        task: Function of the workers.
        options: System to its options.
        repeats: Rounds, after one that warms up.
    """
    measured = {system: Measured() for system in sides}
    first: dict[str, NDArray[np.int32] | None] = {}
    for repeat in range(-1, repeats):
        for system, side in sides.items():
            seed = max(repeat, 0)
            time.sleep(PAUSE)
            answer, lists = side.ask(task, {**options[system], "seed": seed})
            found = measured[system]
            if repeat < 0:
                first[system] = lists
                continue
            found.seconds.append(answer["seconds"])
            found.start, found.parameters = answer["start"], answer["parameters"]
            found.peak = max(found.peak, answer["peak"])
            if lists is not None:
                for name, value in quality(side.data, lists).items():
                    found.qualities.setdefault(name, []).append(value)
                before = first[system]
                if repeat == 0 and before is not None:
                    found.repeats = bool(np.array_equal(lists, before))
    return measured


def slopes(n: Sequence[int], values: Sequence[float]) -> float:
    """Return the exponent of growth: the slope of log ``values`` over log ``n`` by least squares."""
    return float(np.polyfit(np.log(n), np.log(values), 1)[0])
