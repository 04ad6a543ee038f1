"""The user's own files: one table of interactions, or a split that is taken as it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import Field, field_validator, model_validator

from recbench.data import TEST, TRAIN, VALID
from recbench.data.checksums import digest
from recbench.data.feature_config import ColumnConfig, Declared, FeatureConfig, VectorConfig
from recbench.datasets import Card, Dataset, DatasetConfig, Tables, register
from recbench.datasets.published import joined, read_stage
from recbench.errors import BadRowError, DataError, EncodingError
from recbench.formats import (
    DELIMITERS,
    LAYOUTS,
    BadRows,
    Column,
    Kind,
    Layout,
    Read,
    format_of,
    read_delimited,
    read_json_lines,
    read_negatives,
    read_parquet,
    read_user_lists,
)
from recbench.formats.source import archive_of
from recbench.text import shortened

Place = str | int | None
Format = Literal["auto", "csv", "tsv", "dat", "rating", "recbole", "jsonl", "parquet", "user_lists"]

_KINDS: Mapping[str, Kind] = {"user": "id", "item": "id", "rating": "number", "timestamp": "whole"}
_OPTIONAL = ("rating", "timestamp")
_QUOTED = (",", ";")


class FilesConfig(DatasetConfig):
    """Options of the user's own files."""

    interactions: str | None = None
    """The file with all interactions, to be split by the chosen split. Plain, .gz, or in a zip: logs.zip/2024.csv."""

    train: str | None = None
    """The training file of a split that is taken as it is (``split=fixed``)."""

    valid: str | None = None
    """The validation file of that split; may be missing."""

    test: str | None = None
    """The test file of that split."""

    negatives: str | None = None
    """NCF's file of published negatives, ranked with evaluation.candidates=published."""

    users: str | None = None
    """A table that describes the users: a file with a column of their ids, named as in the interactions, and the
    columns that user_columns declares."""

    items: str | None = None
    """A table that describes the items, alike, with item_columns."""

    user_columns: tuple[Declared, ...] = ()
    """What the table of users holds, e.g. [{name: age, kind: numeric, missing: mean, scale: standard}, {name: city,
    kind: categorical}]; kinds: numeric, categorical, multi, text, and vector with a path of its own."""

    item_columns: tuple[Declared, ...] = ()
    """What the table of items holds, e.g. [{name: title, kind: text}, {name: genres, kind: multi, separator: "|"},
    {name: image, kind: vector, path: image.npz}]."""

    format: Format = "auto"
    """How the files are written; auto goes by the suffix: .csv, .tsv, .dat (::), .rating (NCF), .inter (RecBole),
    .jsonl, .parquet. user_lists is one user a line, ``user item item ...``, as LightGCN publishes its splits."""

    user: Place = None
    """Column of the user ids: a name in the header, or a position from 0. Null: ``user``, or 0 without header."""

    item: Place = None
    """Column of the item ids. Null: ``item``, or 1 without header."""

    rating: Place = None
    """Column of the ratings. Null: ``rating``, or 2 without header, where the file has it for nothing else."""

    timestamp: Place = None
    """Column of the timestamps, whole numbers. Null: ``timestamp``, or 3 without header, alike."""

    time: Literal["seconds", "rank"] = "seconds"
    """What the timestamps are: seconds, or the rank within each user, which says nothing across users."""

    delimiter: str | None = Field(None, min_length=1)
    """Between fields: comma, tab, semicolon, pipe, space, or the characters. Null: by the format."""

    header: bool | None = None
    """Whether the first line names the columns. Null: by the format; only .dat and .rating have none."""

    encoding: str = "utf-8"
    """Encoding of the files, e.g. utf-8 or latin-1."""

    users_encoding: str | None = None
    """Encoding of the table of users. Null: that of the others."""

    items_encoding: str | None = None
    """Encoding of the table of items, alike."""

    bad_rows: BadRows = "error"
    """What becomes of a row with another number of fields, without an id, or with a number that is none, in any of the
    files: an error, or it is left out, counted and logged."""

    @field_validator("encoding", "users_encoding", "items_encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            "x".encode(encoding or "utf-8")
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
            self._check_format(path)
        for name, columns in (("users", self.user_columns), ("items", self.item_columns)):
            self._check_table(name, columns)
        return self

    def _check_table(self, name: str, columns: tuple[FeatureConfig, ...]) -> None:
        path, option, encoding = getattr(self, name), f"{name[:-1]}_columns", getattr(self, f"{name}_encoding")
        declared = [column for column in columns if isinstance(column, ColumnConfig)]
        if path is None and declared:
            raise ValueError(f"{option}: declares {declared[0].name!r}, and there is no table: dataset.{name}=PATH.")
        if encoding is not None and (path is None or self.table_format(path) == "parquet"):
            why = f"there is no table: dataset.{name}=PATH" if path is None else "Parquet knows its own; leave it out"
            raise ValueError(f"{name}_encoding = {encoding!r}: has no effect, since {why}.")
        if path is None:
            return
        if not declared:
            raise ValueError(
                f"{name} = {path!r}: say which of its columns are wanted and what they hold, e.g. "
                f"dataset.{option}='[{{name: title, kind: text}}]'."
            )
        if self.table_format(path) in (None, "user_lists"):
            raise ValueError(f"{name} = {path!r}: the name does not tell the format. End it in .csv, .tsv or .parquet.")

    def _check_format(self, path: str) -> None:
        chosen = self.format_of(path)
        if chosen is None and self.delimiter is None:
            raise ValueError(
                f"delimiter: is not known from the name {path!r}. Set dataset.delimiter to one of "
                f"{', '.join(DELIMITERS)}, or to the characters themselves; or set dataset.format, e.g. to jsonl."
            )
        if chosen not in (None, *LAYOUTS):
            fixed = ("delimiter", "header") if chosen != "user_lists" else ("header",)
            for name in fixed:
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} = {getattr(self, name)!r}: has no effect on {chosen} files; leave it out."
                    )
        if chosen == "user_lists":
            for name in _KINDS:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} = {getattr(self, name)!r}: user_lists have no columns; leave it out.")
            return
        for name in _KINDS:
            column = getattr(self, name)
            if isinstance(column, int) and column < 0:
                raise ValueError(f"{name} = {column}: positions count from 0.")
            if isinstance(column, str) and not self.has_header(path):
                raise ValueError(
                    f"{name} = {column!r}: without a header columns have no names. Give the position, 0 is the first; "
                    "or set dataset.header=true where the first line names the columns."
                )

    @property
    def paths(self) -> dict[int | None, str]:
        """The files by part; the part is None for the one file with all interactions."""
        if self.interactions is not None:
            return {None: self.interactions}
        named = {TRAIN: self.train, VALID: self.valid, TEST: self.test}
        return {part: path for part, path in named.items() if path is not None}

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read, archives instead of their members."""
        vectors = [one.path for one in (*self.user_columns, *self.item_columns) if isinstance(one, VectorConfig)]
        named = [*self.paths.values(), self.negatives, self.users, self.items, *vectors]
        paths = [Path(name) for name in named if name is not None]
        paths += [ids for path in paths if (ids := path.with_suffix(".ids.txt")).exists()]
        return tuple(archive_of(path) or path for path in paths)

    def format_of(self, path: str) -> str | None:
        """Return the name of the format of ``path``, None where it is delimited in its own way."""
        return format_of(path) if self.format == "auto" else self.format

    def table_format(self, path: str) -> str | None:
        """Return the format of a table of users or items; it goes by its own suffix first."""
        return format_of(path) or self.format_of(path)

    def layout(self, path: str) -> Layout:
        """Return how a delimited file is written."""
        usual = LAYOUTS.get(self.format_of(path) or "", Layout())
        delimiter = usual.delimiter if self.delimiter is None else DELIMITERS.get(self.delimiter, self.delimiter)
        header = usual.header if self.header is None else self.header
        return Layout(delimiter, header, delimiter in _QUOTED, self.encoding, usual.typed_header and header)

    def has_header(self, path: str) -> bool:
        """Return whether the columns of ``path`` have names."""
        return self.format_of(path) in ("jsonl", "parquet") or self.layout(path).header


@register("files", config=FilesConfig)
class Files(Dataset):
    """Your own files: one table of interactions, or training, validation and test files."""

    config: FilesConfig
    card = Card(
        description="The user's own files: CSV, TSV, ::, RecBole, NCF, LightGCN, JSON lines or Parquet.",
        homepage="",
        licence="the user's own",
        citation="the user's own",
    )

    def read(self) -> Tables:
        """Return the interactions of all files, those of a split with their part."""
        config = self.config
        reads = {part: self._read_one(path) for part, path in config.paths.items()}
        frames = {part: read.frame for part, read in reads.items()}
        self._refuse_other_columns(frames)
        parts = {part: frame for part, frame in frames.items() if part is not None}
        table = joined(parts) if parts else frames[None]
        if not config.keeps_repeats:
            self._refuse_shared_pairs(table)
        users = self._read_table(config.users, "user", config.user_columns, config.users_encoding)
        items = self._read_table(config.items, "item", config.item_columns, config.items_encoding)
        negatives, candidates = self._read_negatives(), None
        if negatives is not None:
            if TEST in parts:
                self._refuse_other_positives(negatives.frame, parts[TEST])
            candidates = negatives.frame[["user", "negative"]].rename(columns={"negative": "item"})
        return Tables(
            table,
            users=None if users is None else users.frame,
            items=None if items is None else items.frame,
            user_columns=config.user_columns,
            item_columns=config.item_columns,
            time=config.time,
            candidates=candidates,
            provenance=(
                *(read_stage(path, read) for path, read in zip(config.paths.values(), reads.values())),
                *(
                    read_stage(path, read, counted)
                    for path, read, counted in (
                        (config.users, users, "users"),
                        (config.items, items, "items"),
                        (config.negatives, negatives, "negatives"),
                    )
                    if path is not None and read is not None
                ),
            ),
        )

    def contents(self) -> tuple[str, ...] | None:
        """Return the SHA-256 of each file that is read, None where one is not there."""
        files = self.config.files
        return tuple(map(digest, files)) if all(file.is_file() for file in files) else None

    def _read_table(
        self, path: str | None, kind: str, declared: tuple[FeatureConfig, ...], encoding: str | None
    ) -> Read | None:
        """Return the table of users or items: the ids, and the declared columns as text."""
        if path is None:
            return None
        config, chosen = self.config, self.config.table_format(path)
        encoding, bad_rows = encoding or config.encoding, config.bad_rows
        given = getattr(config, kind)
        usual = f"{kind}_id" if chosen == "recbole" else kind
        columns = [Column(kind, usual if given is None else given, "id")]
        columns += [Column(one.name, one.source, "text") for one in declared if isinstance(one, ColumnConfig)]
        try:
            with _remedies():
                if chosen == "jsonl":
                    return read_json_lines(path, columns, encoding=encoding, bad_rows=bad_rows)
                if chosen == "parquet":
                    return read_parquet(path, columns, bad_rows=bad_rows)
                usual_layout = config.layout(path) if chosen is None else LAYOUTS[chosen]
                return read_delimited(path, columns, replace(usual_layout, encoding=encoding), bad_rows=bad_rows)
        except EncodingError as error:
            raise DataError(error.told(f"dataset.{kind}s_encoding")) from None

    def _read_negatives(self) -> Read | None:
        """Return the published negatives, None where there are none."""
        config = self.config
        if config.negatives is None:
            return None
        with _remedies():
            return read_negatives(config.negatives, encoding=config.encoding, bad_rows=config.bad_rows)

    def _refuse_other_positives(self, negatives: pd.DataFrame, test: pd.DataFrame) -> None:
        """Refuse negatives that were made for another test part than ``test``."""
        named = negatives[["user", "item"]].astype(object).drop_duplicates()
        asked = pd.MultiIndex.from_frame(test[["user", "item"]].astype(object))
        wrong = named[~pd.MultiIndex.from_frame(named).isin(asked)]
        if not wrong.empty:
            user, item = wrong.iloc[0]
            raise DataError(
                f"{self.config.negatives}: the line ({user},{item}) is not of this split, where {item!r} is not in the "
                f"test part of user {user!r}; {len(wrong):,} of {len(named):,} lines are so. Give the negatives that "
                "were made for dataset.test."
            )

    def _read_one(self, path: str) -> Read:
        """Return the interactions of one file."""
        with _remedies(f" All that is wrong with the file shows: {shlex.join(['recbench', 'data', 'check', path])}."):
            return self._read_interactions(path)

    def _read_interactions(self, path: str) -> Read:
        config, chosen = self.config, self.config.format_of(path)
        if chosen == "user_lists":
            separator = " " if config.delimiter is None else DELIMITERS.get(config.delimiter, config.delimiter)
            return read_user_lists(path, encoding=config.encoding, separator=separator, bad_rows=config.bad_rows)
        columns = [self._column(name, place, path) for place, name in enumerate(_KINDS)]
        if chosen == "jsonl":
            return read_json_lines(path, columns, encoding=config.encoding, bad_rows=config.bad_rows)
        if chosen == "parquet":
            return read_parquet(path, columns, bad_rows=config.bad_rows)
        return read_delimited(path, columns, config.layout(path), bad_rows=config.bad_rows)

    def _column(self, name: str, place: int, path: str) -> Column:
        config = self.config
        usual: str | int = place
        if config.has_header(path):
            usual = f"{name}_id" if config.format_of(path) == "recbole" and _KINDS[name] == "id" else name
        given = getattr(config, name)
        return Column(
            name,
            usual if given is None else given,
            _KINDS[name],
            optional=name in _OPTIONAL and given is None,
            may_be_missing=name in config.tolerates,
        )

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
        if "part" not in table.columns:
            return
        pairs = table[["user", "item", "part"]].drop_duplicates()
        shared = pairs.duplicated(["user", "item"])
        if shared.any():
            pair = pairs[shared].iloc[0]
            parts = pairs[(pairs["user"] == pair["user"]) & (pairs["item"] == pair["item"])]["part"]
            first, second = (self.config.paths[part] for part in parts[:2])
            raise DataError(
                f"user {shortened(pair['user'])!r} and item {shortened(pair['item'])!r} occur in {first} and in "
                f"{second} ({int(shared.sum()):,} such pairs): parts of a split should not share interactions. "
                "Remove them from one of the files, or keep them with dataset.duplicates=keep."
            )


@contextmanager
def _remedies(more: str = "") -> Iterator[None]:
    """Say of a bad row what can be done, and ``more``."""
    try:
        yield
    except BadRowError as error:
        raise DataError(
            f"{error} Mend it, or leave such rows out, counted, with dataset.bad_rows=drop.{more}"
        ) from None
