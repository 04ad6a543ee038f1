"""Log lines: each names the run that it is about. Nothing here touches the root logger."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

from tqdm import tqdm

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


class _Console(logging.Handler):
    """Standard error as it is at the time, with progress bars kept below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _ConsoleFormatter(logging.Formatter):
    """Lines that say so where they are more than information."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {line}"
