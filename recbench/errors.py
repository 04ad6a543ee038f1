"""What recbench raises when a caller, a file or a model is at fault."""

from __future__ import annotations


class ConfigError(ValueError):
    """An option or a name is wrong. The message names it, its value and what is allowed."""


class DataError(ValueError):
    """A file or a table is wrong. The message names the file, the line, the value and what is allowed."""


class BadRowError(DataError):
    """A row of a file is not what its columns should hold."""


class EncodingError(DataError):
    """The bytes of a file are not of the encoding that was to be read.

    Attributes:
        what: The sentence without what to do.
        likely: The encoding that it may be instead.
    """

    def __init__(self, what: str, likely: str) -> None:
        self.what, self.likely = what, likely
        super().__init__(self.told("dataset.encoding"))

    def told(self, option: str) -> str:
        """Return the message where another option sets the encoding."""
        return f"{self.what} Set {option}={self.likely} if the file is written so."


class EmptyDatasetError(DataError):
    """No interaction is left. The message gives the counts after each step."""


class NonFiniteScoresError(ArithmeticError):
    """A model returned NaN or an infinity as a score. The message names the model and counts them."""


class ScoringMemoryError(MemoryError):
    """The memory does not suffice to score the fewest users at a time. The message gives the numbers."""


class DivergedError(ArithmeticError):
    """Training produced a loss that is not finite. The message names epoch, step and learning rate."""


class PrunedError(RuntimeError):
    """A trial of a search was stopped, since it was hopeless. The message says by what."""


class RunError(RuntimeError):
    """A run folder cannot be used: it is missing, unfinished, occupied, or does not fit the data."""


class StorageError(RunError):
    """A file cannot be written: the disk is full, or the folder forbids it. What was there before stays."""
