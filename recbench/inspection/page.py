"""A data set in numbers and plots as one HTML file, which needs nothing else and loads nothing."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from recbench.data import Interactions
from recbench.inspection.describe import Description, Section, activity, sections
from recbench.text import printable

_INK, _GREY, _BLUE, _ORANGE = "#1f2933", "#7b8794", "#2f6f9f", "#d9822b"
_WIDTH_INCHES, _HEIGHT_INCHES = 5.6, 3.1
_MOST_POINTS = 400
_N_BINS = 50
_MOST_DAYS_WITH_HOURS = 3
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "recbench",
    "font.size": 9,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "grid.color": "#e4e7eb",
    "axes.grid": True,
    "axes.axisbelow": True,
}

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: #1f2933; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0 0 4px; font-size: 28px; overflow-wrap: anywhere; }
h2 { margin: 0 0 12px; font-size: 16px; }
.lead { margin: 0 0 24px; color: #52606d; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.number, section, figure { background: #fff; border: 1px solid #e4e7eb; border-radius: 8px; }
.number { padding: 14px 16px; }
.number b { display: block; font-size: 22px; font-weight: 600; white-space: nowrap; }
.number span { color: #7b8794; font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 16px; margin: 16px 0; }
figure { margin: 0; padding: 16px; }
figcaption { font-weight: 600; margin-bottom: 8px; }
figure img { width: 100%; height: auto; display: block; }
section { margin: 16px 0; padding: 16px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { color: #7b8794; font-weight: 500; text-align: left; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid #eef1f4; vertical-align: top; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.facts td:first-child { color: #7b8794; width: 200px; }
td.number-cell, th.number-cell { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 520px) { .plots { grid-template-columns: 1fr; } }
"""


def page(description: Description, interactions: Interactions) -> str:
    """Return the HTML text: the numbers of ``describe.sections``, and plots of what they summarise.

    Args:
        description: What ``describe.describe`` gives of ``interactions``.
        interactions: What is plotted.
    """
    told, (card, _, *others) = description, sections(description)
    numbers = {
        "users": f"{told.n_users:,}",
        "items": f"{told.n_items:,}",
        "interactions": f"{told.n_interactions:,}",
        "density": f"{100 * told.density:.3g} %",
    }
    if told.mean_rating is not None:
        numbers["mean rating"] = f"{told.mean_rating:.3g}"
    if told.first is not None:
        numbers[f"from {told.first} to"] = str(told.last)
    heads = "".join(
        f'<div class="number"><b>{_text(number)}</b><span>{_text(what)}</span></div>'
        for what, number in numbers.items()
    )
    figures = "".join(
        f'<figure><figcaption>{_text(title)}</figcaption><img alt="{_text(title)}" src="{_svg(draw)}"></figure>'
        for title, draw in _plots(interactions)
    )
    facts = Section("Where it is from", (*card.rows, ("fingerprint", told.fingerprint)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(told.name)}: a data set in numbers</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{_text(told.name)}</h1><p class="lead">{_text(told.card["description"])}</p>'
        f'<div class="numbers">{heads}</div><div class="plots">{figures}</div>'
        + "".join(map(_section, [*others, facts]))
        + "</main></body></html>\n"
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _section(section: Section) -> str:
    right = section.numbers
    head = "".join(f"<th{_class(of)}>{_text(cell)}</th>" for cell, of in zip(section.head, right))
    rows = "".join(
        "<tr>" + "".join(f"<td{_class(of)}>{_text(cell)}</td>" for cell, of in zip(row, right)) + "</tr>"
        for row in section.rows
    )
    table = f"<table><tr>{head}</tr>{rows}</table>" if section.head else f'<table class="facts">{rows}</table>'
    return f"<section><h2>{_text(section.title)}</h2>{table}</section>"


def _class(is_number: bool) -> str:
    return ' class="number-cell"' if is_number else ""


def _plots(interactions: Interactions) -> Iterator[tuple[str, Callable[[Axes], None]]]:
    """Yield the title of each plot, and what draws it."""
    yield "Long tail: popularity of the items by rank", lambda axes: _long_tail(axes, interactions.popularity.numpy())
    yield "Activity: how many users have how many interactions", lambda axes: _activity(axes, activity(interactions))
    if interactions.ratings is not None:
        ratings = interactions.ratings.numpy()
        yield "Ratings", lambda axes: _ratings(axes, ratings)
    if interactions.timestamps is not None and interactions.time == "seconds":
        timestamps = interactions.timestamps.numpy()
        yield "Interactions over time", lambda axes: _over_time(axes, timestamps)


def _svg(draw: Callable[[Axes], None]) -> str:
    """Return what ``draw`` draws as the address of an image that is its own content."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
        draw(figure.add_subplot())
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"


def _long_tail(axes: Axes, popularity: np.ndarray) -> None:
    counts = np.sort(popularity[popularity > 0])[::-1]
    # On a logarithmic axis most ranks lie on each other.
    ranks = np.unique(np.geomspace(1, len(counts), _MOST_POINTS).round().astype(np.int64))
    axes.loglog(ranks, counts[ranks - 1], color=_BLUE, linewidth=2)
    axes.fill_between(ranks, counts[ranks - 1], 1, color=_BLUE, alpha=0.12, linewidth=0)
    fifth = max(1, len(counts) // 5)
    axes.axvline(fifth, color=_ORANGE, linewidth=1.2, linestyle="--", label="top 20 % of the items")
    axes.legend(frameon=False, loc="lower left")
    axes.set(xlabel="rank of the item", ylabel="interactions")
    _plain_numbers(axes, "xy")


def _activity(axes: Axes, counts: np.ndarray) -> None:
    counts = counts[counts > 0]
    # Ranges of whole numbers, so that none of them lies between two and stays empty.
    edges = np.unique(np.geomspace(1, counts.max() + 1, _N_BINS).round())
    axes.hist(counts, bins=edges.tolist(), color=_BLUE, edgecolor="white", linewidth=0.4)
    median = float(np.median(counts))
    axes.axvline(median, color=_ORANGE, linewidth=1.2, linestyle="--", label=f"median {median:g}")
    axes.set_xscale("log")
    axes.legend(frameon=False)
    axes.set(xlabel="interactions of a user", ylabel="users")
    _plain_numbers(axes, "xy")


def _ratings(axes: Axes, ratings: np.ndarray) -> None:
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= _N_BINS // 2:
        places = np.arange(len(values))
        axes.bar(places, counts, color=_BLUE, width=0.75)
        axes.set_xticks(places, [f"{value:g}" for value in values])
    else:
        axes.hist(ratings, bins=_N_BINS, color=_BLUE, edgecolor="white", linewidth=0.4)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="rating", ylabel="interactions")
    _plain_numbers(axes, "y")


def _over_time(axes: Axes, timestamps: np.ndarray) -> None:
    axes.hist(timestamps, bins=_N_BINS, color=_BLUE, edgecolor="white", linewidth=0.4)
    places = np.linspace(timestamps.min(), timestamps.max(), 5)
    days = (timestamps.max() - timestamps.min()) / 86_400
    unit = "h" if days <= _MOST_DAYS_WITH_HOURS else "D"
    labels = [str(np.datetime64(int(place), "s").astype(f"datetime64[{unit}]")) for place in places]
    axes.set_xticks(places, labels)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="day (UTC)", ylabel="interactions")
    _plain_numbers(axes, "y")


def _plain_numbers(axes: Axes, which: str) -> None:
    """Write the numbers at the axes in full: 10,000."""
    for name in which:
        getattr(axes, f"{name}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
