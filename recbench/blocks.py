"""How many users and items are ranked at a time, so that memory suffices, and which thread ranks whom."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import torch

from recbench.errors import ScoringMemoryError
from recbench.models import Model
from recbench.nn.products import PANEL
from recbench.resources import free_memory_bytes

logger = logging.getLogger(__name__)

SMALLEST_BLOCK = 64
"""Users below which no block is halved, and which are not left over at the end where that can be helped: products of
few rows take other paths, by which the last bits of a score may depend on the number of threads."""

BYTES_A_SCORE = 64
"""What ranking takes for each pair of user and item at its peak, where many scores are equal or AUC is asked for."""

SHARE_OF_FREE_MEMORY = 0.5
"""What ranking may take of the memory that is free; other jobs of the machine want some too."""


@dataclass(frozen=True)
class Block:
    """Whom to rank: the rows of ``users``, ``n_items`` at a time; ``most`` users were to be taken."""

    users: slice
    n_items: int
    most: int


class Blocks:
    """All users, block by block; a block for which the memory does not suffice is ranked in smaller ones.

    Attributes:
        user_block: Users of a block at most.
        item_block: Items at a time.
    """

    def __init__(self, model: Model, n_users: int, user_block: int, item_block: int, *, narrows: bool) -> None:
        """Begin with the first user.

        Args:
            model: Whose scores are ranked.
            n_users: How many.
            user_block: Of them at a time, at most.
            item_block: Items at a time.
            narrows: Whether ``model`` may be asked for fewer items at a time, which changes no bit.
        """
        self.user_block, self.item_block = user_block, item_block
        self._model, self._narrows, self._n_users = model, narrows, n_users
        self._left = [slice(0, n_users)]
        self._errors: list[tuple[int, BaseException]] = []
        self._lock = Lock()

    def each(self, rank: Callable[[Block], bool], threads: int, done: Callable[[int], object]) -> None:
        """Call ``rank`` with all blocks.

        Args:
            rank: Returns whether the memory sufficed.
            threads: How many call it at a time; where they are several, torch computes on one in each of them.
            done: Is told of how many users are ranked.

        Raises:
            ScoringMemoryError: The memory does not suffice for the smallest block either.
            BaseException: What ``rank`` raises; of several, an interrupt, or that of the first block.
        """
        if threads == 1:
            self._work(rank, done)
        else:
            # It imports numba, which takes a second and need not be there.
            from recbench.kernels.compiling import side_by_side

            def alone() -> None:
                torch.set_num_threads(1)
                self._work(rank, done)

            before = torch.get_num_threads()
            try:
                side_by_side([alone] * threads, self._stop)
            finally:
                torch.set_num_threads(before)
        if self._errors:
            raise min(self._errors, key=lambda raised: (isinstance(raised[1], Exception), raised[0]))[1]

    def _work(self, rank: Callable[[Block], bool], done: Callable[[int], object]) -> None:
        at = 0
        try:
            while (block := self._next()) is not None:
                at = block.users.start
                ranked = rank(block)
                with self._lock:
                    if ranked:
                        done(block.users.stop - at)
                    else:
                        self._shrink(block)
        except BaseException as error:  # An interrupt ends the other threads' work too.
            self._errors.append((at, error))
            self._stop()

    def _stop(self) -> None:
        with self._lock:
            self._left.clear()

    def _next(self) -> Block | None:
        with self._lock:
            if not self._left:
                return None
            rows = self._left.pop()
            n_left = rows.stop - rows.start
            end = rows.start + min(n_left, self.user_block)
            if 0 < rows.stop - end < SMALLEST_BLOCK:
                # The last two are about equal, so that neither is small.
                end = rows.start + min(self.user_block, math.ceil(n_left / 2))
            if end < rows.stop:
                self._left.append(slice(end, rows.stop))
            return Block(slice(rows.start, end), self.item_block, self.user_block)

    def _shrink(self, block: Block) -> None:
        """Put ``block`` back, and go on with smaller ones, unless another thread has seen to that."""
        rows = block.users
        if self._left and self._left[-1].start == rows.stop:
            rows = slice(rows.start, self._left.pop().stop)
        self._left.append(rows)
        if (block.most, block.n_items) != (self.user_block, self.item_block):
            return
        if self._narrows and self.item_block > PANEL:
            self.item_block = _narrower(self.item_block, self._model)
        else:
            self.user_block = _halved(min(self.user_block, self._n_users), self._model)


def item_block(model: Model, n_users: int, *, one_panel: bool = False) -> int:
    """Return how many items to score at a time for ``n_users``: as many panels as free memory allows, or one."""
    wanted = min(PANEL, model.n_items) if one_panel else model.n_items
    free = free_memory_bytes(model.device)
    if free is None:
        return wanted
    fitting = int(SHARE_OF_FREE_MEMORY * free) // (BYTES_A_SCORE * max(1, n_users))
    some = max(1, fitting // PANEL) * PANEL
    if fitting >= wanted or some >= wanted:
        return wanted
    logger.info(
        "%s MB of memory are free: %s of %s items are ranked at a time for %s users.",
        f"{free / 1e6:,.0f}",
        f"{some:,}",
        f"{model.n_items:,}",
        f"{n_users:,}",
    )
    return some


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
    if user_block <= SMALLEST_BLOCK:
        raise ScoringMemoryError(
            f"{type(model).__name__}: the memory does not suffice to rank {model.n_items:,} items for {user_block} "
            f"users at a time ({4 * user_block * model.n_items / 1e6:,.1f} MB of scores, several times), and no fewer "
            "are tried. Free memory, or lower what the model itself takes."
        )
    smaller = max(SMALLEST_BLOCK, user_block // 2)
    logger.warning(
        "the memory does not suffice to rank %s items for %s users at a time; going on with %s. "
        "To start so: evaluation.user_block=%s.",
        f"{model.n_items:,}",
        f"{user_block:,}",
        f"{smaller:,}",
        smaller,
    )
    return smaller
