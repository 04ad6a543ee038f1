"""random, popularity, item_knn and user_knn by hand, their options, and the trainer that fits them."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import models, trainers
from recbench.data import Histories, Interactions, Split, UserBatch
from recbench.errors import ConfigError
from recbench.nn.neighbours import nearest, precedence
from recbench.nn.profiles import ProfileConfig, Weights, similarities
from recbench.randomness import generator

# Items a, b, c, d are 0 to 3. a and b share two users, b and c one, a and c none; d is taken by w alone.
PAIRS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("v", "d"), ("w", "b"), ("w", "c"), ("w", "d")]
A, B, C, D = range(4)
U, V, W = range(3)


def interactions(pairs=PAIRS):
    return Interactions.from_frame(pd.DataFrame(pairs, columns=["user", "item"]))


def batch_of(*rows):
    """Return the batch of (user, items) rows."""
    users, histories = zip(*rows)
    counts = torch.tensor([len(items) for items in histories])
    items = torch.tensor([item for items in histories for item in items], dtype=torch.int64)
    return UserBatch(
        torch.tensor(users), Histories.from_pairs(torch.arange(len(rows)).repeat_interleave(counts), items, len(rows))
    )


def fitted(name, pairs=PAIRS, seed=0, **options):
    train = interactions(pairs)
    entry = models.registry.entry(name)
    model = entry.target(entry.configure(options), train, seed)
    model.fit(train)
    return model


# random


def everyone(n_users, n_items, seed=0):
    """Return the random scores of users with n_items items, and the model."""
    pairs = [("u0", f"i{item:05d}") for item in range(n_items)]
    model = fitted("random", pairs, seed)
    return model.score(batch_of(*[(user, []) for user in range(n_users)])), model


def test_random_scores_are_uniform():
    scores, _ = everyone(100, 2000)
    counts = torch.histc(scores, 50, 0, 1)
    # Chi-square with 49 degrees of freedom: mean 49, standard deviation sqrt(98).
    expected = scores.numel() / 50
    assert abs(float(((counts - expected) ** 2 / expected).sum()) - 49) < 5 * math.sqrt(98)
    assert float(scores.min()) >= 0 and float(scores.max()) < 1


def test_random_scores_of_users_items_and_seeds_are_unrelated():
    scores, _ = everyone(50, 2000)
    others, _ = everyone(50, 2000, seed=1)
    correlations = torch.corrcoef(torch.cat([scores, others]))
    between_items = torch.corrcoef(torch.stack([scores[:, :-1].flatten(), scores[:, 1:].flatten()]))
    # The standard deviation of a correlation of n independent pairs is 1 / sqrt(n); 4950 of them are looked at.
    assert float((correlations - torch.eye(100)).abs().max()) < 5 / math.sqrt(2000)
    assert abs(float(between_items[0, 1])) < 5 / math.sqrt(50 * 1999)


def test_random_scores_collide_no_more_than_24_bits_must():
    scores, _ = everyone(20, 2000)
    collisions = sum(2000 - len(row.unique()) for row in scores)
    mean = 20 * 2000 * 1999 / 2 / 2**24
    assert collisions <= mean + 5 * math.sqrt(mean)


def test_random_scores_depend_on_seed_user_and_item_alone():
    scores, model = everyone(5, 30)
    items = torch.tensor([[7, 3, 3], [0, 29, 1]])
    found = model.score(batch_of((4, [1, 2]), (0, [])), items)
    assert torch.equal(found, torch.stack([scores[4, items[0]], scores[0, items[1]]]))
    assert len({tuple(row.tolist()) for row in model.score(batch_of((-1, []), (-1, [3]), (0, [])))}) == 2


def test_random_scores_are_pinned():
    """Splitmix64 of the key in unbounded whole numbers."""

    def mixed(number):
        number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
        return number ^ (number >> 31)

    scores, model = everyone(3, 4, seed=3)
    golden = 0x9E3779B97F4A7C15
    for user in range(3):
        row = mixed((int(model.key) + (user + 1) * golden) % 2**64)
        expected = [(mixed((row + (item + 1) * golden) % 2**64) >> 40) / 2**24 for item in range(4)]
        assert scores[user].tolist() == expected


# popularity


def test_popularity_counts_training_interactions():
    model = fitted("popularity")
    assert model.score(batch_of((U, [A]), (-1, []))).tolist() == [[2, 3, 1, 2], [2, 3, 1, 2]]
    assert model.score(batch_of((U, [A]), (-1, [])), torch.tensor([[B, C], [C, C]])).tolist() == [[3, 1], [1, 1]]


# item_knn

# Cosines: shared users over the root of the product of the numbers of users.
AB, AD = 2 / math.sqrt(2 * 3), 1 / math.sqrt(2 * 2)
BC, BD, CD = 1 / math.sqrt(3 * 1), 2 / math.sqrt(3 * 2), 1 / math.sqrt(1 * 2)


def test_item_knn_adds_the_similarities_to_the_history_but_not_to_itself():
    scores = fitted("item_knn", weighting="none").score(batch_of((U, [A, B]), (-1, [C]), (V, [])))
    expected = [[AB, AB, BC, AD + BD], [0, BC, 0, CD], [0, 0, 0, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=5e-7)


def test_item_knn_keeps_the_nearest_of_the_scored_item():
    # The nearest of a is b, of b a or d (tie: they have two users each, so a by index), of c d, of d b.
    model = fitted("item_knn", weighting="none", neighbours=1)
    assert model.near.neighbours.flatten().tolist() == [B, A, D, B]
    scores = model.score(batch_of((-1, [A]), (-1, [B]), (-1, [D])))
    expected = [[0, AB, 0, 0], [AB, 0, 0, BD], [0, 0, CD, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=5e-7)


def test_item_knn_shrinks():
    scores = fitted("item_knn", weighting="none", shrink=2.0).score(batch_of((-1, [A])))
    expected = [[0, 2 / (math.sqrt(6) + 2), 0, 1 / (2 + 2)]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=5e-7)


def test_item_knn_weighs_users_by_inverse_frequency():
    pairs = [*PAIRS, ("x", "a"), ("x", "e")]
    # Of 5 items u and x have 2, v and w have 3.
    u, v, w, x = math.log(5 / 3), math.log(5 / 4), math.log(5 / 4), math.log(5 / 3)
    scores = fitted("item_knn", pairs, weighting="tfidf").score(batch_of((-1, [A])))
    length = {A: u**2 + v**2 + x**2, B: u**2 + v**2 + w**2, D: v**2 + w**2, 4: x**2}
    expected = [0, (u**2 + v**2) / math.sqrt(length[A] * length[B]), 0]
    expected += [v**2 / math.sqrt(length[A] * length[D]), x**2 / math.sqrt(length[A] * length[4])]
    torch.testing.assert_close(scores, torch.tensor([expected]), rtol=0, atol=5e-7)


def test_item_knn_fits_block_by_block_as_at_once(monkeypatch):
    taken = torch.rand(30, 25, generator=generator(0, "taken")) < 0.3
    pairs = [(f"u{user}", f"i{item:02d}") for user, item in torch.nonzero(taken).tolist()]
    whole = fitted("item_knn", pairs, neighbours=4)
    monkeypatch.setattr("recbench.nn.neighbours._BLOCK_ENTRIES", 7 * 25)
    blocks = fitted("item_knn", pairs, neighbours=4)
    assert torch.equal(blocks.near.neighbours, whole.near.neighbours)
    assert torch.equal(blocks.near.weights, whole.near.weights)


def test_item_knn_gives_items_without_users_nothing():
    train = interactions([*PAIRS, ("x", "e")])
    train = train.select(train.users < 3)
    model = models.build("item_knn", train, weighting="bm25")
    model.fit(train)
    assert torch.isfinite(model.near.weights).all()
    assert model.score(batch_of((-1, [4]), (U, [A, B])))[:, 4].tolist() == [0, 0]
    assert model.score(batch_of((-1, [4]))).tolist() == [[0] * 5]


# Profile x has one of the two terms of t, y both and two more: both cosines are 1 / sqrt(2).
TIED = [("1", "t"), ("2", "t"), ("1", "x"), *[(term, "y") for term in "1234"]]


def test_item_knn_prefers_the_more_popular_of_equally_similar_items():
    t, x, y = range(3)
    model = fitted("item_knn", TIED, weighting="none", neighbours=1)
    assert model.near.neighbours[t].tolist() == [y]
    assert model.score(batch_of((-1, [x]), (-1, [y])))[:, t].tolist() == pytest.approx([0, math.sqrt(1 / 2)])


def test_item_knn_counts_repeated_pairs_once():
    train = Interactions.from_frame(pd.DataFrame([*PAIRS, *PAIRS[:3]], columns=["user", "item"]), repeats=True)
    model = models.build("item_knn", train, similarity="jaccard", weighting="none")
    model.fit(train)
    batch = batch_of((U, [A, B]), (-1, [C]))
    assert torch.equal(model.score(batch), fitted("item_knn", similarity="jaccard", weighting="none").score(batch))


def test_item_knn_gives_the_scored_item_alpha():
    # Only of the scored item's own users alpha has some left out: all of b's 3 and 1 of 2 of a and d.
    scores = fitted("item_knn", weighting="none", similarity="tversky", alpha=0.0, beta=1.0).score(batch_of((-1, [A])))
    expected = [[0, 2 / 2, 0, 1 / (1 + 1)]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=5e-7)


def test_item_knn_weighs_the_history():
    options = {"weighting": "bm25", "similarity": "cosine", "b": 1.0}
    plain = fitted("item_knn", weighting="tfidf").score(batch_of((-1, [A])))
    scores = fitted("item_knn", history="weighted", **options).score(batch_of((-1, [A])))
    # a has 2 users, an item has 8 / 4 on average.
    torch.testing.assert_close(scores, plain * 2.2 / (1.2 * 2 / (8 / 4) + 1), rtol=1e-6, atol=0)


def test_item_knn_centres():
    model = fitted("item_knn", weighting="none", neighbours=2, centred=True)
    share = {A: 2 / 3, B: 3 / 3, C: 1 / 3, D: 2 / 3}
    # The nearest of c are d and b.
    with_b = share[C] + (BC * (1 - share[B]) + CD * (0 - share[D])) / (BC + CD)
    with_none = share[C] + (BC * (0 - share[B]) + CD * (0 - share[D])) / (BC + CD)
    assert model.score(batch_of((-1, [B]), (-1, [])))[:, C].tolist() == pytest.approx([with_b, with_none], abs=5e-7)
    candidates = model.score(batch_of((-1, [B])), torch.tensor([[C, A, C]]))
    assert candidates.tolist() == [[pytest.approx(with_b, abs=5e-7), candidates[0, 1].item(), candidates[0, 0].item()]]


def test_item_knn_centred_gives_items_without_users_their_share():
    train = interactions([*PAIRS, ("x", "e")])
    train = train.select(train.users < 3)
    model = models.build("item_knn", train, centred=True)
    model.fit(train)
    assert model.score(batch_of((-1, [4]), (U, [A, B])))[:, 4].tolist() == [0, 0]


# user_knn

# Cosines of users: shared items over the root of the product of the numbers of items.
UV, UW, VW = 2 / math.sqrt(2 * 3), 1 / math.sqrt(2 * 3), 2 / math.sqrt(3 * 3)


def test_user_knn_adds_the_similarities_of_those_who_have_the_item_but_not_ones_own():
    scores = fitted("user_knn", weighting="none").score(batch_of((U, [A, B]), (-1, [A, B]), (V, [])))
    own = 2 / math.sqrt(2 * 2)
    # v has a, b, d; w has b, c, d; u has a, b and counts only for the unknown user.
    expected = [[UV, UV + UW, UW, UV + UW], [own + UV, own + UV + UW, UW, UV + UW], [0, 0, 0, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=0, atol=5e-7)


def test_user_knn_asks_the_nearest_only():
    scores = fitted("user_knn", weighting="none", neighbours=1).score(batch_of((U, [A, B]), (W, [B, C, D])))
    torch.testing.assert_close(scores, torch.tensor([[UV, UV, 0, UV], [VW, VW, 0, VW]]), rtol=0, atol=5e-7)


def test_user_knn_prefers_the_longer_of_equally_similar_users():
    model = fitted("user_knn", [(user, item) for item, user in TIED], weighting="none", neighbours=1)
    assert model.votes(batch_of((0, [0, 1]))).tolist() == [[0, 0, pytest.approx(math.sqrt(1 / 2))]]


def test_user_knn_asks_those_who_have_the_user_among_their_nearest():
    # The nearest of u is v, of v u, of w v: v is asked about by u and w, u by v.
    model = fitted("user_knn", weighting="none", neighbours=1, prune_axis="column")
    assert UV > VW > UW
    found = model.votes(batch_of((V, [A, B, D]), (U, [A, B])))
    torch.testing.assert_close(found, torch.tensor([[UV, 0, VW], [0, UV, 0]]), rtol=0, atol=5e-7)


def test_user_knn_keeps_whom_others_ask_in_its_state():
    options = {"weighting": "none", "neighbours": 1, "prune_axis": "column"}
    model = fitted("user_knn", **options)
    rebuilt = models.build("user_knn", interactions(), **options)
    rebuilt.load_state_dict(model.state_dict())
    batch = batch_of((U, [A, B]), (-1, [A]))
    assert torch.equal(rebuilt.score(batch), model.score(batch))


def test_user_knn_asks_all_of_whom_the_user_is_as_near_as_their_last():
    # The nearest of t is x and of x t, both by index; y is as near to each.
    pairs = [("t", "1"), ("x", "1"), ("y", "1")]
    model = fitted("user_knn", pairs, weighting="none", neighbours=1, prune_axis="column")
    assert model.votes(batch_of((2, [0]))).tolist() == [[1, 1, 0]]


def test_user_knn_gives_the_user_who_is_asked_alpha():
    model = fitted("user_knn", weighting="none", similarity="tversky", alpha=0.0, beta=1.0)
    # u has a, b; v has a, b, d; w has b, c, d.
    found = model.votes(batch_of((U, [A, B])))
    torch.testing.assert_close(found, torch.tensor([[0, 2 / 2, 1 / (1 + 1)]]), rtol=0, atol=5e-7)


def test_user_knn_counts_repeated_pairs_once():
    train = Interactions.from_frame(pd.DataFrame([*PAIRS, *PAIRS[:3]], columns=["user", "item"]), repeats=True)
    model = models.build("user_knn", train, similarity="jaccard", weighting="none")
    batch = batch_of((U, [A, B]), (-1, [C]))
    assert torch.equal(model.score(batch), fitted("user_knn", similarity="jaccard", weighting="none").score(batch))


@pytest.mark.parametrize("prune_axis", ["row", "column"])
def test_user_knn_scores_block_by_block_as_at_once(prune_axis, monkeypatch):
    taken = torch.rand(30, 25, generator=generator(0, "taken")) < 0.3
    train = interactions([(f"u{user:02d}", f"i{item:02d}") for user, item in torch.nonzero(taken).tolist()])
    model = models.build("user_knn", train, neighbours=4, prune_axis=prune_axis)
    model.fit(train)
    users = torch.tensor([3, -1, 29, 0, 17, 5, 5, 28])
    batch = UserBatch(users, train.histories.rows(users.abs()))
    whole = model.score(batch)
    monkeypatch.setattr("recbench.models.user_knn._BLOCK_ENTRIES", 3 * 30)
    assert torch.equal(model.score(batch), whole)
    candidates = torch.arange(16).view(8, 2)
    assert torch.equal(model.score(batch, candidates), whole.gather(1, candidates))


def test_user_knn_compares_by_the_history_that_is_given():
    # With d known of u too, u is nearer to both v and w.
    scores = fitted("user_knn", weighting="none").score(batch_of((U, [A, B, D])))
    v, w = 3 / math.sqrt(3 * 3), 2 / math.sqrt(3 * 3)
    torch.testing.assert_close(scores, torch.tensor([[v, v + w, w, v + w]]), rtol=0, atol=5e-7)


def test_user_knn_is_rebuilt_from_its_training_interactions():
    train = interactions()
    model = models.build("user_knn", train)
    assert model.state_dict() == {}
    assert torch.equal(model.score(batch_of((U, [A]))), fitted("user_knn").score(batch_of((U, [A]))))


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_neighbour_models_ignore_ratings(name):
    frame = pd.DataFrame(PAIRS, columns=["user", "item"])
    rated = Interactions.from_frame(frame.assign(rating=[5, 1, 3, 2, 4, 1, 5, 2]))
    model = models.build(name, rated)
    model.fit(rated)
    history = rated.histories.rows(torch.tensor([U, V]))
    expected = fitted(name).score(batch_of((U, [A, B]), (V, [A, B, D])))
    assert torch.equal(model.score(UserBatch(torch.tensor([U, V]), history)), expected)


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_bm25_is_tfidf_where_nothing_is_shrunk(name):
    """A factor on the whole profile is divided out by its length."""
    batch = batch_of((U, [A, B]), (-1, [A, D]))
    torch.testing.assert_close(
        fitted(name, weighting="bm25").score(batch), fitted(name, weighting="tfidf").score(batch), rtol=0, atol=5e-7
    )


ALPHA = "alpha has no effect here: set similarity='asymmetric' or 'tversky' too, or leave alpha alone."
BETA = "beta has no effect here: set similarity='tversky' too, or leave beta alone."
DOCUMENTS = (
    "documents='terms' has no effect here: it says what weighting='bm25' goes by, or 'tfidf' where the weight of "
    "profiles counts, as with shrink above 0; set one of them, or leave documents alone."
)
BM25 = (
    "k1 and b have no effect here: they act through the length of documents, which counts only with weighting='bm25' "
    "and, as long as profiles are the documents, shrink above 0; set both, or leave k1 and b alone."
)
HISTORY = (
    "history='weighted' has no effect here: all profiles weigh the same without weighting='bm25' or "
    "documents='terms'; set one of them, or leave history alone."
)


def counted(weighting, similarity):
    return (
        f"weighting='{weighting}' has no effect here: similarity='{similarity}' counts terms without weights; set "
        "weighting='none' too."
    )


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
@pytest.mark.parametrize(
    ("options", "mistakes"),
    [
        ({"k1": 1.5}, [BM25]),
        ({"b": 0.5, "weighting": "bm25"}, [BM25]),
        ({"k1": 2.0, "shrink": 10.0, "weighting": "tfidf"}, [BM25]),
        ({"alpha": 0.4}, [ALPHA]),
        ({"alpha": 0.4, "similarity": "dice", "weighting": "none"}, [ALPHA]),
        ({"beta": 0.4, "similarity": "asymmetric"}, [BETA]),
        ({"similarity": "jaccard"}, [counted("tfidf", "jaccard")]),
        ({"similarity": "tversky", "weighting": "bm25"}, [counted("bm25", "tversky")]),
        ({"documents": "terms"}, [DOCUMENTS]),
        ({"documents": "terms", "weighting": "none", "shrink": 1.0}, [DOCUMENTS]),
        ({"documents": "terms", "similarity": "asymmetric"}, [DOCUMENTS]),
        (
            {"alpha": 0.0, "beta": 0.0, "similarity": "dice", "k1": 0.0},
            [ALPHA, BETA, counted("tfidf", "dice"), BM25],
        ),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(name, options, mistakes):
    with pytest.raises(ConfigError) as error:
        models.build(name, interactions(), **options)
    assert str(error.value) == "\n  ".join([f"model '{name}' cannot be configured:", *mistakes])


@pytest.mark.parametrize("options", [{}, {"weighting": "none"}, {"similarity": "jaccard", "weighting": "none"}])
def test_a_history_weighted_without_effect_is_refused(options):
    with pytest.raises(ConfigError) as error:
        models.build("item_knn", interactions(), history="weighted", **options)
    assert str(error.value) == f"model 'item_knn' cannot be configured:\n  {HISTORY}"


# For each option that counts only beside others: those others, and another value of it.
FELT = [
    ({"similarity": "asymmetric"}, {"alpha": 1.2}),
    ({"similarity": "tversky", "weighting": "none"}, {"alpha": 1.2}),
    ({"similarity": "tversky", "weighting": "none"}, {"beta": 1.2}),
    ({"weighting": "bm25"}, {"documents": "terms"}),
    ({"weighting": "tfidf", "shrink": 1.0}, {"documents": "terms"}),
    ({"weighting": "tfidf", "similarity": "asymmetric", "alpha": 1.0}, {"documents": "terms"}),
    ({"weighting": "bm25", "shrink": 1.0}, {"k1": 9.0}),
    ({"weighting": "bm25", "shrink": 1.0}, {"b": 0.0}),
    ({"weighting": "bm25", "documents": "terms"}, {"b": 0.0}),
    ({"weighting": "bm25", "similarity": "asymmetric", "alpha": 1.0}, {"b": 0.0}),
]
FELT_BY_ITEMS = [
    ({"weighting": "bm25", "history": "weighted"}, {"b": 0.0}),
    ({"weighting": "bm25"}, {"history": "weighted"}),
    ({"weighting": "tfidf", "documents": "terms", "shrink": 1.0}, {"history": "weighted"}),
    ({}, {"centred": True}),
]


@pytest.mark.parametrize(
    ("name", "given", "other"),
    [(name, *pair) for name in ("item_knn", "user_knn") for pair in FELT]
    + [("item_knn", *pair) for pair in FELT_BY_ITEMS],
    ids=str,
)
def test_options_that_are_accepted_have_an_effect(name, given, other):
    pairs = [*PAIRS, ("x", "a"), ("x", "e"), ("y", "b"), ("y", "f"), ("z", "f")]
    batch = batch_of((0, [0, 1]), (-1, [0, 3, 5]))
    scores = fitted(name, pairs, **given).score(batch)
    others = fitted(name, pairs, **given, **other).score(batch)
    assert not torch.allclose(scores, others, rtol=1e-4)


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_other_wrong_options_are_named(name):
    with pytest.raises(ConfigError) as error:
        models.build(name, interactions(), neighbours=0, shrink=-1, weighting="idf", alpha=2.5, similarity="cos")
    assert str(error.value) == (
        f"model '{name}' cannot be configured:\n"
        "  neighbours = 0: should be at least 1.\n"
        "  shrink = -1: should be at least 0.\n"
        "  weighting = 'idf': should be 'none', 'tfidf' or 'bm25'.\n"
        "  alpha = 2.5: should be at most 2.\n"
        "  similarity = 'cos': should be 'cosine', 'asymmetric', 'jaccard', 'dice' or 'tversky'."
    )


# The parts of neighbour models


def similarity(dots, squares, others, **options):
    values = (torch.tensor(value, dtype=torch.float64) for value in (dots, squares, others))
    return similarities(ProfileConfig(**options), *values)


def test_cosine_of_the_worked_example():
    """Vectors (1, 2, 3, 4), (5, 6, 7, 8), (1, 0, 1, 0) and (0, 1, 0, 1)."""
    vectors = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [1, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.float64)
    squares = (vectors**2).sum(1)
    found = similarities(ProfileConfig(), vectors[:1] @ vectors.T, squares[:1, None], squares)
    expected = [1.0, 70 / math.sqrt(30 * 174), 4 / math.sqrt(60), 6 / math.sqrt(60)]
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"similarity": "cosine"}, 2 / (math.sqrt(3) * math.sqrt(5) + 7)),
        ({"similarity": "asymmetric", "alpha": 0.7}, 2 / (3**0.7 * 5**0.3 + 7)),
        ({"similarity": "jaccard", "weighting": "none"}, 2 / (2 + 1 + 3 + 7)),
        ({"similarity": "dice", "weighting": "none"}, 2 / (3 + 5 + 7)),
        ({"similarity": "tversky", "weighting": "none", "alpha": 0.2, "beta": 1.1}, 2 / (2 + 0.2 * 1 + 1.1 * 3 + 7)),
    ],
    ids=str,
)
def test_similarities_of_profiles_of_three_and_five_terms_that_share_two(options, expected):
    assert similarity([2], [3], [5], shrink=7.0, **options).tolist() == pytest.approx([expected], abs=1e-15)


def test_asymmetric_and_tversky_at_their_defaults_are_cosine_and_twice_dice():
    dots, squares, others = [2, 1, 0], [3, 4, 2], [5, 1, 6]
    plain = similarity(dots, squares, others)
    torch.testing.assert_close(similarity(dots, squares, others, similarity="asymmetric"), plain)
    halves = similarity(dots, squares, others, similarity="dice", weighting="none")
    torch.testing.assert_close(similarity(dots, squares, others, similarity="tversky", weighting="none"), 2 * halves)


@pytest.mark.parametrize("shrink", [0.0, 3.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"similarity": "asymmetric", "alpha": 2.0},
        {"similarity": "asymmetric", "alpha": 0.0},
        *({"similarity": name, "weighting": "none"} for name in ("jaccard", "dice", "tversky")),
    ],
    ids=str,
)
def test_a_profile_without_weight_is_similar_to_none(options, shrink):
    found = similarity([0, 0, 0], [0, 0, 4], [0, 4, 0], shrink=shrink, **options)
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_weights_by_hand():
    counts, lengths = torch.tensor([1, 3]), torch.tensor([2, 6])

    def weights(**options):
        """Of 8 profiles and 5 terms, 32 pairs: 4 terms a profile, 6.4 profiles a term."""
        return Weights(ProfileConfig(**options), 8, 5, 32)

    assert weights(weighting="none").of_terms(counts).tolist() == [1, 1]
    assert weights(weighting="tfidf").of_terms(counts).tolist() == [math.log(8 / 2), math.log(8 / 4)]
    assert weights(weighting="tfidf").of_profiles(lengths).tolist() == [1, 1]
    expected = [2.2 / (1.2 * (0.25 + 0.75 * 2 / 4) + 1), 2.2 / (1.2 * (0.25 + 0.75 * 6 / 4) + 1)]
    assert weights(weighting="bm25").of_profiles(lengths).tolist() == pytest.approx(expected, abs=1e-15)
    assert weights(weighting="bm25").of_terms(counts).tolist() == [math.log(8 / 2), math.log(8 / 4)]


def test_weights_by_hand_with_the_terms_as_documents():
    lengths, counts = torch.tensor([2, 5]), torch.tensor([1, 3])

    def weights(weighting):
        return Weights(ProfileConfig(weighting=weighting, documents="terms", shrink=1.0), 8, 5, 32)

    # A profile that has all 5 terms is a word of all documents.
    rarities = [math.log(5 / 3), abs(math.log(5 / 6))]
    assert weights("tfidf").of_profiles(lengths).tolist() == pytest.approx(rarities, abs=1e-15)
    assert weights("bm25").of_profiles(lengths).tolist() == pytest.approx(rarities, abs=1e-15)
    assert weights("tfidf").of_terms(counts).tolist() == [1, 1]
    expected = [2.2 / (1.2 * (0.25 + 0.75 * n / (32 / 5)) + 1) for n in (1, 3)]
    assert weights("bm25").of_terms(counts).tolist() == pytest.approx(expected, abs=1e-15)


def test_precedence_is_by_length_and_then_by_index():
    assert precedence(torch.tensor([2, 5, 2, 7])).tolist() == [2, 1, 3, 0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([0.0, 1e-30, 0.25, 0.5, 0.50000006, 1.0, 7.5]), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_nearest_sorts_by_similarity_and_then_by_precedence(values, random, data):
    places = list(range(len(values)))
    random.shuffle(places)
    k = data.draw(st.integers(1, len(values)))
    indices, similarities = nearest(torch.tensor([values], dtype=torch.float64), torch.tensor(places), k)
    singles = torch.tensor(values).tolist()
    expected = sorted(range(len(values)), key=lambda p: (-singles[p], places[p]))[:k]
    assert indices[0].tolist() == expected
    assert similarities[0].tolist() == [singles[p] for p in expected]


def test_nearest_takes_what_differs_by_less_than_float32_as_equal():
    similarities = torch.tensor([[0.5, 0.5 + 1e-12, 0.5 - 1e-12]], dtype=torch.float64)
    assert nearest(similarities, torch.tensor([2, 1, 0]), 3)[0].tolist() == [[2, 1, 0]]


# closed_form


def test_closed_form_calls_fit_once_on_the_training_part():
    train = interactions()
    model = models.build("popularity", train)
    result = trainers.build("closed_form").fit(model, Split(train=train, valid=None, test=None, fingerprint=""), seed=3)
    assert model.counts.tolist() == [2, 3, 1, 2]
    assert (result.best_epoch, result.curve) == (None, ())
    assert result.seconds > 0


def test_closed_form_has_no_options():
    with pytest.raises(ConfigError) as error:
        trainers.build("closed_form", lr=0.1)
    assert str(error.value) == ("trainer 'closed_form' cannot be configured:\n  lr = 0.1: no such option. Known: none.")
