"""``recbench recommend``: items for users, by a finished run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.errors import ConfigError
from recbench.recommend import for_spreadsheets, load
from recbench.text import printable

_EPILOG = """\
examples:
  recbench recommend outputs/.../mf-3f2a91c0 --user 42 --k 5
  recbench recommend outputs/.../item_knn-11aa22bb --history 50,181,258
  recbench recommend outputs/.../mf-3f2a91c0 --all-users everyone.csv

Users and items are named as in the data set. Items that a user is known to have are left out.
"""


def main(arguments: Sequence[str]) -> int:
    """Print, or write, the items that a run's model recommends.

    Raises:
        ConfigError: The user or an item is unknown, or the model cannot score users by their history alone.
        RunError: The folder holds no finished run.
    """
    parser = Parser("recommend", "Recommend items with a finished run.", _EPILOG)
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run")
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--user", metavar="ID", help="a user of the data set")
    whom.add_argument("--history", metavar="ID,ID,...", help="what an unknown user has taken")
    whom.add_argument("--all-users", metavar="FILE", help="write the items of every user to FILE, as CSV")
    parser.add_argument("--k", type=int, default=10, help="number of items, by default %(default)s")
    parser.add_argument(
        "--keep-heldout",
        action="store_true",
        help="leave out only what the user has in training, not all that is known",
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="by default %(default)s")
    parser.add_excel_safe()
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    if given.excel_safe and given.all_users is None and given.format != "csv":
        raise ConfigError(
            f"--excel-safe has no effect on --format {given.format}; write --format csv, or leave it out."
        )
    plugins.load(given.plugin)
    recommender = load(given.run)
    if given.all_users is not None:
        recommender.write_all(
            given.all_users, given.k, keep_heldout=given.keep_heldout, for_spreadsheet=given.excel_safe
        )
        return 0
    if given.history is not None:
        items = recommender.recommend_history(given.history.split(","), given.k)
    else:
        items = recommender.recommend([given.user], given.k, keep_heldout=given.keep_heldout)
    _print(for_spreadsheets(items) if given.excel_safe else items, given.format)
    return 0


def _print(items: pd.DataFrame, form: str) -> None:
    if form == "csv":
        items.to_csv(sys.stdout, index=False)
    elif form == "json":
        print(items.to_json(orient="records", force_ascii=False, indent=2))
    else:
        words = [column for column in ("user", "item", "title") if column in items]
        print(items.assign(**{column: items[column].map(printable) for column in words}).to_string(index=False))
