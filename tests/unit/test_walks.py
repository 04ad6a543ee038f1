"""Random walks between users and items by hand, and the options of p3alpha and rp3beta."""

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import models
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError
from recbench.nn.matrices import binary_matrix
from recbench.nn.walks import steps, walk_neighbours
from recbench.randomness import generator

# u has a and b; v has a, b and d; w has b, c and d.
PAIRS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("v", "d"), ("w", "b"), ("w", "c"), ("w", "d")]
A, B, C, D = range(4)

# Weights of the walks with alpha 1, by start and end: over each common user, 1 / (users of start * items of user).
WALKS = [
    [0, 1 / (2 * 2) + 1 / (2 * 3), 0, 1 / (2 * 3)],
    [1 / (3 * 2) + 1 / (3 * 3), 0, 1 / (3 * 3), 1 / (3 * 3) + 1 / (3 * 3)],
    [0, 1 / (1 * 3), 0, 1 / (1 * 3)],
    [1 / (2 * 3), 1 / (2 * 3) + 1 / (2 * 3), 1 / (2 * 3), 0],
]


def interactions(pairs=PAIRS):
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]), repeats=True)


def random_pairs(seed, n_users=30, n_items=25, chance=0.3):
    taken = torch.rand(n_users, n_items, generator=generator(seed, "taken")) < chance
    return [(f"u{user:02d}", f"i{item:02d}") for user, item in torch.nonzero(taken).tolist()]


def weights_of(train, k, **options):
    """Return the weights by start and end, (I, I)."""
    options = {"alpha": 1.0, "normalize": False, **options}
    starts, weights = walk_neighbours(binary_matrix(train), k, **options)
    return torch.zeros(train.n_items, train.n_items, dtype=torch.float64).scatter_(1, starts, weights).T


def require_weights(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def batch_of(*histories):
    rows = torch.repeat_interleave(torch.arange(len(histories)), torch.tensor([len(items) for items in histories]))
    items = torch.tensor([item for history in histories for item in history], dtype=torch.int64)
    users = torch.full((len(histories),), -1)
    return UserBatch(users, Histories.from_pairs(rows, items, len(histories)))


def fitted(name, train, **options):
    model = models.build(name, train, **options)
    model.fit(train)
    return model


def test_the_binary_matrix_counts_a_pair_once():
    matrix = binary_matrix(interactions([*PAIRS, ("u", "a"), ("u", "a")]))
    assert matrix.toarray().tolist() == [[1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 1]]


def test_steps_are_powers_of_chances():
    taken = binary_matrix(interactions())
    assert steps(taken, 2.0).toarray()[0].tolist() == [1 / 4, 1 / 4, 0, 0]
    assert steps(taken, 0.0).toarray().tolist() == taken.toarray().tolist()
    assert steps(taken, 1.0).sum(1) == pytest.approx([1, 1, 1])


def test_a_walk_goes_over_every_common_user_and_does_not_return():
    require_weights(weights_of(interactions(), 4), WALKS)


def test_alpha_is_a_power_of_each_step():
    found = weights_of(interactions(), 4, alpha=2.0)
    assert float(found[A, B]) == pytest.approx((1 / (2 * 2)) ** 2 + (1 / (2 * 3)) ** 2)
    assert float(found[B, A]) == pytest.approx((1 / (3 * 2)) ** 2 + (1 / (3 * 3)) ** 2)


def test_alpha_0_counts_common_users():
    require_weights(weights_of(interactions(), 4, alpha=0.0), [[0, 2, 0, 1], [2, 0, 1, 2], [0, 1, 0, 1], [1, 2, 1, 0]])


def test_beta_divides_by_the_popularity_of_the_end():
    popularity = torch.tensor([2.0, 3.0, 1.0, 2.0], dtype=torch.float64)
    expected = torch.tensor(WALKS, dtype=torch.float64) / popularity**0.5
    torch.testing.assert_close(weights_of(interactions(), 4, beta=0.5), expected)


def test_normalisation_divides_by_what_leaves_the_start():
    expected = [[weight / sum(row) for weight in row] for row in WALKS]
    require_weights(weights_of(interactions(), 4, normalize=True), expected)


def test_each_start_keeps_the_heaviest_and_then_each_end_does():
    # Starts keep: a b; b a; c b or d, which are equal, so b, which is more popular; d b. Of the three walks to b the
    # one from a is the heaviest.
    ab, ba = WALKS[A][B], WALKS[B][A]
    require_weights(weights_of(interactions(), 1), [[0, ab, 0, 0], [ba, 0, 0, 0], [0] * 4, [0] * 4])


def test_the_second_pruning_is_after_the_normalisation_and_that_after_the_first():
    # p leads to e with 1 / 2, and q with 2 / (3 * 2) to e and 1 / (3 * 2) to f, which the first pruning takes away.
    # Then both lead to e alone, and q is more popular.
    pairs = [("1", "e"), ("1", "p"), ("2", "e"), ("2", "q"), ("3", "e"), ("3", "q"), ("4", "f"), ("4", "q")]
    train = interactions(pairs)
    assert weights_of(train, 1)[:, 0].tolist() == [0, 0, 1 / 2, 0]
    assert weights_of(train, 1, normalize=True)[:, 0].tolist() == [0, 0, 0, 1]


def test_an_item_whose_users_have_nothing_else_leads_nowhere():
    found = weights_of(interactions([*PAIRS, ("x", "e")]), 5, normalize=True)
    assert found[4].tolist() == [0] * 5 and found[:, 4].tolist() == [0] * 5


def test_an_item_without_users_has_no_walks():
    train = interactions([*PAIRS, ("x", "e")])
    train = train.select(train.users < 3)
    found = weights_of(train, 5, normalize=True, beta=0.7)
    assert torch.isfinite(found).all()
    assert found[4].tolist() == [0] * 5 and found[:, 4].tolist() == [0] * 5


@pytest.mark.parametrize("k", [4, 25])
def test_blocks_give_the_same_as_all_at_once(monkeypatch, k):
    train = interactions(random_pairs(0))
    whole = weights_of(train, k, beta=0.4, normalize=True)
    monkeypatch.setattr("recbench.nn.neighbours._BLOCK_ENTRIES", 7 * 25)
    assert torch.equal(weights_of(train, k, beta=0.4, normalize=True), whole)


@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0, 2), st.floats(0, 2))
@settings(max_examples=25, deadline=None)
def test_no_start_or_end_has_more_than_k_weights_and_starts_give_at_most_1(seed, k, alpha, beta):
    found = weights_of(interactions(random_pairs(seed, 12, 14)), k, alpha=alpha, beta=beta, normalize=True)
    assert int((found > 0).sum(0).max()) <= k
    assert int((found > 0).sum(1).max()) <= k
    assert float(found.sum(1).max()) <= 1 + 1e-9
    assert float(found.min()) >= 0 and not found.diagonal().any()


def test_scores_add_the_weights_of_the_history():
    model = fitted("p3alpha", interactions(), normalize=False)
    found = model.score(batch_of([A], [A, D], [A, A], []))
    expected = torch.tensor([WALKS[A], [x + y for x, y in zip(WALKS[A], WALKS[D])], WALKS[A], [0] * 4])
    torch.testing.assert_close(found, expected)
    candidates = torch.tensor([[D, B, B], [A, B, C], [C, C, C], [A, D, A]])
    found_of_candidates = model.score(batch_of([A], [A, D], [A, A], []), candidates)
    torch.testing.assert_close(found_of_candidates, found.gather(1, candidates))


def test_rp3beta_without_beta_is_p3alpha():
    train = interactions(random_pairs(1))
    options = {"neighbours": 5, "alpha": 0.7}
    batch = batch_of([1, 2, 3])
    plain = fitted("p3alpha", train, **options).score(batch)
    assert torch.equal(fitted("rp3beta", train, beta=0.0, **options).score(batch), plain)
    assert not torch.equal(fitted("rp3beta", train, beta=0.3, **options).score(batch), plain)


def test_more_neighbours_than_items_keep_all():
    model = fitted("rp3beta", interactions(), neighbours=1000)
    assert model.near.weights.shape == (4, 4)


def test_options_are_bounded():
    with pytest.raises(ConfigError) as error:
        models.build("rp3beta", interactions(), neighbours=0, alpha=2.5, beta=-0.1)
    assert str(error.value) == (
        "model 'rp3beta' cannot be configured:\n"
        "  neighbours = 0: should be at least 1.\n"
        "  alpha = 2.5: should be at most 2.\n"
        "  beta = -0.1: should be at least 0."
    )
    with pytest.raises(ConfigError) as error:
        models.build("p3alpha", interactions(), beta=0.5)
    assert str(error.value) == (
        "model 'p3alpha' cannot be configured:\n  beta = 0.5: no such option. Known: alpha, neighbours, normalize."
    )
