"""The metrics of lists that were not made here."""

from __future__ import annotations

import logging
import time

import torch

from recbench import metrics
from recbench.data import Holdout, Ranking, Split
from recbench.errors import ConfigError
from recbench.evaluation import EvaluationConfig, Report, report
from recbench.lists.read import Lists

logger = logging.getLogger(__name__)


def score_lists(lists: Lists, split: Split, config: EvaluationConfig, *, chosen: bool) -> Report:
    """Return the metrics of ``lists`` on the test part of ``split``.

    A test user without a list has an empty one, in which nothing is found; what is listed although it was known
    already takes its place. Both are said.

    Args:
        lists: Of any users; only those of the test part count.
        split: What the other system was given, and what is asked.
        config: The metrics.
        chosen: Whether somebody chose the metrics; else those are left out, and named, that the lists cannot have.

    Raises:
        ConfigError: The split has no test part, or a metric needs more than the lists have.
    """
    holdout = split.test
    if holdout is None:
        raise ConfigError("the split has no test part, so that there is nothing to score the lists by.")
    begun = time.perf_counter()
    config = _that_lists_have(config, lists.longest, chosen)
    ranking = _ranking(lists, split, holdout, max(config.ks))
    n_empty = int((ranking.items[:, 0] < 0).sum())
    if n_empty:
        logger.warning(
            "%s of %s test users have no list: nothing is found for them.", f"{n_empty:,}", f"{len(holdout.users):,}"
        )
    return report(ranking, config, holdout, begun)


def _that_lists_have(config: EvaluationConfig, longest: int, chosen: bool) -> EvaluationConfig:
    """Return the options with the metrics that can be computed from lists of at most ``longest`` items.

    Raises:
        ConfigError: One that was chosen cannot, or none can.
    """
    lacking: dict[str, str] = {}
    for text in config.metrics:
        k = metrics.parse(text).k
        if k is None:
            lacking[text] = "needs the scores of all items, which lists do not have"
        elif k > longest:
            lacking[text] = f"needs lists of {k} items, and the longest has {longest}"
    left = tuple(text for text in config.metrics if text not in lacking)
    if lacking and (chosen or not left):
        text, why = next(iter(lacking.items()))
        raise ConfigError(f"metric {text!r}: {why}. Choose others: 'evaluation.metrics=[ndcg@{longest}]'.")
    if lacking:
        logger.warning("left out %s: the longest list has %d items.", ", ".join(lacking), longest)
    return config.model_copy(update={"metrics": left})


def _ranking(lists: Lists, split: Split, holdout: Holdout, k: int) -> Ranking:
    """Return the lists of the test users, cut at ``k``."""
    train = split.train
    n_users, n_asked = train.n_users, len(holdout.users)
    row_of = torch.full((n_users,), -1, dtype=torch.int64)
    row_of[holdout.users] = torch.arange(n_asked)
    counts = torch.bincount(lists.users, minlength=n_users)
    place = torch.arange(len(lists.users)) - (counts.cumsum(0) - counts)[lists.users]
    rows = row_of[lists.users]
    kept = (rows >= 0) & (place < k)
    rows, place, listed = rows[kept], place[kept], lists.items[kept]
    items = torch.full((n_asked, k), -1, dtype=torch.int64)
    items[rows, place] = listed
    tied = torch.zeros(n_asked, k, dtype=torch.bool)
    tied[rows, place] = lists.tied[kept]
    keys = rows * train.n_items + listed
    hits = torch.zeros(n_asked, k, dtype=torch.bool)
    hits[rows, place] = torch.isin(keys, holdout.target.row_of_each() * train.n_items + holdout.target.items)
    known = torch.isin(keys, holdout.history.row_of_each() * train.n_items + holdout.history.items)
    n_known = int((known & ~hits[rows, place]).sum())
    if n_known:
        logger.warning(
            "%s of the %s listed items are known of the user from training or validation; they take places, and models "
            "of recbench do not list them.",
            f"{n_known:,}",
            f"{len(listed):,}",
        )
    return Ranking(
        users=holdout.users,
        items=items,
        hits=hits,
        n_relevant=holdout.target.counts,
        tied=tied,
        popularity=train.popularity,
        n_train_users=n_users,
    )
