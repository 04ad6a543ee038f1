"""What published data sets share: their files are found by their card, and their numbers are checked against it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from recbench import datasets
from recbench.data import Counts, Stage
from recbench.data.cache import Found, obtain
from recbench.datasets.base import Dataset, DatasetConfig, Tables
from recbench.errors import DataError
from recbench.formats import Read

logger = logging.getLogger(__name__)


class PublishedConfig(DatasetConfig):
    """Options that every published data set has."""

    path: str | None = None
    """A folder or zip archive that holds the files; null looks in the cache, the mirror and the network."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The folder or archive that the user names."""
        return () if self.path is None else (Path(self.path),)


class PublishedDataset(Dataset):
    """A data set with a card that says where its files are and how much they hold; a subclass reads them."""

    files_of: ClassVar[str | None] = None
    """Registered name of the data set whose files these are, where they are another's."""
    config: PublishedConfig

    @abstractmethod
    def tables(self, found: Found) -> Tables:
        """Return what the files hold; places of different formats are told apart by the names of their files."""

    @cached_property
    def found(self) -> Found:
        """The verified files; fetched where they are nowhere yet.

        Raises:
            DataError: They cannot be had; the message says what to do.
        """
        card, name, path = self.card, self.files_of or self.name, self.config.path
        found = obtain(name, card.places, licence=card.licence, homepage=card.homepage, path=path)
        names = ", ".join(file.name for file in found.files)
        if found.verified:
            logger.debug("data set %s: verified, its reader was checked against these very %s.", self.name, names)
        else:
            logger.warning(
                "data set %s: not verified, nobody has checked its reader against the published %s yet; look at its "
                "numbers.",
                self.name,
                names,
            )
        return found

    @property
    def verified(self) -> bool:
        """Whether someone has checked the reader against the very files at hand."""
        return self.found.verified

    @property
    def name(self) -> str:
        """The name that it is registered under."""
        return datasets.registry.entry_of(self.config).name

    def contents(self) -> tuple[str, ...]:
        """Return the SHA-256 of each file that is read."""
        return tuple(str(file.sha256) for file in self.found.files)

    def read(self) -> Tables:
        """Return the data as published.

        Raises:
            DataError: The files cannot be had or read, or do not hold as much as published.
        """
        tables = self.tables(self.found)
        self._check_counts(tables.interactions)
        return tables

    def _check_counts(self, interactions: pd.DataFrame) -> None:
        published = (self.card.n_users, self.card.n_items, self.card.n_interactions)
        read = (interactions["user"].nunique(), interactions["item"].nunique(), len(interactions))
        if any(wanted not in (None, count) for wanted, count in zip(published, read)):
            raise DataError(
                f"{self.name}: read (users, items, interactions) = {read}, published are {published}. Either the "
                "files are another edition, which dataset=files reads, or the reader is at fault; please report it."
            )


def read_stage(name: str, read: Read, counted: str = "interactions") -> Stage:
    """Return what became of the records of the file ``name``, which are ``counted``."""
    return Stage(f"read {name}", Counts(read.n_rows), Counts(len(read.frame)), read.dropped, counted)


def joined(parts: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all parts of a split below each other, with their ``part``; ids are categoricals."""
    frames = list(parts.values())
    ids = {name: pd.api.types.union_categoricals([frame[name] for frame in frames]) for name in ("user", "item")}
    others = pd.concat([frame.drop(columns=[*ids]) for frame in frames], ignore_index=True)
    of_each = np.repeat(np.array([*parts], dtype=np.int8), [len(frame) for frame in frames])
    return pd.DataFrame({**ids, **others, "part": of_each})
