"""Candidate sets: sampled, published, and named by a file."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from recbench import candidates as module
from recbench.candidates import (
    CandidateSet,
    Draw,
    candidates_fingerprint,
    candidates_from_file,
    published_candidates,
    sampled_candidates,
)
from recbench.data import TEST, VALID, Histories, Interactions, Split
from recbench.errors import ConfigError, DataError
from recbench.evaluation import EvaluationConfig, candidate_sets, with_candidates

# A next-line character and a line separator are characters of an id like any others.
ITEMS = ["a", "b\x85", "c\u2028", "d"]
TABLE = pd.DataFrame({"user": ["u"] * 2 + ["v"] * 2, "item": [ITEMS[0], ITEMS[1], ITEMS[2], ITEMS[3]]})
SPLIT = Split.from_parts(Interactions.from_frame(TABLE), torch.tensor([0, TEST, 0, TEST], dtype=torch.int8))
LINES = f"u\t{ITEMS[2]}\t{ITEMS[3]}\t{ITEMS[2]}\nv\t{ITEMS[0]}\t{ITEMS[3]}\n"
NCF_LINES = f"(u,{ITEMS[1]})\t{ITEMS[2]}\t{ITEMS[3]}\n(v,{ITEMS[3]})\t{ITEMS[0]}\n"

N_USERS, N_ITEMS = 40, 30


def split_of(pairs, parts, n_users=N_USERS, n_items=N_ITEMS):
    """Return the split of index pairs (N, 2) by ``parts``; a last user takes every item in training."""
    everybody = np.array([(n_users, item) for item in range(n_items)])
    table = pd.DataFrame(np.concatenate([pairs, everybody]), columns=["user", "item"])
    table = table.map(lambda index: f"{index:05d}")
    table["part"] = np.concatenate([parts, np.zeros(n_items, dtype=int)])
    interactions = Interactions.from_frame(table, part="part")
    return Split.from_parts(interactions, interactions.parts)


@pytest.fixture(scope="module")
def split():
    """Give a split in which users know 3 to 8 of 30 items and have 1 to 3 to be found, items unequally popular."""
    rng = np.random.default_rng(0)
    slope = 1 / np.arange(1, N_ITEMS + 1)
    pairs, parts = [], []
    for user in range(N_USERS):
        n_known, n_asked = rng.integers(3, 9), rng.integers(1, 4)
        for place, item in enumerate(rng.choice(N_ITEMS, n_known + n_asked, replace=False, p=slope / slope.sum())):
            pairs.append((user, item))
            parts.append(0 if place < n_known else TEST)
        parts[-n_asked - 1] = VALID
    return split_of(np.array(pairs), np.array(parts))


def as_sets(rows):
    return [set(row[row >= 0].tolist()) for row in rows]


def rows_of(histories):
    return [set(histories.rows(torch.tensor([row])).items.tolist()) for row in range(len(histories))]


# Sampled


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_what_is_excluded_is_never_drawn_and_all_others_are(split, by):
    known, relevant = rows_of(split.test.history), rows_of(split.test.target)
    drawn = {"all": [set() for _ in known], "train": [set() for _ in known]}
    for exclude, sets in drawn.items():
        for seed in range(60):
            found = sampled_candidates(split.test, split.train, Draw(8, by, exclude=exclude, seed=seed), "test")
            assert all(target <= row for target, row in zip(relevant, as_sets(found.items)))
            if exclude == "all":
                assert [len(row) for row in as_sets(found.items)] == [8 + len(target) for target in relevant]
                assert (found.n_duplicates, found.n_positives) == (0, 0)
            for row, one in zip(sets, as_sets(found.items)):
                row |= one
    assert all(not row & seen for sets in drawn.values() for row, seen in zip(sets, known))
    if by == "uniform":
        assert all(row == set(range(N_ITEMS)) - seen for row, seen in zip(drawn["all"], known))


def test_relevant_items_may_be_drawn_where_training_alone_is_excluded_and_are_counted(split):
    everything = Draw(n=N_ITEMS - int(split.test.history.counts.max()), exclude="train")
    found = sampled_candidates(split.test, split.train, everything, "test")
    largest = int(split.test.history.counts.argmax())
    row = as_sets(found.items)[largest]
    assert row == set(range(N_ITEMS)) - rows_of(split.test.history)[largest], "all that is left is drawn"
    n_relevant = sum(map(len, rows_of(split.test.target)))
    n_drawn = everything.n * len(split.test.users)
    assert n_drawn + n_relevant - found.n_positives == int((found.items >= 0).sum())
    assert 0 < found.n_users_with_positives <= found.n_positives <= n_relevant


def test_a_user_with_two_relevant_items_among_the_others_is_one_user():
    split = one_user([1] * 6, known=[0], asked=[2, 4])
    found = sampled_candidates(split.test, split.train, Draw(5, exclude="train"), "test")
    assert found.items.tolist() == [[1, 2, 3, 4, 5]]
    assert found.counts == {"n_duplicates": 0, "n_positives": 2, "n_users_with_positives": 1}


def test_with_replacement_what_is_drawn_again_counts_once(split):
    for by in ("uniform", "popularity"):
        found = sampled_candidates(split.test, split.train, Draw(20, by, replacement=True), "test")
        n_relevant = split.test.target.counts.sum()
        assert found.n_duplicates > 0
        assert int((found.items >= 0).sum()) == 20 * len(split.test.users) + n_relevant - found.n_duplicates


def one_user(popularity, known, asked):
    """Return the split of a user who knows some items, where the items have the given popularity in training."""
    pairs = [(taker, item) for item, n in enumerate(popularity) for taker in range(1, n)]
    pairs += [(0, item) for item in known] + [(0, item) for item in asked]
    parts = [0] * (len(pairs) - len(asked)) + [TEST] * len(asked)
    return split_of(np.array(pairs), np.array(parts), n_users=max(popularity), n_items=len(popularity))


def counts_of(split, draw, n_seeds):
    counts = np.zeros(split.train.n_items)
    for seed in range(n_seeds):
        found = sampled_candidates(split.test, split.train, replace(draw, seed=seed), "test")
        counts[found.items[0][found.items[0] >= 0].numpy()] += 1
    return counts


@pytest.mark.parametrize("replacement", [False, True])
def test_uniform_draws_are_uniform(replacement):
    split = one_user([1] * 12, known=[0, 5, 11], asked=[3])
    possible = [1, 2, 4, 6, 7, 8, 9, 10]
    n_seeds, n = 1000, 1 if replacement else 4
    counts = counts_of(split, Draw(n, replacement=replacement), n_seeds)
    assert counts[[0, 5, 11]].sum() == 0 and counts[3] == n_seeds
    assert counts[possible].sum() == n_seeds * n
    # Without replacement counts vary less than independent ones, so that the test is on the safe side.
    assert stats.chisquare(counts[possible]).pvalue > 0.001


def test_pairs_drawn_uniformly_without_replacement_are_all_alike():
    split = one_user([1] * 8, known=[0, 7], asked=[3])
    pairs = {}
    for seed in range(1000):
        found = sampled_candidates(split.test, split.train, Draw(2, seed=seed), "test")
        pair = tuple(sorted(set(found.items[0].tolist()) - {3}))
        pairs[pair] = pairs.get(pair, 0) + 1
    assert len(pairs) == math.comb(5, 2)
    assert stats.chisquare(list(pairs.values())).pvalue > 0.001


@pytest.mark.parametrize("replacement", [False, True])
def test_draws_by_popularity_are_proportional_to_it(replacement):
    popularity = [9, 1, 2, 7, 3, 5, 1]
    split = one_user(popularity, known=[0, 4], asked=[5])
    assert split.train.popularity.tolist() == [10, 1, 2, 7, 4, 5, 1], "the user's own known items count"
    n_seeds = 1000
    counts = counts_of(split, Draw(1, "popularity", replacement), n_seeds)
    possible, weights = [1, 2, 3, 6], np.array([1, 2, 7, 1])
    assert counts[[0, 4]].sum() == 0
    assert stats.chisquare(counts[possible], n_seeds * weights / weights.sum()).pvalue > 0.001


def test_the_second_draw_by_popularity_is_among_the_rest():
    split = one_user([4, 1, 2, 7, 1], known=[0], asked=[4])
    n_seeds = 2000
    counts = counts_of(split, Draw(2, "popularity"), n_seeds)
    # The pair lacks item 3 where 1 and 2 are drawn, in this or the other order.
    expected = 1 / 10 * 2 / 9 + 2 / 10 * 1 / 8
    assert abs((n_seeds - counts[3]) / n_seeds - expected) < 4 * math.sqrt(expected * (1 - expected) / n_seeds)


@pytest.mark.parametrize("by", ["uniform", "popularity"])
@pytest.mark.parametrize("replacement", [False, True])
def test_blocks_change_nothing(split, monkeypatch, by, replacement):
    draw = Draw(6, by, replacement)
    usual = sampled_candidates(split.test, split.train, draw, "test")
    for n_keys in (1, 7 * N_ITEMS):
        monkeypatch.setattr(module, "_BLOCK_KEYS", n_keys)
        assert torch.equal(sampled_candidates(split.test, split.train, draw, "test").items, usual.items)


def test_another_seed_or_part_gives_others(split):
    draws = [
        sampled_candidates(split.test, split.train, Draw(6, seed=seed), part)
        for seed, part in ((0, "test"), (0, "test"), (1, "test"), (0, "valid"))
    ]
    fingerprints = [candidates_fingerprint({"test": draw}) for draw in draws]
    assert fingerprints[0] == fingerprints[1] and len(set(fingerprints)) == 3
    assert candidates_fingerprint({}) is None
    assert candidates_fingerprint({"valid": draws[0]}) != fingerprints[0]


def test_who_has_too_few_items_to_draw_from():
    split = one_user([1, 2, 1, 3, 1], known=[1], asked=[3])
    message = (
        "evaluation.n_candidates = 4: for user '00000' there are only 3 items to draw from. "
        "Ask for no more, or rank all items: evaluation.candidates=full."
    )
    for by in ("uniform", "popularity"):
        assert as_sets(sampled_candidates(split.test, split.train, Draw(3, by), "test").items) == [{0, 2, 3, 4}]
        with pytest.raises(ConfigError) as error:
            sampled_candidates(split.test, split.train, Draw(4, by), "test")
        assert str(error.value) == message
        sampled_candidates(split.test, split.train, Draw(4, by, replacement=True), "test")
    split = one_user([1, 1, 1], known=[0, 1], asked=[2])
    with pytest.raises(ConfigError, match="there are only 0 items to draw from"):
        sampled_candidates(split.test, split.train, Draw(4, replacement=True), "test")


def test_items_that_nobody_took_in_training_are_not_drawn_by_popularity():
    table = pd.DataFrame({"user": ["u", "u", "v", "v", "w"], "item": ["a", "b", "c", "d", "e"]})
    split = Split.from_parts(Interactions.from_frame(table), torch.tensor([0, TEST, 0, TEST, 0], dtype=torch.int8))
    for draw in (Draw(2, "popularity"), Draw(50, "popularity", replacement=True)):
        assert as_sets(sampled_candidates(split.test, split.train, draw, "test").items) == [{1, 2, 4}, {0, 3, 4}]
    with pytest.raises(ConfigError, match="there are only 2 items to draw from"):
        sampled_candidates(split.test, split.train, Draw(3, "popularity"), "test")


def test_pairs_that_repeat_are_excluded_once():
    table = pd.DataFrame({"user": ["u"] * 5 + ["v"] * 4, "item": ["a", "a", "a", "b", "b", "a", "b", "c", "d"]})
    interactions = Interactions.from_frame(table, repeats=True)
    split = Split.from_parts(interactions, torch.tensor([0, 0, 0, TEST, TEST, 0, 0, 0, 0], dtype=torch.int8))
    for by in ("uniform", "popularity"):
        assert sampled_candidates(split.test, split.train, Draw(2, by), "test").items.tolist() == [[1, 2, 3]]


# Published


def with_published(lists):
    """Return SPLIT with published candidates: item indices a user."""
    counts = torch.tensor([len(row) for row in lists])
    items = torch.tensor([item for row in lists for item in row])
    published = Histories.from_pairs(torch.repeat_interleave(torch.arange(len(lists)), counts), items, len(lists))
    return replace(SPLIT, train=replace(SPLIT.train, candidates=published))


def test_published_candidates_are_a_set_and_what_is_left_out_is_counted(caplog):
    split = with_published([[2, 1, 2, 2], [0, 1]])
    found = published_candidates(split.test, split.train)
    assert found.items.tolist() == [[1, 2, -1], [0, 1, 3]]
    assert found.counts == {"n_duplicates": 2, "n_positives": 1, "n_users_with_positives": 1}
    with caplog.at_level(logging.INFO, logger="recbench"):
        sets = candidate_sets(split, EvaluationConfig(candidates="published"))
    assert [record.getMessage() for record in caplog.records] == [
        "1 users have their own test item among their published negatives (1 items, counted once each).",
        "2 items are named more than once among published negatives, and count once.",
    ]
    assert with_candidates(split, sets).test.candidates.tolist() == found.items.tolist()
    assert split.test.candidates is None


def test_users_with_their_own_test_item_among_the_published_are_counted_once_each():
    rng = np.random.default_rng(1)
    n_users, n_items = 200, 50
    known, asked = rng.integers(n_items, size=(2, n_users))
    keep = known != asked
    pairs = np.array([(user, item) for user in range(n_users) for item in (known[user], asked[user]) if keep[user]])
    split = split_of(pairs, np.tile([0, TEST], keep.sum()), n_users, n_items)
    negatives = torch.from_numpy(rng.integers(n_items, size=(split.train.n_users, 9)))
    published = Histories(torch.arange(split.train.n_users + 1) * 9, negatives.flatten())
    found = published_candidates(split.test, replace(split.train, candidates=published))
    lists = [negatives[user].tolist() for user in split.test.users]
    targets = split.test.target.items.tolist()
    n_with_own = sum(target in row for target, row in zip(targets, lists))
    assert found.n_users_with_positives == found.n_positives == n_with_own > 10
    assert found.n_duplicates == sum(len(row) - len(set(row)) for row in lists)
    assert as_sets(found.items) == [{target, *row} for target, row in zip(targets, lists)]


def test_a_user_without_published_candidates():
    split = with_published([[2], []])
    with pytest.raises(DataError) as error:
        published_candidates(split.test, split.train)
    assert str(error.value) == (
        "the published candidates: nothing for user 'v'; 1 of the 2 users of the test part lack candidates. "
        "Add a line for each, or take these users out of the test part."
    )


def test_candidates_of_the_test_users_leave_validation_alone(tmp_path):
    parts = torch.tensor([0, TEST, VALID, TEST], dtype=torch.int8)
    split = Split.from_parts(Interactions.from_frame(TABLE), parts)
    (tmp_path / "c.tsv").write_text(LINES, encoding="utf-8")
    config = EvaluationConfig(candidates="file", candidates_path=str(tmp_path / "c.tsv"))
    asked = with_candidates(split, candidate_sets(split, config))
    assert asked.valid.candidates is None and asked.test.candidates.tolist() == [[1, 2, 3], [0, 3, -1]]
    config = EvaluationConfig(candidates="sampled", n_candidates=1)
    asked = with_candidates(split, candidate_sets(split, config))
    assert asked.valid.candidates.shape == (1, 2) and asked.test.candidates.shape == (2, 2)
    assert candidate_sets(split, EvaluationConfig()) == {}


def test_the_fingerprint_is_that_of_the_sets_whatever_the_order():
    one, other = (
        CandidateSet.of(SPLIT.test, Histories.from_pairs(torch.tensor([0, 0, 1]), torch.tensor(items), 2), 4)
        for items in ([2, 3, 0], [3, 2, 0])
    )
    assert candidates_fingerprint({"test": one}) == candidates_fingerprint({"test": other})


# From a file


def read(folder, content):
    path = folder / "candidates.tsv"
    path.write_bytes(content.encode())
    return candidates_from_file(str(path), SPLIT.test, SPLIT.train)


@pytest.mark.parametrize("content", [LINES, LINES.replace("\n", "\r\n"), "\ufeff" + LINES, LINES[:-1]])
def test_the_named_and_the_relevant_items_each_once(tmp_path, content):
    found = read(tmp_path, content)
    assert found.items.tolist() == [[1, 2, 3], [0, 3, -1]]
    assert found.counts == {"n_duplicates": 1, "n_positives": 1, "n_users_with_positives": 1}


@pytest.mark.parametrize("content", [NCF_LINES, "\ufeff" + NCF_LINES])
def test_lines_as_ncf_publishes_them(tmp_path, content):
    assert read(tmp_path, content).items.tolist() == [[1, 2, 3], [0, 3, -1]]


def test_lines_of_users_who_are_not_asked_do_not_matter(tmp_path):
    split = Split.from_parts(Interactions.from_frame(TABLE), torch.tensor([0, TEST, 0, 0], dtype=torch.int8))
    for content in (NCF_LINES, LINES):
        (tmp_path / "c.tsv").write_text(content, encoding="utf-8")
        found = candidates_from_file(str(tmp_path / "c.tsv"), split.test, split.train)
        assert found.items.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "PATH: is empty (0 bytes)."),
        (LINES + "u\ta\n", "PATH, line 3: the user 'u' has had a line before; write all items of a user in one."),
        (
            "u\ta\n",
            "PATH: nothing for user 'v'; 1 of the 2 users of the test part lack candidates. "
            "Add a line for each, or take these users out of the test part.",
        ),
        (
            "u\ta\nv\n",
            "PATH: nothing for user 'v'; 1 of the 2 users of the test part lack candidates. "
            "Add a line for each, or take these users out of the test part.",
        ),
        (LINES + "w\ta\n", "PATH: no user 'w' among the 2 users. Ids look like 'u'."),
        ("u\te\nv\ta\n", "PATH: no item 'e' among the 4 items. Ids look like 'a'."),
        (
            NCF_LINES.replace("(v,d)", "(v,a)"),
            "PATH: the line (v,a) is not of this split, where 'a' is not in the test part of user 'v'; "
            "1 of 2 lines are so. Use the split that the file was made for.",
        ),
        (
            NCF_LINES + "v\ta\n",
            "PATH, line 3: should begin with (user,item), and item ids should follow, each behind a tab; it begins "
            "with 'v'.",
        ),
    ],
)
def test_files_that_are_refused(tmp_path, content, message):
    with pytest.raises(DataError) as error:
        read(tmp_path, content)
    assert str(error.value) == message.replace("PATH", str(tmp_path / "candidates.tsv"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as error:
        candidates_from_file(str(tmp_path / "no.tsv"), SPLIT.test, SPLIT.train)
    assert str(error.value) == f"{tmp_path / 'no.tsv'}: there is no such file."
