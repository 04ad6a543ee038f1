"""Steps applied one after the other, each counted and logged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.cleaning import Applied, Step, StepConfig, registry
from recbench.cleaning.base import codes
from recbench.cleaning.written import described
from recbench.data import TRAIN, UNUSED, Counts, Interactions, Stage, Vocabulary
from recbench.data.interactions import texts
from recbench.errors import ConfigError, EmptyDatasetError

logger = logging.getLogger(__name__)

Time = Literal["seconds", "rank"]


@dataclass(frozen=True, eq=False)
class Cleaned:
    """A table after all steps before the split, and what each left."""

    table: pd.DataFrame
    stages: tuple[Stage, ...]


@dataclass(frozen=True, eq=False)
class Finished:
    """Interactions and their parts (N,) int8 after all steps behind the split."""

    interactions: Interactions
    parts: Tensor


def clean(table: pd.DataFrame, steps: Sequence[StepConfig], time: Time = "seconds") -> Cleaned:
    """Return what the steps before the split leave of ``table``, whose index is kept.

    Args:
        table: As a data set reads it (see ``Tables``).
        steps: In their order.
        time: What the timestamps are.

    Raises:
        ConfigError: A step does not fit the data.
        DataError: An id is missing or is a fraction, or a step refuses a row.
        EmptyDatasetError: Nothing is left; the message gives the counts after each step so far.
    """
    table = table.assign(**{kind: with_codes(table[kind], kind) for kind in ("user", "item")})
    stages: list[Stage] = []
    for config in steps:
        table = _run(registry.make(config), described(config), table, time, stages).table
    return Cleaned(table, tuple(stages))


def clean_after_split(interactions: Interactions, parts: Tensor, steps: Sequence[StepConfig]) -> Finished:
    """Return what the steps behind the split make of the data; they see and shorten the training part alone.

    Training rows that a step leaves out become ``UNUSED``. A scale that a step learns from the training part is
    applied to all ratings. What each step left is added to the provenance.

    Args:
        interactions: N of them, all parts.
        parts: (N,) int8, see ``Split.from_parts``.
        steps: In their order.

    Raises:
        ConfigError: A step does not fit the data.
        EmptyDatasetError: Nothing is left to train on; the message gives the counts after each step so far.
    """
    stages: list[Stage] = []
    for config in steps:
        trained = torch.nonzero(parts == TRAIN).flatten()
        name = f"{described(config)} (training part)"
        applied = _run(registry.make(config), name, _table(interactions, trained), interactions.time, stages)
        kept = torch.zeros(len(parts), dtype=torch.bool)
        kept[torch.from_numpy(applied.table.index.to_numpy(copy=True))] = True
        parts = torch.where((parts == TRAIN) & ~kept, UNUSED, parts).to(torch.int8)
        if applied.scale is not None:
            assert interactions.ratings is not None
            ratings = applied.scale.normalise(interactions.users, interactions.items, interactions.ratings)
            interactions = replace(interactions, ratings=ratings, scale=applied.scale)
    return Finished(replace(interactions, provenance=(*interactions.provenance, *stages)), parts)


def with_codes(column: pd.Series, kind: str) -> pd.Series:
    """Return a column of ids as a categorical of str, which it may be already.

    Raises:
        DataError: An id is missing, is empty, or is a fraction.
    """
    if isinstance(column.dtype, pd.CategoricalDtype) and not column.isna().any():
        return column
    places, names = texts(column, kind)
    vocabulary = Vocabulary(names, kind)
    return pd.Series(
        pd.Categorical.from_codes(vocabulary.indices(names)[places], pd.Index(vocabulary.ids, dtype=object)),
        index=column.index,
    )


def _run(step: Step, name: str, table: pd.DataFrame, time: Time, stages: list[Stage]) -> Applied:
    """Return what ``step`` gives, and add to ``stages`` what it left."""
    _check_fits(step, name, table, time)
    before = stages[-1].after if stages else _counts(table)
    applied = step.apply(table)
    stage = Stage(name, before, _counts(applied.table), applied.details, asked=not step.unasked)
    stages.append(stage)
    lost = stage.before.n_interactions - stage.after.n_interactions
    level = logging.INFO if stage.asked else logging.WARNING if lost else logging.DEBUG
    logger.log(level, "%s", stage)
    if applied.table.empty:
        lines = "".join(f"\n  {stage}" for stage in stages)
        raise EmptyDatasetError(f"{name} leaves no interaction. What each step left:{lines}")
    return applied


def _check_fits(step: Step, name: str, table: pd.DataFrame, time: Time) -> None:
    for column in step.needs:
        if column not in table.columns:
            raise ConfigError(f"the cleaning step {name} needs {column}s, and the data has none. Leave it out.")
    if step.needs_seconds and time == "rank":
        raise ConfigError(
            f"the cleaning step {name} needs times, and the timestamps of this data are ranks, the order within each "
            "user. Leave it out."
        )
    for column in step.reads:
        n_missing = int(table[column].isna().sum()) if column in table.columns else 0
        if n_missing:
            raise ConfigError(
                f"the cleaning step {name} reads {column}s, and {n_missing:,} of {len(table):,} are missing. Put "
                f"the step missing with {column}=drop in front of it."
            )


def _counts(table: pd.DataFrame) -> Counts:
    n_users, n_items = (int(np.count_nonzero(np.bincount(codes(table[kind])))) for kind in ("user", "item"))
    return Counts(len(table), n_users, n_items)


def _table(interactions: Interactions, rows: Tensor) -> pd.DataFrame:
    """Return the interactions at ``rows``, under their places as the index; codes are the vocabularies' indices."""
    chosen = interactions.select(rows)
    columns: dict[str, pd.Categorical | np.ndarray] = {
        "user": pd.Categorical.from_codes(chosen.users.numpy(), pd.Index(chosen.user_vocabulary.ids, dtype=object)),
        "item": pd.Categorical.from_codes(chosen.items.numpy(), pd.Index(chosen.item_vocabulary.ids, dtype=object)),
    }
    if chosen.ratings is not None:
        columns["rating"] = chosen.ratings.double().numpy()
    if chosen.timestamps is not None:
        columns["timestamp"] = chosen.timestamps.numpy()
    return pd.DataFrame(columns, index=rows.numpy())
