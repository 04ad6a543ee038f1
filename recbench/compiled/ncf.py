"""``gmf``, ``mlp`` and ``neumf`` in compiled loops: the steps of the gradient trainer, without its overhead.

Each step does what ``_Steps`` of the gradient trainer does in PyTorch, with the same pairs in the same order and the
same negatives; results differ by rounding alone. What a step costs there is mostly the calls of small operations, and
with ``adam`` a pass over all tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from recbench.compiled import adam, towers
from recbench.compiled.adam import Rates, Table
from recbench.compiled.towers import Network
from recbench.data import Interactions
from recbench.errors import DivergedError
from recbench.kernels.compiling import compiled_as_written
from recbench.models.gmf import GMF
from recbench.models.mlp import MLP
from recbench.models.neumf import NeuMF
from recbench.negatives import Sampler
from recbench.randomness import generator
from recbench.trainers.epochs import Engine

if TYPE_CHECKING:
    from recbench.trainers.gradient import GradientConfig

NCF = GMF | MLP | NeuMF
_LOSSES = {"bce": towers.BCE, "bpr": towers.BPR}


class NCFSteps(Engine):
    """The steps of one training; ``epoch(n)`` takes those of epoch n."""

    def __init__(self, model: NCF, train: Interactions, config: GradientConfig, seed: int, negatives: Sampler) -> None:
        """Make ready to train ``model``.

        Args:
            model: On the CPU.
            train: The interactions.
            config: Batch size, optimiser and learning rate are read; the rest has been checked.
            seed: Of the order and the negatives.
            negatives: Gives each user's own items, all of which count.
        """
        self.model = model
        self.config = config
        self.seed = seed
        self.negatives = negatives
        self.pairs = train.users, train.items
        self.parts = _Parts(model)
        self.network = towers.network(
            self.parts.linear, self.parts.tower, self.parts.widths, _LOSSES[model.config.loss]
        )
        self.users, self.items, self.theta = map(adam.table, self.parts.read())
        self.steps = 0
        self.steps_an_epoch = math.ceil(len(train) / config.batch_size)

    def state(self) -> dict[str, Any]:
        """Return the steps taken, and what moves the parameters; they themselves are in the model after each epoch."""
        moments = [
            {
                "first": torch.from_numpy(table.first),
                "second": torch.from_numpy(table.second),
                "taken": torch.from_numpy(table.taken),
            }
            for table in (self.users, self.items, self.theta)
        ]
        return {"steps": self.steps, "moments": moments}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; see ``Engine.restore``."""
        self.steps = state["steps"]
        self.users, self.items, self.theta = (
            adam.table(values)._replace(**{name: tensor.numpy() for name, tensor in moments.items()})
            for values, moments in zip(self.parts.read(), state["moments"], strict=True)
        )

    def epoch(self, epoch: int) -> dict[str, float]:
        """Take all steps of one epoch and return its mean loss and learning rate.

        Raises:
            DivergedError: The loss or a parameter is no longer finite.
        """
        users, items = self.pairs
        order = torch.randperm(len(users), generator=generator(self.seed, "shuffle", epoch))
        stream = generator(self.seed, "negatives", epoch)
        rates = adam.rates(self.config.lr, self.steps, self.steps_an_epoch)
        tables = self.users, self.items, self.theta
        total = 0.0
        with threadpool_limits(torch.get_num_threads(), "blas"):
            for chunk in order.split(self.negatives.n_together(self.config.batch_size) * self.config.batch_size):
                chosen, positives = users[chunk], items[chunk]
                asked = torch.cat([positives[:, None], self.negatives.sample(chosen, positives, stream).items], 1)
                pairs = chosen.numpy(), asked.numpy()
                if self.config.optimizer == "adam":
                    total += _adam_steps(*pairs, self.config.batch_size, *tables, self.network, self.steps, rates)
                else:
                    lr = np.float32(self.config.lr)
                    total += _sgd_steps(*pairs, self.config.batch_size, *tables, self.network, lr)
                self.steps += math.ceil(len(chunk) / self.config.batch_size)
        for side in (self.users, self.items):
            adam.catch_up(side, np.arange(len(side.values)), self.steps, rates)
        self.parts.write(*(table.values for table in tables))
        for what, finite in (
            ("the loss", math.isfinite(total)),
            ("a parameter", all(np.isfinite(table.values).all() for table in tables)),
        ):
            if not finite:
                raise DivergedError(
                    f"{what} of {type(self.model).__name__} is no longer finite in epoch {epoch} "
                    f"(lr {self.config.lr:g}). Lower trainer.lr."
                )
        return {"loss": total / len(users), "lr": self.config.lr}


class _Parts:
    """Where the numbers of the compiled loops stand in a model."""

    def __init__(self, model: NCF) -> None:
        self.output = model.output
        self.layers: list[nn.Linear] = [] if isinstance(model, GMF) else list(model.tower.linear)  # type: ignore[arg-type]
        if isinstance(model, NeuMF):
            self.tables = (model.gmf_user, model.mlp_user), (model.gmf_item, model.mlp_item)
        else:
            self.tables = (model.user,), (model.item,)  # type: ignore[assignment]
        self.widths = tuple(layer.out_features for layer in self.layers)
        self.tower = self.layers[0].in_features // 2 if self.layers else 0
        self.linear = sum(table.embedding_dim for table in self.tables[0]) - self.tower

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return copies of the users' and the items' rows (R, G + T) and of theta (1, n), see ``towers``."""
        users, items = (torch.cat([table.weight.detach() for table in side], 1) for side in self.tables)
        theta = torch.cat([part.detach().flatten() for part in self._rest()])
        return users.numpy(), items.numpy(), theta[None].numpy()

    @torch.no_grad()
    def write(self, users: NDArray[np.float32], items: NDArray[np.float32], theta: NDArray[np.float32]) -> None:
        """Give the model what ``read()`` gave and was moved since."""
        for side, rows in zip(self.tables, (users, items)):
            widths = [table.embedding_dim for table in side]
            for table, part in zip(side, torch.from_numpy(rows).split(widths, 1)):
                table.weight.copy_(part)
        rest = self._rest()
        for part, values in zip(rest, torch.from_numpy(theta[0]).split([part.numel() for part in rest])):
            part.copy_(values.view_as(part))

    def _rest(self) -> list[Tensor]:
        parts: list[Tensor] = []
        if self.layers:
            first, *others = self.layers
            parts += [*first.weight.chunk(2, 1), first.bias]
            parts += [part for layer in others for part in (layer.weight, layer.bias)]
        return [*parts, self.output.weight, self.output.bias]


@compiled_as_written
def _adam_steps(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    batch_size: int,
    user_table: Table,
    item_table: Table,
    theta: Table,
    network: Network,
    done: int,
    rates: Rates,
) -> float:
    """Take a step with each batch of the pairs, and return the sum of the losses, each as often as it has positives.

    Args:
        users: (N,).
        items: (N, C), of each user the positive and its negatives.
        batch_size: Positives a step.
        user_table: Rows of the users.
        item_table: Rows of the items.
        theta: All other parameters, in one row.
        network: What is computed.
        done: Steps before these.
        rates: Of the epoch's steps.
    """
    total, only = 0.0, np.zeros(1, np.int64)
    for begin in range(0, len(users), batch_size):
        of_users, of_items = users[begin : begin + batch_size], items[begin : begin + batch_size].reshape(-1)
        adam.catch_up(user_table, of_users, done, rates)
        adam.catch_up(item_table, of_items, done, rates)
        total += len(of_users) * towers.gradients(of_users, of_items, user_table, item_table, theta, network)
        done += 1
        adam.move(user_table, of_users, done, rates)
        adam.move(item_table, of_items, done, rates)
        adam.move(theta, only, done, rates)
    return total


@compiled_as_written
def _sgd_steps(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    batch_size: int,
    user_table: Table,
    item_table: Table,
    theta: Table,
    network: Network,
    lr: np.float32,
) -> float:
    """As ``_adam_steps``, with plain gradient descent."""
    total, only = 0.0, np.zeros(1, np.int64)
    for begin in range(0, len(users), batch_size):
        of_users, of_items = users[begin : begin + batch_size], items[begin : begin + batch_size].reshape(-1)
        total += len(of_users) * towers.gradients(of_users, of_items, user_table, item_table, theta, network)
        _descend(user_table, of_users, lr)
        _descend(item_table, of_items, lr)
        _descend(theta, only, lr)
    return total


@compiled_as_written
def _descend(table: Table, rows: NDArray[np.int64], lr: np.float32) -> None:
    """Move ``rows`` against their slopes; a row that stands there twice has a slope of zero the second time."""
    for row in rows:
        values, slope = table.values[row], table.slope[row]
        for d in range(len(values)):
            values[d] -= lr * slope[d]
            slope[d] = np.float32(0)
