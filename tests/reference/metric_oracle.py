"""Every metric once more, written from its formula in plain Python: slow, and without a line in common."""

from __future__ import annotations

from math import log2

PER_USER = {}


def per_user(function):
    PER_USER[function.__name__] = function
    return function


def ordered(scores, precedence, hidden):
    """Return the numbers of the items that are not hidden, best first, ties by precedence."""
    return sorted(set(range(len(scores))) - set(hidden), key=lambda item: (-scores[item], precedence[item]))


def tied(scores, order):
    """Return for each place of ``order`` whether the next item has the same score."""
    return [scores[here] == scores[there] for here, there in zip(order, order[1:])] + [False] * bool(order)


def dcg(gains):
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))


def gains_of(listed, relevant):
    return [1 if item in relevant else 0 for item in listed]


def precision_at_hits(listed, relevant):
    total, hits = 0.0, 0
    for rank, item in enumerate(listed, 1):
        if item in relevant:
            hits += 1
            total += hits / rank
    return total


@per_user
def recall(listed, relevant, k):
    return len(set(listed) & relevant) / len(relevant)


@per_user
def recall_capped(listed, relevant, k):
    return len(set(listed) & relevant) / min(k, len(relevant))


@per_user
def precision(listed, relevant, k):
    return len(set(listed) & relevant) / k


@per_user
def hr(listed, relevant, k):
    return 1.0 if set(listed) & relevant else 0.0


@per_user
def mrr(listed, relevant, k):
    for rank, item in enumerate(listed, 1):
        if item in relevant:
            return 1 / rank
    return 0.0


@per_user
def map(listed, relevant, k):
    return precision_at_hits(listed, relevant) / len(relevant)


@per_user
def map_capped(listed, relevant, k):
    return precision_at_hits(listed, relevant) / min(k, len(relevant))


@per_user
def map_k(listed, relevant, k):
    return precision_at_hits(listed, relevant) / k


@per_user
def ndcg(listed, relevant, k):
    return dcg(gains_of(listed, relevant)) / dcg([1] * min(k, len(relevant)))


@per_user
def ndcg_uncut(listed, relevant, k):
    return dcg(gains_of(listed, relevant)) / dcg([1] * len(relevant))


@per_user
def ndcg_ideal_k(listed, relevant, k):
    return dcg(gains_of(listed, relevant)) / dcg([1] * k)


@per_user
def ndcg_retrieved(listed, relevant, k):
    gains = gains_of(listed, relevant)
    return dcg(gains) / dcg(sorted(gains, reverse=True)) if any(gains) else 0.0


def auc(scores, relevant, hidden):
    """Return the share of pairs won, by counting them; None where there is no pair."""
    shown = set(range(len(scores))) - set(hidden)
    wins = [
        1.0 if scores[good] > scores[bad] else 0.5 if scores[good] == scores[bad] else 0.0
        for good in shown & relevant
        for bad in shown - relevant
    ]
    return sum(wins) / len(wins) if wins else None


def coverage(lists, n_items):
    return len({item for listed in lists for item in listed}) / n_items


def gini(lists, n_items):
    """Return the mean absolute difference of all pairs over what it is where one item has everything."""
    counts = [sum(listed.count(item) for listed in lists) for item in range(n_items)]
    if sum(counts) == 0:
        return None
    difference = sum(abs(one - other) for one in counts for other in counts)
    return difference / (2 * max(n_items - 1, 1) * sum(counts))


def novelty(listed, takers, n_users):
    if not listed:
        return None
    return sum(-log2(max(takers[item], 1) / n_users) for item in listed) / len(listed)


def mean_popularity(listed, takers):
    return sum(takers[item] for item in listed) / len(listed) if listed else None


def expected_ndcg(scores, relevant, hidden, k):
    """Return the mean of ndcg over all orders of equal scores: each place has its tie group's share of hits."""
    shown = [item for item in range(len(scores)) if item not in hidden]
    order = sorted(shown, key=lambda item: -scores[item])
    gains, start = [], 0
    while start < len(order):
        group = [item for item in order if scores[item] == scores[order[start]]]
        gains += [len(relevant.intersection(group)) / len(group)] * len(group)
        start += len(group)
    return dcg(gains[:k]) / dcg([1] * min(k, len(relevant)))
