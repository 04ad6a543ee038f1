"""The one place where seen items are left out, ties are broken and lists are cut."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from recbench import kernels
from recbench.data import Histories, Holdout, Interactions, Ranking, UserBatch
from recbench.errors import NonFiniteScoresError, ScoringMemoryError
from recbench.models import Model
from recbench.randomness import derive
from recbench.resources import is_out_of_memory

logger = logging.getLogger(__name__)

SMALLEST_HALVED_BLOCK = 64
"""Users below which no block is halved: products of few rows take other paths, which may change a score's last bits."""

SMALLEST_GROUP = 10
"""Columns in a group below which it is faster to search all columns at once."""

WORTH_LOADING = 2**27
"""Scores that take about as long to rank as numba takes to load: with fewer it is used only if it is there already."""


@dataclass(frozen=True, eq=False)
class TieOrder:
    """Which of two items with equal scores comes first: a rule of (tie seed, user id, item id) alone.

    The items stand on a circle in an order hashed from their ids; each user reads it from a place hashed from
    the user's id. So a constant scorer gets chance, whatever the seed of the run, the file's order or the blocks.

    Shapes:
        place: (n_items,) int32, each item's place on the circle.
        start: (n_users + 1,) int32, where each user begins; the last is for unknown users (index -1).
    """

    place: Tensor
    start: Tensor

    @classmethod
    def of(cls, interactions: Interactions, seed: int = 0) -> TieOrder:
        """Return the order for the users and items of ``interactions``."""
        key = f"{derive(seed, 'ties') % 10**16:016d}"

        def hashed(ids: np.ndarray) -> np.ndarray:
            return pd.util.hash_array(ids, hash_key=key, categorize=False)

        n_items = interactions.n_items
        place = np.empty(n_items, dtype=np.int32)
        place[np.argsort(hashed(interactions.item_vocabulary.ids), kind="stable")] = np.arange(n_items)
        start = (hashed(interactions.user_vocabulary.ids) % np.uint64(max(n_items, 1))).astype(np.int32)
        return cls(torch.from_numpy(place), torch.from_numpy(np.append(start, np.int32(0))))

    def to(self, device: torch.device) -> TieOrder:
        """Return the same order on ``device``."""
        return TieOrder(self.place.to(device), self.start.to(device))

    def precedence(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B, C) int32: of two equal scores of a user, the item with the lower number comes first.

        Args:
            users: (B,) indices, -1 for an unknown user.
            items: (B, C) or (C,) indices; padding (-1) gives a number without meaning.
        """
        return (self.place[items] - self.start[users][:, None]) % len(self.place)


@dataclass(frozen=True, eq=False)
class TopK:
    """The best K columns of each row: ``columns`` (B, K), -1 behind the end, and ``tied`` (B, K)."""

    columns: Tensor
    tied: Tensor


def top_k(scores: Tensor, k: int, ties: TieOrder, users: Tensor, items: Tensor, compiled: bool = False) -> TopK:
    """Return the best ``k`` columns of each row by (score descending, the user's tie order).

    Args:
        scores: (B, C) float32; -inf marks what must not be listed.
        k: Length of the lists, at least 1; where fewer columns can be listed, the rest is -1.
        ties: The order among equal scores.
        users: (B,) whose rows these are, -1 for an unknown user.
        items: (C,) or (B, C) int64, what the columns stand for, each item once in a row; -1 is padding.
        compiled: Whether by a compiled loop, which gives the same; on the CPU.
    """
    if compiled:
        return _compiled_top_k(scores, k, ties, users, items)
    n_columns = scores.shape[1]
    found = min(k + 1, n_columns)
    values, columns = _largest(scores, found)
    equal = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > -torch.inf)
    if found < n_columns:
        # Only where equal scores lie on both sides of the cut do all columns have to be compared.
        rows = torch.nonzero(equal[:, k - 1]).flatten()
        precedence = ties.precedence(users[rows], _of_rows(items, rows))
        columns[rows] = _resolve(scores[rows], values[rows, k], precedence, found)
    rows = torch.nonzero(equal.any(1)).flatten()
    columns[rows] = _ordered(scores[rows], columns[rows], ties, users[rows], _of_rows(items, rows))
    width = min(k, n_columns)
    best = torch.full((len(scores), k), -1, dtype=torch.int64, device=scores.device)
    best[:, :width] = torch.where(values[:, :width] > -torch.inf, columns[:, :width], -1)
    tied = torch.zeros(len(scores), k, dtype=torch.bool, device=scores.device)
    tied[:, : equal.shape[1]] = equal
    return TopK(best, tied)


def _largest(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the ``n`` largest values of each row, largest first, and their columns, both (B, n); of equals any.

    Where there are many columns they are parted into groups, and only the ``n`` groups with the largest maxima are
    searched: an entry of another group has ``n`` entries before it or equal to it.
    """
    n_columns = scores.shape[1]
    size = int(math.sqrt(n_columns / n) / 2)
    if size < SMALLEST_GROUP:
        values, columns = torch.topk(scores, n, dim=1)
        return values, columns
    n_groups = n_columns // size
    rest = n_groups * size
    maxima = scores[:, :rest].unflatten(1, (size, n_groups)).amax(1)
    groups = torch.topk(maxima, n, dim=1, sorted=False).indices
    within = torch.arange(0, rest, n_groups, device=scores.device)
    inside = (groups[:, None, :] + within[:, None]).flatten(1)
    behind = torch.arange(rest, n_columns, device=scores.device).expand(len(scores), -1)
    searched = torch.cat([inside, behind], 1)
    values, places = torch.topk(scores.gather(1, searched), n, dim=1)
    return values, searched.gather(1, places)


def _compiled_top_k(scores: Tensor, k: int, ties: TieOrder, users: Tensor, items: Tensor) -> TopK:
    """Return what ``top_k`` does."""
    # These import numba, which takes a second and need not be there.
    from recbench.kernels import top_k as loops
    from recbench.kernels.compiling import dealt

    columns = torch.empty(len(scores), k, dtype=torch.int64)
    tied = torch.empty(len(scores), k, dtype=torch.bool)
    shared = items[None] if items.dim() == 1 else items
    tables = (scores.contiguous(), shared.contiguous(), ties.place, ties.start[users], columns, tied)
    arrays = tuple(table.numpy() for table in tables)
    dealt(lambda rows: loops.top_k(rows, *arrays), np.zeros(len(scores), np.int64), torch.get_num_threads())
    return TopK(columns, tied)


def _resolve(scores: Tensor, cut: Tensor, precedence: Tensor, found: int) -> Tensor:
    """Return the best ``found`` columns, in any order, of rows whose value ``cut`` (R,) is shared across k."""
    cut = cut[:, None]
    # One key a column: what is above the cut, then what equals it by precedence, then the rest.
    key = precedence.masked_fill(scores < cut, torch.iinfo(precedence.dtype).max).masked_fill_(scores > cut, -1)
    return torch.topk(key, found, dim=1, largest=False, sorted=False).indices


def _ordered(scores: Tensor, columns: Tensor, ties: TieOrder, users: Tensor, items: Tensor) -> Tensor:
    """Return ``columns`` (R, K) of each row sorted by (score descending, precedence ascending)."""
    by_precedence = torch.argsort(ties.precedence(users, _at(items, columns)), dim=1)
    columns = columns.gather(1, by_precedence)
    by_score = torch.argsort(scores.gather(1, columns), dim=1, descending=True, stable=True)
    return columns.gather(1, by_score)


def _of_rows(items: Tensor, rows: Tensor) -> Tensor:
    """Return ``items`` of ``rows``: as they are where all rows share them (C,), else (R, C) of (B, C)."""
    return items if items.dim() == 1 else items[rows]


def _at(items: Tensor, columns: Tensor) -> Tensor:
    """Return the items (B, K) that stand at ``columns`` (B, K) of ``items`` (C,) or (B, C)."""
    return items[columns] if items.dim() == 1 else items.gather(1, columns)


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
        user_block: Users scored at a time, so that memory is bounded by block x items; where the memory does not
            suffice it is halved, down to 64, with a warning.
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
    try:
        with torch.no_grad(), tqdm(total=n_users, desc=progress, disable=disable, delay=1, leave=False) as bar:
            while done < n_users:
                rows = torch.arange(done, min(done + user_block, n_users))
                block = _block_that_fits(model, holdout, train, masked, ties, rows, k, with_auc, compiled)
                if block is None:
                    user_block = _halved(min(user_block, n_users), model)
                    continue
                blocks.append(block)
                done += len(rows)
                bar.update(len(rows))
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
    )


def scored_blocks(
    model: Model, train: Interactions, users: Tensor, history: Histories, user_block: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (row numbers, finite scores over all items) block by block of ``users`` (U,), indices of ``train``."""
    for start in range(0, len(users), user_block):
        rows = torch.arange(start, min(start + user_block, len(users)))
        batch = UserBatch(users[rows], history.rows(rows)).to(model.device)
        yield rows, _checked(model.score(batch), model, (len(rows), model.n_items), users[rows], train)


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
    rows: Tensor,
    k: int,
    with_auc: bool,
    compiled: bool,
) -> _Block:
    """Rank the items for some rows of the holdout."""
    device = model.device
    users = holdout.users[rows].to(device)
    known_as = torch.full_like(users, -1) if holdout.strangers else users
    batch = UserBatch(known_as, holdout.history.rows(rows).to(device))
    seen = batch.history if masked is holdout.history else masked.rows(rows).to(device)
    relevant = holdout.target.rows(rows).to(device).mask(model.n_items)
    if holdout.candidates is None:
        items = torch.arange(model.n_items, device=device)
        scores = _checked(model.score(batch), model, (len(rows), model.n_items), holdout.users[rows], train)
        scores = scores.index_put((seen.row_of_each(), seen.items), scores.new_tensor(-torch.inf))
    else:
        items = holdout.candidates[rows].to(device)
        safe = items.clamp(min=0)
        hidden = seen.mask(model.n_items).gather(1, safe) | (items < 0)
        scores = _checked(model.score(batch, safe), model, tuple(safe.shape), holdout.users[rows], train)
        scores = scores.masked_fill(hidden, -torch.inf)
        relevant = relevant.gather(1, safe)
    best = top_k(scores, k, ties, users, items, compiled)
    listed = best.columns >= 0
    columns = best.columns.clamp(min=0)
    hits = relevant.gather(1, columns) & listed
    auc = _auc(scores, relevant) if with_auc else None
    return torch.where(listed, _at(items, columns), -1), hits, best.tied, auc


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


def _auc(scores: Tensor, relevant: Tensor) -> Tensor:
    """Return the share of (relevant, irrelevant) pairs in the right order, ties one half, (B,) float64.

    Only what is ranked counts, that is scores above -inf; NaN where no pair is left.
    """
    ranked = scores > -torch.inf
    rows, columns = torch.nonzero(relevant & ranked, as_tuple=True)
    n_relevant = torch.bincount(rows, minlength=len(scores))
    within = torch.arange(len(rows), device=rows.device) - (n_relevant.cumsum(0) - n_relevant)[rows]
    found = torch.zeros(len(scores), int(n_relevant.max()), dtype=scores.dtype, device=scores.device)
    found[rows, within] = scores[rows, columns]
    ordered = torch.sort(scores, dim=1).values
    below = torch.searchsorted(ordered, found)
    through = torch.searchsorted(ordered, found, side="right")
    # Mid-ranks among all columns, those hidden at -inf included; the rank sum statistic counts the won pairs.
    mid_ranks = (below + through + 1)[rows, within].double() / 2
    n_ranked = ranked.sum(1)
    n_hidden = scores.shape[1] - n_ranked
    rank_sum = torch.zeros(len(scores), dtype=torch.float64, device=scores.device).index_add_(0, rows, mid_ranks)
    wins = rank_sum - n_relevant * n_hidden - n_relevant * (n_relevant + 1) / 2
    return wins / (n_relevant * (n_ranked - n_relevant))
