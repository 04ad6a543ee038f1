"""Getting published files: every place, every way in which one fails, and what the cache holds afterwards."""

import hashlib
import logging
import os
import re
import stat
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from recbench.data.cache import Found, cache_folder, obtain
from recbench.data.places import Archive, File, Place, Url, Wheel
from recbench.errors import DataError

A, B = b"1\t2\n", b"one|two\n"


def described(name: str, content: bytes) -> File:
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


FILES = (described("a.tsv", A), described("b.txt", B))
OTHER = (described("all.csv", b"1,2\n"),)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache and no mirror."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECBENCH_MIRROR", raising=False)
    monkeypatch.delenv("RECBENCH_OFFLINE", raising=False)
    return tmp_path / "cache" / "datasets" / "toy"


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def good_archive(folder: Path) -> Path:
    return archive(folder / "toy.zip", {"toy/a.tsv": A, "toy/b.txt": B, "toy/README": b"more", "../evil": b"x"})


def url(path: Path, **more) -> Url:
    return Url(path.as_uri(), **({"max_bytes": 10_000, "folder": "toy", "files": FILES} | more))


def get(*places: Place, path: Path | None = None) -> Found:
    return obtain(
        "toy", places, licence="free", homepage="https://toy.example", path=None if path is None else str(path)
    )


def reason(place: Place) -> str:
    """Why the place fails, as listed in the one error."""
    with pytest.raises(DataError) as error:
        get(place)
    (line,) = [line for line in str(error.value).splitlines() if line.startswith("  ")]
    return line.removeprefix(f"  {place}: ")


def test_an_archive_on_the_web_fills_the_cache_once(tmp_path, cache, caplog):
    caplog.set_level(logging.INFO, "recbench")
    place = url(good_archive(tmp_path))
    found = get(place)
    assert found == Found(cache / place.key, FILES, verified=False)
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == {"a.tsv": A, "b.txt": B}
    assert caplog.messages == [f"data set toy: fetched from {place}. Licence: free"]
    (tmp_path / "toy.zip").unlink()
    assert get(place) == found
    assert len(caplog.messages) == 1


def test_the_cache_folder_is_private_and_left_clean(tmp_path, cache):
    get(url(good_archive(tmp_path)))
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700
    assert {path.name for path in cache.iterdir()} == {"lock", url(tmp_path).key}
    reason(url(tmp_path / "none.zip", files=OTHER))
    assert {path.name for path in cache.iterdir()} == {"lock", url(tmp_path).key}
    assert not (tmp_path / "evil").exists()


def test_places_are_tried_in_order_and_the_next_one_helps(tmp_path, cache, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    first = url(tmp_path / "none.zip")
    second = url(archive(tmp_path / "other.zip", {"x/all.csv": b"1,2\n"}), folder="x", files=OTHER)
    assert get(first, second) == Found(cache / second.key, OTHER, verified=False)
    (message,) = caplog.messages
    assert message.startswith(f"data set toy: {first}: <urlopen error")


def test_when_all_places_fail_one_error_says_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path))
    with pytest.raises(DataError) as error:
        get(
            Url("https://toy.example/toy.zip", max_bytes=1, folder="toy", files=FILES),
            Wheel("toy==1.0", folder="toy", files=OTHER),
        )
    assert str(error.value) == (
        "the data set 'toy' cannot be had. Tried:\n"
        f"  {tmp_path / 'toy'} (RECBENCH_MIRROR): has no a.tsv, b.txt; has no all.csv.\n"
        "  https://toy.example/toy.zip: RECBENCH_OFFLINE forbids the network.\n"
        "  the wheel toy==1.0: RECBENCH_OFFLINE forbids the network.\n"
        "Get it from https://toy.example (free) and name its folder or zip archive: dataset.path=PATH. "
        "Or put a.tsv, b.txt or all.csv into FOLDER/toy/ and set RECBENCH_MIRROR=FOLDER."
    )


def test_reasons_of_a_bad_archive(tmp_path):
    page = tmp_path / "page.zip"
    page.write_bytes(b"<!DOCTYPE html><html>Sorry")
    assert reason(url(page)) == (
        "is not a sound zip archive (File is not a zip file; it begins with b'<!DOCTYPE html><')."
    )
    # A name that says it is UTF-8, and is not.
    directory, utf_8 = b"PK\x01\x02\x14\x03\x14\x00\x00", b"\x08"
    content = good_archive(tmp_path).read_bytes().replace(b"toy/b.txt", b"toy/\x80.txt")
    odd = tmp_path / "odd.zip"
    odd.write_bytes(content.replace(directory + b"\x00", directory + utf_8))
    assert reason(url(odd)).startswith("is a damaged zip archive ('utf-8' codec can't decode byte 0x80")
    half = tmp_path / "half.zip"
    half.write_bytes(good_archive(tmp_path).read_bytes()[:60])
    assert reason(url(half)).startswith("is not a sound zip archive (File is not a zip file; it begins with b'PK")
    assert reason(url(good_archive(tmp_path), max_bytes=50)) == "has more than the 50 bytes expected."
    assert reason(url(archive(tmp_path / "less.zip", {"toy/a.tsv": A}))) == "has no member toy/b.txt."
    assert reason(url(tmp_path / "none.zip")).startswith("<urlopen error [Errno 2] No such file or directory")


def test_reasons_of_a_bad_member(tmp_path):
    longer = archive(tmp_path / "longer.zip", {"toy/a.tsv": A + b"!", "toy/b.txt": B})
    assert reason(url(longer)) == "the member toy/a.tsv has 5 bytes instead of 4."
    other = archive(tmp_path / "other.zip", {"toy/a.tsv": b"1\t3\n", "toy/b.txt": B})
    wrong, right = hashlib.sha256(b"1\t3\n").hexdigest(), FILES[0].sha256
    assert reason(url(other)) == f"a.tsv has the SHA-256 {wrong} instead of {right}."
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as target:
        link = zipfile.ZipInfo("toy/a.tsv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc")
    assert reason(url(tmp_path / "link.zip")) == "the member toy/a.tsv is not a plain file."


def test_a_member_that_unpacks_to_more_than_it_says_is_broken_off(tmp_path):
    bomb = archive(tmp_path / "bomb.zip", {"toy/a.tsv": bytes(100_000), "toy/b.txt": B})
    content = bomb.read_bytes()
    assert content.count((100_000).to_bytes(4, "little")) == 2
    bomb.write_bytes(content.replace((100_000).to_bytes(4, "little"), (4).to_bytes(4, "little")))
    assert "Bad CRC-32 for file 'toy/a.tsv'" in reason(url(bomb))
    assert not list(cache_folder().rglob("a.tsv"))


def test_a_damaged_cache_is_noticed_and_filled_again(tmp_path, cache, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    place = url(good_archive(tmp_path))
    (get(place).folder / "b.txt").write_bytes(b"one|TWO\n")
    assert (get(place).folder / "b.txt").read_bytes() == B
    (get(place).folder / "a.tsv").unlink()
    assert (get(place).folder / "a.tsv").read_bytes() == A
    assert caplog.messages[-1] == f"{cache / place.key}: has no a.tsv. The files are fetched again."


def test_mirror_is_read_in_place_before_the_network(tmp_path, monkeypatch):
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    (tmp_path / "mirror" / "toy" / "all.csv").write_bytes(b"1,2\n")
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path / "mirror"))
    second = url(tmp_path / "none.zip", files=OTHER)
    assert get(url(good_archive(tmp_path)), second) == Found(tmp_path / "mirror" / "toy", OTHER, verified=False)
    assert not cache_folder().exists()


def test_a_wrong_file_in_the_mirror_is_a_reason(tmp_path, monkeypatch, caplog):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "all.csv").write_bytes(b"1,3\n")
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match=r"\(RECBENCH_MIRROR\): all\.csv has the SHA-256 \w+ instead of \w+\."):
        get(url(tmp_path / "none.zip", files=OTHER))


def test_a_mirror_that_is_no_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_MIRROR", "/no/where")
    text = "RECBENCH_MIRROR = '/no/where': is not a folder. Name one that holds toy/, or unset it."
    with pytest.raises(DataError, match=re.escape(text)):
        get(url(good_archive(tmp_path)))


def test_a_folder_that_the_user_names(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.tsv").write_bytes(A)
    (tmp_path / "toy" / "b.txt").write_bytes(B)
    place = url(tmp_path / "none.zip")
    assert get(place, path=tmp_path / "toy") == Found(tmp_path / "toy", FILES, verified=False)
    assert get(place, path=tmp_path) == Found(tmp_path / "toy", FILES, verified=False)
    assert not cache_folder().exists()


def test_an_archive_that_the_user_names(tmp_path, cache):
    place = url(tmp_path / "none.zip")
    assert get(place, path=good_archive(tmp_path)) == Found(cache / place.key, FILES, verified=False)
    assert get(place, path=good_archive(tmp_path)) == Found(cache / place.key, FILES, verified=False)


def test_a_path_that_does_not_fit_is_an_error_although_the_cache_would(tmp_path):
    place, other = url(good_archive(tmp_path)), url(tmp_path / "none.zip", files=OTHER)
    get(place)
    with pytest.raises(DataError, match=re.escape("dataset.path = '/no/where': there is no such folder or file.")):
        get(place, path=Path("/no/where"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        get(place, other, path=tmp_path / "empty")
    assert str(error.value) == (
        f"dataset.path = '{tmp_path / 'empty'}' does not hold the data set 'toy': has no a.tsv, b.txt; has no all.csv. "
        "Name a folder or zip archive with a.tsv, b.txt or all.csv as published."
    )
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match=r"zip file; it begins with b'hello'\)\. Name a folder"):
        get(place, other, path=tmp_path / "text")


def test_a_wheel_is_downloaded_and_not_installed(tmp_path, cache, monkeypatch):
    archive(
        tmp_path / "toy_data-1.0-py3-none-any.whl",
        {
            "toy/a.tsv": A,
            "toy/b.txt": B,
            "toy_data-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n",
            "toy_data-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "toy_data-1.0.dist-info/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    place = Wheel("toy-data==1.0", folder="toy", files=FILES)
    assert get(place) == Found(cache / place.key, FILES, verified=False)
    assert sorted(path.name for path in (cache / place.key).iterdir()) == ["a.tsv", "b.txt"]
    missing = Wheel("toy-data==2.0", folder="toy", files=OTHER)
    assert reason(missing) == "pip download failed with exit code 1: No matching distribution found for toy-data==2.0."


@dataclass(frozen=True)
class Counting(Archive):
    """An archive that notes each time it is asked."""

    asked: list[int]

    def fetch(self, into: Path) -> None:
        self.asked.append(1)
        super().fetch(into)


def test_many_at_once_fetch_once(tmp_path):
    place = Counting(good_archive(tmp_path), folder="toy", files=FILES, asked=[])
    found: list[Found] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        found.append(get(place))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(place.asked) == 1
    assert len(found) == 8
    assert len({one.folder for one in found}) == 1


def test_another_users_cache_and_one_that_cannot_be_made_are_refused(tmp_path, monkeypatch):
    place = url(good_archive(tmp_path))
    cache = cache_folder()
    cache.mkdir(mode=0o700)
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
        text = f"the cache folder {cache} belongs to another user. Set RECBENCH_CACHE to one of your own."
        with pytest.raises(DataError, match=re.escape(text)):
            get(place)
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "file"))
    text = (
        f"the cache folder {tmp_path / 'file' / 'datasets' / 'toy'} cannot be made (File exists). Set RECBENCH_CACHE."
    )
    with pytest.raises(DataError, match=re.escape(text)):
        get(place)


def test_the_usual_cache_folder_is_the_platforms(monkeypatch):
    monkeypatch.delenv("RECBENCH_CACHE")
    assert cache_folder().name == "recbench"
    assert cache_folder().is_absolute()
