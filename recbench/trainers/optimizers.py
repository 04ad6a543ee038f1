"""Optimisers by name, each knowing which rows of an embedding table it may touch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from recbench.registry import Registry

logger = logging.getLogger(__name__)

LARGE_TABLE = 2**20
"""Numbers in an embedding table above which a step over all rows costs more than one over the batch's alone."""


@dataclass(frozen=True, eq=False)
class Optimizer:
    """One or more torch optimisers that step together."""

    parts: tuple[torch.optim.Optimizer, ...]

    def state(self) -> list[dict[str, Any]]:
        """Return what the next steps depend on beside parameters and gradients."""
        return [part.state_dict() for part in self.parts]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from ``state``."""
        for part, of_part in zip(self.parts, state, strict=True):
            part.load_state_dict(of_part)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad()

    def clip(self, max_norm: float) -> None:
        """Scale all gradients, sparse ones too, so that their common L2 norm is at most ``max_norm``."""
        gradients = []
        for part in self.parts:
            for parameter in (parameter for group in part.param_groups for parameter in group["params"]):
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.coalesce()
                gradients.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        scale = (max_norm / norm).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)

    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()


Moves = Literal["all", "batch", "batch or zero"]
"""Which rows of a table a step moves: all; those of the batch; or those of the batch since a gradient of zero moves
nothing. Gradients of tables are sparse, and of the last kind only where the table is large."""

optimizers: Registry[Optimizer] = Registry("optimizer", "recbench.trainers.optimizers", needs=("moves",))


def build_optimizer(name: str, model: nn.Module, lr: float, weight_decay: float) -> Optimizer:
    """Return the optimiser ``name`` over all parameters of ``model``.

    Args:
        name: A registered name.
        model: Its embedding tables are told whether to give sparse gradients.
        lr: Learning rate of the first step.
        weight_decay: L2 on all rows of all tables, by the optimiser; for those that move all rows.

    Raises:
        ConfigError: No such optimiser.
    """
    entry = optimizers.entry(name)
    moves: Moves = entry.traits["moves"]
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    for table in tables:
        large = table.weight.numel() > LARGE_TABLE
        table.sparse = moves != "batch or zero" or large
        if moves == "all" and large:
            logger.warning(
                "trainer.optimizer=%s steps over all %s rows of a table in each batch; "
                "lazy_adam and adagrad move only those of the batch.",
                name,
                f"{table.num_embeddings:,}",
            )
    rows = [table.weight for table in tables]
    others = [parameter for parameter in model.parameters() if not any(parameter is row for row in rows)]
    return entry.target(rows, others, lr, weight_decay)


@optimizers.register("sgd", moves="batch")
def sgd(rows: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return Optimizer((torch.optim.SGD([*rows, *others], lr=lr),))


@optimizers.register("adam", moves="all")
def adam(rows: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Adam over all parameters, as the papers use it: every row moves in every step.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1.
    """
    return Optimizer((TableAdam(rows, others, lr, weight_decay),))


class TableAdam(torch.optim.Adam):
    """Adam that moves all rows of tables whose gradients hold the rows of the batch alone.

    The gradient of a whole table is kept between steps and is zero there: cleaning the rows of a batch costs a
    fraction of filling a new table with zeros.
    """

    def __init__(self, rows: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__([*rows, *others], lr=lr, weight_decay=weight_decay, fused=True)
        self._whole = [(table, torch.zeros_like(table)) for table in rows]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        of_batch = [(table, whole, table.grad) for table, whole in self._whole if table.grad is not None]
        for table, whole, gradient in of_batch:
            # Not coalesced: rows that stand in the batch twice are added here.
            table.grad = whole.index_add_(0, gradient._indices()[0], gradient._values())
        super().step()
        for table, whole, gradient in of_batch:
            rows = gradient._indices()[0]
            if len(rows) < len(table) // 2:
                whole.index_fill_(0, rows, 0.0)
            else:
                whole.zero_()  # A whole table in order is cleaned faster than half of it in disorder.
            table.grad = gradient


@optimizers.register("lazy_adam", moves="batch")
def lazy_adam(rows: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Adam that moves only the rows of the batch; all other parameters as with ``adam``.

    Differs: from Kingma and Ba, the moments of a row do not decay while the row is not in a batch.
    """
    parts: list[torch.optim.Optimizer] = [torch.optim.SparseAdam(rows, lr=lr)] if rows else []
    if others:
        parts.append(torch.optim.Adam(others, lr=lr, fused=True))
    return Optimizer(tuple(parts))


@optimizers.register("adagrad", moves="batch or zero")
def adagrad(rows: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """Adagrad with one step size a row, moving only the rows of the batch; element-wise for the rest.

    Source: Duchi et al., Adaptive Subgradient Methods, JMLR 2011, figure 1, per row as in Mudigere et al.,
    Software-Hardware Co-design for Fast and Scalable Training of Deep Learning Recommendation Models, ISCA 2022.
    """
    parts: list[torch.optim.Optimizer] = [RowwiseAdagrad(rows, lr)] if rows else []
    if others:
        parts.append(torch.optim.Adagrad(others, lr=lr))
    return Optimizer(tuple(parts))


class RowwiseAdagrad(torch.optim.Optimizer):
    """Adagrad whose accumulator is one number a row, the sum of the row's mean squared gradients."""

    def __init__(self, rows: Iterable[Tensor], lr: float, eps: float = 1e-10) -> None:
        super().__init__(rows, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the rows that have a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                state = self.state[table]
                if not state:
                    state["sum"] = torch.zeros(len(table), device=table.device)
                total: Tensor = state["sum"]
                if not table.grad.is_sparse:
                    total += table.grad.square().mean(1)
                    table.addcdiv_(table.grad, (total.sqrt() + group["eps"])[:, None], value=-group["lr"])
                    continue
                gradient = table.grad.coalesce()
                touched, values = gradient.indices()[0], gradient.values()
                total[touched] += values.square().mean(1)
                step = values / (total[touched].sqrt() + group["eps"])[:, None]
                table.index_add_(0, touched, step, alpha=-group["lr"])
