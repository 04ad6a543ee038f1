"""A finished run put to use: recommendations, scores and predicted ratings by published ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench import models
from recbench.configuration import ExperimentConfig, resolve
from recbench.data import Histories, Split, UserBatch
from recbench.errors import ConfigError, DataError, RunError
from recbench.experiment import prepare
from recbench.files import load_checkpoint, replacing
from recbench.models import Model
from recbench.progress import bar
from recbench.ranking import best_items
from recbench.report import RESULT, read_run
from recbench.run_config import CONFIG, read_config
from recbench.text import excel_safe
from recbench.total_order import TieOrder


def load(folder: str | Path) -> Recommender:
    """Return the fitted model of the run in ``folder``, ready to recommend on the CPU.

    What the folder holds is read as data alone: it names parts and their options, and holds tensors. Nothing in it
    is ever executed.

    Raises:
        RunError: There is no finished run, a file of it is damaged, or the model or the data is no longer what it was.
        ConfigError: A part of it is not known here, e.g. since a plugin is missing.
    """
    folder = Path(folder)
    result = read_run(folder)
    if result["status"] != "done":
        raise RunError(f"the run {folder} is {result['status']!r}: only a run that is done can recommend.")
    values = read_config(folder)
    config = resolve(values).config
    if config.settings.checkpoints == "none":
        raise RunError(f"the run {folder} was made with checkpoints=none, and keeps no model.")
    if values["model"] != result["config"]["model"]:
        raise RunError(
            f"{folder / CONFIG}: its model is no longer what was fitted; bring back what {RESULT} has below 'config', "
            "or run the experiment again."
        )
    # Recommending ranks all items, whatever was ranked to evaluate.
    prepared = prepare(replace(config, evaluation=config.evaluation.model_copy(update={"candidates": "full"})))
    for name, found in (("data", prepared.data_fingerprint), ("split", prepared.split.fingerprint)):
        recorded = result["fingerprints"][name]
        if found != recorded:
            raise RunError(
                f"the run {folder} was made with other {name} (fingerprint {recorded[:12]}..., now {found[:12]}...): "
                f"bring back what dataset and split were then, or run the experiment again."
            )
    split = prepared.split
    entry = models.registry.entry_of(config.model)
    # The runs that training started from are part of the checkpoint by now, and may be gone.
    started_from = {name: None for name in type(config.model).model_fields if name.startswith("pretrained")}
    model: Model = entry.target(config.model.model_copy(update=started_from), split.train, config.seed)
    model.backend = config.settings.backend
    state = load_checkpoint(folder, entry.name, split.train)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(
            f"the run {folder}: its checkpoint does not fit the model {entry.name!r} of this recbench "
            f"({str(error).splitlines()[-1].strip()})"
        ) from None
    return Recommender(config, split, model.eval())


class Recommender:
    """A fitted model with the data that it knows.

    What is known of a user is handed to the model and left out of the lists: all interactions, those held out for
    validation and test too, unless the held-out ones are to be found again.
    """

    def __init__(self, config: ExperimentConfig, split: Split, model: Model) -> None:
        """Join what belongs together; ``load`` does it for a run."""
        self.config = config
        self.split = split
        self.model = model

    def recommend(self, user_ids: Sequence[str], k: int = 10, keep_heldout: bool = False) -> pd.DataFrame:
        """Return the best ``k`` items of each user: columns user, rank (from 1), item, score, and title if any.

        A user who knows nearly everything gets fewer than ``k``.

        Args:
            user_ids: Published ids.
            k: Items a user, at least 1.
            keep_heldout: Whether items held out for validation and test may be recommended.

        Raises:
            ConfigError: ``k`` is below 1.
            DataError: A user is unknown, or there is none.
            NonFiniteScoresError: The model gives a score that is not finite.
        """
        users = self._users(user_ids)
        if not len(users):
            raise DataError("no user is given.")
        known = self.split.train.histories if keep_heldout else self._known
        return pd.concat(self._lists(users, known.rows(users), k), ignore_index=True)

    def recommend_history(self, item_ids: Sequence[str], k: int = 10) -> pd.DataFrame:
        """Return the best ``k`` items for somebody unknown who took ``item_ids``, oldest first; these are left out.

        Columns: rank (from 1), item, score, and title if any.

        Raises:
            ConfigError: ``k`` is below 1, or the model only knows the users that it was trained on.
            DataError: An item is unknown.
        """
        if not self.model.folds_in:
            entries = map(models.registry.entry, models.registry.names())
            able = [entry.name for entry in entries if getattr(entry.target, "folds_in", False)]
            raise ConfigError(
                f"{type(self.model).__name__} cannot recommend by a history: it only knows the users it was trained "
                f"on. Models that can: {', '.join(able)}."
            )
        items = torch.from_numpy(self.split.train.item_vocabulary.indices(list(dict.fromkeys(_ids(item_ids)))))
        history = Histories(torch.tensor([0, len(items)]), items)
        return pd.concat(self._lists(torch.tensor([-1]), history, k), ignore_index=True).drop(columns="user")

    def score(self, user_ids: Sequence[str], item_ids: Sequence[str]) -> pd.DataFrame:
        """Return the score of each pair: columns user, item, score, and rating where the model predicts ratings.

        Args:
            user_ids: N published ids.
            item_ids: N published ids; item i is scored for user i.

        Raises:
            DataError: The lengths differ, or an id is unknown.
        """
        if len(user_ids) != len(item_ids):
            raise DataError(f"score takes pairs: {len(user_ids):,} users and {len(item_ids):,} items are given.")
        users = self._users(user_ids)
        items = torch.from_numpy(self.split.train.item_vocabulary.indices(_ids(item_ids)))
        table = pd.DataFrame({"user": user_ids, "item": item_ids})
        with torch.no_grad():
            scores = [
                self.model.score(UserBatch(users[rows], self._known.rows(users[rows])), items[rows, None])[:, 0]
                for rows in torch.arange(len(users)).split(self.config.evaluation.user_block)
            ]
            table["score"] = torch.cat(scores).numpy()
            if self.model.predicts_ratings(self.config.model):
                rating, scale = self.model.predict(users, items), self.split.train.scale
                table["rating"] = (rating if scale is None else scale.invert(users, items, rating)).numpy()
        return table

    def write_all(
        self, path: str | Path, k: int = 10, keep_heldout: bool = False, for_spreadsheet: bool = False
    ) -> None:
        """Write the lists of all users as CSV (see ``recommend``), block by block; whole or not at all.

        Args:
            path: The file.
            k: Items a user, at least 1.
            keep_heldout: Whether items held out for validation and test may be recommended.
            for_spreadsheet: Whether a ``'`` goes before texts that a spreadsheet would take for formulas.

        Raises:
            ConfigError: ``k`` is below 1.
            RunError: The file cannot be written.
        """
        users = torch.arange(self.split.train.n_users)
        known = self.split.train.histories if keep_heldout else self._known
        with replacing(Path(path)) as file:
            for number, block in enumerate(bar(self._lists(users, known, k), "recommend")):
                shown = for_spreadsheets(block) if for_spreadsheet else block
                text = shown.to_csv(index=False, header=number == 0, lineterminator="\n")
                file.write(text.encode())

    @cached_property
    def _known(self) -> Histories:
        """All interactions by user, (n_users) rows: training, then validation, then test."""
        train = self.split.train
        users, items = [train.users], [train.items]
        for holdout in (self.split.valid, self.split.test):
            if holdout is not None:
                users.append(holdout.users[holdout.target.row_of_each()])
                items.append(holdout.target.items)
        return Histories.from_pairs(torch.cat(users), torch.cat(items), train.n_users)

    def _users(self, user_ids: Sequence[str]) -> Tensor:
        ids = _ids(user_ids)
        try:
            return torch.from_numpy(self.split.train.user_vocabulary.indices(ids))
        except DataError as error:
            hint = " For somebody unknown, give what they took: --history ID,ID,..." if self.model.folds_in else ""
            raise DataError(f"{error}{hint}") from None

    def _lists(self, users: Tensor, known: Histories, k: int) -> Iterator[pd.DataFrame]:
        """Yield the lists of ``users`` (U,) block by block, without what is ``known`` (U rows)."""
        if k < 1:
            raise ConfigError(f"k = {k}: should be at least 1.")
        train = self.split.train
        ties = TieOrder.of(train, self.config.evaluation.tie_seed)
        user_ids = np.append(train.user_vocabulary.ids, "")
        titles = train.features.titles
        with torch.no_grad():
            for best in best_items(self.model, train, users, known, k, ties, self.config.evaluation.user_block):
                listed = best.items >= 0
                of, place = torch.nonzero(listed, as_tuple=True)
                items = best.items[listed]
                columns = {
                    "user": user_ids[users[best.rows][of].numpy()],
                    "rank": place.numpy() + 1,
                    "item": train.item_vocabulary.names(items.numpy()),
                    "score": best.scores[listed].numpy(),
                }
                if titles is not None:
                    columns["title"] = titles[items.numpy()]
                yield pd.DataFrame(columns)


def for_spreadsheets(lists: pd.DataFrame) -> pd.DataFrame:
    """Return lists whose ids and titles a spreadsheet shows as they are, and takes for no formulas."""
    texts = [column for column in ("user", "item", "title") if column in lists]
    return lists.assign(**{column: lists[column].map(excel_safe) for column in texts})


def _ids(ids: Sequence[str]) -> Sequence[str]:
    """Return ``ids``, or refuse one text, whose letters would be taken for ids."""
    if isinstance(ids, str):
        raise DataError(f"ids should be a list, e.g. [{ids!r}], and are the text {ids!r}.")
    return ids
