"""The plots of a comparison: what draws each, whatever it is drawn for."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from recbench import metrics
from recbench.comparison.rows import Row, Versus
from recbench.text import printable

N_ROWS_PLOTTED = 10
"""Rows in a plot, the best ones; more cannot be told apart."""

INK, GREY, LINE = "#1f2933", "#6b7785", "#e4e7eb"
"""Colours of text, axes and grid, for a light page."""

_COLOURS = (
    "#2f7ebc",
    "#d9822b",
    "#3a9d5d",
    "#c4473a",
    "#8a63c4",
    "#9a6b4b",
    "#d36ba6",
    "#7f8a95",
    "#a5a02c",
    "#2ba3b0",
)
_MARKERS = "osD^vPX<>*"
_LEAST_SECONDS = 0.001
_LABEL_WIDTH = 24
_WIDTH_INCHES, _HEIGHT_INCHES = 6.4, 3.6
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recbench",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """A plot that is yet to be drawn.

    Attributes:
        title: What it shows.
        draw: Draws it.
        height_inches: Of the figure.
    """

    title: str
    draw: Callable[[Axes], None]
    height_inches: float = _HEIGHT_INCHES


def plots(rows: Sequence[Row]) -> list[Plot]:
    """Return the plots of the best ``rows`` that there is something to draw for, by the metric that orders them."""
    metric = rows[0].metric if rows else None
    if metric is None:
        return []
    shown = [row for row in rows if metric in row.metrics and row.metrics[metric].mean is not None][:N_ROWS_PLOTTED]
    found = []
    if any(row.seconds["fit"] is not None for row in shown):
        found.append(Plot(f"{metric} against the time to fit", partial(_cost, rows=shown, metric=metric)))
    if shown:
        title = f"{metric}: seeds, mean, and interval over users"
        found.append(Plot(title, partial(_seeds, rows=shown, metric=metric), _height(shown)))
    tested = [(_name(place, row), row.versus) for place, row in enumerate(shown) if row.versus is not None]
    if tested:
        title = f"{metric} less that of {printable(tested[0][1].baseline)}, interval over users"
        found.append(Plot(title, partial(_differences, tested=tested), _height(tested)))
    for name, of_k in _families(shown).items():
        found.append(Plot(f"{name} by length of the list", partial(_by_k, rows=shown, name=name, of_k=of_k)))
    if any(len(row.groups) > 1 for row in shown):
        found.append(Plot(f"{metric} by activity of the users", partial(_by_group, rows=shown, metric=metric)))
    return found


def svg(plot: Plot, colours: Mapping[str, str]) -> str:
    """Return a plot as an element of an HTML page.

    Args:
        plot: What is drawn.
        colours: Colour to what stands for it in the page, e.g. ``{INK: "var(--ink)"}``.
    """
    content = io.BytesIO()
    with mpl.rc_context(_SETTINGS):
        figure = _figure(plot)
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = content.getvalue().decode()
    text = text[text.index("<svg") :]
    for colour, name in colours.items():
        text = text.replace(colour, name)
    # A page may hold each name once.
    return re.sub(
        r' id="(?:figure|axes|patch|matplotlib|xtick|ytick|line2d|text|legend|PathCollection|LineCollection)[^"]*"',
        "",
        text,
    )


def drawn(plot: Plot) -> Figure:
    """Return the figure of a plot, for a light page."""
    with mpl.rc_context(_SETTINGS):
        return _figure(plot)


def _figure(plot: Plot) -> Figure:
    figure = Figure(figsize=(_WIDTH_INCHES, plot.height_inches), layout="constrained")
    plot.draw(figure.add_subplot())
    return figure


def _height(rows: Sequence[Any]) -> float:
    """Return the height in inches of a figure with a line a row."""
    return max(_HEIGHT_INCHES, 1.0 + 0.34 * len(rows))


def _cost(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    for place, row in enumerate(rows):
        mean, seconds = row.metrics[metric].mean, row.seconds["fit"]
        if mean is None or seconds is None:
            continue
        seconds, interval = max(seconds, _LEAST_SECONDS), row.intervals.get(metric)
        if interval is not None:
            axes.plot([seconds, seconds], [interval.low, interval.high], color=_COLOURS[place], linewidth=1.2)
        axes.plot([seconds], [mean], linestyle="", **_look(place, row))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=f"seconds to fit, mean of the runs (at least {_LEAST_SECONDS:g})", ylabel=metric)
    _legend(axes)


def _seeds(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    for place, row in enumerate(rows):
        colour, interval = _COLOURS[place], row.intervals.get(metric)
        if interval is not None:
            axes.plot(
                [interval.low, interval.high],
                [place, place],
                color=colour,
                alpha=0.3,
                linewidth=8,
                solid_capstyle="butt",
            )
        values = [value for value in row.per_seed.get(metric, ()) if value is not None]
        axes.plot(values, [place] * len(values), color=colour, marker="o", markersize=4.5, linestyle="", alpha=0.8)
        axes.plot(
            [_or_nan(row.metrics[metric].mean)], [place], color=colour, marker="|", markersize=15, markeredgewidth=2
        )
    _lines_of(axes, [_name(place, row) for place, row in enumerate(rows)], metric)


def _differences(axes: Axes, tested: Sequence[tuple[str, Versus]]) -> None:
    axes.axvline(0, color=GREY, linewidth=1.2)
    for place, (_, versus) in enumerate(tested):
        axes.plot([versus.interval.low, versus.interval.high], [place, place], color=_COLOURS[0], linewidth=2)
        axes.plot([versus.difference], [place], color=_COLOURS[0], marker="o", markersize=6)
    _lines_of(axes, [name for name, _ in tested], "difference, mean over users")


def _lines_of(axes: Axes, names: Sequence[str], label: str) -> None:
    """Let each row be a line, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(label)


def _families(rows: Sequence[Row]) -> dict[str, dict[int, str]]:
    """Return the metrics that all rows have at several cuts: name to cut, ascending, to the name with it."""
    cuts: dict[str, dict[int, str]] = {}
    for text in rows[0].metrics if rows else ():
        name = metrics.parse(text.partition("[")[0])
        if name.k is not None and all(text in row.metrics for row in rows):
            cuts.setdefault(name.name, {})[name.k] = text
    return {name: dict(sorted(of_k.items())) for name, of_k in cuts.items() if len(of_k) > 1}


def _by_k(axes: Axes, rows: Sequence[Row], name: str, of_k: Mapping[int, str]) -> None:
    for place, row in enumerate(rows):
        axes.plot(list(of_k), [_or_nan(row.metrics[text].mean) for text in of_k.values()], **_look(place, row))
    axes.set_xticks(list(of_k))
    axes.set(xlabel="k", ylabel=f"{name}@k")
    _legend(axes)


def _by_group(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    groups = next(row.groups for row in rows if row.groups)
    for place, row in enumerate(rows):
        values = [_or_nan(group.value) for group in row.groups]
        axes.plot(range(len(values)), values, **_look(place, row))
    axes.set_xticks(range(len(groups)), [f"{group.name}\n{group.least:,}-{group.most:,}" for group in groups])
    axes.set(xlabel="training interactions of the user", ylabel=metric)
    _legend(axes)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _look(place: int, row: Row) -> dict[str, Any]:
    return {"label": _name(place, row), "color": _COLOURS[place], "marker": _MARKERS[place], "markersize": 5.5}


def _name(place: int, row: Row) -> str:
    """Return the label; of a long one the beginning, behind the place in the table."""
    label = printable(row.label)
    if len(label) <= _LABEL_WIDTH:
        return label
    return f"{place + 1}. {label}"[: _LABEL_WIDTH - 3] + "..."


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
