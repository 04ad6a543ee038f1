"""What recbench raises when a caller, a file or a model is at fault."""

from __future__ import annotations


class ConfigError(ValueError):
    """An option or a name is wrong. The message names it, its value and what is allowed."""


class DataError(ValueError):
    """A file or a table is wrong. The message names the file, the line, the value and what is allowed."""


class BadRowError(DataError):
    """A row of a file is not what its columns should hold."""


class EmptyDatasetError(DataError):
    """No interaction is left. The message gives the counts after each step."""


class NonFiniteScoresError(ArithmeticError):
    """A model returned NaN or an infinity as a score. The message names the model and counts them."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite. The message names epoch, step and learning rate."""


class RunError(RuntimeError):
    """A run folder cannot be used: it is missing, unfinished, occupied, or does not fit the data."""


class StorageError(RunError):
    """A file cannot be written: the disk is full, or the folder forbids it. What was there before stays."""
