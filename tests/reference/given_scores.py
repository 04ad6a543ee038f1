"""A model that returns the scores it is given, and the holdout that asks it: what tests of rankings need."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recbench.data import Histories, Holdout, Interactions, Vocabulary
from recbench.models import Model
from recbench.options import Config
from recbench.ranking import rank


class GivenScores(Model):
    """Returns row ``user`` of ``scores`` (n_users, n_items); nothing is copied, so that writing shows."""

    def __init__(self, train, scores):
        super().__init__(Config(), train)
        self.scores = scores

    def score(self, batch, items=None):
        rows = self.scores[batch.users]
        return rows if items is None else rows.gather(1, items)


@dataclass(frozen=True)
class Case:
    model: GivenScores
    holdout: Holdout
    train: Interactions

    def rank(self, k, **options):
        return rank(self.model, self.holdout, self.train, k, **options)


def rows(lists):
    """Return ``lists`` of item indices as Histories."""
    counts = torch.tensor([len(row) for row in lists])
    items = torch.tensor([item for row in lists for item in row], dtype=torch.int64)
    return Histories.from_pairs(torch.repeat_interleave(torch.arange(len(lists)), counts), items, len(lists))


def ids(n, prefix):
    """Return n ids in the order of their indices."""
    return [f"{prefix}{number:05d}" for number in range(n)]


def case(scores, relevant, seen=None, candidates=None, user_ids=None, item_ids=None):
    """Return the case of ``scores`` (n_users, n_items), with ``relevant`` and ``seen`` item indices a user.

    Users without a relevant item are left out, as a split does. ``candidates`` are (n_users, C) or None.
    """
    n_users, n_items = scores.shape
    history = rows(seen or [[]] * n_users)
    train = Interactions(
        users=history.row_of_each(),
        items=history.items,
        user_vocabulary=Vocabulary(user_ids or ids(n_users, "u"), "user"),
        item_vocabulary=Vocabulary(item_ids or ids(n_items, "i"), "item"),
    )
    target = rows([list(row) for row in relevant])
    asked = torch.nonzero(target.counts).flatten()
    holdout = Holdout(
        users=asked,
        history=history.rows(asked),
        target=target.rows(asked),
        n_without_target=n_users - len(asked),
        candidates=None if candidates is None else candidates[asked],
    )
    return Case(GivenScores(train, scores), holdout, train)
