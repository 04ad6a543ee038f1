"""What a model is asked about: users with their histories."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbench.data.histories import Histories


@dataclass(frozen=True, eq=False)
class UserBatch:
    """B users.

    Shapes:
        users: (B,) int64 indices; -1 is a user whom the model was not trained on, known by the history alone.
        history: B rows of item indices.
    """

    users: Tensor
    history: Histories

    def __len__(self) -> int:
        return len(self.users)

    def to(self, device: torch.device | str) -> UserBatch:
        """Return the same batch on ``device``."""
        return UserBatch(self.users.to(device), self.history.to(device))
