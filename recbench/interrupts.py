"""Signals that ask a process to stop: at once, or where what is done so far can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, or by SIGUSR1, which clusters send before they end it."""


class Interrupts:
    """Lets a first signal to stop wait while work is between two places where it can stop; a second never waits.

    What is raised is ``KeyboardInterrupt`` for SIGINT, and ``Terminated`` for SIGTERM and SIGUSR1.
    """

    def __init__(self, *, once: bool = False) -> None:
        """Wait for nothing yet.

        Args:
            once: Whether only the first signal counts, since somebody else hears a second one.
        """
        self._once = once
        self._asked: int | None = None
        self._postponed = False

    @property
    def asked(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._asked is not None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Answer the signals while inside; what answered them before does so again afterwards.

        A signal that is ignored stays so, as in a process that was started by ``nohup`` or in the background, and
        SIGUSR1 is left to whoever answers it already, such as a launcher that queues its job anew. Outside the main
        thread, where Python answers no signals, nothing changes. Inside another's ``caught``, what that one was asked
        counts here too, and as often.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: handler for number, handler in before.items() if _is_free(number, handler)}
        for outer in filter(None, map(_whose, before.values())):
            self._once, self._asked = outer._once, outer._asked
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
        first = self._asked is None
        if self._once and not first:
            return
        self._asked = number
        if not (first and self._postponed):
            self._raise(number)

    @staticmethod
    def _raise(number: int) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _is_free(number: int, handler: Any) -> bool:
    """Return whether a signal that ``handler`` answers so far may be answered here."""
    if number == signal.SIGUSR1:
        return handler == signal.SIG_DFL or _whose(handler) is not None
    return bool(handler != signal.SIG_IGN)


def _whose(handler: Any) -> Interrupts | None:
    """Return the ``Interrupts`` whose answer a handler is, if it is one's."""
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, Interrupts) else None
