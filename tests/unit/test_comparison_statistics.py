"""Intervals, tests and their correction: by hand, against scipy, and under a simulated null hypothesis."""

import math

import numpy as np
import pytest
from scipy import stats

from recbench.comparison.statistics import (
    N_FLIPS,
    effect_size,
    holm,
    intervals,
    randomisation_test,
    t_test,
    wilcoxon_test,
)

NAN = math.nan


def rows(*values):
    return np.array(values, dtype=np.float64)


# By hand


def test_holm():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not be less than the one before.
    assert holm(rows(0.01, 0.04, 0.03, 0.005)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(rows(0.6, 0.7)) == pytest.approx([1.0, 1.0])
    np.testing.assert_array_equal(holm(rows(0.02, NAN)), [0.02, NAN])
    assert holm(rows()).shape == (0,)


def test_the_effect_size_is_the_mean_over_the_deviation_of_the_differences():
    assert effect_size(rows([1, 2, 3])) == pytest.approx([2 / math.sqrt((1 + 0 + 1) / 2)])
    assert effect_size(rows([-1, NAN, -2, -3])) == pytest.approx([-2.0])
    np.testing.assert_array_equal(effect_size(rows([0, 0], [0.1, 0.1], [5, NAN])), [0, math.inf, NAN])


def test_the_t_test():
    # With 2 degrees of freedom the distribution is 1/2 + t / (2 sqrt(2 + t^2)).
    t = 2 / (1 / math.sqrt(3))
    assert t_test(rows([1, 2, 3])) == pytest.approx([1 - t / math.sqrt(2 + t**2)])
    np.testing.assert_array_equal(t_test(rows([0, 0, 0], [0.1, 0.1, 0.1], [3, NAN, NAN])), [1, 0, NAN])


def test_wilcoxons_test():
    # Of the 2^5 assignments of signs one has all ranks positive, one all negative.
    assert wilcoxon_test(rows([1, 2, 3, 4, 5])) == pytest.approx([2 / 2**5])
    assert wilcoxon_test(rows([1, 0, 2, 3, NAN, 4, 5])) == pytest.approx([2 / 2**5]), "zeros are left out"
    np.testing.assert_array_equal(wilcoxon_test(rows([0, 0, 0], [2, NAN, NAN])), [1, NAN])


def test_the_randomisation_test():
    # Three equal differences: +++ and --- of 8 are as far from 0. One more counts in addition.
    (value,) = randomisation_test(rows([1, 1, 1]))
    assert value == pytest.approx(2 / 8, abs=4 * math.sqrt(0.25 * 0.75 / N_FLIPS))
    assert randomisation_test(rows([1.0] * 40)) == pytest.approx([1 / (1 + N_FLIPS)])
    np.testing.assert_array_equal(randomisation_test(rows([0, 0, 0], [2, NAN, NAN])), [1, NAN])
    # 0.1 + 0.2 is not 0.3, but the signs (+ + -) are as far from 0 as (- - +).
    (value,) = randomisation_test(rows([0.1, 0.2, 0.3]))
    assert value == pytest.approx(2 / 8, abs=4 * math.sqrt(0.25 * 0.75 / N_FLIPS))


def test_the_bootstrap_interval():
    # Of two users the mean is 0, 1/2 or 1 with 1/4, 1/2, 1/4.
    (interval,) = intervals(rows([0, 1]))
    assert (interval.low, interval.high) == (0.0, 1.0)
    (same,) = intervals(rows([0.5, 0.5, 0.5]))
    assert (same.low, same.high) == (0.5, 0.5)
    assert str(interval) == "0.0000 to 1.0000"
    n, share = 4000, 0.25
    (interval,) = intervals(rows(np.arange(n) < share * n))
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    assert interval.low == pytest.approx(share - half, abs=0.1 * half)
    assert interval.high == pytest.approx(share + half, abs=0.1 * half)


def test_users_without_a_value_do_not_count():
    gaps = rows([0.1, NAN, 0.2, 0.9, NAN], [NAN] * 5)
    found, nothing = intervals(gaps)
    assert nothing is None
    assert 0.1 <= found.low < 0.4 < found.high <= 0.9
    many = np.random.default_rng(0).normal(0.3, 1, (1, 3000))
    padded = np.concatenate([many, np.full((1, 3000), NAN)], axis=1)
    (without,), (with_gaps,) = intervals(many), intervals(padded)
    assert with_gaps.low == pytest.approx(without.low, abs=0.01)
    assert with_gaps.high == pytest.approx(without.high, abs=0.01)
    for test in (t_test, wilcoxon_test):
        assert test(padded) == pytest.approx(test(many), rel=1e-12)
    assert randomisation_test(padded) == pytest.approx(randomisation_test(many), abs=0.01)


def test_the_same_seed_gives_the_same_numbers():
    values = np.random.default_rng(1).random((2, 50))
    assert intervals(values) == intervals(values) != intervals(values, seed=1)
    assert (randomisation_test(values - 0.4) == randomisation_test(values - 0.4)).all()


# Against scipy


def test_the_tests_are_those_of_scipy():
    stream = np.random.default_rng(2)
    ours = stream.random((3, 400)) * (stream.random((3, 400)) < 0.6)
    theirs = ours + stream.normal(0.01, 0.1, (3, 400)) * (stream.random((3, 400)) < 0.5)
    differences = theirs - ours
    assert t_test(differences) == pytest.approx(stats.ttest_rel(theirs, ours, axis=1).pvalue, rel=1e-9)
    assert wilcoxon_test(differences) == pytest.approx(
        [stats.wilcoxon(row, zero_method="wilcox").pvalue for row in differences], rel=1e-9
    )
    reference = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, axis=1, n_resamples=4999, rng=3
    )
    assert randomisation_test(differences) == pytest.approx(reference.pvalue, abs=0.03)


# Under the null hypothesis, and with a planted difference


def simulated(n_simulations, n_users, gain=0.0, n_seeds=5):
    """Return differences of two models, (S, U): values as of ndcg, many of them 0, with two sources of noise."""
    stream = np.random.default_rng(7)
    shape = (n_simulations, n_users)
    skill = np.clip(stream.normal(0.2, 0.25, shape), 0, 1)

    def model(gain):
        own = stream.normal(gain, 0.1, shape)
        seeds = sum(np.clip(skill + own + stream.normal(0, 0.05, shape), 0, 1) for _ in range(n_seeds))
        return np.where(skill > 0, seeds / n_seeds, 0)

    return model(gain) - model(0.0)


@pytest.mark.parametrize("test", [t_test, wilcoxon_test, randomisation_test])
def test_false_positives_are_as_frequent_as_promised(test):
    """Two models that do not differ: 5 % of the comparisons are below 0.05, within 1 %."""
    values = test(simulated(3000, 80))
    assert np.mean(values < 0.05) == pytest.approx(0.05, abs=0.01)
    assert np.mean(values < 0.5) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("test", [t_test, wilcoxon_test, randomisation_test])
def test_a_planted_difference_is_found(test):
    assert np.mean(test(simulated(100, 800, gain=0.04)) < 0.001) > 0.95


def test_intervals_hold_the_truth_as_often_as_promised():
    values = np.random.default_rng(3).binomial(1, 0.3, (1000, 100)).astype(float)
    held = [interval.low <= 0.3 <= interval.high for interval in intervals(values)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


def test_holm_keeps_the_errors_of_many_rows_to_five_in_a_hundred():
    differences = simulated(2000, 60).reshape(200, 10, 60)
    any_found = [np.min(holm(t_test(rows))) < 0.05 for rows in differences]
    plain = [np.min(t_test(rows)) < 0.05 for rows in differences]
    assert np.mean(any_found) < 0.09 and np.mean(plain) > 0.25
