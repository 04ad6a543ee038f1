"""The scores of some users' items beside what is relevant, with those left out that must not be listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import NonFiniteScoresError
from recbench.models import Model


@dataclass(frozen=True, eq=False)
class Scored:
    """Some items of B users with their scores.

    Shapes:
        scores: (B, C) float32, -inf for what must not be listed.
        items: (C,) or (B, C) int64, -1 for what is no item.
        relevant: (B, C) bool.
    """

    scores: Tensor
    items: Tensor
    relevant: Tensor

    def and_those_of(self, other: Scored) -> Scored:
        """Return the items (B, C) of both."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("scores", "items", "relevant"))
        return Scored(*(torch.cat(pair, 1) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Asked:
    """B users to be asked: indices for messages, what the model is told, and rows of what to hide and to find."""

    model: Model
    train: Interactions
    users: Tensor
    batch: UserBatch
    hidden: Histories
    relevant: Histories

    def blocks(self, item_block: int) -> list[Scored] | Ranges:
        """Return all items, at once or ``item_block`` at a time."""
        n_items = self.model.n_items
        return [self.range(0, n_items)] if item_block >= n_items else Ranges(self, item_block)

    def given(self, first: int, last: int) -> Tensor:
        """Return what the model gives (B, last - first) for the items from ``first`` up to ``last``, finite or not."""
        model, shape = self.model, (len(self.batch), last - first)
        scores = model.score(self.batch) if shape[1] == model.n_items else model.score_range(self.batch, first, last)
        return _formed(scores, model, shape)

    def range(self, first: int, last: int) -> Scored:
        """Return the items from ``first`` up to ``last``."""
        scores, n_items = self.given(first, last), self.model.n_items
        self.check_finite(scores)
        scores = scores.index_put(_places(self.hidden, first, last, n_items), scores.new_tensor(-torch.inf))
        relevant = torch.zeros_like(scores, dtype=torch.bool)
        relevant[_places(self.relevant, first, last, n_items)] = True
        return Scored(scores, torch.arange(first, last, device=scores.device), relevant)

    def candidates(self, items: Tensor) -> Scored:
        """Return the candidates ``items`` (B, C), padded with -1."""
        n_items = self.model.n_items
        safe = items.clamp(min=0)
        hidden = self.hidden.mask(n_items).gather(1, safe) | (items < 0)
        scores = _formed(self.model.score(self.batch, safe), self.model, tuple(safe.shape))
        self.check_finite(scores)
        return Scored(scores.masked_fill(hidden, -torch.inf), items, self.relevant.mask(n_items).gather(1, safe))

    def check_finite(self, scores: Tensor) -> None:
        """Raise ``NonFiniteScoresError``, which names the first user concerned, unless ``scores`` (B, C) are finite."""
        # Minimum and maximum pass a NaN on: two numbers tell of all.
        if not scores.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(scores))).all()):
            return
        bad = ~torch.isfinite(scores)
        concerned = torch.nonzero(bad.any(1)).flatten()
        first = int(self.users[concerned[0]])
        raise NonFiniteScoresError(
            f"{type(self.model).__name__} gave {int(bad.sum()):,} scores that are NaN or infinite, for "
            f"{len(concerned):,} of {len(scores):,} users in this block, first for "
            f"{'an unknown user' if first < 0 else f'user {self.train.user_vocabulary.ids[first]!r}'}. "
            "Its parameters are not finite: lower the learning rate, or clip the gradient."
        )


@dataclass(frozen=True, eq=False)
class Ranges:
    """All items of some users, ``item_block`` at a time, scored anew each time that they are gone through."""

    asked: Asked
    item_block: int

    def __iter__(self) -> Iterator[Scored]:
        n_items = self.asked.model.n_items
        for first in range(0, n_items, self.item_block):
            yield self.asked.range(first, min(first + self.item_block, n_items))


def _places(rows: Histories, first: int, last: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Return row and column (N,) of each entry that lies from ``first`` up to ``last`` of the items; ``first`` is 0."""
    if (first, last) == (0, n_items):
        return rows.row_of_each(), rows.items
    inside = (rows.items >= first) & (rows.items < last)
    return rows.row_of_each()[inside], rows.items[inside] - first


def _formed(scores: Tensor, model: Model, shape: tuple[int, ...]) -> Tensor:
    """Return what ``model`` gave, or raise where it is not of ``shape`` or not float32."""
    name = type(model).__name__
    if tuple(scores.shape) != shape:
        raise ValueError(f"{name} gave scores of shape {tuple(scores.shape)}, expected {shape}.")
    if scores.dtype != torch.float32:
        raise ValueError(
            f"{name} gave scores of type {scores.dtype}, expected torch.float32: rounding them would make different "
            "scores equal. Let score() compute in float32."
        )
    return scores
