"""Cross-validation: each interaction, or each user, is tested in one fold of several."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions, Split
from recbench.errors import ConfigError
from recbench.options import Config
from recbench.randomness import generator
from recbench.splits import Splitter, register
from recbench.splits.shares import portion, refuse_empty, shuffled_place
from recbench.splits.strangers import ask_strangers, cut_to_catalogue

_FOLD_IN, _MIN_FOLD_IN = 0.8, 5


class KFoldConfig(Config):
    """Options of cross-validation."""

    folds: int = Field(5, ge=2)
    """Number of folds."""

    fold: int = Field(0, ge=0)
    """The fold that is tested, from 0."""

    by: Literal["interactions", "users"] = "interactions"
    """What is dealt to the folds: interactions, or users, who then are kept out of training and asked by a part of
    their interactions."""

    scope: Literal["user", "global"] | None = None
    """Whether each user's interactions are dealt evenly, or only all together; null is user. With by=interactions."""

    valid: float = Field(0.1, ge=0, lt=1)
    """Share of the rest for validation, interactions or users."""

    fold_in: float | None = Field(None, gt=0, lt=1)
    """Share of the interactions that models know users by; null is 0.8. With by=users."""

    min_fold_in: int | None = Field(None, ge=2)
    """A user with fewer interactions is not asked; null is 5. With by=users."""

    seed: int = Field(0, ge=0)
    """Of the draw; all folds of a cross-validation need the same."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold = {self.fold}: should be less than folds = {self.folds}.")
        for option in ("scope",) if self.by == "users" else ("fold_in", "min_fold_in"):
            value = getattr(self, option)
            if value is not None:
                raise ValueError(f"{option} = {value!r}: has no effect with by={self.by!r}; leave it out.")
        return self


@register("k_fold", config=KFoldConfig)
class KFold(Splitter):
    """Interactions, or users, dealt to folds at random; one fold is tested, the others are there to learn from.

    Over all folds each interaction (user) is tested once; the folds' numbers of interactions, in all and of each
    user (or of users), differ by one at most. Times play no role, so the protocol **leaks across time**, within a
    user and across users.

    By users it is the user-disjoint split with the fold as its test users; see there for the catalogue.
    """

    config: KFoldConfig

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether a share is set aside for validation."""
        return isinstance(config, KFoldConfig) and config.valid > 0

    @classmethod
    def folds_in(cls, config: Config) -> bool:
        """Return whether users are dealt to the folds."""
        return isinstance(config, KFoldConfig) and config.by == "users"

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8.

        Raises:
            ConfigError: The fold, or the validation part, is empty.
        """
        parts = self._strangers(interactions) if self.config.by == "users" else self._interactions(interactions)
        if not bool((parts == TEST).any()):
            raise ConfigError(
                f"split.folds = {self.config.folds}: fold {self.config.fold} has nothing to find, of "
                f"{len(parts):,} interactions and {interactions.n_users:,} users. Set fewer folds."
            )
        refuse_empty(parts, VALID, "valid", self.config.valid)
        return parts

    def cut(self, interactions: Interactions, parts: Tensor) -> Split:
        """Return the split; by users its item vocabulary are the items of the training users.

        Raises:
            EmptyDatasetError: Nothing is left to train on.
        """
        return cut_to_catalogue(interactions, parts) if self.config.by == "users" else super().cut(interactions, parts)

    def _interactions(self, interactions: Interactions) -> Tensor:
        groups = torch.zeros_like(interactions.users) if self.config.scope == "global" else interactions.users
        return self._dealt(groups)

    def _strangers(self, interactions: Interactions) -> Tensor:
        config = self.config
        return ask_strangers(
            interactions,
            self._dealt(torch.zeros(interactions.n_users, dtype=torch.int64)),
            config.fold_in or _FOLD_IN,
            config.min_fold_in or _MIN_FOLD_IN,
            lambda rows: shuffled_place(interactions.users[rows], config.seed, "fold-in"),
        )

    def _dealt(self, groups: Tensor) -> Tensor:
        """Return ``TRAIN``, ``VALID`` or ``TEST`` for each of M things, (M,) int8.

        Args:
            groups: (M,) int64, ascending; each group is dealt evenly, and validation has its share of each.
        """
        config, sizes = self.config, torch.bincount(groups)
        # Each group is dealt on from the fold where the one before ended, so that all together are dealt evenly.
        order = torch.randperm(len(sizes), generator=generator(config.seed, "split", "groups"))
        begin = torch.empty_like(sizes)
        begin[order] = sizes[order].cumsum(0) - sizes[order]
        folds = (begin[groups] + shuffled_place(groups, config.seed)) % config.folds
        parts = torch.full((len(groups),), TRAIN, dtype=torch.int8)
        parts[folds == config.fold] = TEST
        rest = torch.nonzero(parts == TRAIN).flatten()
        n_valid = portion(config.valid, torch.bincount(groups[rest], minlength=len(sizes)))
        place = shuffled_place(groups[rest], config.seed, "valid", config.fold)
        parts[rest[place < n_valid[groups[rest]]]] = VALID
        return parts
