"""Files of published data sets, fetched once from the places that have them, verified, kept.

Looked through in this order: the path that the user names, and nothing else then; the cache; the folder
``RECBENCH_MIRROR``; the places on the data set's card, one after the other. Wherever a file lies, it counts
only if it has the published size and checksum. Where none is published, the checksum of what was fetched is kept
beside it, so that later damage is noticed.

Environment:
    RECBENCH_CACHE: The cache folder, instead of the platform's usual one.
    RECBENCH_MIRROR: A folder that holds ``<data set name>/<file>``.
"""

from __future__ import annotations

import http.client
import logging
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs
from filelock import FileLock

from recbench.data.checksums import RECORD, checked, compare, digest, record
from recbench.data.places import Archive, File, Place
from recbench.errors import DataError
from recbench.paths import below

logger = logging.getLogger(__name__)

MIRROR = "RECBENCH_MIRROR"
"""The variable that names the folder of local copies."""


@dataclass(frozen=True)
class Found:
    """Verified files of a data set and the folder they lie in.

    Attributes:
        files: What lies there; size and SHA-256 are those of the content where the place's card has none.
        verified: Whether someone has checked the data set's reader against these very files.
    """

    folder: Path
    files: tuple[File, ...]
    verified: bool

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
        ConfigError: The name is not safe as one of a folder.
        DataError: No place has the files; the message lists each with its reason and says what to do.
    """
    home = data_set_folder(name)
    if path is not None:
        return _named(Path(path), name, places, home)
    found = _cached(home, places)
    if found is not None:
        return found
    tried = []
    mirror = os.environ.get(MIRROR)
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
    """Return the folder that caches live in; it need not exist yet.

    Raises:
        DataError: Others could change what lies in it.
    """
    cache = cache_path()
    try:
        found = cache.stat()
    except OSError:
        return cache  # Who makes it, or writes to it, is told.
    if found.st_uid != os.geteuid():
        raise DataError(f"the cache folder {cache} belongs to another user. Set RECBENCH_CACHE to one of your own.")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DataError(
            f"the cache folder {cache} can be written to by others (mode {stat.S_IMODE(found.st_mode):o}). If nobody "
            f"has: chmod go-w {shlex.quote(str(cache))}. To share data sets, share a folder for RECBENCH_MIRROR."
        )
    return cache


def cache_path() -> Path:
    """Return where the cache folder is or would be."""
    return Path(os.environ.get("RECBENCH_CACHE") or platformdirs.user_cache_dir("recbench"))


def data_set_folder(name: str) -> Path:
    """Return the folder of a data set's files in the cache, there or not.

    Raises:
        ConfigError: The name is not safe as one of a folder, or a link leads out of the cache.
        DataError: Others could change what lies in the cache.
    """
    return below(cache_folder() / "datasets", name, "data set")


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
                    archive = Archive(path, folder=place.folder, files=place.files, verified=place.verified)
                    return _install(archive, home)
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
    reasons, missing = [], []
    for place in places:
        lacking: list[list[str]] = []
        for candidate in dict.fromkeys((folder, folder / place.folder)):
            lacking.append([file.name for file in place.files if not (candidate / file.name).is_file()])
            if not lacking[-1]:
                try:
                    return Found(candidate, _verified(candidate, place.files), place.verified)
                except DataError as error:
                    reasons.append(str(error))
        fewest = min(lacking, key=len)
        missing.append(f"has no {', '.join(fewest)}")
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
        found = Found(target, files, place.verified)
        if _cached(home, [place]) != found:
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
            _sync(home)
    return found


def locked(home: Path) -> FileLock:
    """Return the lock on a data set's part of the cache, whose folder is made where it is missing."""
    try:
        cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the cache folder {home} cannot be made ({error.strerror}). Set RECBENCH_CACHE.") from None
    return FileLock(home / "lock")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
