"""A finished run in files that any program can read: weights as safetensors, everything else as JSON.

``model.safetensors`` has what the model learnt, by the names of its ``state_dict``, and, where it has vectors of users
and items, these as ``vectors.users`` (n_users, D) and ``vectors.items`` (n_items, D), whose dot products are scores.
``users.json`` and ``items.json`` are the published ids; row n of a tensor belongs to the id in place n. ``export.json``
says what it is: options, metrics, fingerprints, and the tensors. ``SHA256SUMS`` comes last; ``sha256sum -c`` reads it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from recbench.data.checksums import RECORD, digest
from recbench.errors import ConfigError, RunError, StorageError
from recbench.files import SCHEMA_VERSION, replacing, write_json
from recbench.recommend import Recommender, load
from recbench.report import read_run

FOLDER, TENSORS, ABOUT = "export", "model.safetensors", "export.json"
"""Name of the folder in that of the run, and of the files in it that are no ids."""

_KEPT = ("model", "dataset", "split", "seed", "metrics", "n_users", "fingerprints", "config", "best_epoch")


def export(run: str | Path, to: str | Path | None = None) -> Path:
    """Write a finished run for other programs, and return the folder.

    Args:
        run: The run's folder; its data has to be at hand, since a checkpoint has no ids.
        to: Where to; None is ``export`` in the run's folder.

    Raises:
        ConfigError: The package safetensors is missing, or a part of the run is not known here.
        RunError: There is no finished run, a file of it is damaged, its data is no longer what it was, or ``to`` holds
            something already.
        StorageError: A file cannot be written.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ConfigError("recbench export needs the package safetensors: pip install 'recbench[export]'.")
    folder = Path(run) / FOLDER if to is None else Path(to)
    _refuse_occupied(folder)
    result, recommender = read_run(Path(run)), load(run)
    tensors = _tensors(recommender)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror}).") from error
    train = recommender.split.train
    ids = {"users.json": train.user_vocabulary.ids, "items.json": train.item_vocabulary.ids}
    for name, values in ids.items():
        with replacing(folder / name) as file:
            file.write(json.dumps(values.tolist(), ensure_ascii=False).encode())
    _write_tensors(folder / TENSORS, tensors, result["model"])
    about = {
        "schema_version": SCHEMA_VERSION,
        **{key: result[key] for key in _KEPT},
        "files": {"tensors": TENSORS, "users": "users.json", "items": "items.json"},
        "tensors": {
            name: {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
            for name, tensor in tensors.items()
        },
        "training_fingerprint": train.fingerprint,
    }
    write_json(folder / ABOUT, about)
    names = sorted([*ids, TENSORS, ABOUT])
    with replacing(folder / RECORD) as file:
        file.write("".join(f"{digest(folder / name)}  {name}\n" for name in names).encode())
    return folder


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is no folder; name one with --to FOLDER.")
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: holds something already; take it away, or name another folder with --to FOLDER.")


def _tensors(recommender: Recommender) -> dict[str, Tensor]:
    """Return all that the model learnt, each tensor with memory of its own, on the CPU."""
    model = recommender.model
    with torch.no_grad():
        vectors = {"vectors.users": model.user_vectors(), "vectors.items": model.item_vectors()}
    tensors = {**model.state_dict(), **{name: found for name, found in vectors.items() if found is not None}}
    shared: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        own[name] = plain.clone() if plain.untyped_storage().data_ptr() in shared else plain
        shared.add(own[name].untyped_storage().data_ptr())
    return own


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], model: str) -> None:
    # An optional package, imported where it is used.
    from safetensors.torch import save

    metadata = {"format": "pt", "recbench_model": model}
    with replacing(path) as file:
        file.write(save(dict(tensors), metadata=metadata))
