"""``recbench evaluate``: the lists of another system by our metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.cli.composition import make_plan
from recbench.cli.session import hydra_session
from recbench.comparison.statistics import Interval, intervals
from recbench.configuration import ExperimentConfig
from recbench.errors import ConfigError
from recbench.evaluation import Report
from recbench.experiment import prepare
from recbench.files import finite
from recbench.lists import ListsFile, read_lists, score_lists, write_evaluation
from recbench.logs import configure_console
from recbench.text import aligned

_EPILOG = """\
examples:
  recbench evaluate --recommendations theirs.csv --train train.csv --test test.csv
  recbench evaluate --recommendations theirs.tsv --score prediction --train train.csv --test test.csv \\
      'evaluation.metrics=[ndcg@10, recall@50]' --output outputs/theirs --label theirs
  recbench evaluate --recommendations theirs.csv dataset=ml-100k split=random

FILE has a line an item, in any order: user, item, and rank (best: lowest) or score (best: highest);
CSV, TSV, JSON lines or Parquet. Ids are those of the data. A test user without a list counts: nothing is found.

With --output the evaluation is kept and stands beside runs on the same data and split:
  recbench run -m model=item_knn,mf dataset=files dataset.train=train.csv dataset.test=test.csv split=fixed
  recbench compare outputs/theirs outputs/sweeps/... --baseline item_knn
"""

_GROUPS = ("dataset", "split", "evaluation")


def main(arguments: Sequence[str]) -> int:
    """Print the metrics of the lists, with intervals over users, and keep them where that is asked for.

    Raises:
        ConfigError: An option is wrong, or a metric needs more than the lists have.
        DataError: A file is wrong.
        RunError: The folder holds a run, or cannot be written to.
    """
    parser = Parser("evaluate", "Score the lists that any other system recommends, by our metrics.", _EPILOG)
    parser.add_argument("--recommendations", metavar="FILE", required=True, help="the lists, a line an item")
    parser.add_argument("--train", metavar="FILE", help="what the other system was trained on: user, item, ...")
    parser.add_argument("--valid", metavar="FILE", help="what it was tuned on, if anything; known like --train")
    parser.add_argument("--test", metavar="FILE", help="what is to be found")
    for name in ("user", "item", "rank", "score"):
        parser.add_argument(
            f"--{name}", metavar="COLUMN", type=_place, help=f"column of the {name} in the lists: a name, or from 0"
        )
    parser.add_argument("--delimiter", metavar="D", help="of the lists: comma, tab, semicolon, pipe, space, or itself")
    parser.add_argument(
        "--header", choices=("true", "false"), help="whether the first line of the lists names the columns"
    )
    parser.add_argument("--encoding", default="utf-8", help="of the lists, by default %(default)s")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="by default %(default)s")
    parser.add_argument("--output", metavar="FOLDER", help="keep the evaluation there, for recbench compare")
    parser.add_argument("--label", metavar="NAME", help="what the other system is called; by default the file's name")
    parser.add_argument("--seed", type=int, default=0, help="with which it was trained, by default %(default)s")
    parser.add_overrides()
    given = parser.parse_intermixed_args(arguments)
    if given.rank is not None and given.score is not None:
        raise ConfigError("--rank and --score are given together: lists are ordered by one of them.")
    configure_console(quiet=True)
    plugins.load(given.plugin)
    words = _words(given.train, given.valid, given.test, given.overrides)
    config = _config(words, given.config_dir)
    file = ListsFile(
        given.recommendations,
        given.user,
        given.item,
        given.rank,
        given.score,
        given.delimiter,
        None if given.header is None else given.header == "true",
        given.encoding,
    )
    prepared = prepare(config)
    lists = read_lists(file, prepared.split.train, config.evaluation.tie_seed)
    chosen = any(word.lstrip("+").startswith("evaluation.metrics") for word in words)
    report = score_lists(lists, prepared.split, config.evaluation, chosen=chosen)
    if given.output is not None:
        label = given.label or Path(given.recommendations).name.partition(".")[0]
        write_evaluation(Path(given.output), label, given.seed, config, prepared, report)
    print(_shown(report, given.format))
    return 0


def _place(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _words(train: str | None, valid: str | None, test: str | None, overrides: Sequence[str]) -> list[str]:
    """Return what says where the data is, as ``recbench run`` takes it."""
    for word in overrides:
        group = word.lstrip("+").partition("=")[0].partition(".")[0]
        if group not in _GROUPS:
            raise ConfigError(f"{word!r}: has no effect on lists; only dataset, split and evaluation can be set here.")
    names_data = any(word.lstrip("+").startswith(("dataset=", "dataset.train=")) for word in overrides)
    if names_data and (train, valid, test) == (None, None, None):
        return list(overrides)
    if train is None or test is None or names_data:
        raise ConfigError(
            "give both --train FILE and --test FILE, or a data set and a split instead: dataset=ml-100k split=random."
        )
    files = {"train": train, "valid": valid, "test": test}
    parts = [f"dataset.{name}={json.dumps(path)}" for name, path in files.items() if path is not None]
    return ["dataset=files", "split=fixed", *parts, *overrides]


def _config(words: Sequence[str], config_dir: str | None) -> ExperimentConfig:
    with hydra_session(config_dir) as session:
        # Some model has to be there; it is never made.
        (job,) = make_plan(session, ["model=popularity", *words], multirun=False).jobs
    config = job.resolved.config
    if config.evaluation.candidates != "full":
        raise ConfigError(
            f"evaluation.candidates = {config.evaluation.candidates!r}: lists are scored as they are, among all items; "
            "leave it out."
        )
    return config


def _shown(report: Report, form: str) -> str:
    """Return the metrics, with intervals where there is a value for each user."""
    of_users = [values.numpy() for values in report.per_user.values()]
    found = dict(zip(report.per_user, intervals(np.stack(of_users)))) if of_users else {}
    if form == "json":
        metrics = {name: {"value": value, **_ends(found.get(name))} for name, value in report.values.items()}
        return json.dumps(finite({"n_users": len(report.users), "metrics": metrics}), indent=2, allow_nan=False)
    lines = [["metric", "test", "95 % of users"]]
    lines += [[name, f"{value:.4f}", str(found.get(name) or "-")] for name, value in report.values.items()]
    return "\n".join([*aligned(lines, right=(1, 2)), "", f"{len(report.users):,} test users."])


def _ends(interval: Interval | None) -> dict[str, float]:
    return {} if interval is None else {"low": interval.low, "high": interval.high}
