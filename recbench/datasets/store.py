"""Loaded data sets, kept in a form that is read again in a fraction of the time.

A folder of the cache for each state of (files, options, code): arrays as ``.npy``, texts as their bytes and lengths,
everything else as JSON, and the SHA-256 of each file. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recbench.data import Counts, Histories, Interactions, Stage, Vocabulary
from recbench.data.arrays import read_array
from recbench.data.cache import cache_folder, locked
from recbench.data.checksums import RECORD, checked, record
from recbench.data.feature_config import KINDS, FeatureConfig
from recbench.errors import DataError
from recbench.source_code import source_code_sha256

logger = logging.getLogger(__name__)

MIN_INTERACTIONS = 200_000
"""Smaller data is read anew as fast."""

_META = "meta.json"
_CODE = ("recbench.data", "recbench.formats", "recbench.cleaning", "recbench.datasets")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A cleaned data set, and what its features are made from.

    Attributes:
        interactions: Without features.
        users: The column ``user`` and what is known of each one, or None.
        items: The column ``item`` and what is known of each one, or None.
        user_columns: What the columns of ``users`` hold; ``item_columns`` alike.
    """

    interactions: Interactions
    users: pd.DataFrame | None = None
    items: pd.DataFrame | None = None
    user_columns: tuple[FeatureConfig, ...] = ()
    item_columns: tuple[FeatureConfig, ...] = ()


def key(name: str, options: str, contents: Sequence[str]) -> str:
    """Return the name of the folder of a loaded data set.

    Args:
        name: Name of the class of its options; the data set is one of recbench's own.
        options: Its options as JSON.
        contents: SHA-256 of each file that is read.
    """
    parts = (name, options, *contents, *map(source_code_sha256, _CODE))
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:32]


def stored(key: str, make: Callable[[], Loaded]) -> Loaded:
    """Return what ``make`` returns, read from the cache where it was made before.

    What is damaged, and what cannot be written, is a warning, and the data is made. Warnings that were logged while
    it was made are logged each time that it is read, and so is what became of its rows, as loud as the first time.
    """
    folder = cache_folder() / "tables" / key
    if folder.is_dir():
        try:
            return _read(folder)
        except DataError as error:
            logger.warning("%s: %s. The data is read anew.", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    warnings = _Warnings()
    with warnings.of_recbench():
        loaded = make()
    if len(loaded.interactions) >= MIN_INTERACTIONS:
        arrays: dict[str, np.ndarray] = {}
        meta = {"loaded": _packed(loaded, arrays), "warnings": warnings.heard}
        meta["files"] = [_META, *(f"{name}.npy" for name in arrays)]
        try:
            _keep(folder, meta, arrays)
        except DataError as error:
            logger.warning("%s: %s The data is read anew the next time.", folder, error)
    return loaded


def _keep(folder: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write everything aside, and move it to its place in one step, unless another process was faster.

    Raises:
        DataError: It cannot be written.
    """
    with locked(folder.parent):
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as scratch:
                fresh = Path(scratch) / "files"
                fresh.mkdir(mode=0o700)
                for name, array in arrays.items():
                    np.save(fresh / f"{name}.npy", array, allow_pickle=False)
                (fresh / _META).write_text(json.dumps(meta, allow_nan=False), encoding="utf-8")
                record(fresh, sorted(path.name for path in fresh.iterdir()))
                if not folder.exists():
                    fresh.rename(folder)
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror or error}).") from None


def _read(folder: Path) -> Loaded:
    """Return what was kept.

    Raises:
        DataError: A file is not the one that was written.
    """
    try:
        names = checked(folder)
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        # A column that the checksums had lost would pass for one that the data has not.
        if set(names) != set(meta["files"]):
            raise DataError(f"{RECORD} does not list all files")
        arrays = {name.removesuffix(".npy"): read_array(folder / name) for name in names if name != _META}
    except DataError:
        raise
    except (OSError, ValueError) as error:
        # What NumPy says of an array of objects advises to let it run code.
        reason = error if isinstance(error, OSError) else "holds more than numbers and text"
        raise DataError(f"cannot be read ({reason})") from None
    loaded = _unpacked(meta["loaded"], arrays)
    logger.info("read from the cache, %s", folder)
    for stage in loaded.interactions.provenance:
        if str(stage) not in meta["warnings"]:
            logger.log(logging.INFO if stage.asked else logging.DEBUG, "%s", stage)
    for warning in meta["warnings"]:
        logger.warning("%s", warning)
    return loaded


def _packed(loaded: Loaded, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what goes into the JSON file, and put the rest into ``arrays``."""
    data = loaded.interactions
    # Interactions are in the order of users, so that the numbers of each one say whose they are.
    arrays["counts"] = torch.bincount(data.users, minlength=data.n_users).to(torch.int32).numpy()
    arrays["items"] = data.items.to(torch.int32).numpy()
    for name in ("ratings", "timestamps", "parts"):
        column = getattr(data, name)
        if column is not None:
            arrays[name] = column.numpy()
    if data.candidates is not None:
        arrays["candidate_offsets"] = data.candidates.offsets.numpy()
        arrays["candidate_items"] = data.candidates.items.to(torch.int32).numpy()
    for vocabulary in (data.user_vocabulary, data.item_vocabulary):
        _pack_texts(f"{vocabulary.kind}_ids", vocabulary.ids, arrays)
    return {
        "time": data.time,
        "provenance": [stage.to_dict() for stage in data.provenance],
        "users": _packed_table("user_table", loaded.users, arrays),
        "items": _packed_table("item_table", loaded.items, arrays),
        "user_columns": [config.model_dump(mode="json") for config in loaded.user_columns],
        "item_columns": [config.model_dump(mode="json") for config in loaded.item_columns],
    }


def _unpacked(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Loaded:
    counts = torch.from_numpy(arrays["counts"])

    def column(name: str) -> Tensor | None:
        return torch.from_numpy(arrays[name]) if name in arrays else None

    candidates = None
    if "candidate_items" in arrays:
        items = torch.from_numpy(arrays["candidate_items"]).long()
        candidates = Histories(torch.from_numpy(arrays["candidate_offsets"]), items)
    interactions = Interactions(
        users=torch.repeat_interleave(torch.arange(len(counts)), counts),
        items=torch.from_numpy(arrays["items"]).long(),
        user_vocabulary=Vocabulary(_texts("user_ids", arrays), "user"),
        item_vocabulary=Vocabulary(_texts("item_ids", arrays), "item"),
        ratings=column("ratings"),
        timestamps=column("timestamps"),
        parts=column("parts"),
        time=meta["time"],
        candidates=candidates,
        provenance=tuple(
            Stage(**{**stage, "before": Counts(**stage["before"]), "after": Counts(**stage["after"])})
            for stage in meta["provenance"]
        ),
    )
    return Loaded(
        interactions,
        users=_table("user_table", meta["users"], arrays),
        items=_table("item_table", meta["items"], arrays),
        user_columns=tuple(_declared(column) for column in meta["user_columns"]),
        item_columns=tuple(_declared(column) for column in meta["item_columns"]),
    )


def _declared(plain: dict[str, Any]) -> FeatureConfig:
    return KINDS[plain["kind"]].model_validate_json(json.dumps(plain))


def _packed_table(
    prefix: str, table: pd.DataFrame | None, arrays: dict[str, np.ndarray]
) -> list[dict[str, str]] | None:
    """Return name and type of each column, and put what the column in place p holds into ``arrays``.

    Raises:
        DataError: A column holds neither numbers nor text.
    """
    if table is None:
        return None
    for place, name in enumerate(table.columns):
        column, array = table[name], f"{prefix}_{place}"
        if not pd.api.types.is_numeric_dtype(column.dtype):
            _pack_texts(array, column.to_numpy(dtype=object), arrays)
        elif isinstance(column.dtype, np.dtype):
            arrays[array] = column.to_numpy()
        else:
            arrays[f"{array}_missing"] = column.isna().to_numpy()
            arrays[array] = column.fillna(0).to_numpy(dtype=column.dtype.type)
    return [{"name": str(name), "dtype": str(table[name].dtype)} for name in table.columns]


def _table(prefix: str, columns: list[dict[str, str]] | None, arrays: dict[str, np.ndarray]) -> pd.DataFrame | None:
    if columns is None:
        return None
    table = {}
    for place, column in enumerate(columns):
        array = f"{prefix}_{place}"
        if array not in arrays:
            table[column["name"]] = pd.Series(_texts(array, arrays), dtype=object)
            continue
        values = pd.Series(arrays[array])
        if f"{array}_missing" in arrays:
            dtype: Any = column["dtype"]
            values = values.astype(dtype).mask(arrays[f"{array}_missing"])
        table[column["name"]] = values
    return pd.DataFrame(table)


def _pack_texts(name: str, texts: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
    """Put (N,) of str into ``arrays`` as the UTF-8 bytes of all and the length of each in characters; -1 is missing."""
    missing = pd.isna(texts)
    held = pd.api.types.infer_dtype(texts[~missing], skipna=False)
    if held not in ("string", "empty"):
        raise DataError(f"a column of the table of users or items holds {held}; it should hold numbers or text.")
    arrays[f"{name}_bytes"] = np.frombuffer("".join(texts[~missing]).encode(), np.uint8)
    arrays[f"{name}_lengths"] = np.where(missing, -1, pd.Series(texts, dtype=object).str.len()).astype(np.int32)


def _texts(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    lengths = arrays[f"{name}_lengths"]
    whole = arrays[f"{name}_bytes"].tobytes().decode()
    ends = np.cumsum(np.maximum(lengths, 0))
    texts = np.empty(len(lengths), dtype=object)
    texts[:] = [whole[end - length : end] for end, length in zip(ends.tolist(), np.maximum(lengths, 0).tolist())]
    texts[lengths < 0] = np.nan
    return texts


class _Warnings(logging.Handler):
    """Takes down what is logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take down the message."""
        self.heard.append(record.getMessage())

    @contextmanager
    def of_recbench(self) -> Iterator[None]:
        """Listen to all loggers of recbench."""
        root = logging.getLogger("recbench")
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)
