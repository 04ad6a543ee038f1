"""The values that flow through an experiment; see each class for its shapes."""

from recbench.data.batches import UserBatch
from recbench.data.features import Features, FeatureTable, feature_table
from recbench.data.histories import Histories
from recbench.data.interactions import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.data.provenance import Counts, Stage
from recbench.data.ranking import Ranking
from recbench.data.scale import RatingScale
from recbench.data.split import Holdout, Split
from recbench.data.vocabulary import Vocabulary

__all__ = [
    "FOLD_IN",
    "TEST",
    "TRAIN",
    "UNUSED",
    "VALID",
    "Counts",
    "FeatureTable",
    "Features",
    "Histories",
    "Holdout",
    "Interactions",
    "Ranking",
    "RatingScale",
    "Split",
    "Stage",
    "UserBatch",
    "Vocabulary",
    "feature_table",
]
