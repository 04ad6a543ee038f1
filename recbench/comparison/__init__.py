"""Finished runs compared: rows, what their users' values say about them, and how they are shown."""

from recbench.comparison.analysis import warnings, with_statistics
from recbench.comparison.belonging import setting
from recbench.comparison.render import Format, render
from recbench.comparison.rows import Row, Spread, compare, read_results, unfinished

__all__ = [
    "Format",
    "Row",
    "Spread",
    "compare",
    "read_results",
    "render",
    "setting",
    "unfinished",
    "warnings",
    "with_statistics",
]
