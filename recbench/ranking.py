"""The one place where lists are cut, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from recbench import kernels
from recbench.blocks import Block, Blocks, item_block
from recbench.data import Histories, Holdout, Interactions, Ranking, UserBatch
from recbench.models import Model
from recbench.resources import is_out_of_memory
from recbench.scored import Asked, Ranges, Scored
from recbench.total_order import BestSoFar, TieOrder, by_ranges, items_at, top_k

WORTH_LOADING = 2**27
"""Scores that take about as long to rank as numba takes to load: with fewer it is used only if it is there already."""


def rank(
    model: Model,
    holdout: Holdout,
    train: Interactions,
    k: int,
    *,
    masked: Histories | None = None,
    tie_seed: int = 0,
    user_block: int = 512,
    with_auc: bool = False,
    progress: str | None = None,
) -> Ranking:
    """Return the lists of the holdout's users, hits marked.

    Args:
        model: Scores the items; it is switched to evaluation mode for the time being.
        holdout: Whom to ask, what is relevant, and the candidates where there are any.
        train: What the model was fitted on; gives the vocabularies and the popularity.
        k: Length of the lists; longer than the catalogue is allowed.
        masked: U rows of items that must not be listed, relevant or not; None leaves out each user's history.
        tie_seed: Of the order among equal scores (see ``TieOrder``).
        user_block: Users scored at a time at most, in compiled loops by each thread, so that memory is bounded by block
            and items. Where the free memory does not suffice for that, a model that can scores fewer items at a time,
            which changes no bit; any other's block of users is halved, down to 64, with a warning.
        with_auc: Whether to compute the area under the ROC curve from all scores.
        progress: Label of a progress bar; None shows none.

    Raises:
        NonFiniteScoresError: A score is NaN or infinite.
        ScoringMemoryError: The memory does not suffice for the smallest block either.
        ValueError: The scores are not float32, or not one an item.
    """
    device = model.device
    masked = holdout.history if masked is None else masked
    ties = TieOrder.of(train, tie_seed).to(device)
    was_training = model.training
    model.eval()
    n_users = len(holdout.users)
    found = _Found.empty(n_users, k, with_auc, device)
    # All scores of a user are needed for AUC at the same time anyway.
    compiled = model.compiled and not with_auc and (kernels.loaded() or n_users * model.n_items >= WORTH_LOADING)
    in_ranges = model.in_ranges and holdout.candidates is None
    threads, n_items = 1, model.n_items
    if in_ranges:
        if compiled and (torch.get_num_threads() - 1) * user_block < n_users:
            # Each thread ranks users of its own, and none waits for the others after each short product.
            threads = torch.get_num_threads()
        # A compiled loop reads scores while they are in the processor's cache.
        n_items = item_block(model, min(user_block, n_users), one_panel=compiled)
    blocks = Blocks(model, n_users, user_block, n_items, narrows=in_ranges)
    inference = torch.is_inference_mode_enabled()

    def rank_block(block: Block) -> bool:
        with torch.inference_mode(inference), torch.no_grad():
            some = _block_that_fits(
                model, holdout, train, masked, ties, block.users, k, with_auc, compiled, block.n_items
            )
            if some is not None:
                found.put(block.users, some)
        return some is not None

    try:
        with tqdm(total=n_users, desc=progress, disable=None if progress else True, delay=1, leave=False) as bar:
            blocks.each(rank_block, threads, bar.update)
    finally:
        model.train(was_training)
    return Ranking(
        users=holdout.users,
        items=found.items.cpu(),
        hits=found.hits.cpu(),
        tied=found.tied.cpu(),
        n_relevant=holdout.target.counts,
        popularity=train.popularity,
        n_train_users=train.n_users,
        auc=None if found.auc is None else found.auc.cpu(),
        user_block=blocks.user_block,
        item_block=blocks.item_block if holdout.candidates is None else None,
    )


@dataclass(frozen=True, eq=False)
class Best:
    """The best K items of some users.

    Shapes:
        rows: (B,) int64, which of the users that were asked.
        items: (B, K) int64, best first; -1 behind the end of a shorter list.
        scores: (B, K) float32; -inf behind the end.
    """

    rows: Tensor
    items: Tensor
    scores: Tensor


def best_items(
    model: Model, train: Interactions, users: Tensor, known: Histories, k: int, ties: TieOrder, user_block: int
) -> Iterator[Best]:
    """Yield the best ``k`` items, block by block of ``users`` (U,), indices of ``train``.

    Args:
        model: Scores the items, on the CPU.
        train: Gives the vocabularies.
        users: Whom to ask, -1 for an unknown user.
        known: U rows, which the model is told, and which are not listed.
        k: Length of the lists.
        ties: The order among equal scores.
        user_block: Users scored at a time.

    Raises:
        NonFiniteScoresError: A score is NaN or infinite.
    """
    n_items = item_block(model, min(user_block, len(users))) if model.in_ranges else model.n_items
    for start in range(0, len(users), user_block):
        rows = torch.arange(start, min(start + user_block, len(users)))
        batch = UserBatch(users[rows], known.rows(rows)).to(model.device)
        asked = Asked(model, train, users[rows], batch, batch.history, Histories.empty(len(rows)))
        best, _ = _best(asked.blocks(n_items), k, ties, users[rows])
        yield Best(rows, best.items, best.scores)


@dataclass(frozen=True, eq=False)
class _Found:
    """What has been found out about some users.

    Shapes:
        items: (B, k) int64, best first and padded with -1; hits, tied: (B, k) bool.
        auc: (B,) float64, where it is asked for.
    """

    items: Tensor
    hits: Tensor
    tied: Tensor
    auc: Tensor | None

    @classmethod
    def empty(cls, n_users: int, k: int, with_auc: bool, device: torch.device) -> _Found:
        """Return room for ``n_users``.

        It is taken at once: small results that are kept between large ones that are not leave holes in the memory,
        which grew to a gigabyte.
        """
        return cls(
            torch.empty(n_users, k, dtype=torch.int64, device=device),
            torch.empty(n_users, k, dtype=torch.bool, device=device),
            torch.empty(n_users, k, dtype=torch.bool, device=device),
            torch.empty(n_users, dtype=torch.float64, device=device) if with_auc else None,
        )

    def put(self, rows: slice, some: _Found) -> None:
        """Keep what has been found out about the users of ``rows``."""
        self.items[rows], self.hits[rows], self.tied[rows] = some.items, some.hits, some.tied
        if self.auc is not None and some.auc is not None:
            self.auc[rows] = some.auc


def _block_that_fits(model: Model, *of_block: Any) -> _Found | None:
    """Return what ``_rank_block`` does, or None where the memory does not suffice."""
    try:
        return _rank_block(model, *of_block)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def _rank_block(
    model: Model,
    holdout: Holdout,
    train: Interactions,
    masked: Histories,
    ties: TieOrder,
    rows: slice,
    k: int,
    with_auc: bool,
    compiled: bool,
    item_block: int,
) -> _Found:
    """Rank the items for some rows of the holdout."""
    device = model.device
    users = holdout.users[rows].to(device)
    known_as = torch.full_like(users, -1) if holdout.strangers else users
    batch = UserBatch(known_as, holdout.history.rows(rows).to(device))
    seen = batch.history if masked is holdout.history else masked.rows(rows).to(device)
    asked = Asked(model, train, holdout.users[rows], batch, seen, holdout.target.rows(rows).to(device))
    candidates = None if holdout.candidates is None else holdout.candidates[rows].to(device)
    if compiled:
        best_so_far = BestSoFar(k, ties, users)
        _show(best_so_far, asked, candidates, item_block)
        lists = best_so_far.lists(asked.relevant)
        return _Found(lists.items, lists.hits, lists.tied, None)
    blocks = asked.blocks(item_block) if candidates is None else [asked.candidates(candidates)]
    best, tied = _best(blocks, k, ties, users)
    return _Found(best.items, best.relevant, tied, _auc(blocks) if with_auc else None)


def _show(best: BestSoFar, asked: Asked, candidates: Tensor | None, item_block: int) -> None:
    """Let ``best`` see all scores of the ``candidates`` (B, C), or of all items."""
    if candidates is not None:
        among = asked.candidates(candidates)
        best.see(among.scores, among.items)
        return
    n_items = asked.model.n_items
    items = torch.arange(n_items)
    for first, hidden in zip(range(0, n_items, item_block), by_ranges(asked.hidden, n_items, item_block), strict=True):
        last = min(first + item_block, n_items)
        scores = asked.given(first, last)
        if not best.see(scores, items[first:last], hidden):
            asked.check_finite(scores)
        # So that the next scores take their place in the cache.
        del scores


def _best(blocks: list[Scored] | Ranges, k: int, ties: TieOrder, users: Tensor) -> tuple[Scored, Tensor]:
    """Return the best ``k`` items (B, k) of ``users`` (B,) among all ``blocks``, and which are ``tied`` (B, k)."""

    def some(scored: Scored) -> Scored:
        # One more than is listed, to tell whether the last is tied.
        return _cut(scored, k + 1, ties, users)[0]

    if isinstance(blocks, list):
        (whole,) = blocks
    else:
        whole = reduce(lambda held, found: some(held.and_those_of(found)), map(some, blocks))
    return _cut(whole, k, ties, users)


def _cut(scored: Scored, k: int, ties: TieOrder, users: Tensor) -> tuple[Scored, Tensor]:
    """Return the best ``k`` items (B, k), best first and padded with -1, and which are ``tied`` (B, k)."""
    best = top_k(scored.scores, k, ties, users, scored.items)
    listed = best.columns >= 0
    columns = best.columns.clamp(min=0)
    kept = Scored(
        scored.scores.gather(1, columns).masked_fill(~listed, -torch.inf),
        torch.where(listed, items_at(scored.items, columns), -1),
        scored.relevant.gather(1, columns) & listed,
    )
    return kept, best.tied


def _auc(blocks: list[Scored] | Ranges) -> Tensor:
    """Return the share of (relevant, irrelevant) pairs in the right order, ties one half, (B,) float64.

    Only what is ranked counts, that is scores above -inf; NaN where no pair is left.

    Args:
        blocks: All items of B users; they are gone through twice.
    """
    found, n_ranked, n_hidden = _relevant_scores(blocks)
    # Mid-ranks among all columns, those hidden at -inf included; the rank sum statistic counts the won pairs.
    below_and_through = torch.zeros(found.shape, dtype=torch.int64, device=found.device)
    for block in blocks:
        ordered = torch.sort(block.scores, dim=1).values
        below_and_through += torch.searchsorted(ordered, found)
        below_and_through += torch.searchsorted(ordered, found, side="right")
    there = found > -torch.inf
    n_relevant = there.sum(1)
    rank_sum = ((below_and_through + 1).double() / 2).masked_fill(~there, 0).sum(1)
    wins = rank_sum - n_relevant * n_hidden - n_relevant * (n_relevant + 1) / 2
    return wins / (n_relevant * (n_ranked - n_relevant))


def _relevant_scores(blocks: list[Scored] | Ranges) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scores of what is relevant and ranked, (B, R) padded with -inf, and how many are ranked and hidden."""
    rows, values, n_ranked, n_hidden = [], [], [], []
    for block in blocks:
        ranked = block.scores > -torch.inf
        wanted = block.relevant & ranked
        rows.append(torch.nonzero(wanted)[:, 0])
        values.append(block.scores[wanted])
        n_ranked.append(ranked.sum(1))
        n_hidden.append(ranked.shape[1] - n_ranked[-1])
    of_row = torch.cat(rows)
    order = torch.argsort(of_row, stable=True)
    n_relevant = torch.bincount(of_row, minlength=len(n_ranked[0]))
    of_row = of_row[order]
    within = torch.arange(len(of_row), device=of_row.device) - (n_relevant.cumsum(0) - n_relevant)[of_row]
    scores = torch.cat(values)
    found = scores.new_full((len(n_relevant), int(n_relevant.max())), -torch.inf)
    found[of_row, within] = scores[order]
    return found, sum(n_ranked[1:], n_ranked[0]), sum(n_hidden[1:], n_hidden[0])
