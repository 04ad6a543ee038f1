"""``recbench compare``: finished runs as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import get_args

from recbench import compare, plugins
from recbench.cli.arguments import Parser


def main(arguments: Sequence[str]) -> int:
    """Print the comparison of the runs below the given folders, and say which runs are not done.

    Raises:
        ConfigError: No run has the metric.
        RunError: There are no runs, or they do not belong in one table.
    """
    parser = Parser(
        "compare",
        "Compare the runs below folders: a row a configuration, mean and deviation over its seeds, best first.",
    )
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a run, a sweep, or a folder of them")
    parser.add_argument("--metric", metavar="M", help="orders the table, e.g. recall@20; by default the monitored one")
    parser.add_argument("--format", choices=get_args(compare.Format), default="table", help="by default %(default)s")
    parser.add_excel_safe()
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    results = compare.read_results(given.folders)
    rows = compare.compare(results, given.metric)
    print(compare.render(rows, given.format, for_spreadsheet=given.excel_safe))
    unfinished = compare.unfinished(results)
    if unfinished:
        print(unfinished, file=sys.stderr)
    return 0
