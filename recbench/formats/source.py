"""The bytes of a file, plain, gzip, or a member of a zip archive, block by block and never put on disk."""

from __future__ import annotations

import gzip
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from recbench.errors import DataError
from recbench.progress import bytes_bar

BLOCK_BYTES = 4 << 20
_MAX_BYTES = 64 << 30
_MAX_RATIO = 200
_SPARE_BYTES = 1 << 20


def blocks(path: Path, *, progress: bool = True) -> Iterator[bytes]:
    """Yield the unpacked content of ``path``, some 4 MiB at a time.

    The path may be a plain file; one that ends in ``.gz``; a zip archive of one member; or a member of a zip
    archive, the archive's path in front of the member's: ``ml-1m.zip/ml-1m/ratings.dat``. A member may end
    in ``.gz``.

    Raises:
        DataError: There is no such file or member, it cannot be read, it is damaged, or it unpacks to more than
            64 GiB or 200 times its packed size.
    """
    try:
        with ExitStack() as stack:
            content = _open(path, stack)
            bar = stack.enter_context(bytes_bar(content.n_bytes, f"reading {path.name}", wanted=progress))
            n_bytes, limit = 0, min(_MAX_BYTES, _MAX_RATIO * content.packed_bytes + _SPARE_BYTES)
            while block := content.stream.read(BLOCK_BYTES):
                n_bytes += len(block)
                if content.packed and n_bytes > limit:
                    raise DataError(
                        f"{path}: unpacks to more than {limit:,} bytes, and is {content.packed_bytes:,} bytes packed. "
                        "Unpack it yourself if you trust it."
                    )
                bar.update(len(block))
                yield block
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: is not a whole {_kind(path)} file ({error}).") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a sound zip archive ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None


def archive_of(path: Path) -> Path | None:
    """Return the zip archive that ``path`` is, or is a member of; None where it is neither."""
    if path.is_file():
        return path if path.suffix.lower() == ".zip" else None
    return next((parent for parent in path.parents if parent.is_file()), None)


@dataclass(frozen=True)
class _Content:
    """An open stream; ``n_bytes`` of it where known, ``packed_bytes`` on disk."""

    stream: IO[bytes]
    n_bytes: int | None
    packed_bytes: int
    packed: bool


def _open(path: Path, stack: ExitStack) -> _Content:
    archive = archive_of(path)
    if archive is None:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path}: is no plain file.")
        size = path.stat().st_size
        content = _Content(stack.enter_context(path.open("rb")), size, size, packed=False)
    else:
        content = _open_member(path, archive, stack)
    name = path.name.lower()
    if archive == path:
        name = PurePosixPath(content.stream.name).name.lower()
    if not name.endswith(".gz"):
        return content
    unpacked = stack.enter_context(gzip.GzipFile(fileobj=content.stream, mode="rb"))
    return _Content(cast(IO[bytes], unpacked), None, content.packed_bytes, packed=True)


def _open_member(path: Path, archive: Path, stack: ExitStack) -> _Content:
    opened = stack.enter_context(zipfile.ZipFile(archive))
    members = [member for member in opened.infolist() if not member.is_dir()]
    if archive == path:
        if len(members) != 1:
            raise DataError(f"{path}: holds {len(members)} files instead of one. Name one: {_example(path, members)}.")
    else:
        name = path.relative_to(archive).as_posix()
        named = [member for member in members if member.filename == name]
        if len(named) != 1:
            found = f"{len(named)} members" if named else "no member"
            raise DataError(f"{path}: {archive} has {found} {name}. It has: {_example(archive, members)}.")
        members = named
    (member,) = members
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG) or member.flag_bits & 1:
        raise DataError(f"{path}: the member {member.filename} is a link or encrypted, and no plain file.")
    return _Content(stack.enter_context(opened.open(member)), member.file_size, member.compress_size, packed=True)


def _example(archive: Path, members: list[zipfile.ZipInfo]) -> str:
    """Return the paths of the first members, as people read them."""
    shown = [str(archive / member.filename) for member in members[:5]]
    return ", ".join(shown + ["..."] * (len(members) > 5)) or "nothing"


def _kind(path: Path) -> str:
    return "gzip" if path.name.lower().endswith(".gz") and archive_of(path) is None else "packed"
