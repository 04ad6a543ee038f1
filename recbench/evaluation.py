"""From a fitted model to the values of its metrics, per user and in the mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench import metrics
from recbench.candidates import (
    By,
    CandidateSet,
    Draw,
    Exclude,
    candidates_from_file,
    published_candidates,
    sampled_candidates,
)
from recbench.data import Histories, Holdout, Interactions, Ranking, RatingScale, Split
from recbench.errors import ConfigError, DataError
from recbench.metrics import MetricText
from recbench.models import Model
from recbench.options import Config
from recbench.ranking import rank

logger = logging.getLogger(__name__)

METRIC_DEFINITIONS_VERSION = 1

_PAIRS_AT_ONCE = 2**16
"""Pairs whose ratings are predicted at a time; bounds the memory."""

Part = Literal["valid", "test"]

# Options that have an effect on sampled candidates alone, and what they are called in a Draw.
_OF_SAMPLED = {
    "n_candidates": "n",
    "candidates_by": "by",
    "candidates_replacement": "replacement",
    "candidates_exclude": "exclude",
    "candidates_seed": "seed",
}


class EvaluationConfig(Config):
    """What is measured, and how."""

    metrics: tuple[MetricText, ...] = Field(
        (
            "ndcg@10",
            "recall@10",
            "precision@10",
            "hr@10",
            "mrr@10",
            "map@10",
            "ndcg@20",
            "recall@20",
            "coverage@10",
            "novelty@10",
            "gini@10",
            "mean_popularity@10",
        ),
        min_length=1,
    )
    """Names of metrics with their cut, e.g. [ndcg@10, recall@20, auc]; see ``recbench list metrics``."""

    mask: Literal["train_valid", "train", "none"] = "train_valid"
    """Which known items cannot be recommended: those of training and validation, of training only, or none."""

    candidates: Literal["full", "sampled", "file", "published"] = "full"
    """What is ranked: all items; or the relevant ones among sampled others, among those of a file, or among those that
    the data set publishes."""

    n_candidates: int | None = Field(None, ge=1)
    """Others a user, with candidates=sampled; null is 100."""

    candidates_by: By | None = None
    """How the others are sampled: uniform, or by their popularity in training; null is uniform."""

    candidates_replacement: bool | None = None
    """Whether an item may be drawn twice, which counts once; then a user may have fewer others. Null is false."""

    candidates_exclude: Exclude | None = None
    """What is never drawn: all that the user took; or what is known when asked (train), so that a relevant item may be
    drawn, which changes nothing but the number of others. Null is all."""

    candidates_seed: int | None = Field(None, ge=0)
    """Seed of the sampled candidates; they depend on nothing else than these options and the split. Null is 0."""

    candidates_path: str | None = None
    """File of candidates, with candidates=file: a line a user, ``user TAB item TAB item ...``, or as NCF publishes
    them, ``(user,item) TAB item ...``."""

    same_item: str | None = None
    """A text feature of the items, e.g. title: the leak report counts test pairs that are in training under another
    item id with the same text."""

    tie_seed: int = Field(0, ge=0)
    """Seed of the order among equal scores."""

    user_block: int = Field(512, ge=64)
    """Users scored at a time, in compiled loops by each thread; bounds the memory. Where that does not suffice, models
    that can score fewer items at a time, which changes no result; for any other it is halved, with a warning."""

    @model_validator(mode="after")
    def _candidates_fit(self) -> Self:
        if (self.candidates == "file") != (self.candidates_path is not None):
            raise ValueError("candidates=file and candidates_path=FILE go together: give both, or none.")
        for name, field in _OF_SAMPLED.items():
            value = getattr(self, name)
            if self.candidates == "sampled" and value is None:
                # The usual value given and the usual value taken are the same configuration.
                object.__setattr__(self, name, getattr(Draw, field))
            if self.candidates != "sampled" and value is not None:
                raise ValueError(
                    f"{name} = {value!r}: has no effect with candidates={self.candidates}, where nothing is sampled. "
                    "Leave it out, or set candidates=sampled."
                )
        return self

    @property
    def ks(self) -> tuple[int, ...]:
        """The cuts of the metrics, ascending."""
        return tuple(sorted({name.k for name in map(metrics.parse, self.metrics) if name.k is not None}))

    def computes(self, kind: str) -> tuple[str, ...]:
        """Return the metrics whose function computes from ``kind`` (see ``recbench.metrics.base``)."""
        return tuple(
            text for text in self.metrics if metrics.registry.entry(metrics.parse(text).name).traits["computes"] == kind
        )

    @property
    def label(self) -> str:
        """What stands behind each metric's name: empty for full ranking, else e.g. ``[sampled100]``, ``[file]``."""
        if self.candidates == "full":
            return ""
        if self.candidates != "sampled":
            return f"[{self.candidates}]"
        return f"[sampled{self.n_candidates}{'pop' if self.candidates_by == 'popularity' else ''}]"


@dataclass(frozen=True, eq=False)
class Report:
    """The metrics of one part of a split.

    Attributes:
        values: Metric to its value in full precision; the mean over users where it has a value a user.
        per_user: Metric to (U,) float64.
        users: (U,) int64, whom the rows of ``per_user`` belong to.
        n_without_target: Users left out since they have nothing to find.
        tie_rate: ``@k`` to the share of users for whom the list is cut between equal scores.
        seconds: Wall-clock time of scoring, ranking and metrics.
        ranking: The lists themselves.
    """

    values: Mapping[str, float]
    per_user: Mapping[str, Tensor]
    users: Tensor
    n_without_target: int
    tie_rate: Mapping[str, float]
    seconds: float
    ranking: Ranking


def candidate_sets(split: Split, config: EvaluationConfig) -> dict[str, CandidateSet]:
    """Return the candidates that ``config`` asks for by part; none where all items are ranked.

    Candidates of a file and published ones belong to the test users; validation then ranks all items.

    Raises:
        ConfigError: The data set publishes none, or a user has too few items to draw from.
        DataError: The file is wrong, or a user who is asked has no candidates.
    """
    sets: dict[str, CandidateSet] = {}
    if config.candidates == "sampled":
        draw = Draw(**{field: getattr(config, name) for name, field in _OF_SAMPLED.items()})
        # Krichene and Rendle, On Sampled Metrics for Item Recommendation, KDD 2020.
        logger.warning(
            "metrics among sampled candidates are not those among all items, and may put models in another order: "
            "evaluation.candidates=full ranks them all."
        )
        for part, holdout in (("valid", split.valid), ("test", split.test)):
            if holdout is not None:
                sets[part] = sampled_candidates(holdout, split.train, draw, part)
    elif split.test is not None and config.candidates == "published":
        sets["test"] = published_candidates(split.test, split.train)
    elif split.test is not None and config.candidates_path is not None:
        sets["test"] = candidates_from_file(config.candidates_path, split.test, split.train)
    for part, found in sets.items():
        _tell(part, found, config.candidates)
    return sets


def with_candidates(split: Split, sets: Mapping[str, CandidateSet]) -> Split:
    """Return ``split`` with candidates in the parts that ``sets`` has any for."""
    holdouts = {part: replace(getattr(split, part), candidates=found.items) for part, found in sets.items()}
    return replace(split, **holdouts)


def _tell(part: str, found: CandidateSet, kind: str) -> None:
    """Log what was left out since candidates are a set."""
    word = "candidates" if kind == "file" else f"{kind} negatives"
    if found.n_positives:
        logger.info(
            "%s users have their own %s item among their %s (%s items, counted once each).",
            f"{found.n_users_with_positives:,}",
            "validation" if part == "valid" else part,
            word,
            f"{found.n_positives:,}",
        )
    if found.n_duplicates:
        logger.info("%s items are named more than once among %s, and count once.", f"{found.n_duplicates:,}", word)


def evaluate(
    model: Model, split: Split, part: Part, config: EvaluationConfig, *, progress: str | None = None
) -> Report:
    """Return the metrics of ``model`` on one part of ``split``.

    Args:
        model: A fitted model.
        split: With candidates where ``config`` asks for them (see ``with_candidates``).
        part: ``"valid"`` or ``"test"``.
        config: Metrics, mask, blocks.
        progress: Label of a progress bar; None shows none.

    Raises:
        ConfigError: The split has no such part, or a rating metric is asked of a model without ratings.
        NonFiniteScoresError: The model gave a score that is not finite.
        ScoringMemoryError: The memory does not suffice for 64 users at a time.
    """
    holdout = split.test if part == "test" else split.valid
    if holdout is None:
        raise ConfigError(f"the split has no {part} part.")
    begun = time.perf_counter()
    ranking = rank(
        model,
        holdout,
        split.train,
        max(config.ks, default=1),
        masked=_masked(holdout, split.train, config.mask),
        tie_seed=config.tie_seed,
        user_block=config.user_block,
        with_auc="auc" in config.metrics,
        progress=progress,
    )
    rated = _predicted_and_actual(model, holdout, split.train.scale) if config.computes("ratings") else None
    label = "" if holdout.candidates is None else config.label
    return report(ranking, config, holdout, begun, label=label, rated=rated)


def report(
    ranking: Ranking,
    config: EvaluationConfig,
    holdout: Holdout,
    begun: float,
    *,
    label: str = "",
    rated: tuple[Tensor, Tensor] | None = None,
) -> Report:
    """Return the metrics of lists.

    Args:
        ranking: The lists, those of the users of ``holdout``.
        config: The metrics.
        holdout: Whom was asked.
        begun: Of ``time.perf_counter()`` when the work began.
        label: What stands behind the names of ranking metrics.
        rated: Predicted and actual ratings (N,), which metrics of ratings need.
    """
    values: dict[str, float] = {}
    per_user: dict[str, Tensor] = {}
    for text in config.metrics:
        name = metrics.parse(text)
        entry = metrics.registry.entry(name.name)
        if entry.traits["computes"] == "ratings":
            assert rated is not None
            values[text] = float(entry.target(*rated))
        elif entry.traits["computes"] == "lists":
            values[text + label] = float(entry.target(ranking, name.k))
        else:
            per_user[text + label] = entry.target(ranking, name.k)
            values[text + label] = float(torch.nanmean(per_user[text + label]))
    return Report(
        values=values,
        per_user=per_user,
        users=ranking.users,
        n_without_target=holdout.n_without_target,
        tie_rate={f"@{k}": float(ranking.tied[:, k - 1].double().mean()) for k in config.ks},
        seconds=time.perf_counter() - begun,
        ranking=ranking,
    )


def _masked(holdout: Holdout, train: Interactions, mask: str) -> Histories:
    """Return the items, a row a user of ``holdout``, that cannot be recommended."""
    if mask == "train_valid":
        return holdout.history
    if mask == "train":
        return train.histories.rows(holdout.users)
    nobody = torch.full_like(holdout.users, -1)
    return train.histories.rows(nobody)


def _predicted_and_actual(model: Model, holdout: Holdout, scale: RatingScale | None) -> tuple[Tensor, Tensor]:
    """Return predicted and actual ratings (N,) of the holdout's targets, as published and not normalised."""
    if holdout.target.values is None:
        raise DataError("rmse and mae compare ratings, and the data set has none.")
    users, items = holdout.users[holdout.target.row_of_each()], holdout.target.items
    pairs = zip(users.split(_PAIRS_AT_ONCE), items.split(_PAIRS_AT_ONCE))
    with torch.no_grad():
        predicted = torch.cat([model.predict(*(column.to(model.device) for column in block)) for block in pairs])
    actual = holdout.target.values
    if scale is not None:
        predicted, actual = (scale.invert(users, items, values) for values in (predicted.float().cpu(), actual))
    return predicted.double().cpu(), actual.double()
