"""What every data set is: a card, options, tables as published, and one way from them to interactions."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import pandas as pd

from recbench.data import Features, Interactions, Vocabulary
from recbench.data.cache import Place
from recbench.errors import ConfigError, DataError, EmptyDatasetError
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
        time: What timestamps are: ``seconds``, ``rank`` (the order within a user) or ``none``.
        verified: Whether someone has checked the loader against the published files.
        places: Where its files can be had, best first; empty for data that is generated or the user's own.
    """

    description: str
    homepage: str
    licence: str
    citation: str
    n_users: int | None = None
    n_items: int | None = None
    n_interactions: int | None = None
    time: Literal["seconds", "rank", "none"] = "seconds"
    verified: bool = True
    places: tuple[Place, ...] = ()


class DatasetConfig(Config):
    """Options that every data set has."""

    min_rating: float | None = None
    """Interactions rated lower are left out, with their number logged; null keeps all."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What a source delivers, ids as published.

    Attributes:
        interactions: One row an interaction: ``user``, ``item`` and, where there are any, ``rating``,
            ``timestamp``, ``part`` (see ``Interactions.from_frame``).
        users: The column ``user`` and what is known of each one, or None.
        items: The column ``item`` and what is known of each one, or None; ``title`` is what people read.
    """

    interactions: pd.DataFrame
    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None


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

    def load(self) -> Interactions:
        """Return the whole cleaned data set.

        Raises:
            DataError: A file is wrong or cannot be had; the message says what to do.
            EmptyDatasetError: Cleaning leaves nothing.
            ConfigError: ``min_rating`` is set and there are no ratings.
        """
        tables = self.read()
        frame = _rated_at_least(tables.interactions, self.config.min_rating)
        interactions = Interactions.from_frame(frame, part="part" if "part" in frame.columns else None)
        features = Features(
            users=_aligned(tables.users, interactions.user_vocabulary),
            items=_aligned(tables.items, interactions.item_vocabulary),
        )
        return replace(interactions, features=features)


def _rated_at_least(frame: pd.DataFrame, min_rating: float | None) -> pd.DataFrame:
    """Return the rows rated ``min_rating`` or higher; all of them where it is None."""
    if min_rating is None:
        return frame
    if "rating" not in frame.columns:
        raise ConfigError(f"min_rating = {min_rating}: the data has no ratings. Leave min_rating out.")
    kept = frame[frame["rating"] >= min_rating]
    if kept.empty:
        raise EmptyDatasetError(
            f"min_rating = {min_rating} leaves 0 of {len(frame):,} interactions; "
            f"the ratings go from {frame['rating'].min()} to {frame['rating'].max()}."
        )
    logger.info(
        "min_rating=%s leaves out %s of %s interactions.",
        min_rating,
        f"{len(frame) - len(kept):,}",
        f"{len(frame):,}",
    )
    return kept


def _aligned(table: pd.DataFrame | None, vocabulary: Vocabulary) -> pd.DataFrame | None:
    """Return the rows of ``table`` in the order of the vocabulary, without the ids."""
    if table is None:
        return None
    by_id = table.set_index(vocabulary.kind)
    if by_id.index.has_duplicates:
        twice = by_id.index[by_id.index.duplicated()][0]
        raise DataError(f"the {vocabulary.kind} table describes {twice!r} more than once.")
    places = by_id.index.get_indexer(pd.Index(vocabulary.ids, dtype=object))
    if (places < 0).any():
        missing = vocabulary.ids[places < 0]
        raise DataError(f"the {vocabulary.kind} table lacks {len(missing):,} ids, for example {missing[0]!r}.")
    return by_id.iloc[places].reset_index(drop=True)
