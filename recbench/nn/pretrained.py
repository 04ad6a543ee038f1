"""Trained weights to start from: those of a finished run, or those that the authors of NCF published.

Source: He et al., Neural Collaborative Filtering, WWW 2017, https://arxiv.org/abs/1708.05031; the arrays are named
and shaped as in the authors' files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from recbench.data.arrays import read_arrays
from recbench.errors import ConfigError, DataError
from recbench.files import load_checkpoint
from recbench.options import Config

if TYPE_CHECKING:
    from recbench.data import Interactions, Vocabulary

INIT_STD = 0.01
"""Standard deviation of the first values of vectors in the NCF authors' code."""
_TOWER = re.compile(r"layer([1-9])_([Wb])")


class StartConfig(Config):
    """Options of models that start from drawn vectors, or from a trained model of their own kind."""

    init_std: float = Field(INIT_STD, gt=0)
    """Standard deviation of the first values of the vectors."""

    pretrained: str | None = None
    """What to start from: folder of a finished run of this model on the same split, or the NCF authors' weights
    (.npz)."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        if self.pretrained is not None and self.init_std != INIT_STD:
            raise ValueError(f"init_std = {self.init_std:g}: has no effect with pretrained; leave it alone.")
        return self


def trained_weights(place: str, model: str, train: Interactions) -> dict[str, Tensor]:
    """Return the ``state_dict`` of a trained ``gmf`` or ``mlp``.

    Args:
        place: Folder of a finished run on the same training data, or a file of the authors' arrays
            (``layer.array``), whose name ends in ``.npz``.
        model: Registered name of the model that the run trained.
        train: What is learnt from here; the authors' row n belongs to the user or item with the id n.

    Raises:
        RunError: The run is not finished, or of another model or other training data.
        DataError: The file cannot be read, lacks an array, holds something else, or has no row for an id.
    """
    if not place.endswith(".npz"):
        return load_checkpoint(place, model, train)
    path = Path(place)
    tables = {"user_embedding_W": train.user_vocabulary, "item_embedding_W": train.item_vocabulary}
    heads = {"prediction_W": "output.weight", "prediction_b": "output.bias"}
    weights = {}
    arrays = {name.rpartition(".")[2]: (name, array) for name, array in _arrays(path).items()}
    for short, (name, array) in arrays.items():
        tower = _TOWER.fullmatch(short)
        if short in tables:
            weights[f"{tables[short].kind}.weight"] = array[_rows(path, len(array), tables[short])]
        elif short in heads:
            weights[heads[short]] = array.T if array.dim() == 2 else array
        elif tower:
            what = "weight" if tower[2] == "W" else "bias"
            weights[f"tower.linear.{int(tower[1]) - 1}.{what}"] = array.T if array.dim() == 2 else array
        else:
            raise DataError(
                f"{path}: {name!r} is none of the arrays of a GMF or an MLP of the NCF authors, which are "
                f"{', '.join([*tables, *heads])}, layer1_W, layer1_b, layer2_W and so on."
            )
    if lacking := [name for name in (*tables, *heads) if name not in arrays]:
        raise DataError(f"{path}: lacks {', '.join(lacking)}, which a GMF and an MLP of the NCF authors have.")
    return weights


def start_from(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give ``model`` all its parameters.

    Raises:
        ConfigError: One is missing, too many, or of another shape.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        mine = tuple(own[name].shape) if name in own else "missing"
        theirs = tuple(weights[name].shape) if name in weights else "missing"
        if mine != theirs:
            raise ConfigError(
                f"the pre-trained weights do not fit: {name} is {theirs} there and {mine} here; "
                "choose the same model.dim and model.layers."
            )
    model.load_state_dict(weights)


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        return {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except (ValueError, TypeError):
        raise DataError(f"{path}: is no .npz file of plain numbers.") from None


def _rows(path: Path, n_rows: int, vocabulary: Vocabulary) -> Tensor:
    """Return the row of each id, (N,)."""
    rows = pd.Index(np.arange(n_rows).astype(str)).get_indexer(pd.Index(vocabulary.ids))
    if (rows < 0).any():
        kind, unknown = vocabulary.kind, vocabulary.ids[int(np.argmin(rows))]
        raise DataError(
            f"{path}: row n belongs to the {kind} with the id n, 0 to {n_rows - 1}, as in the files of NCF; "
            f"{kind} {unknown!r} of the training data has none."
        )
    return torch.from_numpy(rows)
