"""pure_svd by hand, against the decomposition itself, and where there is no direction to keep."""

import pandas as pd
import pytest
import torch

from recbench import models
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.randomness import generator


def interactions(matrix):
    """Return the interactions of a (U, I) matrix in which no row or column is empty."""
    pairs = [(f"u{user:02d}", f"i{item:02d}") for user, item in torch.nonzero(matrix).tolist()]
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))


def taken(n_users, n_items, seed=0):
    matrix = torch.rand(n_users, n_items, generator=generator(seed, "taken"), dtype=torch.float64) < 0.4
    matrix[torch.arange(max(n_users, n_items)) % n_users, torch.arange(max(n_users, n_items)) % n_items] = True
    return matrix.double()


def fitted(matrix, dim):
    train = interactions(matrix)
    model = models.build("pure_svd", train, dim=dim)
    model.fit(train)
    return model


def batch_of(histories):
    rows, items = torch.nonzero(histories, as_tuple=True)
    return UserBatch(torch.full((len(histories),), -1), Histories.from_pairs(rows, items, len(histories)))


def test_one_direction_of_users_who_are_alike():
    # The two groups do not meet: the direction of the larger one is (1, 1, 0) / sqrt(2).
    matrix = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1]])
    scores = fitted(matrix, 1).score(batch_of(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]])))
    expected = [[1 / 2, 1 / 2, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(14, 9), (9, 14)], ids=str)
@pytest.mark.parametrize("dim", [1, 3, 8])
def test_scores_of_training_users_are_the_truncated_decomposition(shape, dim):
    matrix = taken(*shape)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    expected = left[:, :dim] * values[:dim] @ right[:dim]
    found = fitted(matrix, dim).score(batch_of(matrix))
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)


def test_unknown_users_are_projected():
    matrix, histories = taken(14, 9), taken(5, 9, seed=1)
    right = torch.linalg.svd(matrix, full_matrices=False)[2][:4]
    model = fitted(matrix, 4)
    expected = (histories @ right.T @ right).float()
    found = model.score(batch_of(histories))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    candidates = torch.tensor([[3, 3, 0], [0, 1, 2], [8, 7, 6], [5, 5, 5], [4, 0, 4]])
    torch.testing.assert_close(model.score(batch_of(histories), candidates), found.gather(1, candidates))
    torch.testing.assert_close(model.item_vectors().T @ model.item_vectors(), torch.eye(4), rtol=0, atol=1e-5)


def test_an_item_taken_twice_counts_once():
    model = fitted(taken(14, 9), 3)
    twice = UserBatch(torch.tensor([-1]), Histories(torch.tensor([0, 3]), torch.tensor([2, 5, 2])))
    once = UserBatch(torch.tensor([-1]), Histories(torch.tensor([0, 2]), torch.tensor([2, 5])))
    assert torch.equal(model.score(twice), model.score(once))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)], ids=str)
def test_directions_beyond_the_rank_are_zero(shape):
    blocks = torch.zeros(shape)
    blocks[:10, :8], blocks[10:15, 8:15], blocks[15:, 15:] = 1, 1, 1
    model = fitted(blocks, 9)
    lengths = torch.linalg.vector_norm(model.directions, dim=0)
    assert sorted(lengths.round(decimals=5).tolist()) == [0] * 6 + [1] * 3
    torch.testing.assert_close(model.score(batch_of(blocks)), blocks, rtol=0, atol=1e-5)


def test_as_many_directions_as_users_or_items_are_refused():
    train = interactions(taken(7, 9))
    models.build("pure_svd", train, dim=6)
    with pytest.raises(ConfigError) as error:
        models.build("pure_svd", train, dim=7)
    assert str(error.value) == (
        "pure_svd cannot keep dim = 7 directions of 7 users and 9 items: with all of them every unseen item would "
        "score 0. Write a dim below 7."
    )
