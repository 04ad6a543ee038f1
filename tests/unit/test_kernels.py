from __future__ import annotations

import math
import multiprocessing
import threading
import time
import weakref
from concurrent.futures import wait

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.kernels.compiling import dealt, side_by_side
from recbench.kernels.vectors import AT_A_TIME, at_least, keep_larger, lowest, not_finite

# What is compiled for the tests calls what it is about; the twins are plain loops. No code is kept: it would be used
# after a change of what it calls, too.
compiled = numba.njit(error_model="numpy", fastmath={"reassoc", "nsz", "arcp", "contract"})


@compiled
def answers(numbers, first, least):
    return at_least(numbers, first, least), not_finite(numbers, first)


@compiled
def with_larger(kept, numbers, first):
    keep_larger(kept, numbers, first)


@compiled
def place_of_lowest(bits):
    return lowest(bits)


def bits_of(truths):
    return sum(int(truth) << place for place, truth in enumerate(truths))


NUMBERS = [0.0, -0.0, 1.0, -1.0, 1 + 2**-23, 1e-45, -1e-45, 3.4e38, -3.4e38, math.nan, math.inf, -math.inf]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**20), dtype=st.sampled_from([np.float32, np.float64]))
def test_64_answers_are_those_of_a_plain_loop(data, seed, dtype):
    """Wherever in memory the numbers begin, and whatever they are."""
    stream = np.random.default_rng(seed)
    numbers = stream.choice(np.array(NUMBERS, dtype), 150)
    first = data.draw(st.integers(0, 150 - AT_A_TIME))
    least = dtype(data.draw(st.sampled_from(NUMBERS)))
    some = numbers[first : first + AT_A_TIME].tolist()
    good, odd = answers(numbers, first, least)
    assert good == bits_of(number >= float(least) for number in some)
    assert odd == bits_of(not math.isfinite(number) for number in some)
    kept = stream.choice(np.array(NUMBERS, dtype), AT_A_TIME)
    wanted = [number if number > before else before for number, before in zip(some, kept.tolist())]
    with_larger(kept, numbers, first)
    np.testing.assert_array_equal(kept, np.array(wanted, dtype))


def test_numbers_that_do_not_stand_side_by_side_are_refused():
    with pytest.raises(numba.TypingError, match="has to be contiguous"):
        answers(np.zeros(200)[::2], 0, 0.0)


@pytest.mark.parametrize("place", [0, 1, 31, 32, 63])
def test_the_lowest_bit_is_found(place):
    assert place_of_lowest(np.uint64(1 << place)) == place
    assert place_of_lowest(np.uint64(1 << place | 1 << 63)) == place


# Threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_row_is_dealt_once_the_dearest_first(threads):
    costs = np.array([3, 9, 1, 7, 5])
    hands = dealt(lambda rows: rows.tolist(), costs, threads)
    assert hands == [[1, 3, 4, 0, 2][thread::threads] for thread in range(threads)]


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_of_any_thread_is_raised_when_all_have_ended(bad):
    """And the threads take the next work."""
    ended = []

    def work(rows):
        if rows[0] == bad:
            raise ValueError(f"row {rows[0]}")
        ended.append(rows[0])

    with pytest.raises(ValueError, match=f"row {bad}"):
        dealt(work, np.zeros(4, np.int64), 2)
    assert ended == [1 - bad]
    assert dealt(len, np.zeros(5, np.int64), 2) == [3, 2]


def test_work_has_ended_when_an_interrupt_comes_while_others_are_waited_for(monkeypatch):
    ended, waits = [], []

    def waiting(others):
        waits.append(len(others))
        if len(waits) == 1:
            raise KeyboardInterrupt
        wait(others)

    def work(rows):
        if rows[0] != 0:
            time.sleep(0.2)
            ended.append(rows[0])

    monkeypatch.setattr("recbench.kernels.compiling.wait", waiting)
    with pytest.raises(KeyboardInterrupt):
        dealt(work, np.zeros(2, np.int64), 2)
    assert ended == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_others_are_told_to_stop_before_they_are_waited_for(error):
    stopped, told = threading.Event(), []

    def failing():
        raise error

    with pytest.raises(error):
        side_by_side([failing, lambda: told.append(stopped.wait(20))], stopped.set)
    assert told == [True]


def test_threads_are_kept_and_keep_no_work():
    dealt(len, np.zeros(2, np.int64), 2)
    before = threading.active_count()
    for _ in range(20):
        dealt(len, np.zeros(2, np.int64), 2)
    assert threading.active_count() == before

    class Work:
        def __call__(self, rows):
            return len(rows)

    work = Work()
    gone = weakref.ref(work)
    assert dealt(work, np.zeros(2, np.int64), 2) == [1, 1]
    del work
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert gone() is None


def test_work_has_ended_when_an_interrupt_is_raised():
    ended = []

    def work(rows):
        if rows[0] == 0:
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(rows[0])

    with pytest.raises(KeyboardInterrupt):
        dealt(work, np.zeros(3, np.int64), 3)
    assert sorted(ended) == [1, 2]


def test_a_process_made_by_a_fork_has_threads_of_its_own():
    assert dealt(len, np.zeros(4, np.int64), 2) == [2, 2]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(dealt, (len, np.zeros(4, np.int64), 2)).get(20) == [2, 2]
