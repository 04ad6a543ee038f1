"""Log lines: each names the run that it is about. Nothing here touches the root logger."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar

from tqdm import tqdm

from recbench.redaction import redacted_text
from recbench.text import printable_lines

ROOT = logging.getLogger("recbench")

run_name: ContextVar[str] = ContextVar("run_name", default="")
"""The run that lines are about at the moment; empty outside of runs."""


def name_the_run(record: logging.LogRecord) -> bool:
    """Give ``record`` the attribute ``run``, ``"[mf-3f2a91c0] "`` or empty; a filter that lets everything pass."""
    name = run_name.get()
    record.run = f"[{name}] " if name else ""
    return True


def configure_console(quiet: bool) -> None:
    """Show the lines of recbench on standard error, once; for programs, a library leaves this to its user.

    Args:
        quiet: Whether to show only warnings and errors.
    """
    for handler in [handler for handler in ROOT.handlers if isinstance(handler, _Console)]:
        ROOT.removeHandler(handler)
    console = _Console(logging.WARNING if quiet else logging.INFO)
    console.addFilter(name_the_run)
    console.setFormatter(_ConsoleFormatter("%(run)s%(message)s"))
    ROOT.addHandler(console)
    ROOT.setLevel(logging.INFO)
    ROOT.propagate = False


class RunFormatter(logging.Formatter):
    """Lines of a run's own log: with their time in UTC, and without secrets."""

    def __init__(self) -> None:
        """Set the form."""
        super().__init__("%(asctime)s %(levelname)s %(run)s%(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        return redacted_text(super().format(record))


class _Console(logging.Handler):
    """Standard error as it is at the time, with progress bars kept below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _ConsoleFormatter(logging.Formatter):
    """Lines that say so where they are more than information."""

    def format(self, record: logging.LogRecord) -> str:
        line = printable_lines(super().format(record))
        return line if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {line}"
