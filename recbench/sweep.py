"""The options of a sweep, ``sweep.*``: they belong to a command, and to no run that it starts."""

from __future__ import annotations

from typing import Literal

from recbench.options import Config


class SweepConfig(Config):
    """How a sweep deals with its jobs; changes no number of a run, and is part of no run's identity."""

    retry: Literal["none", "failed"] = "none"
    """Which jobs that failed or diverged before run again: none, they are left alone and told of; or failed, all of
    them. What was interrupted or killed always goes on."""

    fail_fast: bool = False
    """Whether the first job that fails or diverges ends the sweep: jobs not yet begun are not begun, in workers too."""
