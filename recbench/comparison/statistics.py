"""What can be said of differences that were measured on the same users: intervals, tests and their correction.

A row of ``differences`` (C, U) is one comparison, a column one user; NaN is a user who does not count in that row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from recbench.randomness import generator

CONFIDENCE = 0.95
N_RESAMPLES = 2_000
"""Samples of users that an interval is read from; Efron and Tibshirani (below) advise 1,000 or more."""

N_FLIPS = 9_999
"""Random assignments of signs; the least p-value is 1 / 10,000."""

_BLOCK_CELLS = 4_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """Where a mean over users lies with 95 % confidence."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f}"


def intervals(values: np.ndarray, seed: int = 0) -> list[Interval | None]:
    """Return the bootstrap interval of the mean of each row, None for a row without a value.

    Users are drawn with replacement, as many as there are, and all rows are averaged over the same draws; the ends
    are the 2.5th and 97.5th percentile of the means.

    Source: Bradley Efron and Robert Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993, chapter 13;
    for rankings Tetsuya Sakai: Evaluating Evaluation Metrics based on the Bootstrap. SIGIR 2006.

    Args:
        values: (C, U), NaN for a user who does not count.
        seed: Of the draws.
    """
    counted = ~np.isnan(values)
    filled, n_users = np.where(counted, values, 0.0).T, values.shape[1]
    stream, means = generator(seed, "bootstrap"), []
    for n in _blocks(N_RESAMPLES, n_users):
        drawn = torch.randint(n_users, (n, n_users), generator=stream).numpy()
        drawn += np.arange(n)[:, None] * n_users
        times = np.bincount(drawn.ravel(), minlength=n * n_users).reshape(n, n_users).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append(times @ filled / (n_users if counted.all() else times @ counted.T))
    tail = (1 - CONFIDENCE) / 2
    # A draw may hold no user of a row that has few.
    drawn_means = np.concatenate(means)
    ends = np.full((2, len(values)), np.nan)
    some = counted.any(1)
    ends[:, some] = np.nanquantile(drawn_means[:, some], [tail, 1 - tail], axis=0)
    return [Interval(float(low), float(high)) if known else None for low, high, known in zip(*ends, some)]


def t_test(differences: np.ndarray) -> np.ndarray:
    """Return the two-sided p-values (C,) of Student's paired t test, NaN with fewer than two users.

    Source: Student: The Probable Error of a Mean. Biometrika 6 (1), 1908. It tests the mean, and trusts the central
    limit theorem where single differences are not normal.
    """
    n = (~np.isnan(differences)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = effect_size(differences) * np.sqrt(n)
        return np.where(n < 2, np.nan, 2 * special.stdtr(n - 1, -np.abs(t)))


def wilcoxon_test(differences: np.ndarray) -> np.ndarray:
    """Return the two-sided p-values (C,) of Wilcoxon's signed rank test, NaN with fewer than two users.

    Source: Frank Wilcoxon: Individual Comparisons by Ranking Methods. Biometrics Bulletin 1 (6), 1945. Differences of
    0 are left out, as he does; where all are 0 the value is 1. It tests whether the differences lie evenly about 0,
    not the mean.
    """
    from scipy.stats import wilcoxon  # Takes half a second, which every run would spend.

    values = np.full(len(differences), np.nan)
    for row, of_users in enumerate(differences):
        counted = of_users[~np.isnan(of_users)]
        moved = counted[counted != 0]
        if len(counted) >= 2:
            values[row] = wilcoxon(moved).pvalue if len(moved) else 1.0
    return values


def randomisation_test(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the two-sided p-values (C,) of Fisher's randomisation test of the mean, NaN with fewer than two users.

    Were the two models one, each user's difference could as well have the other sign. The p-value is the share of
    random assignments of signs whose mean is as far from 0 as the one that was measured, itself among them.

    Source: R. A. Fisher: The Design of Experiments, 1935; advised for rankings by Mark Smucker, James Allan and Ben
    Carterette: A Comparison of Statistical Significance Tests for Information Retrieval Evaluation. CIKM 2007; the
    one that is counted in addition after Belinda Phipson and Gordon Smyth: Permutation P-values Should Never Be
    Zero. Statistical Applications in Genetics and Molecular Biology 9 (1), 2010.

    Args:
        differences: (C, U).
        seed: Of the signs, which are the same for all rows.
    """
    n_users = differences.shape[1]
    of_users = np.nan_to_num(differences).T
    total = of_users.sum(0)
    least = np.abs(total) - _ROUNDING * np.abs(of_users).sum(0)
    stream, as_far = generator(seed, "signs"), np.ones(len(differences))
    for n in _blocks(N_FLIPS, n_users):
        drawn = torch.randint(256, (n, -(-n_users // 8)), generator=stream, dtype=torch.uint8).numpy()
        positive = np.unpackbits(drawn, axis=1, count=n_users).astype(np.float64)
        as_far += (np.abs(2 * (positive @ of_users) - total) >= least).sum(0)
    enough = (~np.isnan(differences)).sum(1) >= 2
    return np.where(enough, as_far / (1 + N_FLIPS), np.nan)


def effect_size(differences: np.ndarray) -> np.ndarray:
    """Return Cohen's d of the paired differences, d_z, (C,): their mean over their standard deviation (n - 1).

    0 where all differences are 0, infinite where they are all the same, NaN with fewer than two users.

    Source: Jacob Cohen: Statistical Power Analysis for the Behavioral Sciences. 2nd edition, 1988, chapter 2; among the
    kinds of d Daniel Lakens: Calculating and Reporting Effect Sizes to Facilitate Cumulative Science. Frontiers in
    Psychology 4, 2013.
    """
    counted = ~np.isnan(differences)
    n = counted.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(counted, differences, 0.0).sum(1) / n
        squares = np.where(counted, differences - mean[:, None], 0.0) ** 2
        deviation = np.sqrt(squares.sum(1) / (n - 1))
        # Of equal numbers rounding leaves a deviation that is none.
        deviation = np.where(deviation <= _ROUNDING * np.abs(mean), 0.0, deviation)
        return np.where((n >= 2) & (mean == 0), 0.0, np.where(n < 2, np.nan, mean / deviation))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return ``p_values`` (C,) corrected for there being C of them; NaN stays, and is not counted.

    The k-th least of m is multiplied by m - k + 1, is at least what the one before became, and at most 1. Taking
    those below 0.05 for differences then errs, anywhere among the m, in at most 5 of 100 such comparisons.

    Source: Sture Holm: A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics
    6 (2), 1979.
    """
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]
    corrected = np.full(len(p_values), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected


def _blocks(n: int, width: int) -> list[int]:
    """Return how many of ``n`` rows of ``width`` are taken at a time, so that memory is bounded."""
    size = max(1, _BLOCK_CELLS // max(width, 1))
    return [min(size, n - begun) for begun in range(0, n, size)]
