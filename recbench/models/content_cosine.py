"""Scores an item by the cosine between its features and the user's profile.

Source: Lops, de Gemmis, Semeraro, Content-based Recommender Systems: State of the Art and Trends, in Recommender
Systems Handbook, 2011, section 3.3.1.1 (cosine of the vectors of profile and item),
https://doi.org/10.1007/978-0-387-85820-3_3. The profile is the mean of the vectors of what the user took.

Differs: vectors of any features, where the source weighs key words by TF-IDF; no negative feedback.

Shapes:
    B users, I items, C candidates, D numbers of an item.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from recbench.data import FeatureTable, Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.models import Model, register
from recbench.options import Config


class ContentCosineConfig(Config):
    """Options of ``content_cosine``."""

    features: tuple[str, ...] | None = Field(None, min_length=1)
    """Features of items to go by; null takes all but text."""

    users: Literal["mean", "given"] = "mean"
    """A user's vector: the mean of the items in the history, or given by the features of users, which then have to be
    the same columns as those of items (vectors: as many dimensions)."""

    user_features: tuple[str, ...] | None = Field(None, min_length=1)
    """Features of users that give their vectors; null takes all but text. With users=given only."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        if self.user_features is not None and self.users != "given":
            raise ValueError("user_features have no effect with users = 'mean'; set users=given, or leave them out.")
        return self


@register("content_cosine", config=ContentCosineConfig)
class ContentCosine(Model):
    """Cosine between the features of an item and those of the user, from -1 to 1; 0 where either has none.

    With ``users=mean`` users are known by their history alone, which at test time includes validation items; an
    unknown user is scored alike, and an empty history gives 0 everywhere. With ``users=given`` histories have no
    effect, and an unknown user is refused.
    """

    folds_in: ClassVar[bool] = True
    config: ContentCosineConfig
    items: Tensor
    directions: Tensor
    first_alike: Tensor
    users: Tensor

    def __init__(self, config: ContentCosineConfig, train: Interactions, seed: int = 0) -> None:
        """Make room for the vectors; see ``Model``.

        Raises:
            ConfigError: The data has no such features, or those of users are not the columns of items.
        """
        super().__init__(config, train, seed)
        items = _table(train, "item")
        dim = items.dim(config.features)
        if config.users == "given":
            _refuse_other_meaning(items, config.features, _table(train, "user"), config.user_features)
        self.register_buffer("items", torch.zeros(self.n_items, dim))
        self.register_buffer("directions", torch.zeros(self.n_items, dim))
        self.register_buffer("first_alike", torch.zeros(self.n_items, dtype=torch.int64))
        self.register_buffer("users", torch.zeros(self.n_users, dim))

    def fit(self, train: Interactions) -> None:
        """Take the vectors of the items, and those of the users by their training items or as they are given."""
        self.items.copy_(_table(train, "item").matrix(self.config.features))
        self.directions.copy_(_directions(self.items))
        self.first_alike.copy_(_first_alike(self.items))
        if self.config.users == "given":
            self.users.copy_(_directions(_table(train, "user").matrix(self.config.user_features).to(self.device)))
        else:
            self.users.copy_(self._profiles(train.histories.to(self.device)))

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) cosines; see ``Model.score``."""
        if self.config.users == "given":
            self.refuse_unknown(batch.users)
            profiles = self.users[batch.users]
        else:
            profiles = self._profiles(batch.history)
        scores = profiles @ self.directions.T
        # Where a column stands can change its last bit, and items with the same features should tie.
        return scores[:, self.first_alike] if items is None else scores.gather(1, self.first_alike[items])

    def user_vectors(self) -> Tensor:
        """Return (n_users, D) vectors of length 1 or 0, by the training items where the profile is their mean."""
        return self.users

    def item_vectors(self) -> Tensor:
        """Return (n_items, D) vectors of length 1 or 0."""
        return self.directions

    def _profiles(self, history: Histories) -> Tensor:
        """Return the directions (B, D) of the means of the items in each history.

        The sum has the direction of the mean.
        """
        return _directions(F.embedding_bag(history.items, self.items, history.offsets[:-1], mode="sum"))


def _table(train: Interactions, kind: Literal["user", "item"]) -> FeatureTable:
    table = train.features.items if kind == "item" else train.features.users
    if table is None:
        raise ConfigError(
            f"model 'content_cosine' needs features of {kind}s, and the data set has none. Declare some of your own "
            f"files in dataset.{kind}_columns, or choose a data set that has them, such as ml-100k."
        )
    return table


def _refuse_other_meaning(
    items: FeatureTable, item_names: tuple[str, ...] | None, users: FeatureTable, user_names: tuple[str, ...] | None
) -> None:
    """Raise ``ConfigError`` where the columns of users are not those of items, one by one."""
    ours, theirs = _meanings(users, user_names), _meanings(items, item_names)
    if len(ours) != len(theirs):
        raise ConfigError(
            f"users = 'given': the features of users have {len(ours)} columns and those of items {len(theirs)}; "
            "choose the same ones by model.user_features and model.features."
        )
    for place, (user, item) in enumerate(zip(ours, theirs)):
        if user != item:
            raise ConfigError(
                f"users = 'given': column {place} is {user!r} of users and {item!r} of items; choose features that "
                "mean the same, in the same order, by model.user_features and model.features."
            )


def _meanings(table: FeatureTable, names: tuple[str, ...] | None) -> list[str]:
    """Return the names of the columns; a vector's own name does not count, only the place in it."""
    chosen = [name for name in table.names if table.kind(name) != "text"] if names is None else names
    return [
        label.removeprefix(name) if table.kind(name) == "vector" else label
        for name in chosen
        for label in table.columns([name])
    ]


def _directions(vectors: Tensor) -> Tensor:
    """Return the rows of ``vectors`` (N, D) at length 1; a row of zeros stays one."""
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, vectors / lengths, torch.zeros_like(vectors))


def _first_alike(vectors: Tensor) -> Tensor:
    """Return for each row of ``vectors`` (N, D) the index of the first row that equals it, (N,) int64."""
    distinct, which = torch.unique(vectors, dim=0, return_inverse=True)
    places = torch.arange(len(vectors), device=vectors.device)
    first = torch.full((len(distinct),), len(vectors), device=vectors.device)
    return first.scatter_reduce(0, which, places, "amin")[which]
