"""Splits that are kept: the parts of one protocol on one state of the data are drawn once."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbench.data import UNUSED, Interactions
from recbench.data.arrays import read_arrays
from recbench.data.cache import cache_folder
from recbench.errors import DataError, StorageError
from recbench.files import replacing
from recbench.source_code import source_code_sha256
from recbench.splits.base import Splitter

logger = logging.getLogger(__name__)

_VERSION = 1
_NOT_KEPT = ("fixed", "none")


def assigned(splitter: Splitter, name: str, interactions: Interactions) -> Tensor:
    """Return the part of each interaction, (N,) int8: what is kept, or else what the protocol assigns.

    They are kept in the cache folder under a hash of the data, what its timestamps are, the protocol with its options,
    and the sources of recbench's splits and of the file that defines it. Where the cache cannot be written to, a
    warning says so and nothing is kept.

    Args:
        splitter: The protocol.
        name: As it is registered. ``fixed`` and ``none``, and a protocol that no source file defines, as in a
            notebook, are not kept.
        interactions: What is split.

    Raises:
        ConfigError: The options do not fit the data.
        DataError: The kept file is damaged or was altered.
    """
    source = getattr(sys.modules[type(splitter).__module__], "__file__", None)
    if name in _NOT_KEPT or source is None:
        return splitter.assign(interactions)
    options = json.dumps(splitter.config.model_dump(mode="json"), sort_keys=True)
    code = source_code_sha256("recbench.splits"), Path(source).read_text(encoding="utf-8")
    identity = (str(_VERSION), interactions.fingerprint, interactions.time, name, options, *code)
    key = hashlib.sha256("\x1e".join(identity).encode()).hexdigest()
    path = cache_folder() / "splits" / f"{key}.npz"
    if path.is_file():
        parts = _read(path, interactions)
        logger.info("split %s: taken from %s.", name, path)
        return parts
    parts = splitter.assign(interactions)
    _keep(path, parts, interactions)
    return parts


def _keep(path: Path, parts: Tensor, interactions: Interactions) -> None:
    try:
        cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            np.savez_compressed(file, **_content(parts.to(torch.int8).numpy(), interactions))
    except (OSError, StorageError) as error:
        logger.warning("the split is not kept: %s", error)


def _read(path: Path, interactions: Interactions) -> Tensor:
    try:
        kept = read_arrays(path)
    except (OSError, ValueError):
        raise DataError(f"{path}: is damaged. Delete it, and the split is drawn anew.") from None
    if not _is_whole(kept, interactions):
        raise DataError(f"{path}: was altered after it was written. Delete it, and the split is drawn anew.")
    return torch.from_numpy(kept["parts"])


def _is_whole(kept: Mapping[str, np.ndarray], interactions: Interactions) -> bool:
    parts = kept.get("parts")
    if parts is None or parts.dtype != np.int8 or parts.shape != (len(interactions),):
        return False
    written = _content(parts, interactions)
    return kept.keys() == written.keys() and all(np.array_equal(kept[key], written[key]) for key in written)


def _content(parts: np.ndarray, interactions: Interactions) -> dict[str, Any]:
    """Return what a file holds: the parts (N,) int8, what tells whether they are whole, and the size of each part."""
    return {
        "parts": parts,
        "sha256": np.array(hashlib.sha256(parts.tobytes()).hexdigest()),
        "counts": np.bincount(parts.view(np.uint8), minlength=UNUSED + 1),
        "data": np.array(interactions.fingerprint),
    }
