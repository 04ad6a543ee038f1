"""A comparison as one HTML file with plots, which needs nothing else and loads nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from recbench.comparison.analysis import warnings
from recbench.comparison.plots import GREY, INK, LINE, N_ROWS_PLOTTED, plots, svg
from recbench.comparison.rows import Row
from recbench.comparison.tables import N_METRICS_SHOWN, Table, groups_table, main_table, names_of_metrics, tests_table
from recbench.text import printable

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --grey: #6b7785; --line: #e4e7eb; --page: #f5f7fa; --card: #fff;
  --warn: #fff4e0; --warn-line: #e3a13c; --good: #dff3e6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --grey: #9aa5b1; --line: #343c46; --page: #14181d;
  --card: #1d232a; --warn: #3a2e16; --warn-line: #b87d20; --good: #1d3b2a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0 0 4px; font-size: 28px; overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 16px; overflow-wrap: anywhere; }
p { margin: 0 0 8px; }
.lead, .note { color: var(--grey); overflow-wrap: anywhere; }
.lead { margin-bottom: 20px; }
.note { margin: 10px 0 0; font-size: 13px; }
section, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
section { margin: 16px 0; padding: 16px 18px; overflow-x: auto; }
.warning { background: var(--warn); border-color: var(--warn-line); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; }
figure { margin: 0; padding: 16px; }
figcaption { font-weight: 600; margin-bottom: 8px; overflow-wrap: anywhere; }
figure svg { width: 100%; height: auto; display: block; }
svg text { font-family: system-ui, sans-serif !important; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { color: var(--grey); font-weight: 500; vertical-align: bottom; }
th, td { padding: 6px 0 6px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: normal; overflow-wrap: break-word; }
tr:last-child td { border-bottom: 0; }
td b { background: var(--good); border-radius: 4px; padding: 2px 5px; margin-right: -5px; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; font-size: 14px; }
dt { color: var(--grey); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

_READING = (
    ("mean ± deviation", "over the runs with different seeds; what another seed may change"),
    (
        "95 % of users",
        "bootstrap interval of the mean over users, whose values are means over the seeds; what other users of the "
        "same kind may change",
    ),
    (
        "p",
        "two-sided, of paired tests over users: Student's t and the randomisation test ask for the mean, Wilcoxon's "
        "whether differences lie evenly about 0; each is corrected by Holm for the number of rows",
    ),
    ("d", "Cohen's d of the paired differences: their mean over their standard deviation"),
)


def page(rows: Sequence[Row], setting: Mapping[str, str], unfinished: str = "") -> str:
    """Return the HTML text.

    Args:
        rows: What ``with_statistics`` gives.
        setting: What all of them have in common, in words.
        unfinished: Lines about runs that are not done.
    """
    n_runs = sum(row.n_seeds for row in rows)
    title = f"Comparison by {rows[0].metric}" if rows else "Comparison: no run is done"
    lead = f"{len(rows)} configurations, {n_runs} runs, {setting.get('test users', 'no')} test users"
    tables = [main_table(rows), tests_table(rows), groups_table(rows)] if rows else []
    left_out = names_of_metrics(rows)[N_METRICS_SHOWN:]
    drawn = plots(rows)
    parts = [
        *(f'<section class="warning"><p>{_text(sentence)}</p></section>' for sentence in warnings(rows)),
        *(_table(table) for table in tables[:2] if table is not None),
        '<div class="plots">',
        *(
            f"<figure><figcaption>{_text(plot.title)}</figcaption>"
            f"{svg(plot, {INK: 'var(--ink)', GREY: 'var(--grey)', LINE: 'var(--line)'})}</figure>"
            for plot in drawn
        ),
        "</div>",
        _note(f"The plots have the best {N_ROWS_PLOTTED} rows.") if drawn and len(rows) > N_ROWS_PLOTTED else "",
        *(_table(table) for table in tables[2:] if table is not None),
        _list("How to read it", _READING),
        _list("What all runs have in common", tuple(setting.items())),
        _lines("Runs that are not done", unfinished.splitlines()) if unfinished else "",
        _note(f"Further metrics are in the output as csv and json: {', '.join(left_out)}.") if left_out else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>' + "\n".join(parts) + "</main></body></html>"
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _table(table: Table) -> str:
    def cell(line: int, column: int, text: str) -> str:
        inner = f"<b>{_text(text)}</b>" if (line, column) in table.best else _text(text)
        return f"<td>{inner}</td>"

    head = "".join(f"<th>{_text(text)}</th>" for text in table.lines[0])
    lines = "\n".join(
        "<tr>" + "".join(cell(number, column, text) for column, text in enumerate(line)) + "</tr>"
        for number, line in enumerate(table.lines[1:], 1)
    )
    title = "" if table.title is None else f"<h2>{_text(table.title)}</h2>"
    return f"<section>{title}<table><tr>{head}</tr>{lines}</table>{''.join(map(_note, table.notes))}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _lines(title: str, lines: Sequence[str]) -> str:
    return f"<section><h2>{_text(title)}</h2>{''.join(f'<p>{_text(line)}</p>' for line in lines)}</section>"


def _list(title: str, entries: Sequence[tuple[str, str]]) -> str:
    inner = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in entries)
    return f"<section><h2>{_text(title)}</h2><dl>{inner}</dl></section>" if entries else ""
