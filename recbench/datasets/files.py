"""The user's own files: one table of interactions, or a split that is taken as it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import Field, field_validator, model_validator

from recbench.data import TEST, TRAIN, VALID
from recbench.data.reader import DELIMITERS, Layout, read_delimited
from recbench.datasets import Card, Dataset, DatasetConfig, Tables, register
from recbench.errors import DataError

logger = logging.getLogger(__name__)

Column = str | int | None
_BY_SUFFIX = {".csv": ",", ".tsv": "\t"}
_QUOTED = (",", ";")
_OPTIONAL = ("rating", "timestamp")


class FilesConfig(DatasetConfig):
    """Options of the user's own files."""

    interactions: str | None = None
    """The file with all interactions, to be split by the chosen split."""

    train: str | None = None
    """The training file of a split that is taken as it is (``split=fixed``)."""

    valid: str | None = None
    """The validation file of that split; may be missing."""

    test: str | None = None
    """The test file of that split."""

    user: Column = None
    """Column of the user ids: a name in the header, or a position from 0. Null: ``user``, or 0 without header."""

    item: Column = None
    """Column of the item ids. Null: ``item``, or 1 without header."""

    rating: Column = None
    """Column of the ratings. Null: ``rating``, or 2 without header, where the file has it for nothing else."""

    timestamp: Column = None
    """Column of the timestamps, whole seconds. Null: ``timestamp``, or 3 without header, alike."""

    delimiter: str | None = Field(None, min_length=1)
    """Between fields: comma, tab, semicolon, pipe, space, or the characters. Null: by suffix, .csv or .tsv."""

    header: bool = True
    """Whether the first line names the columns."""

    encoding: str = "utf-8"
    """Encoding of the files, e.g. utf-8 or latin-1."""

    duplicates: Literal["error", "last", "first"] = "last"
    """Which interaction of the same user and item is kept, by time or else by place in the file."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "x".encode(encoding)
        except LookupError:
            raise ValueError("is no encoding that Python knows. Write e.g. utf-8, latin-1 or cp1252.") from None
        return encoding

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = [name for name in ("train", "valid", "test") if getattr(self, name) is not None]
        if self.interactions is not None and parts:
            raise ValueError(
                f"interactions and {' and '.join(parts)} are given together. Name either one file, "
                "dataset.interactions=PATH, or a split, dataset.train=PATH dataset.test=PATH."
            )
        if self.interactions is None and (self.train is None or self.test is None):
            raise ValueError(
                "needs dataset.interactions=PATH, or a split: dataset.train=PATH dataset.test=PATH "
                "[dataset.valid=PATH] with split=fixed."
            )
        for path in self.paths.values():
            if self.delimiter is None and _suffix(path) not in _BY_SUFFIX:
                raise ValueError(
                    f"delimiter: is not known from the name {path!r}, which ends neither in .csv nor in .tsv. "
                    f"Set dataset.delimiter to one of {', '.join(DELIMITERS)}, or to the characters themselves."
                )
        for name in ("user", "item", "rating", "timestamp"):
            column = getattr(self, name)
            if isinstance(column, int) and column < 0:
                raise ValueError(f"{name} = {column}: positions count from 0.")
            if not self.header and isinstance(column, str):
                raise ValueError(
                    f"{name} = {column!r}: without a header (header=false) columns have no names. "
                    "Give the position: 0 is the first."
                )
        return self

    @property
    def paths(self) -> dict[int | None, str]:
        """The files by part; the part is None for the one file with all interactions."""
        if self.interactions is not None:
            return {None: self.interactions}
        named = {TRAIN: self.train, VALID: self.valid, TEST: self.test}
        return {part: path for part, path in named.items() if path is not None}


@register("files", config=FilesConfig)
class Files(Dataset):
    """Your own files: one table of interactions, or training, validation and test files."""

    config: FilesConfig
    card = Card(
        description="The user's own CSV or TSV files, plain or gzip.",
        homepage="",
        licence="the user's own",
        citation="the user's own",
    )

    def read(self) -> Tables:
        """Return the interactions of all files, those of a split with their part."""
        frames = {part: self._read_one(path) for part, path in self.config.paths.items()}
        self._refuse_other_columns(frames)
        for part, frame in frames.items():
            frames[part] = _deduplicated(frame, self.config.duplicates, self.config.paths[part])
            if part is not None:
                frames[part] = frames[part].assign(part=part)
        table = pd.concat(list(frames.values()), ignore_index=True)
        self._refuse_shared_pairs(table)
        return Tables(table)

    def _read_one(self, path: str) -> pd.DataFrame:
        config = self.config
        names = ("user", "item", "rating", "timestamp")
        columns: dict[str, str | int] = {
            name: (name if config.header else place) if getattr(config, name) is None else getattr(config, name)
            for place, name in enumerate(names)
        }
        optional = [name for name in _OPTIONAL if getattr(config, name) is None]
        delimiter = config.delimiter
        delimiter = _BY_SUFFIX[_suffix(path)] if delimiter is None else DELIMITERS.get(delimiter, delimiter)
        layout = Layout(delimiter, config.header, quotes=delimiter in _QUOTED, encoding=config.encoding)
        return read_delimited(Path(path), layout, columns, optional)

    def _refuse_other_columns(self, frames: dict[int | None, pd.DataFrame]) -> None:
        """Refuse a split of which one file has ratings or timestamps and another has not."""
        for name in _OPTIONAL:
            having = [self.config.paths[part] for part, frame in frames.items() if name in frame.columns]
            lacking = [self.config.paths[part] for part, frame in frames.items() if name not in frame.columns]
            if having and lacking:
                raise DataError(
                    f"{lacking[0]}: has no column for the {name}, but {having[0]} has one. "
                    "All files of a split should have the same columns."
                )

    def _refuse_shared_pairs(self, table: pd.DataFrame) -> None:
        """Refuse a split of which two parts share a pair of user and item."""
        shared = table.duplicated(["user", "item"])
        if "part" in table.columns and shared.any():
            pair = table[shared].iloc[0]
            parts = table[(table["user"] == pair["user"]) & (table["item"] == pair["item"])]["part"]
            first, second = (self.config.paths[part] for part in parts[:2])
            raise DataError(
                f"user {pair['user']!r} and item {pair['item']!r} occur in {first} and in {second} "
                f"({int(shared.sum()):,} such pairs): parts of a split should not share interactions. "
                "Remove them from one of the files."
            )


def _suffix(path: str) -> str:
    return Path(path.removesuffix(".gz")).suffix


def _deduplicated(frame: pd.DataFrame, keep: Literal["error", "last", "first"], path: str) -> pd.DataFrame:
    """Return the table with one row a pair of user and item, in order of time or else of the file."""
    twice = frame.duplicated(["user", "item"])
    if not twice.any():
        return frame
    if keep == "error":
        pair = frame[twice].iloc[0]
        raise DataError(
            f"{path}: user {pair['user']!r} and item {pair['item']!r} occur together more than once "
            f"({int(twice.sum()):,} rows too many). Set dataset.duplicates=last or first to keep one of each."
        )
    by_time = frame.sort_values("timestamp", kind="stable") if "timestamp" in frame.columns else frame
    kept = by_time.drop_duplicates(["user", "item"], keep=keep)
    logger.warning(
        "%s: %s of %s rows repeat a pair of user and item; the %s one of each pair is kept.",
        path,
        f"{int(twice.sum()):,}",
        f"{len(frame):,}",
        keep,
    )
    return kept
