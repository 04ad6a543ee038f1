"""A data set in numbers: how much there is, how it is spread over users, items and time, and what is missing."""

from __future__ import annotations

import html
import json
import re
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from recbench.data import Interactions, Stage
from recbench.datasets import Card
from recbench.errors import ConfigError
from recbench.options import one_of
from recbench.text import printable

Format = Literal["table", "markdown", "json"]

FEW = 5
"""Users and items with fewer interactions are counted: little can be learnt or measured of them."""

_TIMES = {"none": "not known", "rank": "only the order within each user"}
_LOADERS = {
    True: "checked against these very files (verified: yes)",
    False: "not yet checked against these files (verified: no)",
    None: "",
}
_TOP_PERCENT = (1, 10, 20)
_N_POPULAR = 10
_MOST_DISTINCT_RATINGS = 20
_N_BINS = 10
_MOST_COLUMNS = 110


@dataclass(frozen=True)
class Activity:
    """How many interactions each user, or each item, has.

    Attributes:
        n_few: Those with fewer than ``FEW``.
    """

    smallest: int
    quartile_1: float
    median: float
    quartile_3: float
    largest: int
    mean: float
    n_few: int


@dataclass(frozen=True)
class Bin:
    """How many ratings have a value, or lie in a range."""

    label: str
    n: int


@dataclass(frozen=True)
class Popular:
    """One of the items that most users took; the title is None where it is not known."""

    id: str
    title: str | None
    n: int


@dataclass(frozen=True)
class Column:
    """What is known of users, or of items, beside their interactions: one column.

    Attributes:
        of: Whose it is, ``user`` or ``item``.
        kind: What it holds.
        n_missing: Users or items without a value.
    """

    of: str
    name: str
    kind: str
    n_missing: int


@dataclass(frozen=True)
class Description:
    """A data set in numbers.

    Attributes:
        name: As registered.
        card: What its card says.
        verified: Whether someone has checked the reader against the files at hand; None where none were published.
        density: Share of all pairs of user and item that occur, 0 to 1; repeated ones count once each time.
        time: What timestamps are: seconds, the order within each user, or not there.
        first: Day of the earliest interaction (UTC), None where times are not seconds.
        last: Day of the latest one.
        ratings: Each value with its number, or ten ranges where there are many values; None without ratings.
        users: Interactions a user.
        items: Interactions an item.
        top_shares: Share of the interactions that go to the most popular 1, 10 and 20 % of the items.
        gini: Gini coefficient of the items' popularity: 0 where all are alike, towards 1 where one has everything.
        popular: The most popular items.
        features: What is known beside.
        stages: What reading and each step of cleaning left.
        fingerprint: SHA-256 of the data.
    """

    name: str
    card: Mapping[str, Any]
    verified: bool | None
    n_users: int
    n_items: int
    n_interactions: int
    density: float
    time: Literal["seconds", "rank", "none"]
    first: str | None
    last: str | None
    mean_rating: float | None
    ratings: tuple[Bin, ...] | None
    users: Activity
    items: Activity
    top_shares: Mapping[int, float]
    gini: float
    popular: tuple[Popular, ...]
    features: tuple[Column, ...]
    stages: tuple[Stage, ...]
    fingerprint: str


@dataclass(frozen=True)
class Section:
    """A table with a title, for people; without a head it is facts, a name and a value each."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    head: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[bool, ...]:
        """For each column whether it holds numbers, which stand to the right; facts hold none."""
        if not self.head:
            return (False, False)
        return tuple(all(re.match(r"[-\d]", cell) for cell in column) for column in zip(*self.rows))


def describe(name: str, card: Card, interactions: Interactions, verified: bool | None = None) -> Description:
    """Return the data set ``name``, of which ``verified`` is what ``Dataset.verified`` says, in numbers."""
    popularity = interactions.popularity.numpy()
    first, last = _span(interactions)
    ratings = None if interactions.ratings is None else interactions.ratings.numpy().astype(np.float64)
    return Description(
        name=name,
        card={fact.name: getattr(card, fact.name) for fact in fields(card) if fact.name != "places"},
        verified=verified,
        n_users=interactions.n_users,
        n_items=interactions.n_items,
        n_interactions=len(interactions),
        density=len(interactions) / (interactions.n_users * interactions.n_items),
        time="none" if interactions.timestamps is None else interactions.time,
        first=first,
        last=last,
        mean_rating=None if ratings is None else float(ratings.mean()),
        ratings=None if ratings is None else _bins(ratings),
        users=_activity(activity(interactions)),
        items=_activity(popularity),
        top_shares={percent: top_share(popularity, percent) for percent in _TOP_PERCENT},
        gini=gini(popularity),
        popular=_popular(interactions),
        features=_columns(interactions),
        stages=interactions.provenance,
        fingerprint=interactions.fingerprint,
    )


def activity(interactions: Interactions) -> np.ndarray:
    """Return the number of interactions of each user, (n_users,) int64."""
    return np.bincount(interactions.users.numpy(), minlength=interactions.n_users)


def top_share(counts: np.ndarray, percent: float) -> float:
    """Return the share of all ``counts``, (n,), that the largest ``percent`` of them have; at least one counts."""
    n_top = max(1, int(np.ceil(len(counts) * percent / 100 - 1e-9)))
    return float(np.sort(counts)[-n_top:].sum() / counts.sum())


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of ``counts``, (n,): half their mean absolute difference over their mean.

    Source: Corrado Gini: Variabilita e mutabilita, 1912; computed from the sorted values,
    ``2 sum_i i x_i / (n sum_i x_i) - (n + 1) / n`` with i from 1.
    """
    n = len(counts)
    ranks = np.arange(1, n + 1)
    return float(2 * (ranks * np.sort(counts)).sum() / (n * counts.sum()) - (n + 1) / n)


def day(seconds: int) -> str:
    """Return the day (UTC) of a Unix time, in any year: ``1997-09-20``."""
    return str(np.datetime64(seconds, "s").astype("datetime64[D]"))


def sections(description: Description) -> list[Section]:
    """Return the description as tables for people."""
    card, told = description.card, description
    facts = {
        "description": card["description"],
        "published at": card["homepage"],
        "licence": card["licence"],
        "citation": card["citation"],
        "loader": _LOADERS[told.verified],
    }
    counts = {
        "users": f"{told.n_users:,}",
        "items": f"{told.n_items:,}",
        "interactions": f"{told.n_interactions:,}",
        "density": f"{100 * told.density:.4g} %",
        "time": _TIMES.get(told.time, f"{told.first} to {told.last}"),
        "mean rating": "no ratings" if told.mean_rating is None else f"{told.mean_rating:.4g}",
        "fingerprint": told.fingerprint,
    }
    tail = {f"to the top {percent} % of items": f"{100 * share:.1f} %" for percent, share in told.top_shares.items()}
    found = [
        Section(told.name, tuple((key, str(value)) for key, value in facts.items() if value)),
        Section("Counts", tuple(counts.items())),
        Section(
            "Interactions each",
            (_spread("a user", told.users), _spread("an item", told.items)),
            ("", "least", "25 %", "median", "75 %", "most", "mean", f"with < {FEW}"),
        ),
        Section("Long tail: where the interactions go", (*tail.items(), ("Gini of popularity", f"{told.gini:.3f}"))),
    ]
    if told.ratings is not None:
        rows = ((bin.label, f"{bin.n:,}", f"{100 * bin.n / told.n_interactions:.1f} %") for bin in told.ratings)
        found.append(Section("Ratings", tuple(rows), ("rating", "interactions", "share")))
    rows = ((item.id, item.title or "-", f"{item.n:,}") for item in told.popular)
    found.append(Section("Most popular items", tuple(rows), ("item", "title", "interactions")))
    if told.features:
        columns = ((column.of, column.name, column.kind, f"{column.n_missing:,}") for column in told.features)
        found.append(Section("What is known beside", tuple(columns), ("of", "column", "kind", "missing")))
    if told.stages:
        found.append(
            Section(
                "What each step left",
                tuple(map(_stage, told.stages)),
                ("step", "before", "taken away", "left", "users", "items", "in detail"),
            )
        )
    return found


def render(description: Description, format: Format = "table") -> str:
    """Return the description as text without a final line end.

    Args:
        description: What ``describe`` gives.
        format: ``table`` and ``markdown`` for people, rounded; ``json`` for programs, in full precision.

    Raises:
        ConfigError: No such format.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format {format!r}: should be {one_of(get_args(Format))}.")
    if format == "json":
        return json.dumps(asdict(description), indent=2, ensure_ascii=False, allow_nan=False)
    write = _table if format == "table" else _markdown
    return "\n\n".join(write(section) for section in sections(description))


def _span(interactions: Interactions) -> tuple[str | None, str | None]:
    """Return the days of the earliest and the latest interaction; ranks are no times."""
    if interactions.timestamps is None or interactions.time != "seconds":
        return None, None
    return day(int(interactions.timestamps.min())), day(int(interactions.timestamps.max()))


def _bins(ratings: np.ndarray) -> tuple[Bin, ...]:
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= _MOST_DISTINCT_RATINGS:
        return tuple(Bin(f"{value:g}", int(n)) for value, n in zip(values, counts))
    counts, edges = np.histogram(ratings, bins=_N_BINS)
    labels = [f"{low:.4g} to {high:.4g}" for low, high in zip(edges, edges[1:])]
    return tuple(Bin(label, int(n)) for label, n in zip(labels, counts))


def _activity(counts: np.ndarray) -> Activity:
    least, first, median, third, most = np.quantile(counts, (0, 0.25, 0.5, 0.75, 1))
    n_few = int((counts < FEW).sum())
    return Activity(int(least), float(first), float(median), float(third), int(most), float(counts.mean()), n_few)


def _popular(interactions: Interactions) -> tuple[Popular, ...]:
    """Return the most popular items; of equally popular ones the first in the vocabulary."""
    popularity = interactions.popularity.numpy()
    best = np.argsort(-popularity, kind="stable")[:_N_POPULAR]
    titles = interactions.features.titles
    return tuple(
        Popular(
            str(interactions.item_vocabulary.ids[item]),
            None if titles is None else str(titles[item]),
            int(popularity[item]),
        )
        for item in best
    )


def _columns(interactions: Interactions) -> tuple[Column, ...]:
    tables = {"user": interactions.features.users, "item": interactions.features.items}
    return tuple(
        Column(of, name, table.kind(name), table.n_missing(name))
        for of, table in tables.items()
        if table is not None
        for name in table.names
    )


def _spread(what: str, of: Activity) -> tuple[str, ...]:
    numbers = (of.smallest, of.quartile_1, of.median, of.quartile_3, of.largest, round(of.mean, 1), of.n_few)
    return (what, *(f"{number:,g}" if number < 1e6 else f"{number:,.0f}" for number in numbers))


def _stage(stage: Stage) -> tuple[str, ...]:
    before, after = stage.before.n_interactions, stage.after.n_interactions
    left = ("-" if n is None else f"{n:,}" for n in (after, stage.after.n_users, stage.after.n_items))
    detail = ", ".join(f"{what}: {value:,}" for what, value in stage.details.items())
    return (stage.name, f"{before:,}", f"{before - after:,}", *left, detail or "-")


def _table(section: Section) -> str:
    rows = [[printable(cell) for cell in row] for row in section.rows]
    lines = [printable(section.title), "-" * len(printable(section.title))]
    if not section.head:
        width = max(len(row[0]) for row in rows)
        lines += [_wrapped(f"{key:{width}}  {value}", hanging=width + 2) for key, value in rows]
        return "\n".join(lines)
    rows = [list(section.head), *rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, section.numbers)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _markdown(section: Section) -> str:
    head = section.head or ("", "")
    ruler = ["---:" if right else "---" for right in section.numbers]
    lines = [head, ruler, *section.rows]
    cells = [[html.escape(printable(cell), quote=False).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join([f"## {printable(section.title)}", "", *(f"| {' | '.join(line)} |" for line in cells)])


def _wrapped(text: str, hanging: int) -> str:
    """Return ``text`` in lines as wide as the terminal."""
    width = max(40, min(shutil.get_terminal_size().columns, _MOST_COLUMNS))
    return textwrap.fill(text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)
