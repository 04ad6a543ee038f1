"""What every data set is: a card, options, tables as published, and one way from them to interactions."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import model_validator

from recbench.cleaning import StepConfig, registry
from recbench.cleaning.duplicates import DuplicatesConfig, Keep
from recbench.cleaning.missing import MissingConfig
from recbench.cleaning.normalise import NormaliseConfig
from recbench.cleaning.rating import RatingConfig
from recbench.cleaning.run import clean, with_codes
from recbench.cleaning.times import oddities
from recbench.cleaning.written import Steps, described
from recbench.data import Counts, Features, Histories, Interactions, Stage, Vocabulary, feature_table
from recbench.data.feature_config import FeatureConfig
from recbench.data.places import Place
from recbench.datasets.store import Loaded, stored
from recbench.datasets.store import key as store_key
from recbench.options import Config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """What one must know of a data set before using it.

    Attributes:
        description: One sentence.
        homepage: Where it was published; empty for data that is generated or the user's own.
        licence: The terms in short.
        citation: Whom to cite.
        n_users: Published number of users, or None where it depends on the options; ``n_items`` and
            ``n_interactions`` alike.
        n_items: Published number of items that occur.
        n_interactions: Published number of interactions.
        time: What timestamps are: ``seconds``, ``rank`` (the order within a user) or ``none``; None where it depends on
            the options. The files of a place may differ.
        places: Where its files can be had, best first; empty for data that is generated or the user's own. Each says
            whether the reader was checked against its files.
    """

    description: str
    homepage: str
    licence: str
    citation: str
    n_users: int | None = None
    n_items: int | None = None
    n_interactions: int | None = None
    time: Literal["seconds", "rank", "none"] | None = None
    places: tuple[Place, ...] = ()


class DatasetConfig(Config):
    """Options that every data set has.

    Cleaning runs in this order: the steps ``missing`` that ``clean`` begins with; the policy for duplicates, unless
    ``clean`` has a step for it; ``min_rating``; the rest of ``clean`` as it is written. Steps with
    ``after_split: true`` come last, behind the split, and see the training part alone.
    """

    duplicates: Keep | None = None
    """What becomes of rows that repeat a pair of user and item: the last or first one is kept (by time, else by place
    in the file), sum adds up their ratings, keep leaves them in, error refuses them. Null: last, unless ``clean`` has a
    step for it."""

    min_rating: float | None = None
    """Interactions rated lower are left out, with their number logged; null keeps all."""

    clean: Steps = ()
    """Further steps of cleaning in their order, e.g. [{step: k_core, users: 5, items: 5}]; see
    ``recbench list cleaning``."""

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        for kind, what in ((DuplicatesConfig, "duplicates"), (NormaliseConfig, "normalise")):
            if sum(isinstance(step, kind) for step in self.clean) > 1:
                raise ValueError(f"clean holds the step {what} more than once; keep one.")
        for place, step in enumerate(self.clean):
            if isinstance(step, DuplicatesConfig) and self.duplicates is not None:
                raise ValueError(
                    f"duplicates = {self.duplicates!r} and clean[{place}], {described(step)}, are given together; keep "
                    "one."
                )
        for place, (before, step) in enumerate(zip(self.clean, self.clean[1:]), 1):
            if before.after_split and not step.after_split:
                raise ValueError(
                    f"clean[{place}], {described(step)}, runs before the split and {described(before)} after it: put "
                    "what runs before first."
                )
        rated = takewhile(lambda step: not (isinstance(step, RatingConfig) and step.binarise), self.clean)
        without = self.clean[len(tuple(rated)) :]
        for step in without[1:]:
            if "rating" in registry.make(step).needs:
                raise ValueError(
                    f"clean holds {described(step)} behind {described(without[0])}, which leaves no ratings: put it in "
                    "front, or leave one of them out."
                )
        return self

    @property
    def steps(self) -> tuple[StepConfig, ...]:
        """All steps of cleaning in the order in which they run."""
        first = tuple(takewhile(lambda step: isinstance(step, MissingConfig), self.clean))
        duplicates = () if self._treats_duplicates else (DuplicatesConfig(keep=self.duplicates or "last"),)
        rating = () if self.min_rating is None else (RatingConfig(min=self.min_rating),)
        return (*first, *duplicates, *rating, *self.clean[len(first) :])

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders of the user's own that are read."""
        return ()

    @property
    def tolerates(self) -> frozenset[str]:
        """The columns of which a reader lets values be missing, since a step says what becomes of them."""
        return frozenset(name for step in self.clean if isinstance(step, MissingConfig) for name in step.columns)

    @property
    def keeps_repeats(self) -> bool:
        """Whether a pair of user and item may occur more than once after cleaning."""
        return any(isinstance(step, DuplicatesConfig) and step.keep == "keep" for step in self.steps)

    @property
    def _treats_duplicates(self) -> bool:
        return any(isinstance(step, DuplicatesConfig) for step in self.clean)


@dataclass(frozen=True, eq=False)
class Tables:
    """What a source delivers, ids as published.

    Attributes:
        interactions: One row an interaction: ``user``, ``item`` and, where there are any, ``rating``,
            ``timestamp``, ``part`` (see ``Interactions.from_frame``).
        users: The column ``user`` and what is known of each one, or None.
        items: The column ``item`` and what is known of each one, or None; ``title`` is what people read.
        user_columns: What the columns of ``users`` hold, and vectors beside them; see ``feature_table`` for those that
            are not declared. ``item_columns`` alike.
        item_columns: Of ``items``.
        time: What the timestamps are (see ``Interactions``).
        candidates: The columns ``user`` and ``item``: published items to be ranked for users; None where there are
            none.
        provenance: What became of the rows of the files.
    """

    interactions: pd.DataFrame
    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    user_columns: tuple[FeatureConfig, ...] = ()
    item_columns: tuple[FeatureConfig, ...] = ()
    time: Literal["seconds", "rank"] = "seconds"
    candidates: pd.DataFrame | None = None
    provenance: tuple[Stage, ...] = ()


class Dataset(ABC):
    """A source of interactions. A subclass has a card and says how to read; cleaning is done here for all."""

    card: ClassVar[Card]

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    @abstractmethod
    def read(self) -> Tables:
        """Return the data as published.

        Raises:
            DataError: A file is wrong or cannot be had; the message says what to do.
        """

    @property
    def verified(self) -> bool | None:
        """Whether someone has checked the reader against the very files at hand; None where none were published.

        Raises:
            DataError: The files cannot be had; the message says what to do.
        """
        return None

    @property
    def after_split(self) -> tuple[StepConfig, ...]:
        """The steps of cleaning that are to run after the split (see ``clean_after_split``)."""
        return tuple(step for step in self.config.steps if step.after_split)

    def load(self) -> Interactions:
        """Return the whole data set after the steps of cleaning that run before the split.

        Timestamps that look wrong are kept, with a warning.

        Raises:
            DataError: A file is wrong or cannot be had; the message says what to do.
            EmptyDatasetError: Cleaning leaves nothing.
            ConfigError: A step of cleaning does not fit the data.
        """
        own = type(self).__module__.startswith("recbench.")  # The code of others may change unseen.
        contents = self.contents() if own else None
        if contents is None:
            loaded = self._cleaned()
        else:
            name = type(self.config).__qualname__
            loaded = stored(store_key(name, self.config.model_dump_json(), contents), self._cleaned)
        data = loaded.interactions
        features = Features(
            users=feature_table(loaded.users, data.user_vocabulary, loaded.user_columns),
            items=feature_table(loaded.items, data.item_vocabulary, loaded.item_columns),
        )
        tables = ((loaded.users, data.user_vocabulary), (loaded.items, data.item_vocabulary))
        stages = [_descriptions(table, vocabulary) for table, vocabulary in tables if table is not None]
        return replace(data, features=features, provenance=(*data.provenance, *stages))

    def contents(self) -> tuple[str, ...] | None:
        """Return the SHA-256 of each file that is read, so that what is loaded can be kept; None where it is not."""
        return None

    def _cleaned(self) -> Loaded:
        """Return the cleaned data set, and what its features are made from."""
        tables = self.read()
        for stage in tables.provenance:
            logger.debug("%s", stage)
        before = [step for step in self.config.steps if not step.after_split]
        cleaned = clean(tables.interactions, before, tables.time)
        tables = replace(tables, interactions=cleaned.table)  # The raw table is not held any longer.
        interactions = Interactions.from_frame(
            cleaned.table,
            part="part" if "part" in cleaned.table.columns else None,
            time=tables.time,
            repeats=True,  # Where they may not be, the step duplicates has seen to it.
        )
        if interactions.timestamps is not None and interactions.time == "seconds":
            for sentence in oddities(interactions.timestamps.numpy(), time.time()):
                logger.warning("%s", sentence)
        interactions = replace(interactions, provenance=(*tables.provenance, *cleaned.stages))
        if tables.candidates is not None:
            interactions = _with_candidates(interactions, tables.candidates)
        return Loaded(interactions, tables.users, tables.items, tables.user_columns, tables.item_columns)


def _with_candidates(interactions: Interactions, published: pd.DataFrame) -> Interactions:
    """Return the interactions with the published candidates of users and items that they still have."""
    users = _indices(published["user"], interactions.user_vocabulary)
    items = _indices(published["item"], interactions.item_vocabulary)
    known = (users >= 0) & (items >= 0)
    candidates = Histories.from_pairs(
        torch.from_numpy(users[known]), torch.from_numpy(items[known]), interactions.n_users
    )
    reasons = {
        "the user is not in the data": int((users < 0).sum()),
        "the item is not in the data": int(((users >= 0) & (items < 0)).sum()),
    }
    stage = Stage(
        "published candidates",
        Counts(len(known)),
        Counts(int(known.sum())),
        {reason: n for reason, n in reasons.items() if n},
        counted="candidates",
        asked=True,
    )
    logger.info("%s", stage)
    return replace(interactions, candidates=candidates, provenance=(*interactions.provenance, stage))


def _descriptions(table: pd.DataFrame, vocabulary: Vocabulary) -> Stage:
    """Return how many rows of a table of users or items are of ids in the data; ``feature_table`` logs the others."""
    kind = vocabulary.kind
    known = int((_indices(table[kind], vocabulary) >= 0).sum())
    unknown = len(table) - known
    details = {f"the {kind} is not in the data": unknown} if unknown else {}
    return Stage(f"descriptions of {kind}s", Counts(len(table)), Counts(known), details, counted=f"{kind}s")


def _indices(column: pd.Series, vocabulary: Vocabulary) -> np.ndarray:
    """Return the indices (N,) int64 of a column of ids, -1 for those that are unknown."""
    coded = with_codes(column, vocabulary.kind)
    known = pd.Index(vocabulary.ids, dtype=object).get_indexer(coded.cat.categories.astype(object))
    return known.astype(np.int64)[coded.cat.codes.to_numpy()]
