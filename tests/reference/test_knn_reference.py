"""Neighbour models against plain loops written from the formulas."""

import math

import numpy as np
import pytest
import torch
from binary_data import interactions, taken

from recbench.data import Histories, UserBatch
from recbench.models.item_knn import ItemKNN, ItemKNNConfig
from recbench.models.user_knn import UserKNN, UserKNNConfig

SETTINGS = [
    {"weighting": "none", "neighbours": 3},
    {"weighting": "none", "neighbours": 100, "shrink": 5.0},
    {"weighting": "tfidf", "neighbours": 4},
    {"weighting": "tfidf", "neighbours": 2, "shrink": 3.0},
    {"weighting": "tfidf", "neighbours": 4, "shrink": 3.0, "documents": "terms"},
    {"weighting": "bm25", "neighbours": 5, "shrink": 2.0},
    {"weighting": "bm25", "neighbours": 1, "shrink": 0.5, "k1": 2.0, "b": 0.3},
    {"weighting": "bm25", "neighbours": 4, "documents": "terms", "k1": 2.0},
    {"weighting": "bm25", "neighbours": 4, "shrink": 2.0, "documents": "terms"},
    {"weighting": "none", "neighbours": 3, "similarity": "asymmetric", "alpha": 0.2},
    {"weighting": "bm25", "neighbours": 4, "similarity": "asymmetric", "alpha": 1.6, "shrink": 0.5, "b": 0.3},
    {"weighting": "none", "neighbours": 3, "similarity": "jaccard"},
    {"weighting": "none", "neighbours": 4, "similarity": "dice", "shrink": 2.0},
    {"weighting": "none", "neighbours": 4, "similarity": "tversky", "alpha": 0.3, "beta": 1.2, "shrink": 1.5},
]
OF_ITEMS = [
    *SETTINGS,
    {"weighting": "bm25", "neighbours": 4, "history": "weighted", "k1": 2.0},
    {"weighting": "tfidf", "neighbours": 4, "history": "weighted", "documents": "terms"},
    {"weighting": "none", "neighbours": 4, "centred": True},
    {"weighting": "bm25", "neighbours": 4, "centred": True, "history": "weighted"},
]
OF_USERS = [*SETTINGS, *({**options, "prune_axis": "column"} for options in SETTINGS)]


class Oracle:
    """The formulas, a profile and a term at a time; ``train`` (P, T) holds the profiles of the training data."""

    def __init__(self, train, *, neighbours, weighting, documents="profiles", similarity="cosine", **numbers):
        self.train, self.neighbours, self.weighting = train, neighbours, weighting
        self.documents, self.similarity = documents, similarity
        self.numbers = {"shrink": 0.0, "alpha": 0.5, "beta": 0.5, "k1": 1.2, "b": 0.75} | numbers

    def factors(self, profile):
        """Return the weight of the profile, and of each term."""
        k1, b = self.numbers["k1"], self.numbers["b"]
        (n_profiles, n_terms), counts = self.train.shape, self.train.sum(0)

        def rarity(n_with, n_documents):
            return abs(math.log(n_documents / (1 + n_with)))

        def saturation(length, mean):
            return (k1 + 1) / (k1 * (1 - b + b * length / mean) + 1) if self.weighting == "bm25" else 1.0

        if self.weighting == "none":
            return 1.0, np.ones(n_terms)
        if self.documents == "profiles":
            own = saturation(profile.sum(), self.train.sum() / n_profiles)
            return own, np.array([rarity(count, n_profiles) for count in counts])
        own = rarity(profile.sum(), n_terms)
        return own, np.array([saturation(count, self.train.sum() / n_terms) for count in counts])

    def weighted(self, profile):
        own, terms = self.factors(profile)
        return profile * own * terms

    def near(self, asked, other):
        """Return the similarity of two profiles, the first of which ``alpha`` belongs to."""
        alpha, beta, shrink = (self.numbers[name] for name in ("alpha", "beta", "shrink"))
        one, two = self.weighted(asked), self.weighted(other)
        shared = ((asked > 0) & (other > 0)).sum()
        if shared == 0 or one @ two == 0:
            return 0.0
        if self.similarity == "cosine":
            return one @ two / (np.linalg.norm(one) * np.linalg.norm(two) + shrink)
        if self.similarity == "asymmetric":
            return one @ two / (np.linalg.norm(one) ** (2 * alpha) * np.linalg.norm(two) ** (2 - 2 * alpha) + shrink)
        only_one, only_two = asked.sum() - shared, other.sum() - shared
        size = {
            "jaccard": shared + only_one + only_two,
            "dice": asked.sum() + other.sum(),
            "tversky": shared + alpha * only_one + beta * only_two,
        }[self.similarity]
        return shared / (size + shrink)

    def kept(self, similarities):
        """Return the nearest: by similarity in float32, then the longer profile, then the lower index."""
        lengths = self.train.sum(1)
        order = sorted(range(len(lengths)), key=lambda p: (-np.float32(similarities[p]), -lengths[p], p))
        return order[: self.neighbours]


def item_scores(matrix, histories, *, history="binary", centred=False, **options):
    oracle = Oracle(matrix.T, **options)
    profiles = oracle.train
    n_items = len(profiles)
    counted = [oracle.factors(profile)[0] if history == "weighted" else 1.0 for profile in profiles]
    means = [count * profile.mean() for count, profile in zip(counted, profiles)]
    scores = np.zeros((len(histories), n_items))
    for item in range(n_items):
        row = [0.0 if other == item else oracle.near(profiles[item], profiles[other]) for other in range(n_items)]
        near = oracle.kept(row)
        for other in near:
            if centred:
                deviations = histories[:, other] * counted[other] - means[other]
                scores[:, item] += row[other] / sum(row[other] for other in near) * deviations
            else:
                scores[:, item] += row[other] * histories[:, other] * counted[other]
        if centred:
            scores[:, item] += means[item]
    return scores


def user_scores(matrix, users, histories, *, prune_axis="row", **options):
    oracle = Oracle(matrix, **options)
    n_users = len(matrix)
    reach = []
    for other in range(n_users):
        row = [0.0 if one == other else oracle.near(matrix[other], matrix[one]) for one in range(n_users)]
        reach.append(np.float32(row[oracle.kept(row)[-1]]))
    scores = np.zeros_like(histories)
    for row, user in enumerate(users):
        near = [0.0 if other == user else oracle.near(matrix[other], histories[row]) for other in range(n_users)]
        asked = oracle.kept(near)
        if prune_axis == "column":
            asked = [other for other in range(n_users) if np.float32(near[other]) >= reach[other]]
        for other in asked:
            scores[row] += near[other] * matrix[other]
    return scores


def batch_of(users, histories):
    rows, items = np.nonzero(histories)
    pairs = Histories.from_pairs(torch.from_numpy(rows), torch.from_numpy(items), len(histories))
    return UserBatch(torch.tensor(users), pairs)


def asked_of(matrix):
    """Return users and histories: all training users, two with more than their training, and unknown ones."""
    more = np.clip(matrix[:2] + taken(99)[:2], 0, 1)
    unknown = np.vstack([taken(98)[:2], np.zeros((1, matrix.shape[1]))])
    return [*range(len(matrix)), 0, 1, -1, -1, -1], np.vstack([matrix, more, unknown])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", OF_ITEMS, ids=str)
def test_item_knn_equals_a_dense_reference(options, seed):
    matrix = taken(seed)
    users, histories = asked_of(matrix)
    train = interactions(matrix)
    model = ItemKNN(ItemKNNConfig(**options), train)
    model.fit(train)
    expected = item_scores(matrix, histories, **options)
    np.testing.assert_allclose(model.score(batch_of(users, histories)).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", OF_USERS, ids=str)
def test_user_knn_equals_a_dense_reference(options, seed):
    matrix = taken(seed)
    users, histories = asked_of(matrix)
    train = interactions(matrix)
    model = UserKNN(UserKNNConfig(**options), train)
    model.fit(train)
    expected = user_scores(matrix, users, histories, **options)
    np.testing.assert_allclose(model.score(batch_of(users, histories)).numpy(), expected, rtol=0, atol=1e-6)
