"""The one place where seen items are left out and lists are cut, block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from recbench import kernels
from recbench.data import Histories, Holdout, Interactions, Ranking, UserBatch
from recbench.errors import NonFiniteScoresError, ScoringMemoryError
from recbench.models import Model
from recbench.nn.products import PANEL
from recbench.resources import free_memory_bytes, is_out_of_memory
from recbench.total_order import TieOrder, items_at, top_k

logger = logging.getLogger(__name__)

SMALLEST_HALVED_BLOCK = 64
"""Users below which no block is halved: products of few rows take other paths, which may change a score's last bits."""

BYTES_A_SCORE = 64
"""What ranking takes for each pair of user and item at its peak, where many scores are equal or AUC is asked for."""

SHARE_OF_FREE_MEMORY = 0.5
"""What ranking may take of the memory that is free; other jobs of the machine want some too."""

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
        user_block: Users scored at a time, so that memory is bounded by block x items. Where the free memory does not
            suffice for that, a model that can scores fewer items at a time, which changes no bit; any other's block of
            users is halved, down to 64, with a warning.
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
    blocks: list[_Block] = []
    done, n_users = 0, len(holdout.users)
    compiled = model.compiled and (kernels.loaded() or n_users * model.n_items >= WORTH_LOADING)
    disable = None if progress else True
    item_block = model.n_items if holdout.candidates is not None else _item_block(model, min(user_block, n_users))
    try:
        with torch.no_grad(), tqdm(total=n_users, desc=progress, disable=disable, delay=1, leave=False) as bar:
            while done < n_users:
                rows = slice(done, min(done + user_block, n_users))
                block = _block_that_fits(model, holdout, train, masked, ties, rows, k, with_auc, compiled, item_block)
                if block is None and model.in_ranges and item_block > PANEL and holdout.candidates is None:
                    item_block = _narrower(item_block, model)
                    continue
                if block is None:
                    user_block = _halved(min(user_block, n_users), model)
                    continue
                blocks.append(block)
                bar.update(rows.stop - done)
                done = rows.stop
    finally:
        model.train(was_training)
    columns = [torch.cat(parts).cpu() for parts in zip(*(block[:3] for block in blocks))]
    auc = torch.cat([block[3] for block in blocks if block[3] is not None]).cpu() if with_auc else None
    return Ranking(
        users=holdout.users,
        items=columns[0],
        hits=columns[1],
        tied=columns[2],
        n_relevant=holdout.target.counts,
        popularity=train.popularity,
        n_train_users=train.n_users,
        auc=auc,
        user_block=user_block,
        item_block=item_block if holdout.candidates is None else None,
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
    item_block = _item_block(model, min(user_block, len(users)))
    for start in range(0, len(users), user_block):
        rows = torch.arange(start, min(start + user_block, len(users)))
        batch = UserBatch(users[rows], known.rows(rows)).to(model.device)
        asked = _Asked(model, train, users[rows], batch, batch.history, Histories.empty(len(rows)))
        best, _ = _best(asked.blocks(item_block), k, ties, users[rows], compiled=False)
        yield Best(rows, best.items, best.scores)


_Block = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Items (B, k), hits (B, k), tied (B, k) and AUC (B,) of some users."""


def _block_that_fits(model: Model, *of_block: Any) -> _Block | None:
    """Return what ``_rank_block`` does, or None where the memory does not suffice."""
    try:
        return _rank_block(model, *of_block)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def _item_block(model: Model, n_users: int) -> int:
    """Return how many items to score at a time for ``n_users``: all, or as many panels as the free memory allows."""
    free = free_memory_bytes(model.device)
    if free is None or not model.in_ranges:
        return model.n_items
    fitting = int(SHARE_OF_FREE_MEMORY * free) // (BYTES_A_SCORE * max(1, n_users))
    if fitting >= model.n_items:
        return model.n_items
    item_block = max(1, fitting // PANEL) * PANEL
    if item_block >= model.n_items:
        return model.n_items
    logger.info(
        "%s MB of memory are free: %s of %s items are ranked at a time for %s users.",
        f"{free / 1e6:,.0f}",
        f"{item_block:,}",
        f"{model.n_items:,}",
        f"{n_users:,}",
    )
    return item_block


def _narrower(item_block: int, model: Model) -> int:
    """Return the next smaller block of items, which changes no result."""
    narrower = max(1, item_block // 2 // PANEL) * PANEL
    logger.info(
        "the memory does not suffice to rank %s items at a time; going on with %s of %s.",
        f"{item_block:,}",
        f"{narrower:,}",
        f"{model.n_items:,}",
    )
    return narrower


def _halved(user_block: int, model: Model) -> int:
    """Return the next smaller block, or raise where there is none."""
    if user_block <= SMALLEST_HALVED_BLOCK:
        raise ScoringMemoryError(
            f"{type(model).__name__}: the memory does not suffice to rank {model.n_items:,} items for {user_block} "
            f"users at a time ({4 * user_block * model.n_items / 1e6:,.1f} MB of scores, several times), and no fewer "
            "are tried. Free memory, or lower what the model itself takes."
        )
    smaller = max(SMALLEST_HALVED_BLOCK, user_block // 2)
    logger.warning(
        "the memory does not suffice to rank %s items for %s users at a time; going on with %s. "
        "To start so: evaluation.user_block=%s.",
        f"{model.n_items:,}",
        f"{user_block:,}",
        f"{smaller:,}",
        smaller,
    )
    return smaller


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
) -> _Block:
    """Rank the items for some rows of the holdout."""
    device = model.device
    users = holdout.users[rows].to(device)
    known_as = torch.full_like(users, -1) if holdout.strangers else users
    batch = UserBatch(known_as, holdout.history.rows(rows).to(device))
    seen = batch.history if masked is holdout.history else masked.rows(rows).to(device)
    asked = _Asked(model, train, holdout.users[rows], batch, seen, holdout.target.rows(rows).to(device))
    if holdout.candidates is None:
        blocks = asked.blocks(item_block)
    else:
        blocks = [asked.candidates(holdout.candidates[rows].to(device))]
    best, tied = _best(blocks, k, ties, users, compiled)
    return best.items, best.relevant, tied, _auc(blocks) if with_auc else None


@dataclass(frozen=True, eq=False)
class _Scored:
    """Some items of B users with their scores.

    Shapes:
        scores: (B, C) float32, -inf for what must not be listed.
        items: (C,) or (B, C) int64, -1 for what is no item.
        relevant: (B, C) bool.
    """

    scores: Tensor
    items: Tensor
    relevant: Tensor

    def and_those_of(self, other: _Scored) -> _Scored:
        """Return the items (B, C) of both."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("scores", "items", "relevant"))
        return _Scored(*(torch.cat(pair, 1) for pair in pairs))


@dataclass(frozen=True, eq=False)
class _Asked:
    """B users to be asked: indices for messages, what the model is told, and rows of what to hide and to find."""

    model: Model
    train: Interactions
    users: Tensor
    batch: UserBatch
    hidden: Histories
    relevant: Histories

    def blocks(self, item_block: int) -> list[_Scored] | _Ranges:
        """Return all items, at once or ``item_block`` at a time."""
        n_items = self.model.n_items
        return [self.range(0, n_items)] if item_block >= n_items else _Ranges(self, item_block)

    def range(self, first: int, last: int) -> _Scored:
        """Return the items from ``first`` up to ``last``."""
        model, shape = self.model, (len(self.batch), last - first)
        scores = model.score(self.batch) if shape[1] == model.n_items else model.score_range(self.batch, first, last)
        scores = _checked(scores, model, shape, self.users, self.train)
        scores = scores.index_put(_places(self.hidden, first, last, model.n_items), scores.new_tensor(-torch.inf))
        relevant = torch.zeros_like(scores, dtype=torch.bool)
        relevant[_places(self.relevant, first, last, model.n_items)] = True
        return _Scored(scores, torch.arange(first, last, device=scores.device), relevant)

    def candidates(self, items: Tensor) -> _Scored:
        """Return the candidates ``items`` (B, C), padded with -1."""
        n_items = self.model.n_items
        safe = items.clamp(min=0)
        hidden = self.hidden.mask(n_items).gather(1, safe) | (items < 0)
        scores = _checked(self.model.score(self.batch, safe), self.model, tuple(safe.shape), self.users, self.train)
        return _Scored(scores.masked_fill(hidden, -torch.inf), items, self.relevant.mask(n_items).gather(1, safe))


@dataclass(frozen=True, eq=False)
class _Ranges:
    """All items of some users, ``item_block`` at a time, scored anew each time that they are gone through."""

    asked: _Asked
    item_block: int

    def __iter__(self) -> Iterator[_Scored]:
        n_items = self.asked.model.n_items
        for first in range(0, n_items, self.item_block):
            yield self.asked.range(first, min(first + self.item_block, n_items))


def _places(rows: Histories, first: int, last: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Return row and column (N,) of each entry that lies from ``first`` up to ``last`` of the items; ``first`` is 0."""
    if (first, last) == (0, n_items):
        return rows.row_of_each(), rows.items
    inside = (rows.items >= first) & (rows.items < last)
    return rows.row_of_each()[inside], rows.items[inside] - first


def _best(
    blocks: list[_Scored] | _Ranges, k: int, ties: TieOrder, users: Tensor, compiled: bool
) -> tuple[_Scored, Tensor]:
    """Return the best ``k`` items (B, k) of ``users`` (B,) among all ``blocks``, and which are ``tied`` (B, k)."""

    def some(scored: _Scored) -> _Scored:
        # One more than is listed, to tell whether the last is tied.
        return _cut(scored, k + 1, ties, users, compiled)[0]

    if isinstance(blocks, list):
        (whole,) = blocks
    else:
        whole = reduce(lambda held, found: some(held.and_those_of(found)), map(some, blocks))
    return _cut(whole, k, ties, users, compiled)


def _cut(scored: _Scored, k: int, ties: TieOrder, users: Tensor, compiled: bool) -> tuple[_Scored, Tensor]:
    """Return the best ``k`` items (B, k), best first and padded with -1, and which are ``tied`` (B, k)."""
    best = top_k(scored.scores, k, ties, users, scored.items, compiled)
    listed = best.columns >= 0
    columns = best.columns.clamp(min=0)
    kept = _Scored(
        scored.scores.gather(1, columns).masked_fill(~listed, -torch.inf),
        torch.where(listed, items_at(scored.items, columns), -1),
        scored.relevant.gather(1, columns) & listed,
    )
    return kept, best.tied


def _checked(scores: Tensor, model: Model, shape: tuple[int, ...], users: Tensor, train: Interactions) -> Tensor:
    """Return ``scores``, or raise where they are not of ``shape``, not float32 or not finite.

    Args:
        scores: What the model gave.
        model: Is named.
        shape: (B, I) or (B, C).
        users: (B,) indices of ``train``, -1 for an unknown user.
        train: Gives the user's id.
    """
    name = type(model).__name__
    if tuple(scores.shape) != shape:
        raise ValueError(f"{name} gave scores of shape {tuple(scores.shape)}, expected {shape}.")
    if scores.dtype != torch.float32:
        raise ValueError(
            f"{name} gave scores of type {scores.dtype}, expected torch.float32: rounding them would make different "
            "scores equal. Let score() compute in float32."
        )
    # Minimum and maximum pass a NaN on: two numbers tell of all.
    if scores.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(scores))).all()):
        bad = ~torch.isfinite(scores)
        concerned = torch.nonzero(bad.any(1)).flatten()
        first = int(users[concerned[0]])
        raise NonFiniteScoresError(
            f"{name} gave {int(bad.sum()):,} scores that are NaN or infinite, for {len(concerned):,} of "
            f"{len(scores):,} users in this block, first for "
            f"{'an unknown user' if first < 0 else f'user {train.user_vocabulary.ids[first]!r}'}. "
            "Its parameters are not finite: lower the learning rate, or clip the gradient."
        )
    return scores


def _auc(blocks: list[_Scored] | _Ranges) -> Tensor:
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


def _relevant_scores(blocks: list[_Scored] | _Ranges) -> tuple[Tensor, Tensor, Tensor]:
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
