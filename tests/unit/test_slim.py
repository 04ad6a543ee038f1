"""SLIM by hand, its options and what it says where it stops too early."""

import logging

import pandas as pd
import pytest
import torch

from recbench import models
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.models import slim
from recbench.randomness import generator

# Of five users two took a and b, one b and c, one a alone, one d alone.
PAIRS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "b"), ("w", "c"), ("x", "a"), ("y", "d")]
A, B, C, D = range(4)
N_USERS = 5


def interactions(pairs=PAIRS, **options):
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]), **options)


def random_interactions(n_users=40, n_items=150):
    taken = torch.rand(n_users, n_items, generator=generator(0, "taken")) < 0.2
    users, items = torch.nonzero(taken, as_tuple=True)
    return interactions([(f"u{user}", f"i{item:03d}") for user, item in zip(users.tolist(), items.tolist())])


def fitted(train, **options):
    model = models.build("slim", train, **options)
    model.fit(train)
    return model


def batch_of(*histories):
    counts = torch.tensor([len(items) for items in histories])
    rows = torch.arange(len(histories)).repeat_interleave(counts)
    items = torch.tensor([item for items in histories for item in items], dtype=torch.int64)
    return UserBatch(torch.full((len(histories),), -1), Histories.from_pairs(rows, items, len(histories)))


def test_weights_of_few_items():
    """Of a and of c, b alone takes part: c has no user in common with a, and would have a negative weight."""
    alpha, l1_ratio = 0.1, 0.25
    l1, l2 = N_USERS * alpha * l1_ratio, N_USERS * alpha * (1 - l1_ratio)
    aa, bb, cc, ab, bc = 3 + l2, 3 + l2, 1 + l2, 2 - l1, 1 - l1
    expected = torch.zeros(4, 4)
    expected[B, A] = ab / bb
    expected[A, B], expected[C, B] = ab / aa, bc / cc
    expected[B, C] = bc / bb
    model = fitted(interactions(), alpha=alpha, l1_ratio=l1_ratio, tolerance=1e-7)
    torch.testing.assert_close(model.weights, expected, rtol=0, atol=1e-6)
    scores = model.score(batch_of([B], [C, A], []))
    torch.testing.assert_close(scores, torch.stack([expected[B], expected[A] + expected[C], torch.zeros(4)]))
    candidates = torch.tensor([[C, A], [B, B], [D, A]])
    assert torch.equal(model.score(batch_of([B], [C, A], []), candidates), scores.gather(1, candidates))


def test_a_large_l1_leaves_no_weight():
    # At 0 the slope of a weight is l1 = U alpha l1_ratio less the common users, which are 2 at most.
    assert not fitted(interactions(), alpha=2 * 2.01 / N_USERS, l1_ratio=0.5).weights.any()
    assert fitted(interactions(), alpha=2 * 1.99 / N_USERS, l1_ratio=0.5).weights.any()


def test_each_scored_item_keeps_its_largest_weights():
    train = random_interactions()
    whole, pruned = fitted(train), fitted(train, neighbours=3)
    smallest = whole.weights.topk(3, dim=0).values[-1]
    expected = torch.where(whole.weights >= smallest, whole.weights, 0)
    assert torch.equal(pruned.weights, expected)
    assert (pruned.weights > 0).sum(0).max() == 3


def test_of_equal_weights_the_first_item_stays():
    # b and c have the same users.
    pairs = [(user, item) for user in "uv" for item in "abc"] + [("w", "a")]
    whole, pruned = fitted(interactions(pairs)).weights, fitted(interactions(pairs), neighbours=1).weights
    assert whole[B, A] == whole[C, A] > 0
    assert pruned[:, A].tolist() == [0, float(whole[B, A]), 0]


def test_repeated_pairs_count_once():
    # b and c weigh the same for a, and have two users each; that u took c often makes c no more popular.
    pairs = [(user, item) for user in "uv" for item in "abc"] + [("w", "a")]
    again = interactions([*pairs, ("u", "c"), ("u", "c")], repeats=True)
    assert torch.equal(fitted(again, neighbours=1).weights, fitted(interactions(pairs), neighbours=1).weights)


def test_as_many_neighbours_as_items_keep_all():
    train = random_interactions()
    assert torch.equal(fitted(train, neighbours=150).weights, fitted(train).weights)


def test_blocks_of_any_size_give_the_same_weights(monkeypatch):
    train = random_interactions()
    whole = fitted(train, neighbours=10, tolerance=1e-6).weights
    monkeypatch.setattr(slim, "_BLOCK", 7)
    torch.testing.assert_close(fitted(train, neighbours=10, tolerance=1e-6).weights, whole, rtol=0, atol=1e-6)


def test_another_fit_starts_anew():
    train = random_interactions()
    model = fitted(train)
    first = model.weights.clone()
    model.fit(train)
    assert torch.equal(model.weights, first)


def test_the_first_step_goes_from_0_along_the_slope():
    """Its length is one over the largest eigenvalue of ``G + l2 I``; that of ``[[3, 2], [2, 3]]`` is 5."""
    gram = torch.tensor([[3.0, 2.0], [2.0, 3.0]])
    solution = slim.ElasticNet(gram, l1=0.5, l2=1.0).solve(torch.tensor([1, 0]), tolerance=1e-4, iterations=1)
    step = (2 - 0.5) / (5 + 1)
    torch.testing.assert_close(solution.weights, torch.tensor([[step, 0], [0, step]]))
    assert solution.done.tolist() == [False, False]


def test_the_bound_on_the_curvature_holds_for_items_that_never_meet():
    gram = torch.diag(torch.tensor([1.0, 100.0, 0.0]))
    assert slim.ElasticNet(gram, l1=0.0, l2=0.01).step == pytest.approx(1 / (100 + 0.01))


def test_stopping_too_early_is_told(caplog):
    with caplog.at_level(logging.WARNING, "recbench"):
        fitted(interactions(), iterations=1)
    # All weights for d stay 0, since it has no user in common with another item.
    assert caplog.messages == [
        "slim: the weights of 3 of 4 items were still changing after 1 iterations; write a larger model.iterations, "
        "model.alpha or model.tolerance."
    ]


def test_a_fit_that_is_done_tells_nothing(caplog):
    with caplog.at_level(logging.WARNING, "recbench"):
        fitted(random_interactions())
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"alpha": 0}, "alpha = 0: should be greater than 0."),
        ({"l1_ratio": 1.0}, "l1_ratio = 1.0: should be less than 1."),
        ({"l1_ratio": -0.5}, "l1_ratio = -0.5: should be at least 0."),
        ({"neighbours": 0}, "neighbours = 0: should be at least 1."),
        ({"tolerance": 0}, "tolerance = 0: should be greater than 0."),
        ({"iterations": 0}, "iterations = 0: should be at least 1."),
    ],
)
def test_options_have_bounds(options, line):
    with pytest.raises(ConfigError) as error:
        models.build("slim", interactions(), **options)
    assert str(error.value) == f"model 'slim' cannot be configured:\n  {line}"
