"""Users who are kept out of training, asked by a part of their interactions: strong generalisation.

Source: Liang, Krishnan, Hoffman, Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018, section 4.1,
https://arxiv.org/abs/1802.05814, and the notebook that belongs to it, https://github.com/dawenl/vae_cf.

Differs: with ``draw=vae_cf`` a user's interactions are drawn from in the order of the item ids, as the published file
of ML-20M lists them, whatever the order of the file at hand.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from recbench.data import TEST, TRAIN, VALID, Interactions, Split
from recbench.errors import ConfigError
from recbench.options import Config
from recbench.randomness import generator
from recbench.splits import Splitter, register
from recbench.splits.shares import portion, refuse_empty, shuffled_place
from recbench.splits.strangers import ask_strangers, cut_to_catalogue
from recbench.splits.vae_cf_draws import drawn_places, drawn_users


def _checked_amount(value: Any) -> Any:
    share = type(value) in (int, float) and 0 <= value < 1
    if not share and not (type(value) is int and value >= 1):
        raise ValueError("should be a number of users such as 1000, or a share of them, at least 0 and below 1.")
    return value


Amount = Annotated[int | float, BeforeValidator(_checked_amount)]


class UserDisjointConfig(Config):
    """Options of the user-disjoint split."""

    test_users: Amount = 0.1
    """Number of the users who are asked for test, or their share, below 1."""

    valid_users: Amount = 0.1
    """Number of the users who are asked for validation, or their share, below 1."""

    fold_in: float = Field(0.8, gt=0, lt=1)
    """Share of these users' interactions that models know them by; the others are to be found."""

    min_fold_in: int = Field(5, ge=2)
    """A user with fewer interactions is not asked."""

    draw: Literal["recbench", "vae_cf"] = "recbench"
    """How users and interactions are drawn: vae_cf repeats the draws of the authors' notebook, whose seed is 98765;
    the ids must be whole numbers."""

    seed: int = Field(0, ge=0)
    """Of the draw."""

    @model_validator(mode="after")
    def _seed_of_the_notebook(self) -> Self:
        if self.draw == "vae_cf" and self.seed >= 2**32:
            raise ValueError(f"seed = {self.seed}: should be less than 2**32 with draw='vae_cf'.")
        return self


@register("user_disjoint", config=UserDisjointConfig)
class UserDisjoint(Splitter):
    """Some users for test, some for validation, with a part of their interactions known and the rest to be found.

    The catalogue are the items of the training users; interactions with others are unused, and their number is
    logged. Times play no role, so the protocol **leaks across time**, within a user and across users. A model must
    know users by their history alone.

    With ``draw=vae_cf`` users, items and interactions are those of the notebook: users are permuted in the order of
    their ids as whole numbers, the last ones are for test, the ones before for validation; then for each of the
    two parts, from the same seed anew, the user's interactions to be found are drawn one user after the other.
    """

    config: UserDisjointConfig

    @classmethod
    def may_validate(cls, config: Config) -> bool:
        """Return whether users are set aside for validation."""
        return isinstance(config, UserDisjointConfig) and config.valid_users > 0

    @classmethod
    def folds_in(cls, config: Config) -> bool:
        """Return True."""
        return True

    def assign(self, interactions: Interactions) -> Tensor:
        """Return the part of each interaction, (N,) int8.

        Raises:
            ConfigError: There are too few users, no user of a part has enough interactions, or with ``draw=vae_cf``
                an id is no whole number.
        """
        config, seed = self.config, self.config.seed
        notebook = config.draw == "vae_cf"
        order = (
            drawn_users(interactions, seed)
            if notebook
            else torch.randperm(interactions.n_users, generator=generator(seed, "split", "users"))
        )
        roles = self._roles(order)

        def places(rows: Tensor) -> Tensor:
            if notebook:
                return drawn_places(interactions, rows, roles, config.min_fold_in, seed)
            return shuffled_place(interactions.users[rows], seed)

        parts = ask_strangers(interactions, roles, config.fold_in, config.min_fold_in, places)
        refuse_empty(parts, TEST, "test_users", config.test_users)
        refuse_empty(parts, VALID, "valid_users", config.valid_users)
        return parts

    def cut(self, interactions: Interactions, parts: Tensor) -> Split:
        """Return the split, whose item vocabulary are the items of the training users.

        Raises:
            EmptyDatasetError: Nothing is left to train on.
        """
        return cut_to_catalogue(interactions, parts)

    def _roles(self, order: Tensor) -> Tensor:
        """Return the part that each user is asked for, (n_users,) int8; first in ``order`` those for test."""
        config, n_users = self.config, len(order)
        n_test, n_valid = _number(config.test_users, n_users), _number(config.valid_users, n_users)
        if n_test + n_valid >= n_users:
            raise ConfigError(
                f"split.test_users = {config.test_users} and split.valid_users = {config.valid_users}: "
                f"leave none of the {n_users:,} users to train on. Set smaller ones."
            )
        roles = torch.full((n_users,), TRAIN, dtype=torch.int8)
        roles[order[:n_test]] = TEST
        roles[order[n_test : n_test + n_valid]] = VALID
        return roles


def _number(amount: int | float, n_users: int) -> int:
    return int(amount) if amount >= 1 else int(portion(amount, torch.tensor(n_users)))
