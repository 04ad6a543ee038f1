"""EASE by hand, its options and its errors."""

import pandas as pd
import pytest
import torch

from recbench import models, splits, trainers
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.nn import matrices
from recbench.randomness import generator

# a and b share two users, b and c one, a and c none.
PAIRS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "b"), ("w", "c")]
A, B, C = range(3)


def interactions(pairs=PAIRS, **options):
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]), **options)


def batch_of(*histories):
    counts = torch.tensor([len(items) for items in histories])
    rows = torch.arange(len(histories)).repeat_interleave(counts)
    items = torch.tensor([item for items in histories for item in items], dtype=torch.int64)
    return UserBatch(torch.full((len(histories),), -1), Histories.from_pairs(rows, items, len(histories)))


def fitted(train, **options):
    model = models.build("ease", train, **options)
    model.fit(train)
    return model


def weights_of_three(reg):
    """Return the (3, 3) weights: each column is the ridge regression of an item on the other two, by Cramer's rule."""
    aa, bb, cc, ab, bc = 2 + reg, 3 + reg, 1 + reg, 2, 1
    a = [0, ab * cc / (bb * cc - bc**2), -ab * bc / (bb * cc - bc**2)]
    b = [ab / aa, 0, bc / cc]
    c = [-ab * bc / (aa * bb - ab**2), aa * bc / (aa * bb - ab**2), 0]
    return torch.tensor([a, b, c]).T


@pytest.mark.parametrize("reg", [0.5, 1.0, 100.0])
def test_weights_of_three_items(reg):
    torch.testing.assert_close(fitted(interactions(), reg=reg).weights, weights_of_three(reg), rtol=0, atol=1e-6)


def test_scores_add_the_weights_from_the_history_to_the_scored_item():
    weights = weights_of_three(1.0)
    scores = fitted(interactions(), reg=1.0).score(batch_of([B], [C, A], [], [B]))
    expected = torch.stack([weights[B], weights[C] + weights[A], torch.zeros(3), weights[B]])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)


def test_candidates_and_batches_without_any_history():
    model = fitted(interactions(), reg=1.0)
    weights = weights_of_three(1.0)
    scores = model.score(batch_of([B], [C]), torch.tensor([[C, A, C], [B, B, C]]))
    expected = torch.stack([weights[B, [C, A, C]], weights[C, [B, B, C]]])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    assert model.score(batch_of([], [])).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_repeated_pairs_count_once():
    again = interactions([*PAIRS, ("u", "a"), ("u", "a")], repeats=True)
    once, twice = fitted(interactions(), reg=1.0), fitted(again, reg=1.0)
    assert torch.equal(once.weights, twice.weights)
    assert torch.equal(once.score(batch_of([A, B])), twice.score(batch_of([B, A, B, A])))


def test_an_item_without_users_has_no_weights():
    train = interactions([*PAIRS, ("x", "d")])
    weights = fitted(train.select(train.users < 3), reg=1.0).weights
    torch.testing.assert_close(weights[:3, :3], weights_of_three(1.0), rtol=0, atol=1e-6)
    assert not weights[3].any() and not weights[:, 3].any()


@pytest.mark.parametrize("compiled", [False, True])
def test_counts_block_by_block_are_those_at_once(monkeypatch, compiled):
    taken = torch.rand(30, 25, generator=generator(0, "taken")) < 0.3
    users, items = torch.nonzero(taken, as_tuple=True)
    train = interactions([(f"u{user}", f"i{item:02d}") for user, item in zip(users.tolist(), items.tolist())])
    monkeypatch.setattr(matrices, "_BLOCK_ENTRIES", 7 * 25)
    counts = torch.full((25, 25), -1.0)
    matrices.fill_gram(train, counts, compiled)
    assert torch.equal(counts, taken.T.float() @ taken.float())


def test_both_backends_fit_the_same_bits():
    data = splits.build("none").apply(interactions())
    found = []
    for backend in ("torch", "compiled"):
        found.append(models.build("ease", data.train, reg=2.0))
        trainers.build("closed_form").fit(found[-1], data, backend=backend)
    assert torch.equal(found[0].weights, found[1].weights)


def test_a_fit_is_made_in_the_buffer_that_the_model_was_built_with():
    model = models.build("ease", interactions())
    place = model.weights.data_ptr()
    model.fit(interactions())
    assert model.weights.data_ptr() == place
    assert model.weights.is_contiguous()


def test_reg_has_to_be_above_zero():
    with pytest.raises(ConfigError) as error:
        models.build("ease", interactions(), reg=0)
    assert str(error.value) == "model 'ease' cannot be configured:\n  reg = 0: should be greater than 0."


def test_a_reg_that_leaves_no_inverse_is_named():
    # Two items with the same users make a matrix without an inverse, and float32 does not see 1e-9 beside 4.
    train = interactions([(user, item) for user in "uvwx" for item in "ab"])
    with pytest.raises(ConfigError) as error:
        fitted(train, reg=1e-9)
    assert str(error.value) == (
        "reg = 1e-09: is too small for this data: the counts of common users have no inverse in float32. "
        "Write a larger model.reg, 1 or more."
    )
