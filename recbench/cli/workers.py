"""Jobs of a sweep in processes of their own, as joblib starts them: how these are asked to stop, and do."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import TypeVar

from recbench.interrupts import Interrupts

Result = TypeVar("Result")


class AsksWorkers(Interrupts):
    """Passes a first signal on to the processes that this one has started, and waits for what they keep and return.

    Where there are none it stops at once, as it does at a second signal.
    """

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            workers = [worker.pid for worker in multiprocessing.active_children() if worker.pid]
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, number)
            if workers:
                print("stopping: what is running ends after its step; once more ends it at once", file=sys.stderr)
                self._postponed = True
        super()._answer(number, frame)


class Worker:
    """This process, where it is one of those: once it was asked to stop it begins nothing more.

    Only the first signal counts. A Ctrl-C comes twice, from the terminal and from the process that started this one,
    and that ends this one where it hears another.
    """

    def __init__(self) -> None:
        """Answer no signals yet."""
        self._interrupts = Interrupts(once=True)
        self._answering = ExitStack()
        self._answers = False
        self._stopped = False

    def do(self, job: Callable[[], Result]) -> Result | None:
        """Return what ``job`` returns, or None where somebody has asked to stop, now or before."""
        if not self._answers:
            self._answering.enter_context(self._interrupts.postponed())
            self._answering.enter_context(self._interrupts.caught())
            self._answers = True
        if not (self._stopped or self._interrupts.asked):
            try:
                return job()
            except KeyboardInterrupt:
                # Raised further it would make joblib end the other workers at once.
                self._stopped = True
        return None
