"""What a split makes of the interactions, counted."""

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbench.configuration import resolve
from recbench.data import FOLD_IN, TEST, TRAIN, UNUSED, VALID, Counts, Interactions, Stage
from recbench.experiment import prepare
from recbench.splits.stage import split_stage

PARTS = ("training", "validation", "test")


def interactions(pairs) -> Interactions:
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))


def test_by_hand():
    pairs = [("a", "w"), ("a", "x"), ("b", "w"), ("b", "x"), ("b", "y"), ("c", "w"), ("c", "x"), ("d", "w"), ("d", "z")]
    #             a trains           b is known by two, asked by one    c is known, and not asked    d: one is not used
    parts = torch.tensor([TRAIN, VALID, FOLD_IN, FOLD_IN, TEST, FOLD_IN, FOLD_IN, TRAIN, UNUSED], dtype=torch.int8)
    stage = split_stage("split mine", interactions(pairs), parts)
    assert stage == Stage(
        "split mine",
        Counts(9, 4, 4),
        Counts(9 - 3, 3, 3),  # less those of c and one of d; less c; less z
        {
            "training": 2,
            "users in training": 2,
            "validation": 1,
            "users in validation": 1,
            "test": 1,
            "users in test": 1,
            "known of users who are asked": 2,
            "known of users who are not asked": 2,
            "in no part": 1,
        },
    )


@given(parts=st.lists(st.sampled_from([TRAIN, VALID, TEST, UNUSED]), min_size=1, max_size=30))
def test_every_interaction_is_in_one_count(parts):
    pairs = [(n % 5, n) for n in range(len(parts))]
    stage = split_stage("split", interactions(pairs), torch.tensor(parts, dtype=torch.int8))
    shared_out = sum(stage.details.get(part, 0) for part in PARTS)
    assert shared_out == stage.after.n_interactions == len(parts) - parts.count(UNUSED)


@pytest.mark.parametrize("split", ["random", "user_disjoint", "global_time", "none"])
def test_a_split_that_was_kept_is_counted_as_one_that_is_drawn(split, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path))
    plain = {"model": "popularity", "dataset": {"name": "planted", "n_users": 60}, "split": split}
    drawn, kept = (prepare(resolve(plain).config).split for _ in range(2))
    assert drawn.train.provenance == kept.train.provenance
    stage = drawn.train.provenance[-1]
    assert stage.name == f"split {split}"
    asked = sum(len(part.target.items) for part in (drawn.valid, drawn.test) if part is not None)
    assert sum(stage.details.get(part, 0) for part in PARTS) == len(drawn.train) + asked
