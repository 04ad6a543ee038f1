"""Signals that ask a process to stop: at once, or where what is done so far can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


class Interrupts:
    """Lets the first SIGINT or SIGTERM wait while work is between two places where it can stop; a second never waits.

    What is raised is ``KeyboardInterrupt``, or for SIGTERM ``Terminated``.
    """

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._asked: int | None = None
        self._postponed = False

    @property
    def asked(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._asked is not None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Answer the signals while inside; what answered them before does so again afterwards.

        A signal that is ignored stays so, as in a process that was started by ``nohup`` or in the background.
        Outside the main thread, where Python answers no signals, nothing changes.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
        for number in before:
            signal.signal(number, self._answer)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Let the first signal wait while inside for the next ``stop_if_asked``."""
        self._postponed = True
        try:
            yield
        finally:
            self._postponed = False

    def stop_if_asked(self) -> None:
        """Raise where somebody has asked to stop."""
        if self._asked is not None:
            self._raise(self._asked)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        first, self._asked = self._asked is None, number
        if not (first and self._postponed):
            self._raise(number)

    @staticmethod
    def _raise(number: int) -> None:
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
