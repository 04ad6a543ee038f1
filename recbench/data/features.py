"""What is known about users and items beside their interactions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data.feature_columns import FeatureColumn, LabelColumn, NumberColumn, TextColumn
from recbench.data.feature_config import (
    CategoricalConfig,
    ColumnConfig,
    FeatureConfig,
    MultiConfig,
    NumericConfig,
    TextConfig,
    VectorConfig,
)
from recbench.data.vectors import read_vectors
from recbench.data.vocabulary import Vocabulary
from recbench.errors import ConfigError, DataError
from recbench.formats.numerals import floats
from recbench.options import did_you_mean, one_of
from recbench.text import shortened

logger = logging.getLogger(__name__)

MOST_NUMBERS = 2**30
"""Numbers that ``FeatureTable.matrix`` may hold; 4 GiB."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of all users or items: row i describes index i.

    Numbers come from a fitted table alone, so that no test row can have a part in what is learnt from them; the
    training interactions of a split carry one.

    Attributes:
        kind_of_id: ``user`` or ``item``.
        columns_by_name: The features: those declared, then the other columns of the table.
        rows: (T,) the indices of the training part, or None while the table is not fitted.
    """

    kind_of_id: str
    columns_by_name: Mapping[str, FeatureColumn]
    rows: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all features."""
        return tuple(self.columns_by_name)

    def __len__(self) -> int:
        return len(next(iter(self.columns_by_name.values())).missing)

    def __contains__(self, name: object) -> bool:
        return name in self.columns_by_name

    def kind(self, name: str) -> str:
        """Return ``numeric``, ``categorical``, ``multi``, ``text`` or ``vector``; see ``matrix`` for errors."""
        return str(self._column(name).config.kind)

    def n_missing(self, name: str) -> int:
        """Return how many have no value as published; of a multi feature, no category."""
        return int(self._column(name).missing.sum())

    def text(self, name: str) -> np.ndarray:
        """Return the texts (n,) of a text feature as an object array of str.

        Raises:
            ConfigError: There is no such feature, or it is no text.
        """
        column = self._column(name)
        if not isinstance(column, TextColumn):
            raise ConfigError(f"the {self.kind_of_id} feature {name!r} is {column.config.kind}, and should be text.")
        return column.values

    def columns(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the names of the D columns of ``matrix(names)``: ``year``, ``genres=Drama``, ``image[0]``."""
        rows = self._fitted_rows()
        return tuple(label for column in self._with_numbers(names) for label in column.labels(rows))

    def dim(self, names: Sequence[str] | None = None) -> int:
        """Return D of ``matrix(names)``."""
        return len(self.columns(names))

    def matrix(self, names: Sequence[str] | None = None) -> Tensor:
        """Return the numbers (n, D) float32 of the features ``names``, filled and scaled; None: all but text.

        A numeric feature is one column, a categorical or multi one a column of 0 and 1 for each category that
        occurs in training, a vector its dimensions; each with missing ``indicator`` has one more.

        Raises:
            ConfigError: The table is not fitted, there is no such feature, it is text, or there would be more than
                ``MOST_NUMBERS`` numbers.
            DataError: A mean, scale or most frequent value is to be learnt, and there is no value in training.
        """
        rows = self._fitted_rows()
        columns = self._with_numbers(names)
        if len(self) * self.dim(names) > MOST_NUMBERS:
            widest = max(columns, key=lambda column: len(column.labels(rows)))
            raise ConfigError(
                f"the {self.kind_of_id} features would be {len(self):,} rows of {self.dim(names):,} numbers, more than "
                f"{MOST_NUMBERS:,} in all. Leave out {widest.config.name!r}, which is the widest, or declare it text."
            )
        return torch.from_numpy(np.concatenate([column.numbers(rows) for column in columns], axis=1))

    def fitted(self, indices: Tensor) -> FeatureTable:
        """Return the table with all that is learnt from it learnt from ``indices`` (T,), each once."""
        return replace(self, rows=indices.numpy())

    def taken(self, indices: Tensor) -> FeatureTable:
        """Return the rows ``indices`` (n',), each once, as a table that is not fitted."""
        columns = {name: column.taken(indices.numpy()) for name, column in self.columns_by_name.items()}
        return replace(self, columns_by_name=columns, rows=None)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over declarations and values; what is learnt from them does not count."""
        digest = hashlib.sha256()
        for column in self.columns_by_name.values():
            # Of the same file elsewhere the content counts alone.
            declared = column.config.model_dump_json(exclude={"path", "column"})
            digest.update(f"\x1e{declared}\x1e".encode() + np.packbits(column.missing).tobytes())
            for array in column.content:
                plain = "\x1f".join(array).encode() if array.dtype == object else array.tobytes()
                digest.update(f"\x1e{len(array)} {len(plain)}\x1e".encode() + plain)
        return digest.hexdigest()

    def _column(self, name: str) -> FeatureColumn:
        if name not in self.columns_by_name:
            raise ConfigError(f"no {self.kind_of_id} feature {name!r}. {did_you_mean(name, self.names)}")
        return self.columns_by_name[name]

    def _with_numbers(self, names: Sequence[str] | None) -> list[FeatureColumn]:
        """Return the features ``names``, or all that have numbers."""
        able = [name for name in self.names if self.kind(name) != "text"]
        if not able:
            raise ConfigError(
                f"the {self.kind_of_id}s have no features but text ({', '.join(self.names)}), which has no numbers. "
                "Declare one as numeric, categorical, multi or vector."
            )
        for name in () if names is None else names:
            if self.kind(name) == "text":
                raise ConfigError(
                    f"the {self.kind_of_id} feature {name!r} is text, which has no numbers. Those that have are: "
                    f"{', '.join(able)}."
                )
        return [self._column(name) for name in (able if names is None else names)]

    def _fitted_rows(self) -> np.ndarray:
        if self.rows is None:
            raise ConfigError(
                f"the {self.kind_of_id} features are not fitted, so they give no numbers: take them from the training "
                "part of a split (split.train.features), or call features.fitted(users, items)."
            )
        return self.rows


@dataclass(frozen=True, eq=False)
class Features:
    """The tables of users and of items, aligned with the vocabularies.

    Attributes:
        users: One row a user, or None.
        items: One row an item, or None; the feature ``title`` is what people read.
    """

    users: FeatureTable | None = None
    items: FeatureTable | None = None

    @property
    def titles(self) -> np.ndarray | None:
        """The titles of the items (n_items,), an object array of str, or None where none are known."""
        if self.items is None or "title" not in self.items or self.items.kind("title") != "text":
            return None
        return self.items.text("title")

    def fitted(self, users: Tensor, items: Tensor) -> Features:
        """Return the features with everything that is learnt from them learnt from these users and items alone."""
        return Features(
            None if self.users is None else self.users.fitted(users),
            None if self.items is None else self.items.fitted(items),
        )

    def on_items(self, items: Tensor) -> Features:
        """Return the features where the vocabulary of items shrinks to ``items`` (n_items',), ascending."""
        return replace(self, items=None if self.items is None else self.items.taken(items))


def feature_table(
    frame: pd.DataFrame | None, vocabulary: Vocabulary, declared: Sequence[FeatureConfig] = ()
) -> FeatureTable | None:
    """Return the features of the ids in ``vocabulary``, or None where there are none.

    Ids without a row have no values, and rows of other ids are left out; both are logged with their numbers.

    Args:
        frame: The column ``user`` or ``item`` and one column a feature; None where there are vectors alone.
        vocabulary: Of the users or of the items.
        declared: What the columns hold, and vectors beside them. A column that is not declared is numeric where its
            type is a number, else text.

    Raises:
        DataError: The table has no column of ids, lacks a declared column, or describes an id twice; a value is
            missing that may not be, or is no finite number.
        ConfigError: A feature is declared twice.
    """
    kind = vocabulary.kind
    if frame is None:
        frame = pd.DataFrame({kind: vocabulary.ids})
    if kind not in frame.columns:
        known = ", ".join(map(str, frame.columns))
        raise DataError(f"the {kind} table has no column {kind!r} of ids; it has: {known}.")
    configs: dict[str, FeatureConfig] = {}
    for config in declared:
        if config.name in configs:
            raise ConfigError(f"the {kind} feature {config.name!r} is declared twice.")
        configs[config.name] = config
    for name in frame.columns.drop(kind):
        numeric = pd.api.types.is_numeric_dtype(frame[name].dtype)
        configs.setdefault(name, NumericConfig(name=name) if numeric else TextConfig(name=name))
    places = _places(frame[kind], vocabulary)
    if not configs:
        return None
    columns: dict[str, FeatureColumn] = {}
    for name, config in configs.items():
        if isinstance(config, VectorConfig):
            columns[name] = _vectors(config, vocabulary)
        else:
            assert isinstance(config, ColumnConfig)
            if name not in frame.columns:
                known = ", ".join(map(str, frame.columns))
                raise DataError(f"the {kind} table has no column {name!r}, which is declared; it has: {known}.")
            columns[name] = _column(config, _taken(frame[name], places), vocabulary)
        _refuse_missing(columns[name], vocabulary)
    return FeatureTable(kind, columns)


def _places(ids: pd.Series, vocabulary: Vocabulary) -> np.ndarray:
    """Return the row (n,) of each id of the vocabulary, -1 where it has none."""
    kind = vocabulary.kind
    if ids.isna().any():
        raise DataError(f"the {kind} table, row {int(np.argmax(ids.isna()))}: the {kind} id is missing.")
    index = pd.Index(ids.astype(object).map(str), dtype=object)
    if index.has_duplicates:
        again = index.duplicated()
        raise DataError(
            f"the {kind} table describes {shortened(index[again][0])!r} more than once ({int(again.sum()):,} rows too "
            f"many). Keep one row for each {kind}."
        )
    places = index.get_indexer(pd.Index(vocabulary.ids, dtype=object))
    lacking = places < 0
    if lacking.any():
        logger.info(
            "the %s table has no row for %s of %s, for example %r: nothing is known of them.",
            kind,
            f"{int(lacking.sum()):,}",
            f"{len(vocabulary):,}",
            vocabulary.ids[np.argmax(lacking)],
        )
    n_left_out = len(index) - int((~lacking).sum())
    if n_left_out:
        logger.info("the %s table has rows of %s ids that do not occur; they are left out.", kind, f"{n_left_out:,}")
    return places


def _taken(series: pd.Series, places: np.ndarray) -> pd.Series:
    """Return the values at ``places``, missing ones where the place is -1."""
    if pd.api.types.is_integer_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        series = series.astype("Int64")  # Which can be missing and stays whole.
    return pd.Series(pd.api.extensions.take(series.array, places, allow_fill=True))


def _column(config: ColumnConfig, series: pd.Series, vocabulary: Vocabulary) -> FeatureColumn:
    """Return the feature with the values ``series`` (n,)."""
    codes, uniques = pd.factorize(series)
    texts = np.array([str(value) for value in uniques], dtype=object)
    absent = np.isin(texts, np.array(["", *config.missing_values], dtype=object))
    values = floats(texts) if isinstance(config, NumericConfig) else np.zeros(0)
    if isinstance(config, NumericConfig):
        # A number is the same however it is written.
        absent |= np.isin(values, floats(np.array(config.missing_values, dtype=object)))
    # Codes of texts, -1 where there is no value.
    codes = np.append(np.where(absent, -1, np.arange(len(texts))), -1)[codes]
    missing = codes < 0
    if isinstance(config, NumericConfig):
        return NumberColumn(config, missing, _finite(config, values, texts, codes, vocabulary))
    if isinstance(config, TextConfig):
        return TextColumn(config, missing, np.append(texts, config.value or "")[codes])
    rows = np.flatnonzero(~missing)
    if isinstance(config, MultiConfig):
        return _multi(config, texts, codes, rows, vocabulary)
    assert isinstance(config, CategoricalConfig)
    constant = [] if config.value is None else [config.value]
    names = np.array(sorted({*texts[~absent], *constant}), dtype=object)
    return LabelColumn(config, missing, rows, np.searchsorted(names, texts[codes[rows]]), names)


def _finite(
    config: NumericConfig, values: np.ndarray, texts: np.ndarray, codes: np.ndarray, vocabulary: Vocabulary
) -> np.ndarray:
    """Return the values (n, 1) float64, 0 where missing."""
    of_each = np.append(values, 0.0)[codes]
    wrong = ~(np.abs(of_each) <= np.finfo(np.float32).max) & (codes >= 0)
    if wrong.any():
        text = texts[codes[np.argmax(wrong)]]
        raise _wrong(config, vocabulary, int(np.argmax(wrong)), text, "which should be a finite number")
    return np.where(codes < 0, 0.0, of_each)[:, None]


def _multi(
    config: MultiConfig, texts: np.ndarray, codes: np.ndarray, rows: np.ndarray, vocabulary: Vocabulary
) -> LabelColumn:
    """Return the pairs of the ``rows`` that have a text and the categories in it."""
    used = np.unique(codes[rows])
    parts = pd.Series(texts[used], index=used, dtype=object).str.split(config.separator, regex=False).explode()
    empty = parts.index[parts == ""]
    if len(empty):
        first = int(np.argmax(np.isin(codes, empty)))
        wanted = f"where a category between two {config.separator!r}, or before or after one, is empty"
        raise _wrong(config, vocabulary, first, texts[codes[first]], wanted)
    names, places = np.unique(parts.to_numpy(dtype=object), return_inverse=True)
    of_text = pd.DataFrame({"text": parts.index, "code": places})
    pairs = pd.DataFrame({"row": rows, "text": codes[rows]}).merge(of_text, on="text")
    return LabelColumn(config, codes < 0, pairs["row"].to_numpy(), pairs["code"].to_numpy(), names)


def _vectors(config: VectorConfig, vocabulary: Vocabulary) -> NumberColumn:
    vectors = read_vectors(config.path)
    places = pd.Index(vectors.ids, dtype=object).get_indexer(pd.Index(vocabulary.ids, dtype=object))
    if (places < 0).all():
        raise DataError(
            f"{config.path}: holds a vector for none of the {len(vocabulary):,} {vocabulary.kind}s. Its ids look like "
            f"{vectors.ids[:1].tolist()}, those of the data like {vocabulary.ids[:1].tolist()}."
        )
    return NumberColumn(config, places < 0, vectors.values[places])


def _refuse_missing(column: FeatureColumn, vocabulary: Vocabulary) -> None:
    """Refuse missing values of a feature whose policy is ``error``."""
    config, kind = column.config, vocabulary.kind
    if getattr(config, "missing", None) == "error" and column.missing.any():
        allowed = type(config).model_json_schema()["properties"]["missing"]["enum"]
        raise DataError(
            f"the {kind} feature {config.name!r} is missing for {int(column.missing.sum()):,} of {len(vocabulary):,} "
            f"{kind}s, for example {vocabulary.ids[np.argmax(column.missing)]!r}. Say what becomes of them: declare "
            f"{{name: {config.name}, kind: {config.kind}, missing: ...}} with "
            f"{one_of(policy for policy in allowed if policy != 'error')}."
        )


def _wrong(config: FeatureConfig, vocabulary: Vocabulary, row: int, value: str, wanted: str) -> DataError:
    return DataError(
        f"the feature {config.name!r} of {vocabulary.kind} {vocabulary.ids[row]!r} is {value!r}, {wanted}. "
        "If it stands for a missing value, name it in missing_values."
    )
