"""The values that flow through an experiment; see each class for its shapes."""

from recbench.data.batches import UserBatch
from recbench.data.features import Features
from recbench.data.histories import Histories
from recbench.data.interactions import TEST, TRAIN, VALID, Interactions
from recbench.data.ranking import Ranking
from recbench.data.split import Holdout, Split
from recbench.data.vocabulary import Vocabulary

__all__ = [
    "TEST",
    "TRAIN",
    "VALID",
    "Features",
    "Histories",
    "Holdout",
    "Interactions",
    "Ranking",
    "Split",
    "UserBatch",
    "Vocabulary",
]
