"""Checksums of files, compared with published ones or with those that are kept beside the files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from recbench.errors import DataError

RECORD = "SHA256SUMS"
"""Name of the file that keeps checksums in a folder, as the command ``sha256sum`` writes and checks them."""


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file as hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def compare(name: str, kind: str, found: str, wanted: str) -> None:
    """Raise ``DataError``, a clause without a full stop, where two checksums differ."""
    if found != wanted:
        raise DataError(f"{name} has the {kind} {found} instead of {wanted}")


def record(folder: Path, names: Iterable[str]) -> None:
    """Keep the SHA-256 of files in their folder."""
    lines = "".join(f"{digest(folder / name)}  {name}\n" for name in names)
    (folder / RECORD).write_text(lines, encoding="utf-8")


def checked(folder: Path) -> list[str]:
    """Return the names of the files whose checksums are kept in ``folder``, all of which must agree.

    Raises:
        DataError: A file is not the one whose checksum was kept; a clause without a full stop.
        OSError: A file cannot be read.
    """
    lines = (folder / RECORD).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.partition("  ") for line in lines]
    for wanted, _, name in pairs:
        if name in ("", "..") or name != Path(name).name:
            raise DataError(f"{RECORD} names {name!r}, which is no file of this folder")
        compare(name, "SHA-256", digest(folder / name), wanted)
    return [name for _, _, name in pairs]
