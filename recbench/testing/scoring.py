"""Checks of scores: their form, and that they depend on the user, the history and the item alone."""

from __future__ import annotations

import torch

from recbench.data import Histories, UserBatch
from recbench.errors import ConfigError
from recbench.randomness import generator
from recbench.ranking import rank
from recbench.testing.battery import Subject, check, score
from recbench.testing.data import N_ITEMS, N_USERS, everyone
from recbench.testing.requirements import require, require_close


@check
def scores_are_finite(subject: Subject) -> None:
    """Scores are finite float32 of shape (U, I), also for users and items without training interactions."""
    scores = subject.scores
    require(scores.shape == (N_USERS, N_ITEMS), f"the scores have shape {tuple(scores.shape)}, not (users, items).")
    require(scores.dtype == torch.float32, f"the scores are {scores.dtype}, not torch.float32.")
    wrong = int((~torch.isfinite(scores)).sum())
    require(wrong == 0, f"{wrong} of {scores.numel()} scores are not finite.")


@check
def batches_of_one(subject: Subject) -> None:
    """Users scored one at a time, or seven, have the same scores as all at once."""
    batch = everyone(subject.split)
    for size in (1, 7):
        blocks = [
            score(subject.example, UserBatch(users, batch.history.rows(users))) for users in batch.users.split(size)
        ]
        name = "one" if size == 1 else str(size)
        require_close(torch.cat(blocks), subject.scores, f"scores of batches of {name} and of all users at once")


@check
def candidates(subject: Subject) -> None:
    """Candidates have the scores that they have among all items, in the order given, repeated ones too."""
    for n_candidates in (1, 7, N_ITEMS + 1):
        items = torch.randint(N_ITEMS, (N_USERS, n_candidates), generator=generator(0, "candidates"))
        scores = score(subject.example, everyone(subject.split), items)
        require_close(scores, subject.scores.gather(1, items), f"scores of {n_candidates} candidates and of all items")


@check
def ranges(subject: Subject) -> None:
    """Where a model can score a range of items by itself, it gives their columns of the scores of all items."""
    model, batch = subject.example, everyone(subject.split)
    if not model.in_ranges:
        return
    for first, last in ((0, N_ITEMS), (0, 1), (5, N_ITEMS - 1), (N_ITEMS - 1, N_ITEMS)):
        with torch.no_grad():
            scores = model.score_range(batch, first, last)
        what = f"scores of the items {first} to {last - 1} by themselves and among all"
        require(
            scores.shape == (N_USERS, last - first), f"score_range gives the shape {tuple(scores.shape)} for {what}."
        )
        if last - first == N_ITEMS:
            require(torch.equal(scores, subject.scores), "score_range of all items differs from score in some bits.")
        require_close(scores, subject.scores[:, first:last], what)


@check
def masked_items(subject: Subject) -> None:
    """Items of the history are scored like all others: leaving them out of lists is up to the ranking, which does."""
    batch, holdout = everyone(subject.split), subject.split.test
    assert holdout is not None
    known = batch.history.mask(N_ITEMS)
    lowest_known = subject.scores.masked_fill(~known, torch.inf).min(1).values
    highest_known = subject.scores.masked_fill(~known, -torch.inf).max(1).values
    lowest_other = subject.scores.masked_fill(known, torch.inf).min(1).values
    apart = (lowest_known == highest_known) & (highest_known < lowest_other)
    several = batch.history.counts > 1
    n_apart, n_several = int((apart & several).sum()), int(several.sum())
    require(
        n_apart < n_several,
        "all items of a history have the same score, below that of every other item; leave masking to the ranking.",
    )
    lists = rank(subject.example, holdout, subject.split.train, N_ITEMS).items
    rows, places = torch.nonzero(lists >= 0, as_tuple=True)
    listed = torch.zeros(len(lists), N_ITEMS, dtype=torch.int64)
    listed.index_put_((rows, lists[rows, places]), torch.ones(len(rows), dtype=torch.int64), accumulate=True)
    wrong = int((listed != (~holdout.history.mask(N_ITEMS)).long()).any(1).sum())
    require(wrong == 0, f"the lists of {wrong} of {len(lists)} users are not their unseen items, each once.")


@check
def unknown_users(subject: Subject) -> None:
    """A user with index -1 is scored by their history where the model folds in, and refused where it does not."""
    batch = UserBatch(torch.tensor([-1, 1, -1]), everyone(subject.split).history.rows(torch.tensor([0, 1, 2])))
    _scored_or_refused(subject, batch, "unknown users")


@check
def empty_histories(subject: Subject) -> None:
    """A known user may come without a history; an unknown one only where the model folds in."""
    nothing = Histories(torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    scores = score(subject.example, UserBatch(torch.tensor([0]), nothing))
    require(scores.shape == (1, N_ITEMS), f"the scores have shape {tuple(scores.shape)}, not (1, items).")
    require(bool(torch.isfinite(scores).all()), "the scores of a known user without a history are not finite.")
    _scored_or_refused(subject, UserBatch(torch.tensor([-1]), nothing), "an unknown user without a history")


def _scored_or_refused(subject: Subject, batch: UserBatch, who: str) -> None:
    """Require finite scores of a model that folds in, and ``ConfigError`` of any other."""
    try:
        scores = score(subject.example, batch)
    except ConfigError as error:
        require(not subject.model.folds_in, f"it declares folds_in = True and refuses {who}: {error}")
        return
    require(subject.model.folds_in, f"it declares folds_in = False and scores {who}; call refuse_unknown().")
    require(scores.shape == (len(batch), N_ITEMS), f"the scores of {who} have shape {tuple(scores.shape)}.")
    require(bool(torch.isfinite(scores).all()), f"the scores of {who} are not finite.")
