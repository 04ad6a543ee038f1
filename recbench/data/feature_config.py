"""How features of users and items are declared: what a column holds, and what becomes of missing values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from recbench.options import Config, one_of


class FeatureConfig(Config):
    """What every kind of feature has."""

    name: str = Field(min_length=1)
    """Name of the feature; of the table's column too, unless ``column`` says otherwise."""

    kind: str
    """numeric, categorical, multi, text or vector."""

    @model_validator(mode="after")
    def _value_has_an_effect(self) -> Self:
        if (getattr(self, "missing", None) == "constant") != (getattr(self, "value", None) is not None):
            raise ValueError("value: belongs to missing = 'constant', which needs it; write both or neither.")
        return self


class ColumnConfig(FeatureConfig):
    """A feature that is a column of the table."""

    column: str | int | None = None
    """Column of the file: a name in its header, or a position from 0. Null: the feature's name."""

    missing_values: tuple[str, ...] = ()
    """What stands for a missing value beside the empty field, e.g. [NA, "-1"]."""

    @property
    def source(self) -> str | int:
        """The column of the file."""
        return self.name if self.column is None else self.column


class NumericConfig(ColumnConfig):
    """One number."""

    kind: Literal["numeric"] = "numeric"

    missing: Literal["error", "constant", "mean", "most_frequent", "indicator"] = "error"
    """What becomes of a missing value: error; ``value``; the mean or the most frequent value (the lowest of several)
    in training; or 0 after scaling, beside a further column that is 1 where it is missing."""

    value: float | None = None
    """The constant, in the column's own unit."""

    scale: Literal["none", "standard", "min_max"] = "none"
    """standard: mean 0 and standard deviation 1 in training; min_max: from 0 to 1 in training. A column that is
    constant in training is only shifted."""


class CategoricalConfig(ColumnConfig):
    """One of several categories, 0/1 columns of those that occur in training; any other has 0 in all."""

    kind: Literal["categorical"] = "categorical"

    missing: Literal["error", "constant", "most_frequent", "indicator"] = "error"
    """What becomes of a missing value: error; ``value``; the most frequent category in training (the first in order
    of several); or 0 everywhere, beside a further column that is 1 where it is missing."""

    value: str | None = None
    """The constant, a category."""


class MultiConfig(ColumnConfig):
    """Any number of categories in one field, 0/1 columns of those that occur in training; empty is none of them."""

    kind: Literal["multi"] = "multi"

    separator: str = Field("|", min_length=1)
    """Between the categories."""


class TextConfig(ColumnConfig):
    """Text, which has no numbers."""

    kind: Literal["text"] = "text"

    missing: Literal["error", "constant"] = "error"
    """What becomes of a missing value: error, or ``value``."""

    value: str | None = None
    """The constant; it may be empty."""


class VectorConfig(FeatureConfig):
    """A vector for each published id, in a file of its own beside the table."""

    kind: Literal["vector"] = "vector"

    path: str = Field(pattern=r"\.np[yz]$")
    """An .npz file with the arrays ``ids`` (N,) and ``vectors`` (N, D), or an .npy file of vectors, image.npy, beside
    the text file image.ids.txt with an id a line."""

    missing: Literal["error", "constant", "mean", "indicator"] = "error"
    """What becomes of an id without a vector: error; ``value`` in all dimensions; the mean in training; or 0 after
    scaling, beside a further column that is 1 where it is missing."""

    value: float | None = None
    """The constant."""

    scale: Literal["none", "standard", "min_max"] = "none"
    """Of each dimension, as of a numeric feature."""


KINDS: Mapping[str, type[FeatureConfig]] = {
    "numeric": NumericConfig,
    "categorical": CategoricalConfig,
    "multi": MultiConfig,
    "text": TextConfig,
    "vector": VectorConfig,
}


class _ByKind:
    """Makes the options of the kind that a mapping names, and says everything that is wrong with them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take a mapping, or options that are made already; write them as a mapping."""
        plain = core_schema.plain_serializer_function_ser_schema(lambda feature: feature.model_dump(mode="json"))
        return core_schema.no_info_plain_validator_function(_declared, serialization=plain)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe it where the options are described."""
        return {"type": "object"}


def _declared(value: object) -> FeatureConfig:
    if isinstance(value, FeatureConfig):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("should be a mapping, e.g. {name: price, kind: numeric}.")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: should be {one_of(KINDS)}.")
    mistakes = KINDS[kind].mistakes(value)
    if mistakes:
        raise ValueError(" ".join(mistakes))
    return KINDS[kind].from_mapping(value, f"{kind} feature")


Declared = Annotated[FeatureConfig, _ByKind()]
"""Type of a declaration among a data set's options: ``item_columns: tuple[Declared, ...] = ()``."""
