"""What of a split's answers is known in training already."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from recbench.data import Holdout, Interactions, Split
from recbench.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """How many of a number of things."""

    n: int
    of: int

    @property
    def share(self) -> float:
        """The quotient, in [0, 1]."""
        return self.n / self.of

    def __str__(self) -> str:
        return f"{self.n:,} of {self.of:,}"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {**asdict(self), "share": self.share}


@dataclass(frozen=True)
class Leaks:
    """What training shows of the part that is asked in the end.

    Attributes:
        part: Which one: ``test``, or ``valid`` where there is no test part.
        later: Training interactions later than the earliest one of the part; None where that is not known.
        why_unknown: Why ``later`` is not known, a clause; None where it is.
        unknown_users: Users of the part without a training interaction.
        unknown_items: Items of the part without a training interaction.
        seen_pairs: Pairs of user and item of the part that are in training.
        same_item: The item feature by which items are the same under several ids, or None.
        near_duplicates: Pairs of the part whose user has the same item under another id in training; None where
            ``same_item`` is.
    """

    part: str
    later: Share | None
    why_unknown: str | None
    unknown_users: Share
    unknown_items: Share
    seen_pairs: Share
    same_item: str | None = None
    near_duplicates: Share | None = None

    @property
    def sentence(self) -> str:
        """What leaks, in words: first across time, then the pairs, if there are any."""
        part = "validation" if self.part == "valid" else self.part
        if self.later is None:
            text = f"Whether the split leaks across time cannot be told: {self.why_unknown}."
        elif self.later.n == 0:
            text = (
                "The split does not leak across time: no training interaction is later than the earliest "
                f"{part} interaction."
            )
        else:
            text = (
                f"The split leaks across time: {_percent(self.later.share)} of the training interactions are later "
                f"than the earliest {part} interaction."
            )
        if self.seen_pairs.n:
            text += f" {self.seen_pairs} {part} pairs of user and item are in training too."
        if self.near_duplicates is not None and self.near_duplicates.n:
            text += (
                f" {self.near_duplicates} {part} pairs are in training under another item id with the same "
                f"{self.same_item}."
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return everything, with the sentence, as plain values."""
        shares = {name: value.to_dict() for name, value in vars(self).items() if isinstance(value, Share)}
        return {**asdict(self), **shares, "sentence": self.sentence}


def leaks(split: Split, same_item: str | None = None) -> Leaks | None:
    """Return what leaks from training into the test part, or into validation where there is no test part.

    Args:
        split: The parts; None is returned where nothing is asked.
        same_item: A text feature of the items, e.g. ``title``: items with the same text are counted as
            near-duplicates. Items without a text are the same as no other.

    Raises:
        ConfigError: The items have no such feature.
    """
    same = None if same_item is None else _same_items(split.train, same_item)
    holdout = split.valid if split.test is None else split.test
    if holdout is None:
        return None
    train = split.train
    later, why_unknown = _later(train, holdout)
    asked_items = holdout.target.items.unique()
    users = holdout.users[holdout.target.row_of_each()]
    pairs = torch.unique(users * train.n_items + holdout.target.items)
    seen = _contained(pairs, train.users * train.n_items + train.items)
    return Leaks(
        part="valid" if split.test is None else "test",
        later=later,
        why_unknown=why_unknown,
        unknown_users=_share(train.histories.counts[holdout.users] == 0),
        unknown_items=_share(train.popularity[asked_items] == 0),
        seen_pairs=_share(seen),
        same_item=same_item,
        near_duplicates=None if same is None else _share(_near_duplicates(pairs, seen, train, same)),
    )


def _later(train: Interactions, holdout: Holdout) -> tuple[Share | None, str | None]:
    """Return the training interactions later than the earliest in ``holdout``, or why they are not known."""
    if train.timestamps is None or holdout.timestamps is None:
        return None, "the data has no timestamps"
    if train.time == "rank":
        return None, "the timestamps are the order within each user, which says nothing across users"
    return _share(train.timestamps > holdout.timestamps.min()), None


def _same_items(train: Interactions, feature: str) -> Tensor:
    """Return a number for each item, (n_items,) int64: equal where the feature is; -1 where no other has it."""
    table = train.features.items
    if table is None:
        raise ConfigError(f"evaluation.same_item = {feature!r}: the data has no table of items. Leave it out.")
    try:
        texts = table.text(feature)
    except ConfigError as error:
        raise ConfigError(f"evaluation.same_item: {error}") from None
    column = pd.Series(texts, dtype=object).mask(table.columns_by_name[feature].missing)
    codes = pd.factorize(column.where(column.duplicated(keep=False)))[0]
    return torch.from_numpy(codes.astype("int64"))


def _near_duplicates(pairs: Tensor, seen: Tensor, train: Interactions, same: Tensor) -> Tensor:
    """Return for each pair whether its user has another item of the same number in training.

    Shapes:
        pairs: (P,) int64, ``user * n_items + item``.
        seen: (P,) bool, whether the pair itself is in training.
        same: (I,) int64, see ``_same_items``.
    """
    of_interest = same[train.items] >= 0
    known = torch.unique(train.users[of_interest] * train.n_items + train.items[of_interest])
    if len(known) == 0:
        return torch.zeros_like(seen)
    groups, counts = torch.unique(_groups(known, same), return_counts=True)
    # An item without a number has a key of no group, since there are at most half as many numbers as items.
    wanted = _groups(pairs, same)
    place = torch.searchsorted(groups, wanted).clamp(max=len(groups) - 1)
    return torch.where(groups[place] == wanted, counts[place], 0) > seen.long()


def _groups(pairs: Tensor, same: Tensor) -> Tensor:
    """Return a key for each pair's user and number of the item, (P,) int64."""
    n_items = len(same)
    return pairs // n_items * n_items + same[pairs % n_items]


def _contained(sought: Tensor, among: Tensor) -> Tensor:
    """Return which of the keys ``sought`` (P,), ascending and distinct, are ``among`` (N,); (P,) bool."""
    place = torch.searchsorted(sought, among).clamp(max=len(sought) - 1)
    found = torch.zeros(len(sought), dtype=torch.bool)
    found[place[sought[place] == among]] = True
    return found


def _share(flags: Tensor) -> Share:
    return Share(int(flags.sum()), len(flags))


def _percent(share: float) -> str:
    """Return e.g. ``63.1 %``; what is not none is not called 0 %, nor what is not all 100 %."""
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.1f} %"
