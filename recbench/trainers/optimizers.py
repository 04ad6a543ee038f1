"""Optimisers by name, each knowing which rows of an embedding table it may touch.

They are torch's algorithms without ``torch.optim.Optimizer``, whose first use imports torch's compiler: a second and a
half, which a small run would pay for nothing.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.adam import adam as torch_adam

from recbench.registry import Registry

logger = logging.getLogger(__name__)

LARGE_TABLE = 2**20
"""Numbers in an embedding table above which a step over all rows costs more than one over the batch's alone."""
BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
"""Decay of Adam's two moments, and what keeps its division defined; the paper's values."""
ADAGRAD_EPS = 1e-10


class Rule(ABC):
    """How some of the parameters move.

    Attributes:
        parameters: What moves, where it has a gradient.
        memory: What the next step depends on beside parameters and gradients: by name, one tensor a parameter.
    """

    def __init__(self, parameters: Sequence[Tensor], **memory: list[Tensor]) -> None:
        self.parameters = list(parameters)
        self.memory = memory

    @abstractmethod
    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""

    def moved(self) -> list[int]:
        """Return the positions of the parameters that have a gradient."""
        return [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]


@dataclass(frozen=True, eq=False)
class Optimizer:
    """One or more rules that step together."""

    rules: tuple[Rule, ...]

    def state(self) -> list[dict[str, list[Tensor]]]:
        """Return what the next steps depend on beside parameters and gradients."""
        return [dict(rule.memory) for rule in self.rules]

    def restore(self, state: Sequence[Mapping[str, Sequence[Tensor]]]) -> None:
        """Go on from ``state``."""
        for rule, of_rule in zip(self.rules, state, strict=True):
            for name, tensors in rule.memory.items():
                for tensor, kept in zip(tensors, of_rule[name], strict=True):
                    tensor.copy_(kept)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for rule in self.rules:
            for parameter in rule.parameters:
                parameter.grad = None

    def clip(self, max_norm: float) -> None:
        """Scale all gradients, sparse ones too, so that their common L2 norm is at most ``max_norm``."""
        gradients = []
        for rule in self.rules:
            for parameter in rule.parameters:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.coalesce()
                gradients.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        scale = (max_norm / norm).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        for rule in self.rules:
            rule.step(lr)


Moves = Literal["all", "batch", "batch or zero"]
"""Which rows of a table a step moves: all; those of the batch; or those of the batch since a gradient of zero moves
nothing. Gradients of tables are sparse for the second kind, and for the others where the table is large."""

optimizers: Registry[Optimizer] = Registry("optimizer", "recbench.trainers.optimizers", needs=("moves",))


def build_optimizer(name: str, model: nn.Module, weight_decay: float) -> Optimizer:
    """Return the optimiser ``name`` over all parameters of ``model``.

    Args:
        name: A registered name.
        model: Its embedding tables are told whether to give sparse gradients.
        weight_decay: L2 on all rows of all tables, by the optimiser; for those that move all rows.

    Raises:
        ConfigError: No such optimiser.
    """
    entry = optimizers.entry(name)
    moves: Moves = entry.traits["moves"]
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    for table in tables:
        large = table.weight.numel() > LARGE_TABLE
        table.sparse = moves == "batch" or large
        if moves == "all" and large:
            logger.warning(
                "trainer.optimizer=%s steps over all %s rows of a table in each batch; "
                "lazy_adam and adagrad move only those of the batch.",
                name,
                f"{table.num_embeddings:,}",
            )
    rows = [table.weight for table in tables]
    others = [parameter for parameter in model.parameters() if not any(parameter is row for row in rows)]
    return entry.target(rows, others, weight_decay)


@optimizers.register("sgd", moves="batch")
def sgd(rows: list[Tensor], others: list[Tensor], weight_decay: float) -> Optimizer:
    """Plain stochastic gradient descent, without momentum."""
    return Optimizer((Descent([*rows, *others]),))


class Descent(Rule):
    """Each parameter goes against its gradient, dense or of some rows."""

    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-lr)


@optimizers.register("adam", moves="all")
def adam(rows: list[Tensor], others: list[Tensor], weight_decay: float) -> Optimizer:
    """Adam over all parameters, as the papers use it: every row moves in every step.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1.
    """
    return Optimizer((TableAdam(rows, others, weight_decay),))


class Adam(Rule):
    """Adam in one pass over each parameter, by torch's own kernel."""

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float = 0.0) -> None:
        super().__init__(
            parameters,
            steps=[torch.zeros((), dtype=torch.float32, device=parameter.device) for parameter in parameters],
            means=[torch.zeros_like(parameter) for parameter in parameters],
            squares=[torch.zeros_like(parameter) for parameter in parameters],
        )
        self._weight_decay = weight_decay

    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        moved = self.moved()
        parameters = [self.parameters[index] for index in moved]
        memory = {name: [tensors[index] for index in moved] for name, tensors in self.memory.items()}
        torch_adam(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            memory["means"],
            memory["squares"],
            [],
            memory["steps"],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=lr,
            weight_decay=self._weight_decay,
            eps=ADAM_EPS,
            maximize=False,
        )


class TableAdam(Adam):
    """Adam that moves all rows of tables, also where their gradients hold the rows of the batch alone.

    The gradient of such a table as a whole is kept between steps and is zero there: cleaning the rows of a batch costs
    a fraction of filling a new table with zeros.
    """

    def __init__(self, rows: list[Tensor], others: list[Tensor], weight_decay: float) -> None:
        super().__init__([*rows, *others], weight_decay)
        self._whole: dict[Tensor, Tensor] = {}

    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        of_batch = [(table, table.grad) for table in self.parameters if table.grad is not None and table.grad.is_sparse]
        for table, gradient in of_batch:
            if table not in self._whole:
                self._whole[table] = torch.zeros_like(table)
            # Not coalesced: rows that stand in the batch twice are added here.
            table.grad = self._whole[table].index_add_(0, gradient._indices()[0], gradient._values())
        super().step(lr)
        for table, gradient in of_batch:
            self._whole[table].index_fill_(0, gradient._indices()[0], 0.0)
            table.grad = gradient


@optimizers.register("lazy_adam", moves="batch")
def lazy_adam(rows: list[Tensor], others: list[Tensor], weight_decay: float) -> Optimizer:
    """Adam that moves only the rows of the batch; all other parameters as with ``adam``.

    Differs: from Kingma and Ba, the moments of a row do not decay while the row is not in a batch.
    """
    return Optimizer((LazyAdam(rows), Adam(others)))


class LazyAdam(Rule):
    """Adam on the rows of tables that have a gradient, corrected for the steps of the whole table."""

    def __init__(self, tables: Sequence[Tensor]) -> None:
        super().__init__(
            tables,
            steps=[torch.zeros((), dtype=torch.float32) for _ in tables],
            means=[torch.zeros_like(table) for table in tables],
            squares=[torch.zeros_like(table) for table in tables],
        )

    def step(self, lr: float) -> None:
        """Change the rows of the batch once, with learning rate ``lr``."""
        for index in self.moved():
            table, steps = self.parameters[index], self.memory["steps"][index]
            means, squares = self.memory["means"][index], self.memory["squares"][index]
            rows, gradient = _rows_of(table)
            steps += 1
            mean, square = means[rows], squares[rows]
            mean += (gradient - mean) * (1 - BETA1)
            square += (gradient.square() - square) * (1 - BETA2)
            means.index_copy_(0, rows, mean)
            squares.index_copy_(0, rows, square)
            n_steps = float(steps)  # It is on the CPU: nothing waits.
            size = lr * math.sqrt(1 - BETA2**n_steps) / (1 - BETA1**n_steps)
            table.index_add_(0, rows, mean / (square.sqrt() + ADAM_EPS), alpha=-size)


@optimizers.register("adagrad", moves="batch or zero")
def adagrad(rows: list[Tensor], others: list[Tensor], weight_decay: float) -> Optimizer:
    """Adagrad with one step size a row, moving only the rows of the batch; element-wise for the rest.

    Source: Duchi et al., Adaptive Subgradient Methods, JMLR 2011, figure 1, per row as in Mudigere et al.,
    Software-Hardware Co-design for Fast and Scalable Training of Deep Learning Recommendation Models, ISCA 2022.
    """
    return Optimizer((RowwiseAdagrad(rows), Adagrad(others)))


class Adagrad(Rule):
    """Adagrad with one accumulator an element, the sum of its squared gradients."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters, sums=[torch.zeros_like(parameter) for parameter in parameters])

    def step(self, lr: float) -> None:
        """Change the parameters once, with learning rate ``lr``."""
        for parameter, total in zip(self.parameters, self.memory["sums"]):
            if parameter.grad is not None:
                total.addcmul_(parameter.grad, parameter.grad)
                parameter.addcdiv_(parameter.grad, total.sqrt() + ADAGRAD_EPS, value=-lr)


class RowwiseAdagrad(Rule):
    """Adagrad whose accumulator is one number a row, the sum of the row's mean squared gradients."""

    def __init__(self, tables: Sequence[Tensor]) -> None:
        super().__init__(tables, sums=[torch.zeros(len(table), device=table.device) for table in tables])

    def step(self, lr: float) -> None:
        """Change the rows that have a gradient once, with learning rate ``lr``."""
        for table, total in zip(self.parameters, self.memory["sums"]):
            if table.grad is None:
                continue
            if not table.grad.is_sparse:
                total += table.grad.square().mean(1)
                table.addcdiv_(table.grad, (total.sqrt() + ADAGRAD_EPS)[:, None], value=-lr)
                continue
            touched, values = _rows_of(table)
            total[touched] += values.square().mean(1)
            table.index_add_(0, touched, values / (total[touched].sqrt() + ADAGRAD_EPS)[:, None], alpha=-lr)


def _rows_of(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that a sparse gradient is of, each once, and their gradients (rows, D)."""
    assert table.grad is not None
    gradient = table.grad.coalesce()
    return gradient.indices()[0], gradient.values()
