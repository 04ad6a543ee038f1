"""A published number, and what ours says on it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.errors import ConfigError
from recbench.published import Published, rounded


def published(**options) -> Published:
    return Published.from_mapping({"seen": "primary", **options}, "the published values")


@pytest.mark.parametrize(
    ("ours", "tolerance", "verdict"),
    [
        (0.24295, "0", "exact"),  # rounds up to .2430
        (0.24304999, "0", "exact"),
        (0.24305, "0", "deviates"),  # rounds to .2431
        (0.242949, ".003", "reproduced"),
        (0.2430 + 0.003, ".003", "reproduced"),
        (0.2430 - 0.00301, ".003", "deviates"),
        (0.2430 * 1.0299, "3 %", "reproduced"),
        (0.2430 * 1.0301, "3 %", "deviates"),
        (0.2430 * 0.9699, "3%", "deviates"),
        (None, ".003", "not run"),
    ],
)
def test_verdict_by_hand(ours, tolerance, verdict):
    assert published(tolerance=tolerance).verdict(".2430", ours) == verdict


def test_the_printed_digits_count():
    # .70 is met by what .7000 is not.
    assert published().verdict(".70", 0.7049) == "exact"
    assert published().verdict(".7000", 0.7049) == "deviates"


def test_a_contested_number_that_is_met_is_met():
    one = published(contested="Others measure .2.", tolerance=".01")
    assert one.verdict(".2430", 0.2) == "contested"
    assert one.verdict(".2430", 0.25) == "reproduced"


def test_what_nobody_has_seen_decides_nothing():
    assert published(seen="memory").verdict(".2430", 0.2430) == "unverified"
    assert published(seen="memory").verdict(".2430", None) == "not run"
    assert published().verdict(None, 0.2430) == "unverified"


@pytest.mark.parametrize(
    ("expect", "verdict", "holds"),
    [
        ("exact", "exact", True),
        ("exact", "reproduced", False),
        ("exact", "deviates", False),
        ("reproduced", "exact", True),
        ("reproduced", "reproduced", True),
        ("reproduced", "deviates", False),
        ("deviates", "deviates", True),
        ("deviates", "exact", True),
        ("exact", "contested", True),
        ("exact", "unverified", True),
        ("exact", "not run", True),
    ],
)
def test_worse_than_expected(expect, verdict, holds):
    assert published(expect=expect, note="tried").holds(verdict) is holds


@given(ours=st.floats(0, 1), digits=st.integers(1, 6))
def test_rounding_keeps_as_many_digits_as_are_printed(ours, digits):
    value = rounded(ours, "." + "0" * digits)
    assert -value.as_tuple().exponent == digits
    assert abs(value - Decimal(repr(ours))) <= Decimal(5).scaleb(-digits - 1)


def test_mistakes():
    with pytest.raises(ConfigError) as error:
        published(values={"ndcg@10": "0,243"}, tolerance="small", expect="deviates")
    assert str(error.value) == (
        "the published values cannot be configured:\n"
        "  values = '0,243': should be a number in quotes with the digits that are printed, such as '.2430'.\n"
        "  tolerance = 'small': should be a difference such as '.003', or a share of the published value such as '3 %'."
    )
    with pytest.raises(ConfigError, match=r"expect = 'deviates': note should say what was tried, or contested who"):
        published(expect="deviates")
    with pytest.raises(ConfigError, match=r"values = 0.243: should be text"):
        published(values={"ndcg@10": 0.243})
