"""``mf`` by plain gradient descent, one positive at a time, in compiled loops on one or more threads.

Source: of threads on disjoint blocks of users and items, Gemulla, Nijkamp, Haas, Sismanis, Large-Scale Matrix
Factorization with Distributed Stochastic Gradient Descent, KDD 2011; of the steps, Rendle et al. as in
``recbench.models.mf``.

In each epoch users and items are dealt at random, users to W workers and items to W blocks. An epoch is W turns; in
each of them every worker goes through its users' items in one block, another than all other workers', and draws
negatives from that block. So no two workers ever move the same row, and an epoch's bits depend on its number, the
seed, the parameters and W alone. Since blocks are random, every item that may be a negative is one with the same
probability. Items of a user whose block holds nothing but what they have seen come last, with all items to draw from.

Differs: from ``_Steps`` of the gradient trainer with ``batch_size=1``, which does the same in PyTorch,
- positives come user by user (users in random order, each user's items too), so that a user's row stays in the cache;
- with ``bce_sum`` each positive and each negative is a step of its own, as in Rendle et al. 2020, where there a
  positive and its negatives are one;
- an item that is drawn twice for one positive moves twice, from where the first time has left it;
- the bias of all pairs, which all workers move, is after each turn the mean of theirs, weighted by their positives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from recbench.compiled import sgd
from recbench.data import Interactions
from recbench.errors import DivergedError
from recbench.kernels.compiling import LINE, side_by_side
from recbench.models.mf import MF
from recbench.negatives.uniform import UniformConfig
from recbench.randomness import derive, generator
from recbench.trainers.epochs import Engine

if TYPE_CHECKING:
    from recbench.trainers.gradient import GradientConfig

PAIRS_A_TURN = 512
"""Positives of a worker in a turn below which fewer workers are faster."""

_LOSSES = {"bpr": sgd.BPR, "bce": sgd.BCE, "bce_sum": sgd.BCE_SUM}


def n_workers(threads: int, train: Interactions) -> int:
    """Return how many of ``threads`` are used: each has a share of users, items and positives that is worth its while.

    W workers in W turns have N / W**2 positives a turn; every block has two items at least.
    """
    return max(1, min(threads, math.isqrt(len(train) // PAIRS_A_TURN), train.n_items // 2))


@dataclass(frozen=True, eq=False)
class _Deal:
    """How users and items are dealt in one epoch.

    Shapes:
        users: W arrays, each worker's users.
        items: (n_items,) in the order in which the loops number them: those of a block follow one another.
        number: (n_items,) int32, the number of each item.
        pools: the number of each block's first item, and of the first one behind it.
    """

    users: list[NDArray[np.int64]]
    items: Tensor
    number: NDArray[np.int32]
    pools: list[tuple[int, int]]


class _Tables(NamedTuple):
    """What the loops move; see ``sgd``."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    user_biases: NDArray[np.float32]
    item_biases: NDArray[np.float32]


class MFSteps(Engine):
    """The steps of one training; ``epoch(n)`` takes those of epoch n."""

    def __init__(
        self,
        model: MF,
        train: Interactions,
        config: GradientConfig,
        seed: int,
        negatives: UniformConfig,
        workers: int | None = None,
    ) -> None:
        """Make ready to train ``model`` on ``train``.

        Args:
            model: On the CPU.
            train: The interactions.
            config: ``lr`` is read; the rest has been checked by ``resolve_backend``.
            seed: Of the order and the negatives.
            negatives: How negatives are drawn.
            workers: How many threads; None goes by PyTorch's and the data.
        """
        self.model = model
        self.config = config
        self.seed = seed
        self.negatives = negatives
        self.workers = workers or n_workers(torch.get_num_threads(), train)
        self.n_pairs = len(train)
        histories = train.histories
        self.counts = histories.counts
        self.offsets = histories.offsets.numpy()
        self.items = histories.items.to(torch.int32).numpy()
        self.order = np.empty_like(self.items)
        self.lines = math.ceil(model.config.dim / LINE)

    def state(self) -> dict[str, Any]:
        """Return nothing: the next epoch depends on the model alone."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the model as it is."""

    def epoch(self, epoch: int) -> dict[str, float]:
        """Take all steps of one epoch and return its mean loss and learning rate.

        Raises:
            DivergedError: The loss or a parameter is no longer finite.
        """
        deal = self._deal(epoch)
        tables = self._tables(deal)
        bias = float(self.model.bias.detach()) if self.model.config.biases else 0.0
        bias, surprise, squares = self._turns(epoch, deal, tables, bias)
        self._keep(deal, tables, bias)
        total = surprise / self._pairs_in_a_mean() + self.model.config.reg / 2 * squares
        for what, finite in (
            ("the loss", math.isfinite(total)),
            ("a parameter", all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())),
        ):
            if not finite:
                raise DivergedError(
                    f"{what} of MF is no longer finite in epoch {epoch} (lr {self.config.lr:g}). Lower trainer.lr."
                )
        return {"loss": total / self.n_pairs, "lr": self.config.lr}

    def _pairs_in_a_mean(self) -> int:
        """Return over how many pairs a step's loss is the mean."""
        n = self.negatives.n_negatives
        return {"bpr": n, "bce": n + 1, "bce_sum": 1}[self.model.config.loss]

    def _deal(self, epoch: int) -> _Deal:
        n_users, n_items = self.model.n_users, self.model.n_items
        users = torch.randperm(n_users, generator=generator(self.seed, "users", epoch))
        items = torch.randperm(n_items, generator=generator(self.seed, "blocks", epoch))
        passed = torch.cumsum(self.counts[users], 0).numpy()
        shares = np.searchsorted(passed, [self.n_pairs * worker / self.workers for worker in range(1, self.workers)])
        number = np.empty(n_items, np.int32)
        number[items.numpy()] = np.arange(n_items)
        cuts = [n_items * block // self.workers for block in range(self.workers + 1)]
        return _Deal(np.split(users.numpy(), shares), items, number, list(pairwise(cuts)))

    def _turns(self, epoch: int, deal: _Deal, tables: _Tables, bias: float) -> tuple[float, float, float]:
        """Take all turns of all workers; return the bias, and the sums of minus log-likelihoods and of squares."""
        config = self.model.config
        key = np.uint64(derive(self.seed, "compiled", epoch))
        cursor, left = self.offsets[:-1].copy(), np.zeros(self.n_pairs, np.bool_)
        totals = np.zeros(2)
        options = sgd.Options(
            lines=(0,) * self.lines,
            biased=config.biases,
            loss=_LOSSES[config.loss],
            lr=np.float32(self.config.lr),
            reg=np.float32(config.reg),
            n_negatives=self.negatives.n_negatives,
            reject_seen=self.negatives.reject_seen,
        )

        def arrange(worker: int) -> None:
            sgd.arrange(
                key,
                deal.users[worker],
                self.offsets,
                self.items,
                deal.number,
                self.workers,
                worker,
                self.order,
                int(self.counts.max()),
            )

        def train(
            turn: int, chosen: NDArray[np.int64], pool: tuple[int, int], rest: bool
        ) -> tuple[float, float, float, int]:
            return sgd.train(
                key,
                turn,
                chosen,
                self.offsets,
                self.order,
                cursor,
                pool,
                left,
                rest,
                *tables,
                np.float32(bias),
                options,
            )

        side_by_side([partial(arrange, worker) for worker in range(self.workers)])
        for turn in range(self.workers):
            pools = (deal.pools[(worker + turn) % self.workers] for worker in range(self.workers))
            shares = zip(deal.users, pools, strict=True)
            ended = np.array(side_by_side([partial(train, turn + 1, chosen, pool, False) for chosen, pool in shares]))
            totals += ended[:, 1:3].sum(0)
            if ended[:, 3].any():
                bias = float(ended[:, 0] @ ended[:, 3] / ended[:, 3].sum())
        if left.any():
            whose = np.unique(np.searchsorted(self.offsets, np.flatnonzero(left), side="right") - 1)
            cursor[whose] = self.offsets[whose]
            bias, *found, _ = train(self.workers + 1, whose, (0, len(deal.items)), True)
            totals += found
        return bias, float(totals[0]), float(totals[1])

    def _tables(self, deal: _Deal) -> _Tables:
        """Return copies of the model's parameters, items as ``deal`` numbers them."""
        model, pad = self.model, LINE * self.lines - self.model.config.dim
        rows = model.user.weight.detach().clone(), model.item.weight.detach()[deal.items]
        biases = torch.zeros(0), torch.zeros(0)
        if model.config.biases:
            biases = model.user_bias.weight.detach().flatten().clone(), model.item_bias.weight.detach()[deal.items, 0]
        return _Tables(*(F.pad(side, (0, pad)).numpy() for side in rows), *(side.numpy() for side in biases))

    @torch.no_grad()
    def _keep(self, deal: _Deal, tables: _Tables, bias: float) -> None:
        """Give the model what the loops have moved."""
        dim = self.model.config.dim
        self.model.user.weight.copy_(torch.from_numpy(tables.users)[:, :dim])
        self.model.item.weight[deal.items] = torch.from_numpy(tables.items)[:, :dim]
        if self.model.config.biases:
            self.model.user_bias.weight[:, 0] = torch.from_numpy(tables.user_biases)
            self.model.item_bias.weight[deal.items, 0] = torch.from_numpy(tables.item_biases)
            self.model.bias.fill_(bias)
