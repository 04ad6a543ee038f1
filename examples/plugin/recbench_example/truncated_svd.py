"""A model: the training matrix through its strongest singular directions.

Source: Cremonesi, Koren, Turrin, Performance of Recommender Algorithms on Top-N Recommendation Tasks, RecSys
2010, section 3.2.
"""

from typing import ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse
import torch
from pydantic import Field
from torch import Tensor

from recbench import models
from recbench.data import Interactions, UserBatch
from recbench.options import Config


class TruncatedSVDConfig(Config):
    """Options of ``truncated_svd``."""

    dim: int = Field(16, ge=1)
    """Number of singular directions, at most one less than the users or items."""


@models.register("truncated_svd", config=TruncatedSVDConfig)
class TruncatedSVD(models.Model):
    """Projects a user's history on the strongest ``dim`` right singular vectors and back."""

    folds_in: ClassVar[bool] = True

    def __init__(self, config: TruncatedSVDConfig, train: Interactions, seed: int = 0) -> None:
        """Make room for the singular vectors."""
        super().__init__(config, train, seed)
        self.dim = min(config.dim, self.n_users - 1, self.n_items - 1)
        self.register_buffer("directions", torch.zeros(self.n_items, self.dim))

    def fit(self, train: Interactions) -> None:
        """Compute the right singular vectors of the binary training matrix."""
        if self.dim == 0:
            return  # A single user or item has no direction to spare.
        matrix = scipy.sparse.csr_array(
            (np.ones(len(train)), (train.users.numpy(), train.items.numpy())), shape=(self.n_users, self.n_items)
        )
        # Right singular vectors are the eigenvectors of the Gram matrix, which is dense here for simplicity.
        last = self.n_items - 1
        _, right = scipy.linalg.eigh((matrix.T @ matrix).toarray(), subset_by_index=[last - self.dim + 1, last])
        self.directions.copy_(torch.from_numpy(right))

    def score(self, batch: UserBatch, items: Tensor | None = None) -> Tensor:
        """Return (B, I) or (B, C) scores; a user without history gets zeros."""
        tastes = torch.zeros(len(batch), self.dim, device=batch.users.device)
        tastes.index_add_(0, batch.history.row_of_each(), self.directions[batch.history.items])
        scores = tastes @ self.directions.T
        return scores if items is None else scores.gather(1, items)
