"""The global split by time: where it cuts, what a window holds, and what it refuses."""

import re
import time
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import splits
from recbench.data import TEST, TRAIN, UNUSED, VALID, Interactions
from recbench.errors import ConfigError, EmptyDatasetError

DAY = 86_400


def at(*times: int) -> Interactions:
    """One interaction at each time, in that order in the file, by three users in turn."""
    frame = pd.DataFrame({"user": "", "item": range(len(times)), "timestamp": times})
    frame["user"] = [f"u{place % 3}" for place in range(len(times))]
    return Interactions.from_frame(frame)


def cut(interactions: Interactions, **options) -> dict[int, list[int]]:
    """The sorted times of each part that is not empty."""
    parts = splits.build("global_time", **options).assign(interactions)
    return {
        part: sorted(interactions.timestamps[parts == part].tolist())
        for part in range(5)
        if bool((parts == part).any())
    }


def test_the_latest_share_is_tested_and_the_one_before_validates():
    # floor(0.3 * 10) = 3 for test, floor(0.3 * 7) = 2 for validation.
    assert cut(at(5, 3, 9, 1, 7, 2, 8, 4, 6, 0), test=0.3, valid=0.3) == {
        TRAIN: [0, 1, 2, 3, 4],
        VALID: [5, 6],
        TEST: [7, 8, 9],
    }


def test_usual_shares_and_none_for_validation():
    assert {part: len(times) for part, times in cut(at(*range(100))).items()} == {TRAIN: 72, VALID: 8, TEST: 20}
    assert {part: len(times) for part, times in cut(at(*range(100)), valid=0.0).items()} == {TRAIN: 80, TEST: 20}


def test_a_share_of_decimals_is_what_it_says():
    # In floating point 0.29 * 100 is a little less than 29.
    assert len(cut(at(*range(100)), test=0.29, valid=0.0)[TEST]) == 29


def test_a_second_is_never_cut():
    # The two of second 3 would make the test part 4 of 6, more than half; without them it is 2.
    assert cut(at(1, 2, 3, 3, 4, 4), test=0.5, valid=0.0) == {TRAIN: [1, 2, 3, 3], TEST: [4, 4]}
    # Not even the last second fits: it is taken all the same.
    assert cut(at(1, 2, 3, 3, 3), test=0.2, valid=0.0) == {TRAIN: [1, 2], TEST: [3, 3, 3]}


def test_moments_are_dates_in_utc_or_seconds():
    data = at(*(day * DAY for day in range(6)))
    expected = {TRAIN: [0, DAY], VALID: [2 * DAY], TEST: [3 * DAY, 4 * DAY, 5 * DAY]}
    assert cut(data, test_from="1970-01-04", valid_from="1970-01-03") == expected
    assert cut(data, test_from=3 * DAY, valid_from=2 * DAY) == expected
    assert cut(data, test_from="1970-01-03T23:00:00-01:00", valid_from="1970-01-01T00:00:00.5+00:00") == {
        TRAIN: [0],
        VALID: [DAY, 2 * DAY],
        TEST: [3 * DAY, 4 * DAY, 5 * DAY],
    }


def test_dates_do_not_follow_the_clock_of_the_machine(monkeypatch):
    data = at(*(day * DAY for day in range(6)))
    expected = cut(data, test_from="1970-01-04", valid=0.0)
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    time.tzset()
    try:
        assert cut(data, test_from="1970-01-04", valid=0.0) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_windows_are_of_equal_length_and_never_look_ahead():
    # The test part is seconds 4 to 13, ten of them: the windows begin at 4, 4 + 10 // 3 and 4 + 20 // 3.
    data = at(0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 13)
    windows = [cut(data, test_from=4, valid=0.0, n_windows=3, window=window) for window in range(3)]
    assert windows == [
        {TRAIN: [0, 1, 2, 3], TEST: [4, 6], UNUSED: [7, 8, 9, 10, 13]},
        {TRAIN: [0, 1, 2, 3, 4, 6], TEST: [7, 8, 9], UNUSED: [10, 13]},
        {TRAIN: [0, 1, 2, 3, 4, 6, 7, 8, 9], TEST: [10, 13]},
    ]
    # Validation ends where the window begins: floor(0.4 * 6) = 2.
    assert cut(data, test_from=4, valid=0.4, n_windows=3, window=1)[VALID] == [4, 6]


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 30), min_size=2, max_size=40),
    test=st.sampled_from([0.1, 0.2, 0.5, 0.9]),
    valid=st.sampled_from([0.0, 0.1, 0.5]),
    n_windows=st.integers(1, 3),
)
def test_nothing_that_is_learnt_is_as_late_as_what_is_asked(times, test, valid, n_windows):
    data, tested = at(*times), []
    for window in range(n_windows):
        try:
            parts = cut(data, test=test, valid=valid, n_windows=n_windows, window=window)
        except EmptyDatasetError:
            assert len(set(times)) == 1
            return
        except ConfigError:
            assert n_windows > 1
            continue
        tested += parts[TEST]
        # The training part may be empty where validation has taken the only second before the test part.
        known = [parts.get(TRAIN, []), parts.get(VALID, []), parts[TEST], parts.get(UNUSED, [])]
        for earlier, later in zip(known, known[1:]):
            assert not earlier or not later or max(earlier) < min(later)
        assert not parts.get(TRAIN) or max(parts[TRAIN]) < min(parts[TEST])
        if valid and TRAIN in parts:
            assert VALID in parts
    whole = cut(data, test=test, valid=0.0)[TEST]
    assert sorted(tested) == whole
    assert len(whole) <= test * len(times) or len(set(whole)) == 1


def refused(error, text: str, data: Interactions, **options) -> None:
    with pytest.raises(error, match="^" + re.escape(text) + "$"):
        splits.build("global_time", **options).assign(data)


def test_data_without_moments_is_refused():
    data = at(1, 2, 3)
    refused(
        ConfigError,
        "split=global_time: the data has no timestamps. Choose a split that needs none, such as split=random, "
        "or name their column: dataset.timestamp=COLUMN.",
        replace(data, timestamps=None),
    )
    refused(
        ConfigError,
        "split=global_time: the timestamps of this data are ranks within each user, which say nothing across users. "
        "Choose a split of each user by time, such as split=leave_one_out.",
        replace(data, time="rank"),
    )


def test_a_part_without_interactions_is_refused():
    data = at(0, 1, 2, DAY)
    span = "the 4 interactions go from 1970-01-01T00:00:00 UTC to 1970-01-02T00:00:00 UTC."
    refused(
        EmptyDatasetError,
        "split global_time: no interaction is earlier than the test part, which begins at 1970-01-01T00:00:00 UTC; "
        + span,
        data,
        test_from="1970-01-01",
    )
    refused(
        ConfigError,
        "split global_time: no interaction falls into the test part, which begins at 2030-01-01T00:00:00 UTC; "
        f"{span} Set another moment or share, or fewer windows.",
        data,
        test_from="2030-01-01",
    )
    refused(
        ConfigError,
        "split global_time: no interaction falls into the validation part, which begins at 1970-01-01T00:00:05 UTC; "
        f"{span} Set another moment or share, or fewer windows.",
        data,
        test_from=10,
        valid_from=5,
    )


def test_seconds_that_are_milliseconds_are_shown_as_the_year_they_stand_for():
    data = at(0, 1_700_000_000_000)
    refused(
        EmptyDatasetError,
        "split global_time: no interaction is earlier than the test part, which begins at 1970-01-01T00:00:00 UTC; "
        "the 2 interactions go from 1970-01-01T00:00:00 UTC to 55840-11-08T22:13:20 UTC.",
        data,
        test_from=0,
    )


def test_whether_it_may_validate():
    entry = splits.registry.entry("global_time")
    told = [entry.target.may_validate(entry.configure(options)) for options in ({}, {"valid": 0.0}, {"valid_from": 7})]
    assert told == [True, False, True]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"test": 0.0}, "test = 0.0: should be greater than 0."),
        (
            {"test_from": "May 2001"},
            "test_from = 'May 2001': should be a date or time in UTC such as 2001-05-31 or 2001-05-31T12:00:00, "
            "or whole seconds since 1970.",
        ),
        (
            {"valid_from": 1.5},
            "valid_from = 1.5: should be a date or time in UTC such as 2001-05-31 or 2001-05-31T12:00:00, "
            "or whole seconds since 1970.",
        ),
        ({"test": 0.2, "test_from": 9}, "test = 0.2: is not allowed beside test_from = 9; set one of them."),
        ({"n_windows": 2, "window": 2}, "window = 2: should be less than n_windows = 2."),
    ],
)
def test_wrong_options_of_global_time(options, line):
    text = f"split 'global_time' cannot be configured:\n  {line}"
    with pytest.raises(ConfigError, match="^" + re.escape(text) + "$"):
        splits.build("global_time", **options)


def test_options_survive_being_written_down():
    for options in ({"test_from": "2001-05-31"}, {"test_from": 9, "valid": 0.0}, {"n_windows": 3, "window": 1}):
        config = splits.registry.entry("global_time").configure(options)
        assert splits.registry.entry("global_time").configure(config.model_dump(mode="json")) == config


def test_large_times_are_exact():
    late = 2**62
    parts = cut(at(late, late + 1, late + 2), test=0.4, valid=0.0)
    assert parts == {TRAIN: [late, late + 1], TEST: [late + 2]}
