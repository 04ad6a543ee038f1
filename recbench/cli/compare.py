"""``recbench compare``: finished runs as a table, with what their users' values say."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.errors import ConfigError, RunError
from recbench.files import replacing

_EPILOG = """\
examples:
  recbench compare outputs/sweeps/5e1f0c2a                       mean and deviation over seeds, interval over users
  recbench compare outputs/sweeps/5e1f0c2a --baseline item_knn   and paired tests of each row against item_knn
  recbench compare outputs --metric recall@20 --groups           ordered by another metric; and by groups of users
  recbench compare outputs --baseline mf --format latex          for a paper (package booktabs)
  recbench compare outputs --baseline mf --format html --output comparison.html    one file to mail, with plots
  recbench compare outputs --tensorboard                         the same in TensorBoard, as one run of its own

What each number means, and which test is right when: docs/comparing.md.
"""


def main(arguments: Sequence[str]) -> int:
    """Show the comparison of the runs below the given folders, and say which runs are not done.

    Raises:
        ConfigError: No run has the metric, or no row is called as the baseline.
        RunError: There are no runs, they do not belong in one table, or a file cannot be read or written.
    """
    # It takes a tenth of a second to import, which commands that only may compare should not pay.
    from recbench import comparison

    parser = Parser(
        "compare",
        "Compare the runs below folders: a row a configuration, mean and deviation over its seeds, best first.",
        _EPILOG,
    )
    formats = (*get_args(comparison.Format), "html")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a run, a sweep, or a folder of them")
    parser.add_argument(
        "--metric", metavar="M", help="orders the table and is tested, e.g. recall@20; by default the monitored one"
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="label or model of the row that the others are tested against"
    )
    parser.add_argument("--groups", action="store_true", help="also the metric by activity of the users")
    parser.add_argument("--format", choices=formats, default="table", help="by default %(default)s")
    parser.add_argument("--output", metavar="FILE", help="write to FILE instead of the terminal")
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write the comparison for TensorBoard, below the first DIR"
    )
    parser.add_excel_safe()
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    results = comparison.read_results(given.folders)
    rows = comparison.with_statistics(comparison.compare(results, given.metric), given.baseline)
    unfinished = comparison.unfinished(results)
    if given.format == "html":
        for flag, is_given, why in (
            ("--groups", given.groups, ", which has them anyway"),
            ("--excel-safe", given.excel_safe, ""),
        ):
            if is_given:
                raise ConfigError(f"{flag} has no effect on --format html{why}; leave it out.")
        # matplotlib takes half a second to import.
        from recbench.comparison.page import page

        text = page(rows, comparison.setting(results), unfinished)
    else:
        text = comparison.render(rows, given.format, groups=given.groups, for_spreadsheet=given.excel_safe)
    if given.output is None:
        print(text)
    else:
        with replacing(Path(given.output)) as file:
            file.write(f"{text}\n".encode())
    if given.tensorboard:
        from recbench.comparison.board import write_board

        write_board(Path(given.folders[0]), rows)
        print(f"in TensorBoard:  recbench board {shlex.quote(given.folders[0])}", file=sys.stderr)
    for sentence in comparison.warnings(rows):
        print(f"warning: {sentence}", file=sys.stderr)
    if unfinished:
        print(unfinished, file=sys.stderr)
    return 0


def print_comparison(folders: Sequence[Path]) -> bool:
    """Print the table of the runs below ``folders`` and its warnings, or why there is none; return whether there is."""
    from recbench import comparison

    try:
        rows = comparison.with_statistics(comparison.compare(comparison.read_results(folders)))
    except RunError as error:
        # Runs on several data sets, for instance: each is good, and there is no one table.
        print(f"no comparison: {error}")
        return False
    print(comparison.render(rows))
    for sentence in comparison.warnings(rows):
        print(f"warning: {sentence}", file=sys.stderr)
    return True
