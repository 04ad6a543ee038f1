"""Files that are whole or not there: how everything that a run keeps is written, and read back as data alone."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor

from recbench.errors import RunError, StorageError

if TYPE_CHECKING:
    from recbench.data import Interactions

SCHEMA_VERSION = 1
"""Of every file that a run writes; what is written in another one is refused by name."""

CHECKPOINT = "checkpoint.pt"

_UNREADABLE = (
    *(UnpicklingError, EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError, struct.error),
)
"""What ``torch.load`` raises of files that are damaged or of another kind."""


@contextmanager
def replacing(path: Path, n_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the place of ``path`` once all of it is on disk.

    Whatever happens before, ``path`` stays as it was and nothing else is left in its folder; but for the file itself
    where the process is killed (see ``remove_leftovers``).

    Args:
        path: What is to be replaced.
        n_bytes: What will be written about, where that is known, for the message.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        # Mode x takes no file or link that somebody else has put there.
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Where nothing can be written nothing can be taken away either.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({_reason(error)}).{_room(path.parent, n_bytes)}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed were writing in ``folder``; for one who holds it alone."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as a whole; numbers that are not finite become null, which JSON has a word for."""
    with replacing(path) as file:
        file.write(json.dumps(finite(value), indent=2, allow_nan=False).encode() + b"\n")


def finite(value: Any) -> Any:
    """Return plain nested ``value`` with None for each number that is NaN or infinite."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """Return what a run wrote to ``path``.

    Raises:
        RunError: It cannot be read, is not a whole JSON object, or is of another schema version.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({_reason(error)}).") from None
    found = value.get("schema_version") if isinstance(value, dict) else None
    if found != SCHEMA_VERSION:
        raise RunError(
            f"{path}: is of schema version {found}, and this recbench reads version {SCHEMA_VERSION}; "
            "run the experiment again, or read it with the recbench that wrote it."
        )
    return value


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain nested ``value``, its keys in the given order."""
    head = f"# schema_version: {SCHEMA_VERSION}\n"
    with replacing(path) as file:
        file.write((head + yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)).encode())


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the plain nested values of ``path``; a tag that asks for more than data is refused.

    Raises:
        RunError: It cannot be read, or is no mapping of plain values.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{path}: cannot be read ({_reason(error)}).") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: should hold a mapping, and holds {type(value).__name__}.")
    return value


def save_checkpoint(
    folder: Path, model: str, state: Mapping[str, Tensor], train: Interactions, epoch: int | None
) -> None:
    """Write the parameters of a fitted model, and their checksum in the form that ``sha256sum -c`` reads.

    Args:
        folder: The run's.
        model: Registered name of the model.
        state: Its ``state_dict()``; tensors are kept as on the CPU.
        train: What it was fitted on; only the fingerprint is kept.
        epoch: The epoch whose parameters these are; None where there are no epochs.
    """
    plain = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "train": train.fingerprint,
        "epoch": epoch,
        "state_dict": {name: tensor.detach().cpu() for name, tensor in state.items()},
    }
    save_plain(folder / CHECKPOINT, plain)


def save_plain(path: Path, plain: Mapping[str, Any]) -> None:
    """Write nested tensors, numbers and texts, and their checksum in the form that ``sha256sum -c`` reads.

    Whenever the process is killed, what is at ``path`` is whole and its checksum is beside it: while the new file
    takes the place of the old one, both checksums are there.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to; what was there stays.
    """
    with replacing(path, _n_bytes(plain)) as file:
        try:
            torch.save(plain, file)
        except RuntimeError as error:
            # What torch finds unexpected while it tidies up hides what the disk said.
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        file.flush()
        digest = _sha256(Path(file.name))
        _write_checksums(path, [digest, *_checksums(path)])
    _write_checksums(path, [digest])


def move_plain(path: Path, target: Path) -> None:
    """Let the file at ``path``, which ``save_plain`` wrote, take the place of ``target``; with its checksum.

    Whenever the process is killed, each of the two that is there is whole and has its checksum.

    Raises:
        StorageError: The folder cannot be written to.
    """
    digests = _checksums(path)
    _write_checksums(target, [*digests, *_checksums(target)])
    try:
        path.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({_reason(error)}).") from error
    _sync_folder(target.parent)
    _write_checksums(target, digests)


def remove_plain(path: Path) -> None:
    """Remove the file at ``path`` and its checksum, where they are there."""
    path.unlink(missing_ok=True)
    _checksum(path).unlink(missing_ok=True)


def load_checkpoint(folder: str | Path, model: str, train: Interactions) -> dict[str, Tensor]:
    """Return the ``state_dict`` of a finished run, its tensors on the CPU. Nothing but tensors is ever unpickled.

    Args:
        folder: The run's.
        model: Registered name of the model that it must be of.
        train: What it must have been fitted on.

    Raises:
        RunError: There is no checkpoint, it is damaged, holds other things than tensors and plain values, or is of
            another model or other training data.
    """
    path = Path(folder) / CHECKPOINT
    if not path.exists():
        reason = os.strerror(errno.ENOENT)
        raise RunError(f"{path}: cannot be read ({reason}); is {path.parent} a finished run?")
    plain = load_plain(path)
    if not _is_checkpoint(plain):
        raise RunError(
            f"{path}: is no checkpoint of a model: it should hold the model's name, the fingerprint of the training "
            "data, and tensors by name."
        )
    if plain["model"] != model:
        raise RunError(f"{path}: holds the model {plain['model']!r}, and {model!r} is wanted.")
    if plain["train"] != train.fingerprint:
        raise RunError(
            f"{path}: was fitted on other training data (fingerprint {plain['train'][:12]}..., here "
            f"{train.fingerprint[:12]}...); use the same dataset.* and split.* options."
        )
    return plain["state_dict"]


def load_plain(path: Path) -> dict[str, Any]:
    """Return what ``save_plain`` wrote, its tensors on the CPU; the one place that reads what torch has written.

    Raises:
        RunError: It is not there, is damaged, holds other things than tensors and plain values, or is of another
            schema version.
    """
    try:
        expected = _checksums(path)
        file = path.open("rb")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({_reason(error)}).") from None
    with file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found not in expected:
            written = f"{expected[0][:12]}..." if expected else "nothing"
            raise RunError(f"{path}: is damaged: its SHA-256 is {found[:12]}..., and {written} was written.")
        file.seek(0)
        try:
            plain = torch.load(file, map_location="cpu", weights_only=True)
        except _UNREADABLE:
            raise RunError(
                f"{path}: is refused: it is no checkpoint of plain tensors, and could run code when read. "
                "Ask who made it for what 'recbench export RUN' writes."
            ) from None
        except OSError as error:
            # Of the disk; or of an archive that points to a place before its own beginning.
            raise RunError(f"{path}: cannot be read ({_reason(error)}).") from None
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        version = version if isinstance(version, int) else None
        raise RunError(f"{path}: is of schema version {version}, and this recbench reads version {SCHEMA_VERSION}.")
    return plain


def _is_checkpoint(plain: Mapping[str, Any]) -> bool:
    """Return whether there is what ``save_checkpoint`` writes."""
    state = plain.get("state_dict")
    return (
        isinstance(plain.get("model"), str)
        and isinstance(plain.get("train"), str)
        and isinstance(state, dict)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
    )


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _checksums(path: Path) -> list[str]:
    """Return the SHA-256 of what may stand at ``path``; none where nothing was written there."""
    if not _checksum(path).exists():
        return []
    return [line.partition(" ")[0] for line in _checksum(path).read_text(encoding="ascii").splitlines()]


def _write_checksums(path: Path, digests: Iterable[str]) -> None:
    with replacing(_checksum(path)) as file:
        file.write("".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(digests)).encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _n_bytes(plain: Any) -> int:
    """Return the bytes of all tensors in nested plain values."""
    if isinstance(plain, Tensor):
        return plain.numel() * plain.element_size()
    if isinstance(plain, Mapping):
        return sum(map(_n_bytes, plain.values()))
    return sum(map(_n_bytes, plain)) if isinstance(plain, list | tuple) else 0


def _room(folder: Path, n_bytes: int | None) -> str:
    """Return a sentence on what is needed and what is free; empty where that is not known."""
    if n_bytes is None or not folder.is_dir():
        return ""
    return f" It takes {n_bytes:,} bytes, and {shutil.disk_usage(folder).free:,} are free there."


def _reason(error: Exception) -> str:
    """Return the reason in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _sync_folder(folder: Path) -> None:
    """Make the new name in ``folder`` last through a loss of power, where the system has a way to do it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
