"""The contract of every model, and of those that are trained by gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from recbench import kernels
from recbench.data import Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.kernels import BackendName
from recbench.nn.products import PANEL, by_panels
from recbench.options import Config

BLOCK_NUMBERS = 2**19
"""Numbers that a gradient model holds at a time while it scores many items: few enough to stay in the cache."""


class Model(nn.Module, ABC):
    """A scorer of items for users.

    A subclass keeps everything it learns in parameters and buffers, so that ``state_dict()`` is the whole
    model beside its options and its training interactions.

    Attributes:
        trainer: Registered name of the trainer that fits it.
        trainer_defaults: What this model wants instead of that trainer's own defaults.
        negatives: Registered name of its usual negative sampler, or None where it needs none.
        negatives_defaults: What this model wants instead of that sampler's own defaults.
        stochastic: Whether another seed gives another model.
        folds_in: Whether it scores users by their history alone, also those it was not trained on.
        in_ranges: Whether it scores a range of items by itself (``score_range``), so that ranking need not hold the
            scores of all items at a time. Several threads may ask such a model at a time, each for users of its own.
        expected_failures: Checks of ``recbench.testing`` that it cannot pass, each with the reason.
        backend: What computes where a model has more than one way to; a trainer sets it.
    """

    trainer: ClassVar[str] = "closed_form"
    trainer_defaults: ClassVar[Mapping[str, Any]] = {}
    negatives: ClassVar[str | None] = None
    negatives_defaults: ClassVar[Mapping[str, Any]] = {}
    stochastic: ClassVar[bool] = False
    folds_in: ClassVar[bool] = False
    in_ranges: ClassVar[bool] = False
    expected_failures: ClassVar[Mapping[str, str]] = {}
    backend: BackendName = "auto"

    def __init__(self, config: Config, train: Interactions, seed: int = 0) -> None:
        """Make the model ready to be fitted.

        Args:
            config: Its options.
            train: The interactions it will be fitted on.
            seed: Of the initialisation.
        """
        super().__init__()
        self.config = config
        self.n_users = train.n_users
        self.n_items = train.n_items
        self.seed = seed
        self.register_buffer("_place", torch.zeros(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self._place.device  # type: ignore[return-value]

    @property
    def compiled(self) -> bool:
        """Whether compiled loops compute what it has them for."""
        return self.backend != "torch" and self.device.type == "cpu" and kernels.installed()

    @abstractmethod
    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return float32 scores, higher is better.

        Args:
            batch: B users on the model's device.
            items: Candidates (B, C) int64, or None for all items.

        Returns:
            (B, I), or (B, C) for candidates. Items of the history are scored like all others.

        Raises:
            ConfigError: The batch holds a user without training (index -1) and the model cannot fold in.
        """

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return the scores (B, last - first) of the items from ``first`` up to ``last``.

        They are the columns that ``score(batch)`` has for these items, to the last bit where ``first`` is a multiple of
        ``PANEL`` and ``last`` is one too or the end.
        """
        raise NotImplementedError(f"{type(self).__name__} scores all items at once.")

    def fit(self, train: Interactions) -> None:
        """Learn from ``train`` in one go; models trained by gradients leave this to their trainer."""
        raise NotImplementedError(f"{type(self).__name__} is not fitted in closed form.")

    @classmethod
    def predicts_ratings(cls, config: Config) -> bool:
        """Return whether a model with these options predicts ratings, not only an order."""
        return False

    def predict(self, users: Tensor, items: Tensor) -> Tensor:
        """Return predicted ratings (N,) float32 of the pairs ``users`` (N,) and ``items`` (N,)."""
        raise NotImplementedError(f"{type(self).__name__} predicts no ratings.")

    def user_vectors(self) -> Tensor | None:
        """Return (n_users, D) vectors whose dot product with the items' is the score, where there are any."""
        return None

    def item_vectors(self) -> Tensor | None:
        """Return (n_items, D) vectors, where there are any."""
        return None

    def refuse_unknown(self, users: Tensor) -> None:
        """Raise ``ConfigError`` where a user has no training index."""
        if bool((users < 0).any()):
            raise ConfigError(
                f"{type(self).__name__} cannot score a user it was not trained on. "
                "Choose a model that goes by the history alone, such as item_knn or user_knn."
            )


class GradientModel(Model):
    """A differentiable scorer of pairs; its options have ``loss`` and ``reg``.

    A subclass with a ``score`` of its own gives the scores of all items, unless it has a ``score_range`` that agrees
    and says so.
    """

    trainer: ClassVar[str] = "gradient"
    negatives: ClassVar[str | None] = "uniform"
    stochastic: ClassVar[bool] = True
    in_ranges: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Take no ``score_range`` for granted that may not agree with the subclass's ``score``."""
        super().__init_subclass__()
        if "score" in vars(cls) and "in_ranges" not in vars(cls):
            cls.in_ranges = False

    @property
    def numbers_a_pair(self) -> int:
        """Numbers that ``forward`` holds at a time for each pair of user and item, beside the score, or 0.

        They bound the block of users in ``score``.
        """
        return 1

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the scores (B, C) of items for users.

        Args:
            users: (B,) int64.
            items: (B, C) int64, each user's own, or (C,) int64, the same for all.
        """

    @abstractmethod
    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the sum of squares of the rows that ``forward`` looks up, once an occurrence (a scalar)."""

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; see ``Model.score``."""
        if items is None:
            return self.score_range(batch, 0, self.n_items)
        self.refuse_unknown(batch.users)
        return self(batch.users, items)

    def score_range(self, batch: UserBatch, first: int, last: int) -> Tensor:
        """Return (B, last - first) scores, computed in blocks of users and items; see ``Model.score_range``."""
        self.refuse_unknown(batch.users)
        n_held = min(PANEL, self.n_items) * self.numbers_a_pair
        block = max(1, BLOCK_NUMBERS // n_held) if n_held else len(batch)
        everybody = batch.users.split(block) if len(batch) > block else (batch.users,)

        def scored(items: Tensor) -> Tensor:
            first, *others = everybody
            part = self(first, items)
            return torch.cat([part, *(self(users, items) for users in others)]) if others else part

        return by_panels(scored, torch.arange(first, last, device=batch.users.device))


class AlternatingModel(Model):
    """A model of two sides, each of which is solved for while the other is held."""

    trainer: ClassVar[str] = "alternating"
    stochastic: ClassVar[bool] = True

    @abstractmethod
    def sweeps(self, train: Interactions) -> Iterator[float]:
        """Yield the objective, over the number of interactions, after each sweep over both sides; without end.

        All that one sweep hands to the next stands in parameters and buffers, so that a new iterator goes on from
        there.
        """
