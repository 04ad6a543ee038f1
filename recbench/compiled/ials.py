"""``ials`` in compiled loops: the same sweeps as ``IALS.sweeps`` takes in PyTorch, but for rounding.

The objective costs nothing of its own: the items' solutions tell by how much they lower it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recbench.compiled.least_squares import Solved, approach, solve_exactly
from recbench.data import Interactions
from recbench.errors import DivergedError
from recbench.models.ials import IALS
from recbench.nn.least_squares import LeastSquares
from recbench.trainers.epochs import Engine


class IALSSweeps(Engine):
    """One sweep an epoch; all that the next one depends on is in the model."""

    def __init__(self, model: IALS, train: Interactions, threads: int | None = None) -> None:
        """Make ready to train ``model``, on the CPU, on ``train``.

        Args:
            model: Its options say how.
            train: The interactions.
            threads: How many; None goes by PyTorch's.
        """
        self.model = model
        self.of_users, self.of_items = model.problems(train)
        self.threads = threads or torch.get_num_threads()

    def epoch(self, number: int) -> dict[str, float]:
        """Sweep once over both sides, and return the objective over N.

        Raises:
            DivergedError: A problem is singular in float32, or the objective is no longer finite.
        """
        model, of_users = self.model, self.of_users
        model.user.copy_(self._solved(of_users, model.item, model.user).solutions)
        of_items = self._solved(self.of_items, model.user, model.item)
        model.item.copy_(of_items.solutions)
        n_pairs = len(of_users.rows.items)
        nothing = n_pairs if of_users.linear is None else float(of_users.linear.double().sum())
        reg = float((of_users.reg * model.user.square().sum(1)).double().sum())
        loss = (nothing + reg - of_items.gained) / n_pairs
        if not math.isfinite(loss):
            raise DivergedError(f"the objective of IALS is no longer finite in epoch {number}. Raise model.reg.")
        return {"loss": loss}

    def _solved(self, problem: LeastSquares, others: Tensor, before: Tensor) -> Solved:
        if self.model.config.solver == "cg":
            return approach(problem, others, before, self.model.config.cg_steps, self.threads)
        return solve_exactly(problem, others, self.threads)

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the model as it is."""
