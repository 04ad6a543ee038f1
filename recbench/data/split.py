"""A data set cut into what is learnt from and what is asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recbench.data.histories import Histories
from recbench.data.interactions import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.errors import EmptyDatasetError


@dataclass(frozen=True, eq=False)
class Holdout:
    """Users to be asked, what is known of them, and what they took.

    Shapes:
        users: (U,) int64, only those with something to find.
        history: U rows, what a model may know: training items, and for the test part validation items too.
        target: U rows, the relevant items, with their ratings as values where there are any.
        candidates: (U, C) int64, the items to be ranked, padded with -1; None ranks all items.
        timestamps: (N,) int64, of each entry of ``target``, or None.

    Attributes:
        n_without_target: Users of the data set that are left out here since they have nothing to find.
        strangers: Whether the users were kept out of training, so that a model knows them by their history alone.
    """

    users: Tensor
    history: Histories
    target: Histories
    n_without_target: int
    candidates: Tensor | None = None
    timestamps: Tensor | None = None
    strangers: bool = False


@dataclass(frozen=True, eq=False)
class Split:
    """Training interactions and the holdouts; a part is None where the protocol has none."""

    train: Interactions
    valid: Holdout | None
    test: Holdout | None
    fingerprint: str

    @classmethod
    def from_parts(cls, interactions: Interactions, parts: Tensor) -> Split:
        """Cut ``interactions`` by ``parts`` (N,) int8.

        Args:
            interactions: All of them; the vocabularies stay whole in every part.
            parts: ``TRAIN``, ``VALID`` and ``TEST``; ``FOLD_IN`` is known of users who are asked and not trained
                on, and never learnt from; ``UNUSED`` is nowhere.

        Raises:
            EmptyDatasetError: Nothing is left to train on.
        """
        counts = torch.bincount(parts.long(), minlength=UNUSED + 1).tolist()
        if counts[TRAIN] == 0:
            raise EmptyDatasetError(
                f"the split leaves nothing to train on: of {len(interactions):,} interactions "
                f"{counts[VALID]:,} go to validation and {counts[TEST]:,} to test."
            )
        digest = hashlib.sha256(interactions.fingerprint.encode() + parts.to(torch.int8).numpy().tobytes())
        trained, folded = parts == TRAIN, parts == FOLD_IN
        train = interactions.select(trained)
        train = replace(train, features=interactions.features.fitted(train.users.unique(), train.items.unique()))
        strangers = counts[FOLD_IN] > 0

        def holdout(part: int, known: Tensor) -> Holdout | None:
            # What is known is mostly what is learnt from, and no second copy of that is made.
            alike = torch.equal(known, trained)
            return _holdout(interactions, train if alike else interactions.select(known), parts == part, strangers)

        return cls(
            train=train,
            valid=holdout(VALID, trained | folded) if counts[VALID] else None,
            test=holdout(TEST, (parts != TEST) & (parts != UNUSED)) if counts[TEST] else None,
            fingerprint=digest.hexdigest(),
        )


def _holdout(interactions: Interactions, known: Interactions, asked: Tensor, strangers: bool) -> Holdout:
    wanted = interactions.select(asked)
    target = wanted.histories
    users = torch.nonzero(target.counts).flatten()
    return Holdout(
        users=users,
        history=known.histories.rows(users),
        target=target.rows(users),
        n_without_target=interactions.n_users - len(users),
        timestamps=wanted.timestamps,
        strangers=strangers,
    )
