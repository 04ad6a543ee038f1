"""What the users' values say about the rows of a comparison: intervals, tests against a baseline, groups of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from recbench.comparison.rows import Group, Row, Versus, better
from recbench.comparison.statistics import (
    Interval,
    effect_size,
    holm,
    intervals,
    randomisation_test,
    t_test,
    wilcoxon_test,
)
from recbench.comparison.users import Users, read_users
from recbench.errors import ConfigError, RunError
from recbench.options import did_you_mean
from recbench.per_user import PER_USER

SIGNIFICANT = 0.05
"""Corrected p-value below which a difference counts as one."""

TRIVIAL = ("random", "popularity", "recent_popularity", "item_knn")
"""Models that cost next to nothing: what costs more should not lose to them."""

TESTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "t": t_test,
    "wilcoxon": wilcoxon_test,
    "randomisation": randomisation_test,
}


def with_statistics(rows: Sequence[Row], baseline: str | None = None) -> list[Row]:
    """Return ``rows`` with what their runs' values of each user say; as they are where no run keeps any.

    A user's value is the mean over the seeds, so that what is tested are the models as they were trained: how much
    another seed would change is told by the deviation over seeds.

    Args:
        rows: What ``compare`` gives.
        baseline: Label or model of the row that the others are tested against, by the metric that orders them; None
            tests none.

    Raises:
        ConfigError: No row, or more than one, is called ``baseline``.
        RunError: The values of a run cannot be read, or there are none and there is a baseline.
    """
    place = None if baseline is None else _place_of(rows, baseline)
    users = read_users(rows)
    if users is None:
        if place is not None:
            raise RunError(f"no run has a {PER_USER}, with the value of each user: there is nothing to test.")
        return list(rows)
    filled = _with_intervals(rows, users)
    metric = str(rows[0].metric)
    values = users.values.get(metric)
    if values is None:
        if place is not None:
            raise ConfigError(
                f"metric {metric!r}: has no value for each user, so that nothing can be tested. Order by one that has, "
                f"with --metric: {', '.join(users.values)}."
            )
        return filled
    groups = _groups(values, users.n_train)
    beaten = _beaten(rows, values * better(metric))
    versus = {} if place is None else _versus(rows, values, place)
    return [
        replace(
            row,
            groups=groups[number] if metric in row.metrics else (),
            beaten_by=beaten.get(number),
            versus=versus.get(number),
        )
        for number, row in enumerate(filled)
    ]


def warnings(rows: Sequence[Row]) -> list[str]:
    """Return one sentence for each row that cost more than a trivial one and is worse, beyond chance."""
    seconds = {row.label: row.seconds["fit"] for row in rows}
    return [
        f"{row.label} ({_seconds(row.seconds['fit'])}) is worse than {row.beaten_by} "
        f"({_seconds(seconds[row.beaten_by])}) by {row.metric}, and not by chance "
        f"(paired t test over users, p below {SIGNIFICANT} after Holm's correction): what it costs buys nothing here."
        for row in rows
        if row.beaten_by is not None
    ]


def _seconds(seconds: float | None) -> str:
    return "cost not known" if seconds is None else f"{seconds:.2f} s to fit"


def _place_of(rows: Sequence[Row], wanted: str) -> int:
    """Return which row is called ``wanted``: by its label, else by its model."""
    labels = [row.label for row in rows]
    if labels.count(wanted) == 1:
        return labels.index(wanted)
    found = [number for number, row in enumerate(rows) if wanted in (row.model, row.label)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"baseline {wanted!r}: no row is called so. {did_you_mean(wanted, labels)}")
    several = ", ".join(repr(labels[number]) for number in found)
    raise ConfigError(f"baseline {wanted!r}: {len(found)} rows are of it. Write the label of one: {several}.")


def _with_intervals(rows: Sequence[Row], users: Users) -> list[Row]:
    cells = [(number, name) for number, row in enumerate(rows) for name in row.metrics if name in users.values]
    found = intervals(np.stack([users.values[name][number] for number, name in cells])) if cells else []
    of_rows: list[dict[str, Interval]] = [{} for _ in rows]
    for (number, name), interval in zip(cells, found):
        if interval is not None:
            of_rows[number][name] = interval
    return [replace(row, intervals=of_row) for row, of_row in zip(rows, of_rows)]


def _versus(rows: Sequence[Row], values: np.ndarray, place: int) -> dict[int, Versus]:
    """Return what each row with values (R, U) but the one at ``place`` has against that one, by its number."""
    differences = values - values[place]
    others = [number for number in range(len(rows)) if number != place and not np.isnan(differences[number]).all()]
    if np.isnan(values[place]).all():
        raise RunError(f"{rows[place].runs[0]}: has no {PER_USER}, so that {rows[place].label!r} can be no baseline.")
    if not others:
        return {}
    differences = differences[others]
    p_values = {name: test(differences) for name, test in TESTS.items()}
    corrected = {name: holm(values) for name, values in p_values.items()}
    found = {}
    for row, (number, interval) in enumerate(zip(others, intervals(differences))):
        assert interval is not None, "rows without a value are left out"
        found[number] = Versus(
            baseline=rows[place].label,
            n_users=int((~np.isnan(differences[row])).sum()),
            difference=float(np.nanmean(differences[row])),
            interval=interval,
            effect_size=_finite(effect_size(differences)[row]),
            p={name: _finite(values[row]) for name, values in p_values.items()},
            p_holm={name: _finite(values[row]) for name, values in corrected.items()},
        )
    return found


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _groups(values: np.ndarray, n_train: np.ndarray | None) -> list[tuple[Group, ...]]:
    """Return the groups of each row of ``values`` (R, U).

    Users without training interactions are cold; the others are cut into three by their number of interactions, as
    equally as can be with equal users together.
    """
    if n_train is None:
        return [()] * len(values)
    members = {"cold": n_train == 0}
    warm = n_train[n_train > 0]
    lower, upper = np.quantile(warm, [1 / 3, 2 / 3], method="inverted_cdf") if len(warm) else (0, 0)
    members |= {
        "low": (n_train > 0) & (n_train <= lower),
        "medium": (n_train > lower) & (n_train <= upper),
        "high": n_train > max(upper, 0),
    }
    return [
        tuple(
            Group(
                name=name,
                least=int(n_train[inside].min()),
                most=int(n_train[inside].max()),
                n_users=int((~np.isnan(row[inside])).sum()),
                value=None if np.isnan(row[inside]).all() else float(np.nanmean(row[inside])),
            )
            for name, inside in members.items()
            if inside.any()
        )
        for row in values
    ]


def _beaten(rows: Sequence[Row], values: np.ndarray) -> dict[int, str]:
    """Return, by the number of a costly row, the label of the best trivial one that beats it beyond chance.

    Args:
        rows: R of them.
        values: (R, U), higher is better.
    """
    known = [number for number in range(len(rows)) if not np.isnan(values[number]).all()]
    trivial = [number for number in known if rows[number].model in TRIVIAL]
    pairs = [
        (costly, cheap)
        for costly in known
        for cheap in trivial
        if costly not in trivial and _costs_more(rows[costly], rows[cheap])
    ]
    if not pairs:
        return {}
    differences = np.stack([values[cheap] - values[costly] for costly, cheap in pairs])
    means, corrected = np.nanmean(differences, axis=1), holm(t_test(differences))
    found: dict[int, str] = {}
    for place in np.argsort(means):
        # The largest difference comes last, and stays.
        if means[place] > 0 and corrected[place] < SIGNIFICANT:
            costly, cheap = pairs[place]
            found[costly] = rows[cheap].label
    return found


def _costs_more(one: Row, other: Row) -> bool:
    """Return whether fitting ``one`` took longer, or nobody knows."""
    first, second = one.seconds["fit"], other.seconds["fit"]
    return first is None or second is None or first > second
