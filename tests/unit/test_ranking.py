from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from given_scores import GivenScores, case, ids
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import models
from recbench.blocks import BYTES_A_SCORE, Blocks
from recbench.data import Histories, Interactions, UserBatch, Vocabulary
from recbench.errors import NonFiniteScoresError
from recbench.models.mf import MF
from recbench.nn.products import PANEL
from recbench.ranking import _auc, best_items, rank
from recbench.scored import Scored
from recbench.total_order import SMALLEST_GROUP, BestSoFar, TieOrder, by_ranges, items_at, top_k


def random_order(n_users, n_items, seed=0):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(n_items, (n_users + 1,), generator=generator, dtype=torch.int32)
    return TieOrder(torch.randperm(n_items, generator=generator).int(), start)


def random_scores(n_users, n_items, n_values, seed=0):
    """Return scores of ``n_values`` different values, one in five hidden at -inf."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-(n_values // 2), n_values - n_values // 2, (n_users, n_items), generator=generator)
    hidden = torch.rand(n_users, n_items, generator=generator) < 0.2
    return scores.float().masked_fill(hidden, -math.inf)


def sorted_columns(scores, precedence):
    """Return the columns above -inf by (score descending, precedence), by Python's sort."""
    listed = [column for column, score in enumerate(scores) if score > -math.inf]
    return sorted(listed, key=lambda column: (-scores[column], precedence[column]))


def best_items_of(scores, k, ties, users, items, compiled):
    """Return the best items (B, k) and which are tied (B, k); the compiled loop sees three blocks of columns."""
    if not compiled:
        best = top_k(scores, k, ties, users, items)
        return torch.where(best.columns >= 0, items_at(items, best.columns.clamp(min=0)), -1), best.tied
    best = BestSoFar(k, ties, users)
    n_columns = scores.shape[1]
    for columns in torch.arange(n_columns).tensor_split([n_columns // 5, n_columns // 2]):
        best.see(scores[:, columns], items[..., columns])
    lists = best.lists(Histories.empty(len(users)))
    return lists.items, lists.tied


# Top-k


COMPILED = pytest.mark.parametrize("compiled", [False, True])


@COMPILED
@pytest.mark.parametrize("k", [1, 2, 7, 39, 40, 45])
@pytest.mark.parametrize("n_values", [1, 2, 5, 40, 10_000])
def test_top_k_is_that_of_a_python_sort(n_values, k, compiled):
    n_users, n_items = 200, 40
    scores, ties = random_scores(n_users, n_items, n_values), random_order(n_users, n_items)
    users = torch.arange(n_users)
    items, tied = best_items_of(scores, k, ties, users, torch.arange(n_items), compiled)
    precedence = ties.precedence(users, torch.arange(n_items)).tolist()
    for row in range(n_users):
        order = sorted_columns(scores[row].tolist(), precedence[row])
        listed = order[:k]
        assert items[row].tolist() == listed + [-1] * (k - len(listed))
        equal = [bool(scores[row, one] == scores[row, next_]) for one, next_ in zip(order, order[1:])]
        assert tied[row].tolist() == (equal + [False] * k)[:k]


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("n_values", [1, 2, 50, 10**6])
def test_of_many_columns_only_the_best_groups_are_searched(n_values, k):
    """5,003 columns are no whole number of groups; with one value all are tied."""
    assert math.sqrt(5003 / (k + 1)) / 2 >= SMALLEST_GROUP
    scores, ties = random_scores(10, 5003, n_values), random_order(10, 5003)
    best = top_k(scores, k, ties, torch.arange(10), torch.arange(5003))
    precedence = ties.precedence(torch.arange(10), torch.arange(5003)).tolist()
    for row in range(10):
        assert best.columns[row].tolist() == sorted_columns(scores[row].tolist(), precedence[row])[:k]


@COMPILED
@pytest.mark.parametrize("k", [1, 5, 24])
def test_top_k_of_candidates_breaks_ties_by_item_not_by_column(k, compiled):
    n_users, n_items, n_candidates = 300, 60, 24
    generator = torch.Generator().manual_seed(1)
    items = torch.rand(n_users, n_items, generator=generator).argsort(1)[:, :n_candidates]
    scores, ties = random_scores(n_users, n_candidates, 3), random_order(n_users, n_items)
    users = torch.arange(n_users)
    best, _ = best_items_of(scores, k, ties, users, items, compiled)
    precedence = ties.precedence(users, items).tolist()
    for row in range(n_users):
        listed = items[row, sorted_columns(scores[row].tolist(), precedence[row])[:k]].tolist()
        assert best[row].tolist() == listed + [-1] * (k - len(listed))


def test_a_shorter_list_is_the_beginning_of_a_longer_one():
    scores, ties = random_scores(100, 50, 4), random_order(100, 50)
    long = top_k(scores, 20, ties, torch.arange(100), torch.arange(50))
    for k in range(1, 20):
        short = top_k(scores, k, ties, torch.arange(100), torch.arange(50))
        assert short.columns.equal(long.columns[:, :k])
        assert short.tied.equal(long.tied[:, :k])


@COMPILED
def test_both_zeros_are_equal_scores(compiled):
    ties = TieOrder(torch.tensor([2, 1, 0], dtype=torch.int32), torch.tensor([0, 0], dtype=torch.int32))
    scores = torch.tensor([[0.0, -0.0, 0.0]])
    items, tied = best_items_of(scores, 2, ties, torch.tensor([0]), torch.arange(3), compiled)
    assert items.tolist() == [[2, 1]]
    assert tied.tolist() == [[True, True]]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_compiled_top_k_is_that_of_torch_whatever_ties_there_are(data):
    """Few values, among them the largest, both zeros and hidden ones; more rows than threads, and unknown users.

    The loop compares 64 columns at a time: there are some less, as many, and up to five times as many.
    """
    n_rows, n_items = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([1, 7, 30, 63, 64, 65, 128, 200, 330]))
    largest = torch.finfo(torch.float32).max
    values = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.0 + 2**-23, 1e-45, -1e-45, largest, -largest, -math.inf])
    values = torch.cat([values, torch.arange(2, data.draw(st.sampled_from([2, 50])))])
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    scores = values[torch.randint(len(values), (n_rows, n_items), generator=generator)]
    ties = random_order(n_rows, n_items, data.draw(st.integers(0, 9)))
    users = torch.arange(n_rows) - data.draw(st.integers(0, 1))
    k = data.draw(st.one_of(st.integers(1, 35), st.sampled_from([62, 63, 64, 65, 100])))

    def drawn():
        rows = [data.draw(st.lists(st.integers(0, n_items - 1), max_size=5)) for _ in range(n_rows)]
        of_each = torch.arange(n_rows).repeat_interleave(torch.tensor([len(row) for row in rows]))
        items = torch.tensor([item for row in rows for item in row], dtype=torch.int64)
        return Histories.from_pairs(of_each, items, n_rows)

    hidden, relevant = drawn(), drawn()
    plain = top_k(scores.masked_fill(hidden.mask(n_items), -math.inf), k, ties, users, torch.arange(n_items))
    best = BestSoFar(k, ties, users)
    ends = sorted(data.draw(st.lists(st.integers(0, n_items), max_size=3)))
    for items in torch.arange(n_items).tensor_split(ends):
        assert best.see(scores[:, items], items, hidden) == bool(scores[:, items].isfinite().all())
    lists = best.lists(relevant)
    assert torch.equal(plain.columns, lists.items)
    assert torch.equal(plain.tied, lists.tied)
    listed = lists.items >= 0
    assert torch.equal(relevant.mask(n_items).gather(1, lists.items.clamp(min=0)) & listed, lists.hits)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 63, 64, 127, 128, 129])
def test_a_score_that_is_not_finite_is_noticed_wherever_it_stands(odd, column):
    """In the first 64 columns, the second, and what remains; listed or hidden."""
    scores = torch.zeros(3, 130)
    scores[1, column] = odd
    for barred in ([], [column]):
        hidden = Histories.from_pairs(torch.ones(len(barred), dtype=torch.int64), torch.tensor(barred).long(), 3)
        best = BestSoFar(2, random_order(3, 130), torch.arange(3))
        assert not best.see(scores, torch.arange(130), hidden)
        assert best.see(torch.zeros(3, 130), torch.arange(130), hidden)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_ranking_is_the_same_whether_compiled_or_not(monkeypatch, threads):
    """With ties, masked items and candidates; the compiled loop is asked for by what the model declares."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    monkeypatch.setattr("recbench.ranking.WORTH_LOADING", 0)
    try:
        for candidates in (None, torch.tensor([[4, 1, 3, -1], [2, 0, 5, 6]])):
            scores = torch.tensor([[1.0, 1, 0, 2, 2, 0, 1], [0.0, 0, 0, 0, 3, 3, 3]])
            asked = case(scores, [[3], [4]], [[0, 4], [5, 1]], candidates)
            found = []
            for backend in ("torch", "auto"):
                asked.model.backend = backend
                assert asked.model.compiled == (backend == "auto")
                found.append(rank(asked.model, asked.holdout, asked.train, 5))
            for name in ("items", "hits", "tied"):
                assert torch.equal(getattr(found[0], name), getattr(found[1], name)), name
    finally:
        torch.set_num_threads(before)


def test_nothing_to_list():
    hidden = torch.full((2, 3), -math.inf)
    best = top_k(hidden, 2, random_order(2, 3), torch.arange(2), torch.arange(3))
    assert best.columns.tolist() == [[-1, -1], [-1, -1]]
    assert not best.tied.any()


# The order of ties


def catalogue(user_ids, item_ids):
    nothing = torch.empty(0, dtype=torch.int64)
    return Interactions(nothing, nothing, Vocabulary(user_ids, "user"), Vocabulary(item_ids, "item"))


def order_by_ids(ties, interactions, user_id):
    """Return the item ids in the order in which a user sees equal scores."""
    user = torch.from_numpy(interactions.user_vocabulary.indices([user_id]))
    order = ties.precedence(user, torch.arange(interactions.n_items))[0].argsort()
    return interactions.item_vocabulary.names(order.numpy()).tolist()


def test_each_user_has_an_order_of_all_items():
    interactions = catalogue(ids(500, "u"), ids(30, "i"))
    precedence = TieOrder.of(interactions).precedence(torch.arange(500), torch.arange(30))
    assert precedence.sort(1).values.tolist() == [list(range(30))] * 500
    # Every item comes first for some users: the share of each is 1 / 30, within 5 standard deviations.
    first = torch.bincount(precedence.argmin(1), minlength=30)
    assert first.min() > 0
    assert first.max() < 500 / 30 + 5 * math.sqrt(500 / 30)


def test_the_order_depends_on_seed_user_and_item_ids_alone():
    items = ids(30, "i")
    one = catalogue(["anna", "bert"], items)
    other = catalogue(["bert", "zoe", "0"], list(reversed(items)))
    orders = [order_by_ids(TieOrder.of(data, 3), data, "bert") for data in (one, other)]
    assert orders[0] == orders[1]
    assert order_by_ids(TieOrder.of(one, 4), one, "bert") != orders[0]
    assert order_by_ids(TieOrder.of(one, 3), one, "anna") != orders[0]


def test_another_item_does_not_reorder_the_circle():
    few, more = catalogue(["u"], ids(30, "i")), catalogue(["u"], ids(31, "i"))
    circle = [order_by_ids(TieOrder.of(data), data, "u") for data in (few, more)]
    circle[1].remove("i00030")
    turn = circle[1].index(circle[0][0])
    assert circle[1][turn:] + circle[1][:turn] == circle[0]


def test_unknown_users_have_an_order_too():
    ties = TieOrder.of(catalogue(ids(3, "u"), ids(5, "i")))
    assert sorted(ties.precedence(torch.tensor([-1]), torch.arange(5))[0].tolist()) == list(range(5))


# Rank


def random_problem(n_users=150, n_items=60, n_values=30, seed=0):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, n_values, size=(n_users, n_items)).astype(np.float32))
    shuffled = [rng.permutation(n_items).tolist() for _ in range(n_users)]
    return scores, [row[:4] for row in shuffled], [sorted(row[4:24]) for row in shuffled]


def assert_same_lists(one, other, order=slice(None)):
    """Check that ``one`` has the lists of ``other``, its users put into ``order``."""
    assert (one.auc is None) == (other.auc is None)
    for name in ("items", "hits", "tied", "n_relevant", *([] if one.auc is None else ["auc"])):
        expected = getattr(other, name)[order]
        torch.testing.assert_close(getattr(one, name), expected, rtol=0, atol=0, equal_nan=True)


def test_a_small_ranking_by_hand():
    # User 0 has nothing to find, user 1 saw the best item, user 2 has two equal scores behind the first place.
    scores = torch.tensor([[9.0, 9.0, 9.0, 9.0], [4.0, 3.0, 2.0, 1.0], [5.0, 7.0, 5.0, 1.0]])
    problem = case(scores, relevant=[[], [2, 3], [1]], seen=[[0], [0], []])
    ranking = problem.rank(3, with_auc=True)
    assert ranking.users.tolist() == [1, 2]
    assert ranking.items[0].tolist() == [1, 2, 3]
    assert ranking.items[1, 0] == 1 and sorted(ranking.items[1, 1:].tolist()) == [0, 2]
    assert ranking.hits.tolist() == [[False, True, True], [True, False, False]]
    assert ranking.tied.tolist() == [[False, False, False], [False, True, False]]
    assert ranking.n_relevant.tolist() == [2, 1]
    assert ranking.popularity.tolist() == [2, 0, 0, 0]
    assert (ranking.n_train_users, ranking.k) == (3, 3)
    assert ranking.auc.tolist() == [0, 1]
    assert problem.rank(3).auc is None


def test_no_masked_item_is_listed_also_when_the_list_is_longer_than_the_rest():
    scores, relevant, seen = random_problem()
    ranking = case(scores, relevant, seen).rank(65)
    for user, listed in enumerate(ranking.items.tolist()):
        assert sorted(listed[:40]) == sorted(set(range(60)) - set(seen[user]))
        assert listed[40:] == [-1] * 25
    assert not ranking.hits[:, 40:].any() and not ranking.tied[:, 39:].any()


def test_a_relevant_item_that_is_masked_cannot_be_found():
    problem = case(torch.tensor([[3.0, 2.0, 1.0]]), relevant=[[0, 2]], seen=[[0]])
    ranking = problem.rank(3, with_auc=True)
    assert ranking.items.tolist() == [[1, 2, -1]]
    assert ranking.hits.tolist() == [[False, True, False]]
    assert ranking.n_relevant.tolist() == [2]
    assert ranking.auc.tolist() == [0]


def test_the_mask_may_be_another_than_the_history():
    scores, relevant, seen = random_problem()
    problem = case(scores, relevant, seen)
    nothing = problem.train.histories.rows(torch.full((150,), -1))
    assert_same_lists(problem.rank(5, masked=nothing, with_auc=True), case(scores, relevant).rank(5, with_auc=True))


@pytest.mark.parametrize("user_block", [1, 7, 64, 512])
def test_the_block_of_users_changes_no_bit(user_block):
    problem = case(*random_problem())
    whole = problem.rank(10, with_auc=True, user_block=150)
    assert_same_lists(problem.rank(10, with_auc=True, user_block=user_block), whole)


def test_candidates_are_ranked_as_all_items_with_the_rest_masked():
    scores, relevant, seen = random_problem(n_values=4)
    candidates = torch.full((150, 30), -1)
    rng = np.random.default_rng(1)
    for user in range(150):
        others = [item for item in range(60) if item not in relevant[user]]
        chosen = rng.permutation(relevant[user] + rng.choice(others, rng.integers(1, 26), replace=False).tolist())
        candidates[user, torch.from_numpy(rng.permutation(30)[: len(chosen)])] = torch.from_numpy(chosen)
    rest = [sorted(set(seen[user]) | set(range(60)) - set(candidates[user].tolist())) for user in range(150)]
    assert_same_lists(
        case(scores, relevant, seen, candidates).rank(35, with_auc=True),
        case(scores, relevant, rest).rank(35, with_auc=True),
    )


@pytest.mark.parametrize("transform", [lambda s: s * 0.25 - 7, torch.exp, lambda s: s**3], ids=["line", "exp", "cube"])
def test_a_monotone_transform_of_the_scores_changes_nothing(transform):
    scores, relevant, seen = random_problem()
    before, after = (case(given, relevant, seen).rank(60, with_auc=True) for given in (scores, transform(scores)))
    assert_same_lists(before, after)


def test_relabelling_users_permutes_the_lists():
    # Without ties: their order goes by the user's id.
    scores, relevant, seen = random_problem()
    scores = scores + torch.rand(scores.shape, generator=torch.Generator().manual_seed(0))
    order = np.random.default_rng(2).permutation(150)
    before = case(scores, relevant, seen).rank(20, with_auc=True)
    after = case(scores[order], [relevant[user] for user in order], [seen[user] for user in order])
    assert_same_lists(after.rank(20, with_auc=True), before, order)


def test_relabelling_items_permutes_the_columns():
    # The order of ties goes by the item's id and is carried along.
    scores, ties, users = random_scores(100, 60, 4), random_order(100, 60), torch.arange(100)
    order = torch.from_numpy(np.random.default_rng(2).permutation(60))
    before = top_k(scores, 10, ties, users, torch.arange(60))
    after = top_k(scores[:, order], 10, TieOrder(ties.place[order], ties.start), users, torch.arange(60))
    assert order[after.columns].equal(before.columns)
    assert after.tied.equal(before.tied)


class StoredScores(GivenScores):
    """Returns its own matrix, as a model may that has all scores at hand."""

    def score(self, batch, items=None):
        return self.scores if items is None else super().score(batch, items)


def test_the_scores_of_the_model_are_not_written_to():
    scores, relevant, seen = random_problem()
    problem, kept = case(scores, relevant, seen), scores.clone()
    ranking = rank(StoredScores(problem.train, scores), problem.holdout, problem.train, 5, with_auc=True)
    assert scores.equal(kept)
    assert_same_lists(ranking, problem.rank(5, with_auc=True))
    shared = StoredScores(problem.train, scores[:1].expand(150, 60))
    rank(shared, problem.holdout, problem.train, 5)
    assert scores.equal(kept)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("candidates", [None, torch.arange(60).expand(150, 60)], ids=["all", "candidates"])
def test_scores_that_are_not_finite_are_an_error(bad, candidates):
    scores, relevant, seen = random_problem()
    scores[3, 7] = scores[3, 9] = scores[140, 0] = bad
    problem = case(scores, relevant, seen, candidates)
    problem.model.train()
    with pytest.raises(NonFiniteScoresError) as error:
        problem.rank(5, user_block=512)
    assert str(error.value) == (
        "GivenScores gave 3 scores that are NaN or infinite, for 2 of 150 users in this block, first for "
        "user 'u00003'. "
        "Its parameters are not finite: lower the learning rate, or clip the gradient."
    )
    assert problem.model.training


def test_an_unknown_user_whose_scores_are_not_finite_has_no_id():
    problem = case(torch.full((2, 3), math.nan), [[0], [1]])
    users = torch.tensor([-1, 0])
    with pytest.raises(NonFiniteScoresError, match=r" for 2 of 2 users in this block, first for an unknown user\. "):
        next(
            best_items(problem.model, problem.train, users, problem.holdout.history, 3, TieOrder.of(problem.train), 64)
        )


def test_the_largest_finite_scores_are_fine():
    largest = torch.finfo(torch.float32).max
    ranking = case(torch.tensor([[largest, -largest, largest, 0.0]]), relevant=[[1]]).rank(4)
    assert sorted(ranking.items[0, :2].tolist()) == [0, 2] and ranking.items[0, 2:].tolist() == [3, 1]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_asked_in_evaluation_mode_and_keeps_its_own(training):
    problem = case(*random_problem())
    modes = []
    score = problem.model.score
    problem.model.score = lambda *given: (
        modes.append((problem.model.training, torch.is_grad_enabled())) or score(*given)
    )
    problem.model.train(training)
    problem.rank(5)
    assert modes == [(False, False)]
    assert problem.model.training == training


def test_the_best_items_are_those_of_a_ranking_with_their_scores():
    scores, relevant, seen = random_problem()
    problem = case(scores, relevant, seen)
    ties = TieOrder.of(problem.train)
    holdout = problem.holdout
    blocks = list(best_items(problem.model, problem.train, holdout.users, holdout.history, 45, ties, 64))
    assert [len(block.rows) for block in blocks] == [64, 64, 22]
    assert torch.cat([block.rows for block in blocks]).equal(torch.arange(150))
    items = torch.cat([block.items for block in blocks])
    assert items.equal(problem.rank(45).items) and bool((items[:, 40:] == -1).all())
    expected = scores.gather(1, items.clamp(min=0)).masked_fill(items < 0, -math.inf)
    assert torch.cat([block.scores for block in blocks]).equal(expected)


@pytest.mark.parametrize("width", [1, 7, 30, 59, 60, 61])
def test_rows_are_parted_by_ranges_of_items(width):
    _, _, seen = random_problem()
    lists = case(torch.zeros(150, 60), [[0]] * 150, [*seen[:140], [], [59, 3, 0], *seen[142:]]).holdout.history
    ranges = by_ranges(lists, 60, width)
    assert len(ranges) == math.ceil(60 / width)
    for number, found in enumerate(ranges):
        for row in range(150):
            inside = [item for item in row_of(lists, row) if number * width <= item < (number + 1) * width]
            assert row_of(found, row) == inside


def test_items_that_there_are_not_are_in_no_range():
    lists = Histories(torch.tensor([0, 3, 5]), torch.tensor([7, -1, 2, 10**9, 3]))
    assert [row_of(found, row) for found in by_ranges(lists, 6, 3) for row in (0, 1)] == [[2], [], [], [3]]


def row_of(lists, row):
    return lists.items[lists.offsets[row] : lists.offsets[row + 1]].tolist()


# The item block


class InRanges(GivenScores):
    """Gives the scores of a range of items, and counts how often it is asked for which."""

    in_ranges = True

    def __init__(self, train, scores):
        super().__init__(train, scores)
        self.asked = []

    def score(self, batch, items=None):
        self.asked.append((len(batch), 0, self.n_items))
        return super().score(batch, items)

    def score_range(self, batch, first, last):
        self.asked.append((len(batch), first, last))
        return self.scores[batch.users, first:last]


def free_for(monkeypatch, n_users, n_items):
    """Let so much memory be free that this many pairs can be ranked at a time."""
    free = None if n_items is None else 2 * n_users * n_items * BYTES_A_SCORE
    monkeypatch.setattr("recbench.blocks.free_memory_bytes", lambda device: free)


def in_ranges(n_values, n_users=150, n_items=60):
    problem = case(*random_problem(n_users=n_users, n_items=n_items, n_values=n_values))
    return replace(problem, model=InRanges(problem.train, problem.model.scores))


@pytest.mark.parametrize("k", [1, 5, 20, 65])
@pytest.mark.parametrize("n_values", [1, 3, 30, 10_000])
def test_the_block_of_items_changes_no_bit(monkeypatch, n_values, k):
    """Blocks of 7, 14, ... of 60 items, so that lists are longer than a block, and all that ties can be."""
    monkeypatch.setattr("recbench.blocks.PANEL", 7)
    problem = in_ranges(n_values)
    free_for(monkeypatch, 150, None)
    whole = problem.rank(k, with_auc=True)
    assert problem.model.asked == [(150, 0, 60)] and whole.item_block == 60
    for n_items, item_block in ((1, 7), (7, 7), (20, 14), (59, 56)):
        free_for(monkeypatch, 150, n_items)
        problem.model.asked.clear()
        found = problem.rank(k, with_auc=True)
        assert_same_lists(found, whole)
        assert found.item_block == item_block and found.user_block == whole.user_block
        ranges = [(150, first, min(first + item_block, 60)) for first in range(0, 60, item_block)]
        assert problem.model.asked == 3 * ranges, "once for the lists, twice for AUC"


@pytest.mark.parametrize("k", [1, 5, 20, 65])
@pytest.mark.parametrize("n_values", [1, 3, 30, 10_000])
@pytest.mark.parametrize("free", [1, None])
def test_the_compiled_loop_sees_a_panel_at_a_time(monkeypatch, n_values, k, free):
    monkeypatch.setattr("recbench.blocks.PANEL", 7)
    monkeypatch.setattr("recbench.ranking.WORTH_LOADING", 0)
    problem = in_ranges(n_values)
    free_for(monkeypatch, 150, free)
    problem.model.backend = "auto"
    found = problem.rank(k)
    assert found.item_block == 7
    assert problem.model.asked == [(150, first, min(first + 7, 60)) for first in range(0, 60, 7)]
    problem.model.backend = "torch"
    free_for(monkeypatch, 150, None)
    whole = problem.rank(k)
    assert whole.item_block == 60
    assert_same_lists(found, whole)
    problem.model.backend = "auto"
    assert problem.rank(k, with_auc=True).item_block == 60, "AUC needs all scores"


@pytest.mark.parametrize("n_items", [1, 20, None])
def test_recommending_in_blocks_of_items_gives_the_same(monkeypatch, n_items):
    monkeypatch.setattr("recbench.blocks.PANEL", 7)
    problem = in_ranges(3)
    ties, holdout = TieOrder.of(problem.train), problem.holdout
    free_for(monkeypatch, 64, n_items)
    blocks = list(best_items(problem.model, problem.train, holdout.users, holdout.history, 10, ties, 64))
    items = torch.cat([block.items for block in blocks])
    assert items.equal(problem.rank(10, user_block=64).items)
    assert torch.cat([block.scores for block in blocks]).equal(problem.model.scores.gather(1, items))
    assert ((64, 0, 60) in problem.model.asked) == (n_items is None)


def test_the_block_of_items_is_told_where_it_is_not_all(monkeypatch, caplog):
    monkeypatch.setattr("recbench.blocks.PANEL", 7)
    problem = in_ranges(30)
    problem.model.backend = "torch"
    with caplog.at_level("INFO"):
        free_for(monkeypatch, 150, 60)
        assert problem.rank(5).item_block == 60 and not caplog.messages
        free_for(monkeypatch, 150, 20)
        problem.rank(5)
    assert caplog.messages == ["0 MB of memory are free: 14 of 60 items are ranked at a time for 150 users."]


def test_a_model_without_ranges_and_candidates_have_no_block_of_items(monkeypatch):
    free_for(monkeypatch, 1, 1)
    problem = case(*random_problem())
    assert problem.rank(5).item_block == 60
    among = case(*random_problem(), candidates=torch.arange(60).expand(150, -1))
    found = replace(among, model=InRanges(among.train, among.model.scores)).rank(5)
    assert found.item_block is None and found.items.equal(problem.rank(5).items)


def test_where_the_memory_does_not_suffice_after_all_the_block_of_items_is_halved_first(monkeypatch, caplog):
    monkeypatch.setattr("recbench.blocks.PANEL", 7)
    free_for(monkeypatch, 150, None)
    problem = in_ranges(30)
    whole = problem.rank(5, with_auc=True)
    score_range = problem.model.score_range

    def narrow(batch, first, last):
        if len(batch) * (last - first) > 75 * 7:
            raise MemoryError
        return score_range(batch, first, last)

    monkeypatch.setattr(problem.model, "score_range", narrow)
    monkeypatch.setattr(problem.model, "score", lambda batch: narrow(batch, 0, 60))
    with caplog.at_level("INFO"):
        found = problem.rank(5, with_auc=True, user_block=150)
    assert_same_lists(found, whole)
    assert (found.item_block, found.user_block) == (7, 75)
    assert caplog.messages == [
        "the memory does not suffice to rank 60 items at a time; going on with 28 of 60.",
        "the memory does not suffice to rank 28 items at a time; going on with 14 of 60.",
        "the memory does not suffice to rank 14 items at a time; going on with 7 of 60.",
        "the memory does not suffice to rank 60 items for 150 users at a time; going on with 75. "
        "To start so: evaluation.user_block=75.",
    ]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def in_ranges_by_threads(monkeypatch, threads, **shape):
    """Return a problem whose blocks threads rank apart, where there are several."""
    monkeypatch.setattr("recbench.ranking.WORTH_LOADING", 0)
    free_for(monkeypatch, 512, None)
    problem = in_ranges(30, **shape)
    assert problem.model.compiled
    return problem


def test_threads_rank_blocks_apart_and_each_computes_alone(monkeypatch, threads):
    problem = in_ranges_by_threads(monkeypatch, threads)
    by_whom, score_range = {}, problem.model.score_range
    met = threading.Barrier(threads, timeout=60)

    def told(batch, first, last):
        with_grad, alone = torch.is_grad_enabled(), torch.get_num_threads()
        if threading.get_ident() not in by_whom:
            met.wait()  # So that one thread cannot have done all before the other begins.
        by_whom.setdefault(threading.get_ident(), []).append((with_grad, alone, len(batch)))
        return score_range(batch, first, last)

    monkeypatch.setattr(problem.model, "score_range", told)
    monkeypatch.setattr(problem.model, "score", lambda batch: told(batch, 0, 60))
    found = problem.rank(10, user_block=16)
    assert len(by_whom) == threads and torch.get_num_threads() == threads
    blocks = sorted(block for blocks in by_whom.values() for block in blocks)
    assert blocks == [(False, 1, n) for n in (11, 11, *[16] * 8)]
    problem.model.backend = "torch"
    monkeypatch.undo()
    whole = problem.rank(10)
    assert_same_lists(found, whole)


def test_fewer_blocks_than_threads_are_ranked_by_all_of_them(monkeypatch, threads):
    problem = in_ranges_by_threads(monkeypatch, threads)
    alone = []
    score = problem.model.score
    monkeypatch.setattr(problem.model, "score", lambda batch: alone.append(torch.get_num_threads()) or score(batch))
    problem.rank(10, user_block=150)
    assert alone == [threads]


def test_of_several_errors_that_of_the_first_block_is_raised(monkeypatch, threads):
    """Where there are two threads, the second block's comes first."""
    problem = in_ranges_by_threads(monkeypatch, threads)
    asked, second = [], threading.Event()

    class Failing(ArithmeticError):
        def __init__(self, first):
            super().__init__(f"block of {first}")

    def score(batch):
        first = int(batch.users[0])
        asked.append(first)
        if first == 0 and threads > 1:
            assert second.wait(60)
        if first:
            second.set()
        raise Failing(first)

    monkeypatch.setattr(problem.model, "score", score)
    problem.model.train()
    with pytest.raises(Failing, match="^block of 0$"):
        problem.rank(10, user_block=16)
    assert sorted(asked) == [0, 16][:threads] and problem.model.training and torch.get_num_threads() == threads


@pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError])
def test_an_error_or_an_interrupt_ends_the_work_of_all_threads(monkeypatch, threads, error):
    problem = in_ranges_by_threads(monkeypatch, threads)
    asked, score, ended = [], problem.model.score, threading.Event()
    stop = Blocks._stop
    monkeypatch.setattr(Blocks, "_stop", lambda blocks: (stop(blocks), ended.set()))

    def failing(batch):
        asked.append(int(batch.users[0]))
        if asked[-1] == 16:
            raise error
        if threads > 1:
            assert ended.wait(60)
        return score(batch)

    monkeypatch.setattr(problem.model, "score", failing)
    with pytest.raises(error):
        problem.rank(10, user_block=16)
    assert sorted(asked) == [0, 16]


def test_an_interrupt_before_the_first_block_ends_the_work_of_all_threads(monkeypatch):
    problem = in_ranges_by_threads(monkeypatch, 2)
    asked, score, ended = [], problem.model.score, threading.Event()
    stop, set_num_threads = Blocks._stop, torch.set_num_threads
    monkeypatch.setattr(Blocks, "_stop", lambda blocks: (stop(blocks), ended.set()))

    def interrupted(n):
        if n == 1 and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        set_num_threads(n)

    def waiting(batch):
        asked.append((int(batch.users[0]), ended.wait(20)))
        return score(batch)

    monkeypatch.setattr(problem.model, "score", waiting)
    before = torch.get_num_threads()
    try:
        set_num_threads(2)
        monkeypatch.setattr("torch.set_num_threads", interrupted)
        with pytest.raises(KeyboardInterrupt):
            problem.rank(10, user_block=16)
    finally:
        set_num_threads(before)
    assert asked in ([], [(0, True)]), "the other thread may not have begun"


def test_an_interrupt_is_raised_whatever_errors_there_are(monkeypatch, threads):
    problem = in_ranges_by_threads(monkeypatch, threads)
    failed, interrupted = threading.Event(), threading.Event()

    def score(batch):
        if int(batch.users[0]) == 0 and threads > 1:
            assert interrupted.wait(60)
            failed.set()
            raise ArithmeticError
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(problem.model, "score", score)
    with pytest.raises(KeyboardInterrupt):
        problem.rank(10, user_block=16)
    assert failed.is_set() == (threads > 1)


def test_threads_share_smaller_blocks_where_the_memory_does_not_suffice(monkeypatch, threads, caplog):
    """Both meet a block that is too large before either has gone on: it is halved once."""
    problem = in_ranges_by_threads(monkeypatch, threads, n_users=600)
    whole = problem.rank(5)
    sizes, score, met = [], problem.model.score, threading.Barrier(threads, timeout=60)

    def narrow(batch):
        sizes.append(len(batch))
        if len(batch) > 150:
            met.wait()
            raise MemoryError
        return score(batch)

    monkeypatch.setattr(problem.model, "score", narrow)
    with caplog.at_level("INFO"):
        found = problem.rank(5, user_block=300)
    assert_same_lists(found, whole)
    assert found.user_block == 150 and sorted(sizes) == 4 * [150] + threads * [300]
    assert caplog.messages == [
        "the memory does not suffice to rank 60 items for 300 users at a time; going on with 150. "
        "To start so: evaluation.user_block=150."
    ]


def test_threads_rank_in_the_mode_of_inference_of_who_asks(monkeypatch, threads):
    problem = in_ranges_by_threads(monkeypatch, threads)
    whole = problem.rank(10, user_block=16)
    with torch.inference_mode():
        assert_same_lists(problem.rank(10, user_block=16), whole)


LEFT_OVER = [
    (150, 150, [150]),
    (151, 150, [76, 75]),
    (533, 256, [256, 139, 138]),
    (576, 256, [256, 256, 64]),
    (40, 16, [16, 12, 12]),
]


@pytest.mark.parametrize("n_users, block, sizes", LEFT_OVER)
def test_no_few_users_are_left_over_at_the_end(n_users, block, sizes):
    """Their products would have other last bits on another number of threads."""
    blocks = Blocks(case(torch.zeros(1, 1), [[0]]).model, n_users, block, 1, narrows=False)
    found, told = [], []
    blocks.each(lambda some: found.append(some.users.stop - some.users.start) or True, 1, told.append)
    assert found == told == sizes and blocks.user_block == block


@pytest.mark.parametrize("n_users", [1, 5, 64, 300])
@pytest.mark.parametrize("name", ["mf", "gmf", "mlp", "neumf", "ials", "pure_svd", "popularity", "random"])
def test_ranges_of_items_have_the_bits_of_all_scores(threads, name, n_users):
    """Of models that score ranges; the catalogue ends within a panel.

    A product of 5 by 128 with a whole catalogue has other last bits than one with a part of it on two threads, as
    computed by the library that torch comes with on x86.
    """
    n_items = 2 * PANEL + 77
    users = torch.arange(300).repeat_interleave(30)
    items = torch.randint(n_items, (len(users),), generator=torch.Generator().manual_seed(0)).unique()
    users = users[: len(items)]
    data = catalogue([f"u{number:05d}" for number in range(300)], [f"i{number:05d}" for number in range(n_items)])
    train = replace(data, users=users, items=items)
    model = models.build(name, train, **({"dim": 128} if name in ("mf", "gmf", "ials") else {}))
    if model.trainer == "closed_form":
        model.fit(train)
    assert model.in_ranges
    batch = UserBatch(torch.arange(n_users), train.histories.rows(torch.arange(n_users)))
    with torch.no_grad():
        whole = model.score(batch)
        for width in (PANEL, 2 * PANEL):
            parts = [model.score_range(batch, first, min(first + width, n_items)) for first in range(0, n_items, width)]
            assert torch.cat(parts, 1).equal(whole)


def test_a_gradient_model_with_a_score_of_its_own_gives_whole_rows():
    class Normalised(MF):
        def score(self, batch, items=None):
            return super().score(batch, items).sigmoid()

    assert MF.in_ranges and not Normalised.in_ranges


# The area under the ROC curve


def test_auc_by_hand():
    scores = torch.tensor([[1.0, 2.0, 2.0, 3.0, -math.inf], [1.0, 1.0, 1.0, 1.0, 1.0]])
    relevant = torch.tensor([[False, True, False, True, True], [True, False, True, False, False]])
    # First user, item 1: beats item 0, ties item 2; item 3 beats both; item 4 is hidden.
    assert _auc([Scored(scores, torch.arange(5), relevant)]).tolist() == [(1 + 1 / 2 + 2) / 4, 1 / 2]


def test_auc_is_not_defined_without_a_pair():
    scores = torch.tensor([[1.0, 2.0, -math.inf], [1.0, 2.0, -math.inf]])
    relevant = torch.tensor([[True, True, False], [False, False, True]])
    assert _auc([Scored(scores, torch.arange(3), relevant)]).isnan().all()


@pytest.mark.parametrize("n_columns", [3, 5])
def test_scores_of_another_shape_name_the_model(n_columns):
    asked = case(torch.zeros(2, 4), [[0], [1]])
    asked.model.scores = torch.zeros(2, n_columns)
    with pytest.raises(ValueError) as error:
        asked.rank(2)
    assert str(error.value) == f"GivenScores gave scores of shape (2, {n_columns}), expected (2, 4)."
