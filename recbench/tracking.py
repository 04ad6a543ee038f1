"""What a run tells while it goes on: ``metrics.jsonl``, the source of truth, and TensorBoard, a view of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from recbench import metrics
from recbench.data import Interactions, Ranking
from recbench.errors import StorageError
from recbench.files import finite, replacing
from recbench.models import Model
from recbench.options import Config
from recbench.redaction import redacted
from recbench.text import printable
from recbench.trainers import EpochRecord

if TYPE_CHECKING:
    from recbench.configuration import ExperimentConfig
    from recbench.experiment import Outcome

logger = logging.getLogger(__name__)

CURVE = "metrics.jsonl"
_EVENTS, _STATUS = "events.out.tfevents.*", "events.out.tfevents.0.status"
_POINTS_BY_K = 50
MAX_HPARAMS = 12
"""Columns of the HPARAMS tab that one run fills; of more it becomes unreadable."""


class TrackingConfig(Config):
    """What is written for TensorBoard; it changes no number."""

    tensorboard: bool = True
    """Whether to write TensorBoard events into the run's folder."""

    embeddings: bool = False
    """Whether to write the vectors of the most popular items for TensorBoard's projector."""

    max_embeddings: int = Field(5000, ge=1)
    """Items in the projector at most."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.embeddings and not self.tensorboard:
            raise ValueError("embeddings = True: has no effect with tensorboard=false.")
        return self


class Tracker:
    """Writes the curve of one run into its folder."""

    def __init__(self, folder: Path, config: ExperimentConfig, card: str, curve: tuple[EpochRecord, ...] = ()) -> None:
        """Begin, or go on: what an earlier attempt wrote gives way to ``curve``, so that no point is there twice.

        Args:
            folder: The run's.
            config: The experiment.
            card: What TensorBoard shows as the run's text, in Markdown.
            curve: The epochs that are over.

        Raises:
            StorageError: A file cannot be written.
        """
        self._path = folder / CURVE
        with replacing(self._path) as file:
            file.write("".join(map(_line, curve)).encode())
        # Line by line, so that what was written is there for others and after a crash.
        self._curve = self._path.open("a", encoding="utf-8", buffering=1)
        self._board = TensorBoard(folder, config, card, curve) if config.tracking.tensorboard else None

    def epoch(self, record: EpochRecord) -> None:
        """Add one point.

        Raises:
            StorageError: It cannot be written.
        """
        try:
            self._curve.write(_line(record))
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written ({error.strerror}).") from error
        if self._board is not None:
            self._board.scalars(record.values, record.epoch)

    def finish(self, outcome: Outcome) -> None:
        """Add what is known at the end."""
        if self._board is not None:
            self._board.finish(outcome)

    def close(self, status: str) -> None:
        """End, saying how: ``done``, ``failed``, ``diverged`` or ``interrupted``; the first time counts.

        Raises:
            StorageError: It cannot be written.
        """
        if self._curve.closed:
            return
        self._curve.close()
        if self._board is not None:
            self._board.close(status)


def _line(record: EpochRecord) -> str:
    return json.dumps(finite({"epoch": record.epoch, **record.values}), allow_nan=False) + "\n"


class TensorBoard:
    """The event file of one run, with the records that make it a line of the HPARAMS tab.

    The session's start and end stand in the run's own file and no experiment is declared: so TensorBoard takes
    the union over all runs, and models with different options compare in one table. The session has no name, so
    that it gets that of the run, its folder below the one that is looked at: no two runs share a row.
    """

    def __init__(self, folder: Path, config: ExperimentConfig, card: str, curve: tuple[EpochRecord, ...]) -> None:
        """Begin the session; see ``Tracker``. The file of an earlier attempt, and how that ended, give way."""
        # It takes a second to import, which only runs that write events should pay.
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._config = folder, config
        earlier = list(folder.glob(_EVENTS))
        # Whoever is looking at the earlier file forgets its points.
        self._writer = SummaryWriter(str(folder), purge_step=1 if earlier else None)
        self._session = SessionStartInfo(start_time_secs=time.time())
        for name, value in hparams(config).items():
            kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
            setattr(self._session.hparams[name], kind, value)
        self._writer._get_file_writer().add_summary(_record_of(self._session))
        self._writer.add_text("card", card)
        for record in curve:
            self.scalars(record.values, record.epoch)
        self._writer.flush()
        for path in earlier:
            path.unlink()

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        """Add one point to each curve; what training tells of itself is grouped as such."""
        for name, value in values.items():
            self._writer.add_scalar(name if "/" in name else f"train/{name}", value, epoch)
        self._writer.flush()

    def finish(self, outcome: Outcome) -> None:
        """Add the final values, at their epoch, two of them by k, and the items' vectors if asked for."""
        epoch = outcome.fit.best_epoch or 0
        if "valid" in outcome.reports:
            # The monitored value alone: HPARAMS shows the first few columns, in the order of their names.
            monitor = getattr(self._config.trainer, "monitor", self._config.evaluation.metrics[0])
            values = outcome.reports["valid"].values
            self.scalars({f"best/{name}": values[name] for name in values if name.partition("[")[0] == monitor}, epoch)
        if "test" in outcome.reports:
            self.scalars({f"test/{name}": value for name, value in outcome.reports["test"].values.items()}, epoch)
            for name, points in recall_and_precision_by_k(outcome.reports["test"].ranking).items():
                for k, value in points.items():
                    self._writer.add_scalar(f"test_by_k/{name}", value, k)
        if self._config.tracking.embeddings:
            self._embeddings(outcome.model, outcome.split.train)

    def close(self, status: str) -> None:
        """End the session, and tell its start again with ``Status`` among the hyperparameters.

        TensorBoard itself knows only good and bad ends, and takes the first record of a session that it reads: so
        the second one has a file of its own, whose name comes first. A board that is open stays with the first.

        Raises:
            StorageError: The file cannot be written.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams import api_pb2
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo
        from tensorboard.summary.writer.record_writer import RecordWriter

        code = api_pb2.STATUS_SUCCESS if status == "done" else api_pb2.STATUS_FAILURE
        end = _record_of(SessionEndInfo(status=code, end_time_secs=time.time()))
        self._writer._get_file_writer().add_summary(end)
        self._writer.close()
        self._session.hparams["Status"].string_value = status
        start = Event(wall_time=self._session.start_time_secs, summary=_record_of(self._session))
        with replacing(self._folder / _STATUS) as file:
            RecordWriter(file).write(start.SerializeToString())

    def _embeddings(self, model: Model, train: Interactions) -> None:
        vectors = model.item_vectors()
        if vectors is None:
            logger.warning("tracking.embeddings has no effect: %s has no vectors of items.", type(model).__name__)
            return
        chosen = torch.argsort(train.popularity, descending=True, stable=True)[: self._config.tracking.max_embeddings]
        columns = {"item": train.item_vocabulary.names(chosen.numpy())}
        if train.features.titles is not None:
            columns = {"title": train.features.titles[chosen.numpy()], **columns}
        columns["popularity"] = train.popularity[chosen].numpy()
        rows = [[printable(str(value)) for value in row] for row in zip(*columns.values())]
        self._writer.add_embedding(vectors[chosen.to(vectors.device)], rows, tag="items", metadata_header=list(columns))


def _record_of(info: Any) -> Any:
    """Return the summary by which the HPARAMS tab knows of the start or the end of a session."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    if isinstance(info, SessionStartInfo):
        tag, content = metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info)
    else:
        tag, content = metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info)
    kind = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=kind, tensor=metadata.NULL_TENSOR)])


def hide_events(folder: Path) -> None:
    """Give the events of a run that was run anew elsewhere a name that TensorBoard does not look for."""
    for path in folder.glob(_EVENTS):
        path.rename(path.with_name(path.name.replace("tfevents", "earlier")))


def hparams(config: ExperimentConfig) -> dict[str, bool | float | str]:
    """Return what tells the run from others, in the form that the HPARAMS tab sorts and filters best.

    At most ``MAX_HPARAMS`` values: data set, model, seed and split, which every run has and whose capitals put them
    first, then options as they are named on the command line: the main ones of training, and as many of the model's
    as there is room for, first those that differ from their defaults. ``Status`` joins them when the run ends.
    """
    plain = redacted(config.to_dict())
    main = {
        f"trainer.{key}": plain["trainer"][key] for key in ("lr", "epochs", "batch_size") if key in plain["trainer"]
    }
    everybodys = {name.capitalize(): plain[name]["name"] for name in ("dataset", "model", "split")}
    # As text: few values, which become boxes to tick.
    everybodys["Seed"] = str(config.seed)
    fields = type(config.model).model_fields
    options = sorted(fields, key=lambda key: getattr(config.model, key) == fields[key].default)
    room = MAX_HPARAMS - len(everybodys) - len(main)
    chosen = {f"model.{key}": plain["model"][key] for key in options[:room]}
    return everybodys | {
        key: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for key, value in (chosen | main).items()
    }


def recall_and_precision_by_k(ranking: Ranking) -> dict[str, dict[int, float]]:
    """Return the two means for lengths k of the list up to K or all items, by metric and k."""
    longest = min(ranking.k, len(ranking.popularity))
    ks = sorted({round(k) for k in np.linspace(1, longest, min(longest, _POINTS_BY_K))})
    chosen = {name: metrics.registry.entry(name).target for name in ("recall", "precision")}
    return {name: {k: float(metric(ranking, k).mean()) for k in ks} for name, metric in chosen.items()}
