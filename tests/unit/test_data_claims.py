"""What is claimed of data and splits as a whole: see also test_one_table_many_files."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recbench import evaluation, models, splits
from recbench.configuration import resolve
from recbench.data import Interactions
from recbench.experiment import prepare

PROTOCOLS = (
    {"name": "random"},
    {"name": "random", "scope": "global"},
    {"name": "leave_one_out", "by": "random"},
    {"name": "leave_k_out", "k": 2},
    {"name": "global_time"},
    {"name": "user_disjoint", "test_users": 20, "valid_users": 20},
    {"name": "k_fold", "fold": 1},
)


def prepared(split, seed, model="item_knn"):
    return prepare(
        resolve(
            {
                "dataset": "planted",
                "split": split,
                "model": model,
                "seed": seed,
                "evaluation": {"candidates": "sampled"},
            }
        ).config
    )


@pytest.mark.parametrize("split", PROTOCOLS, ids=lambda split: "-".join(map(str, split.values())))
def test_the_runs_seed_and_the_model_change_no_split_and_no_candidates(split):
    one, other = prepared(split, 0), prepared(split, 1, "popularity")
    assert one.split.fingerprint == other.split.fingerprint
    assert one.split.train.fingerprint == other.split.train.fingerprint
    assert torch.equal(one.split.test.candidates, other.split.test.candidates)


def test_the_splits_seed_changes_it():
    fingerprints = {prepared({"name": "random", "seed": seed}, 0).split.fingerprint for seed in range(3)}
    assert len(fingerprints) == 3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_relabelling_users_and_items_changes_no_metric(seed):
    """Of a model without ties and a split by time, which go by no id."""
    generator = np.random.default_rng(seed)
    taken = np.argwhere(generator.random((30, 20)) < 0.4)
    frame = pd.DataFrame({"user": taken[:, 0], "item": taken[:, 1], "timestamp": generator.permutation(len(taken))})
    names = {column: generator.permutation(1000)[: frame[column].max() + 1] for column in ("user", "item")}
    relabelled = frame.assign(**{column: names[column][frame[column]] for column in names})
    reports = []
    for table in (frame, relabelled):
        split = splits.build("leave_one_out", valid=False).apply(Interactions.from_frame(table))
        model = models.build("item_knn", split.train, neighbours=20, shrink=3.7)
        model.fit(split.train)
        reports.append(
            evaluation.evaluate(model, split, "test", evaluation.EvaluationConfig(metrics=("ndcg@5", "auc")))
        )
    # Between equal scores the ids decide.
    assume(max(reports[0].tie_rate.values()) == 0)
    assert reports[1].values == pytest.approx(reports[0].values, abs=1e-12)
