"""A data set in numbers: by hand, and as text and page."""

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import datasets
from recbench.data import Counts, Features, Interactions, Stage, feature_table
from recbench.data.feature_config import NumericConfig
from recbench.datasets import Card
from recbench.errors import ConfigError
from recbench.inspection.describe import Bin, Popular, day, describe, gini, render, sections, top_share
from recbench.inspection.page import page

CARD = Card(description="Three users, four items.", homepage="", licence="free", citation="nobody")
EVIL = "<script>alert('x')</script>|\x1b[31m"


def interactions(**changes):
    frame = pd.DataFrame(
        {
            "user": ["a", "a", "a", "b", "b", "c"],
            "item": ["w", "x", "y", "w", "x", "w"],
            "rating": [5.0, 4.0, 1.0, 5.0, 5.0, 4.0],
            "timestamp": [0, 86_399, 86_400, 5, 6, 10 * 86_400],
        }
    )
    return replace(Interactions.from_frame(frame), **changes)


def test_counts_by_hand():
    told = describe("tiny", CARD, interactions())
    assert (told.n_users, told.n_items, told.n_interactions) == (3, 3, 6)
    assert told.density == 6 / (3 * 3)
    assert (told.first, told.last) == ("1970-01-01", "1970-01-11")
    assert told.mean_rating == (5 + 4 + 1 + 5 + 5 + 4) / 6
    assert told.ratings == (Bin("1", 1), Bin("4", 2), Bin("5", 3))
    assert told.popular == (Popular("w", None, 3), Popular("x", None, 2), Popular("y", None, 1))
    assert told.fingerprint == interactions().fingerprint


def test_activity_by_hand():
    # Users have 3, 2 and 1 interactions, so have items: all fewer than 5.
    users = describe("tiny", CARD, interactions()).users
    assert (users.smallest, users.quartile_1, users.median, users.quartile_3, users.largest) == (1, 1.5, 2, 2.5, 3)
    assert (users.mean, users.n_few) == (2, 3)


def test_few_means_fewer_than_five():
    frame = pd.DataFrame({"user": ["a"] * 5 + ["b"] * 4, "item": [*"vwxyz", *"vwxy"]})
    assert describe("tiny", CARD, Interactions.from_frame(frame)).users.n_few == 1


def test_top_share_by_hand():
    counts = np.array([1, 2, 3, 4, 10])
    assert top_share(counts, 20) == 10 / 20
    assert top_share(counts, 40) == 14 / 20
    assert top_share(counts, 1) == 10 / 20  # One item at least.
    assert top_share(counts, 21) == 14 / 20  # Rounded up.
    # 10 % of 10 are one, although 10 * 0.1 may be a little more than one.
    assert top_share(np.arange(1, 11), 10) == 10 / 55


def test_gini_by_hand():
    assert gini(np.array([4, 4, 4])) == pytest.approx(0)
    # One of n has everything: 1 - 1 / n.
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(1 - 1 / 4)
    # Half the mean absolute difference of all ordered pairs (1, 3), (3, 1), twice nothing, over the mean 2.
    assert gini(np.array([3, 1])) == pytest.approx((2 + 2) / 4 / 2 / 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    values = np.array(counts)
    pairs = np.abs(values[:, None] - values[None, :]).mean()
    assert math.isclose(gini(values), pairs / 2 / values.mean(), abs_tol=1e-9)


def test_day_in_any_year():
    assert day(-1) == "1969-12-31"
    assert day(951_782_400) == "2000-02-29"
    assert day(1_577_836_800_000) == "51969-08-29"  # Milliseconds taken for seconds.


def test_many_ratings_become_ten_ranges():
    frame = pd.DataFrame({"user": ["a"] * 101, "item": [str(n) for n in range(101)], "rating": np.arange(101) / 10})
    ratings = describe("tiny", CARD, Interactions.from_frame(frame)).ratings
    assert [bin.label for bin in ratings][:2] == ["0 to 1", "1 to 2"]
    assert len(ratings) == 10
    assert sum(bin.n for bin in ratings) == 101


def test_without_ratings_and_times():
    told = describe("tiny", CARD, interactions(ratings=None, timestamps=None))
    assert (told.ratings, told.mean_rating, told.first, told.last) == (None, None, None, None)
    facts = dict(sections(told)[1].rows)
    assert (facts["time"], facts["mean rating"]) == ("not known", "no ratings")
    assert page(told, interactions(ratings=None, timestamps=None)).count("<figure>") == 2


def test_ranks_are_no_times():
    told = describe("tiny", CARD, interactions(time="rank"))
    assert (told.time, told.first) == ("rank", None)
    assert dict(sections(told)[1].rows)["time"] == "only the order within each user"
    assert page(told, interactions(time="rank")).count("<figure>") == 3


def test_steps_with_what_they_took_away():
    stage = Stage("k_core(users=2)", Counts(10, 5, 4), Counts(6, 3, 3), {"rounds": 2})
    told = describe("tiny", CARD, interactions(provenance=(Stage("read a.csv", Counts(12), Counts(10)), stage)))
    assert sections(told)[-1].rows == (
        ("read a.csv", "12", "2", "10", "-", "-", "-"),
        ("k_core(users=2)", "10", "4", "6", "3", "3", "rounds: 2"),
    )


def with_titles(title):
    data = interactions()
    table = pd.DataFrame({"item": ["w", "x", "y"], "title": [title, "X", "Y"], "price": [1.0, np.nan, 2.0]})
    declared = [NumericConfig(name="price", missing="mean")]
    return replace(data, features=Features(items=feature_table(table, data.item_vocabulary, declared)))


def test_features_with_kind_and_missing_values():
    told = describe("tiny", CARD, with_titles("W"))
    assert [(column.of, column.name, column.kind, column.n_missing) for column in told.features] == [
        ("item", "price", "numeric", 1),
        ("item", "title", "text", 0),
    ]
    assert told.popular[0] == Popular("w", "W", 3)


@pytest.mark.parametrize(
    ("verified", "loader"),
    [
        (True, "checked against these very files (verified: yes)"),
        (False, "not yet checked against these files (verified: no)"),
    ],
)
def test_what_was_published_says_whether_its_loader_was_checked(verified, loader):
    told = describe("tiny", CARD, interactions(), verified)
    assert told.verified is verified
    assert dict(sections(told)[0].rows)["loader"] == loader


def test_table_in_full():
    text = render(describe("tiny", CARD, interactions(ratings=None, timestamps=None)))
    fingerprint = interactions(ratings=None, timestamps=None).fingerprint
    assert (
        text
        == f"""\
tiny
----
description  Three users, four items.
licence      free
citation     nobody

Counts
------
users         3
items         3
interactions  6
density       66.67 %
time          not known
mean rating   no ratings
fingerprint   {fingerprint}

Interactions each
-----------------
         least  25 %  median  75 %  most  mean  with < 5
a user       1   1.5       2   2.5     3     2         3
an item      1   1.5       2   2.5     3     2         3

Long tail: where the interactions go
------------------------------------
to the top 1 % of items   50.0 %
to the top 10 % of items  50.0 %
to the top 20 % of items  50.0 %
Gini of popularity        0.222

Most popular items
------------------
item  title  interactions
w         -             3
x         -             2
y         -             1"""
    )


def test_json_is_complete_and_in_full_precision():
    told = json.loads(render(describe("tiny", CARD, interactions()), "json"))
    assert told["density"] == 6 / 9
    assert told["ratings"] == [{"label": "1", "n": 1}, {"label": "4", "n": 2}, {"label": "5", "n": 3}]
    assert told["top_shares"] == {"1": 3 / 6, "10": 3 / 6, "20": 3 / 6}
    assert told["card"]["licence"] == "free"


def test_no_such_format():
    with pytest.raises(ConfigError) as raised:
        render(describe("tiny", CARD, interactions()), "xml")
    assert str(raised.value) == "format 'xml': should be 'table', 'markdown' or 'json'."


def test_titles_of_others_do_no_harm():
    data = with_titles(EVIL)
    told = describe("tiny", CARD, data)
    assert "\x1b" not in render(told)
    assert "<script>" not in render(told, "markdown")
    assert "\\|" in render(told, "markdown")
    text = page(told, data)
    assert "<script" not in text
    assert html.escape("<script>alert('x')</script>|[31m") in text


def test_the_page_loads_nothing():
    text = page(describe("tiny", CARD, interactions()), interactions())
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert len(sources) == 4
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "default-src 'none'" in text
    assert "@import" not in text and "url(" not in text


def test_the_page_is_the_same_every_time():
    told = describe("tiny", CARD, interactions())
    assert page(told, interactions()) == page(told, interactions())


def test_odd_data_can_be_plotted():
    # One user, one item, one rating, one moment; and moments far outside of the calendar.
    one = Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [3.5], "timestamp": [7]}))
    assert page(describe("one", CARD, one), one).count("<figure>") == 4
    late = interactions(timestamps=interactions().timestamps * 10**9)
    assert page(describe("late", CARD, late), late).count("<figure>") == 4


def test_generated_data_is_described():
    dataset = datasets.build("planted")
    told = describe("planted", dataset.card, dataset.load())
    assert told.n_interactions == 6_000
    assert sum(bin.n for bin in told.ratings) == 6_000
