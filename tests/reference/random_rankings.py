"""Random small problems of every kind of score, ranked by the engine: what metrics are compared on."""

from __future__ import annotations

import math
from functools import cache

import metric_oracle as oracle
import numpy as np
import torch
from given_scores import case

from recbench import metrics
from recbench.total_order import TieOrder

KINDS = {
    "continuous": lambda rng, shape: rng.normal(size=shape),
    "heavy ties": lambda rng, shape: rng.integers(0, 4, size=shape),
    "constant": lambda rng, shape: np.full(shape, rng.normal()),
    "negative": lambda rng, shape: -rng.integers(1, 20, size=shape),
    "huge": lambda rng, shape: rng.choice([-1e30, 1e30, 2e30, 0.0, -0.0], size=shape),
    "denormal": lambda rng, shape: rng.integers(-5, 6, size=shape) * np.float32(1e-45),
    "float32-close": lambda rng, shape: 1 + rng.integers(0, 9, size=shape) * 2e-8,
}
CASES_A_KIND = 50


def chosen(rng, items, at_most):
    return set(rng.choice(items, size=rng.integers(0, at_most + 1), replace=False).tolist()) if items else set()


def random_case(kind, number):
    """Return (scores, relevant, seen, k) of a random small problem."""
    rng = np.random.default_rng([list(KINDS).index(kind), number])
    n_users, n_items = int(rng.integers(1, 31)), int(rng.integers(1, 61))
    scores = torch.from_numpy(KINDS[kind](rng, (n_users, n_items)).astype(np.float32))
    few = n_items if rng.random() < 0.5 else min(n_items, 5)
    relevant = [chosen(rng, range(n_items), few) for _ in range(n_users)]
    relevant[int(rng.integers(n_users))] = {int(rng.integers(n_items))}
    # Now and then a relevant item is masked too: then it cannot be found.
    masks = rng.random() < 0.8
    spared = [set() if rng.random() < 0.1 else row for row in relevant]
    seen = [chosen(rng, sorted(set(range(n_items)) - row), n_items - len(row)) if masks else set() for row in spared]
    k = int(rng.choice([1, 2, 5, max(n_items - 1, 1), n_items, n_items + 5]))
    return scores, relevant, seen, k


@cache
def solved(kind, n_cases=CASES_A_KIND):
    """Return for each case (number, k, the ranking, for each asked user its scores, relevant, hidden and order)."""
    cases = []
    for number in range(n_cases):
        scores, relevant, seen, k = random_case(kind, number)
        problem = case(scores, relevant, [sorted(row) for row in seen])
        ranking = problem.rank(k, with_auc=True, tie_seed=number, user_block=int(7 + number % 60))
        ties = TieOrder.of(problem.train, number)
        precedence = ties.precedence(ranking.users, torch.arange(scores.shape[1])).tolist()
        users = [
            (row, relevant[user], seen[user], oracle.ordered(row, precedence[place], seen[user]))
            for place, user in enumerate(ranking.users.tolist())
            for row in [scores[user].tolist()]
        ]
        cases.append((number, k, ranking, users, problem.train))
    return cases


def evaluate(name, ranking, k):
    return metrics.registry.entry(name).target(ranking, k)


def assert_equal(values, expected, what, within=1e-12):
    """Compare value by value; None means not defined (NaN)."""
    assert values.dtype == torch.float64, what
    wanted = torch.tensor([math.nan if value is None else value for value in expected], dtype=torch.float64)
    torch.testing.assert_close(values, wanted, rtol=0, atol=within, equal_nan=True, msg=lambda text: f"{what}: {text}")


def assert_mean_over_ties(problem, k, expected, n_seeds):
    """Check each user's and the overall mean of ndcg over many tie seeds: within 5 standard errors."""
    values = torch.stack([evaluate("ndcg", problem.rank(k, tie_seed=seed), k) for seed in range(n_seeds)])
    for sample, mean in zip([*values.T, values.mean(1)], [*expected, sum(expected) / len(expected)]):
        error = float(sample.std() / math.sqrt(n_seeds))
        assert abs(float(sample.mean()) - mean) <= 5 * error + 1e-12
        assert error < 0.02
