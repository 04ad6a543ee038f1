"""Places of single files, of local variants, and of files whose checksum nobody has published."""

import hashlib
import logging
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recbench.data.cache import Found, cache_folder, obtain
from recbench.data.checksums import RECORD
from recbench.data.places import File, LocalOnly, RawFiles, Url
from recbench.errors import DataError

A, B = b"1\t2\n", b"one|two\n"


def known(name, content):
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache and no mirror."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECBENCH_MIRROR", raising=False)
    monkeypatch.delenv("RECBENCH_OFFLINE", raising=False)
    return tmp_path / "cache" / "datasets" / "toy"


@pytest.fixture
def site(tmp_path):
    """A site with two files in the folder ``data`` and an archive of them."""
    folder = tmp_path / "site" / "data"
    folder.mkdir(parents=True)
    (folder / "a.tsv").write_bytes(A)
    (folder / "b%20c.txt.gz").write_bytes(B)
    with zipfile.ZipFile(folder.parent / "toy.zip", "w") as archive:
        archive.write(folder / "a.tsv", "toy/a.tsv")
    return folder.parent


def raw(site, *files, max_bytes=100):
    return RawFiles(site.as_uri(), max_bytes=max_bytes, folder="data", files=files)


def get(*places, path=None):
    return obtain("toy", places, licence="free", homepage="https://toy.example", path=path)


def reason(*places):
    with pytest.raises(DataError) as error:
        get(*places)
    return [line for line in str(error.value).splitlines() if line.startswith("  ")][-1].strip()


def test_single_files_are_downloaded_one_by_one_and_kept_as_they_are(site, cache):
    files = (known("a.tsv", A), known("b%20c.txt.gz", B))
    place = raw(site, *files)
    assert str(place) == f"{site.as_uri()}/data"
    assert get(place) == Found(cache / place.key, files, verified=False)
    assert {path.name: path.read_bytes() for path in (cache / place.key).iterdir()} == {"a.tsv": A, "b%20c.txt.gz": B}
    (site / "data" / "a.tsv").unlink()
    assert get(place) == Found(cache / place.key, files, verified=False)


def test_reasons_of_single_files(site, monkeypatch):
    assert reason(raw(site, known("a.tsv", A), File("no.txt"))).startswith(f"{site.as_uri()}/data: <urlopen error")
    assert reason(raw(site, known("a.tsv", b"1")))[:-1].endswith("data: has more than the 1 bytes expected")
    assert reason(raw(site, File("a.tsv"), max_bytes=3))[:-1].endswith("data: has more than the 3 bytes expected")
    wrong, right = hashlib.sha256(A).hexdigest(), hashlib.sha256(B[:4]).hexdigest()
    assert reason(raw(site, known("a.tsv", B[:4]))).endswith(f": a.tsv has the SHA-256 {wrong} instead of {right}.")
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    assert reason(raw(site, known("a.tsv", A))) == f"{site.as_uri()}/data: RECBENCH_OFFLINE forbids the network."


def test_a_download_that_breaks_off_is_refused_although_no_checksum_is_known(tmp_path):
    class Half(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"1234")

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        place = RawFiles(f"http://127.0.0.1:{server.server_port}", max_bytes=100, folder="", files=(File("a.tsv"),))
        assert str(place) == f"http://127.0.0.1:{server.server_port}"
        assert reason(place).endswith("the download of a.tsv broke off after 4 of 10 bytes.")


def test_what_was_found_is_recorded_where_no_checksum_is_known(site, cache, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    place = raw(site, File("a.tsv"), known("b%20c.txt.gz", B))
    found = get(place)
    assert found == Found(cache / place.key, (known("a.tsv", A), known("b%20c.txt.gz", B)), verified=False)
    assert (found.folder / RECORD).read_text() == "".join(f"{file.sha256}  {file.name}\n" for file in found.files)
    (found.folder / "a.tsv").write_bytes(b"1\t3\n")
    assert get(place) == found
    assert (found.folder / "a.tsv").read_bytes() == A
    wrong, right = hashlib.sha256(b"1\t3\n").hexdigest(), found.files[0].sha256
    assert set(caplog.messages) == {
        f"{found.folder}: a.tsv has the SHA-256 {wrong} instead of {right}. The files are fetched again."
    }


def test_an_md5_alone_is_checked_too(site, cache):
    place = raw(site, File("a.tsv", md5=hashlib.md5(A).hexdigest()))
    assert get(place).files == (File("a.tsv", hashlib.sha256(A).hexdigest(), 4, hashlib.md5(A).hexdigest()),)
    wrong = hashlib.md5(B).hexdigest()
    assert reason(raw(site, File("a.tsv", md5=wrong))).endswith(
        f": a.tsv has the MD5 {hashlib.md5(A).hexdigest()} instead of {wrong}."
    )


def test_an_archive_is_checked_as_a_whole(site, cache):
    digest = hashlib.md5((site / "toy.zip").read_bytes()).hexdigest()
    address = (site / "toy.zip").as_uri()
    place = Url(address, max_bytes=1_000, md5=digest, folder="toy", files=(File("a.tsv"),))
    assert get(place).files == (known("a.tsv", A),)
    other = Url(address, max_bytes=1_000, md5="0" * 32, folder="toy", files=(File("a.tsv"), File("b")))
    assert reason(other) == f"{address}: the archive has the MD5 {digest} instead of {'0' * 32}."


def test_a_member_of_unknown_size_may_not_be_much_larger_than_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.tsv", bytes(10_000_000))
    place = Url((tmp_path / "bomb.zip").as_uri(), max_bytes=10_000, folder="", files=(File("a.tsv"),))
    assert reason(place).endswith("the member a.tsv is more than 200 times as large as the archive.")


def test_another_archive_of_unknown_content_takes_the_place_of_the_first(tmp_path, cache):
    place = Url("https://toy.example/toy.zip", max_bytes=1, folder="", files=(File("a.tsv"),))
    for content in (A, B):
        with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
            archive.writestr("a.tsv", content)
        found = get(place, path=str(tmp_path / "mine.zip"))
        assert (found.folder / "a.tsv").read_bytes() == content
        assert found.files == (known("a.tsv", content),)


def test_a_local_variant_comes_from_the_mirror_and_from_nowhere_else(tmp_path, monkeypatch):
    variant = LocalOnly("the variant (a.tsv)", folder="", files=(known("a.tsv", A),), verified=True)
    assert reason(variant) == "the variant (a.tsv): is read from dataset.path and from RECBENCH_MIRROR alone."
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    (tmp_path / "mirror" / "toy" / "a.tsv").write_bytes(A)
    assert get(variant, path=str(tmp_path / "mirror" / "toy")).files == variant.files
    monkeypatch.setenv("RECBENCH_MIRROR", str(tmp_path / "mirror"))
    found = get(raw(tmp_path, File("other")), variant)
    assert found == Found(tmp_path / "mirror" / "toy", variant.files, verified=True)
    assert "a.tsv" in found
    assert "other" not in found
    assert not cache_folder().exists() or not list(cache_folder().rglob("a.tsv"))


def test_a_known_file_that_differs_is_an_error_wherever_it_lies(tmp_path):
    other = b"1\t3\n"
    (tmp_path / "a.tsv").write_bytes(other)
    variant = LocalOnly("the variant", folder="", files=(known("a.tsv", A),))
    text = (
        f"dataset.path = '{tmp_path}' does not hold the data set 'toy': a.tsv has the SHA-256 "
        f"{hashlib.sha256(other).hexdigest()} instead of {hashlib.sha256(A).hexdigest()}. "
        "Name a folder or zip archive with a.tsv as published."
    )
    with pytest.raises(DataError, match=re.escape(text)):
        get(variant, path=str(tmp_path))


def test_what_was_checked_is_the_files_of_a_place_wherever_they_lie(site, tmp_path, monkeypatch):
    checked = Url((site / "toy.zip").as_uri(), max_bytes=1_000, folder="toy", files=(known("a.tsv", A),), verified=True)
    other = raw(site, known("b%20c.txt.gz", B))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.write(site / "data" / "b%20c.txt.gz", "data/b%20c.txt.gz")
    assert get(checked, other, path=str(site / "toy.zip")).verified
    assert not get(checked, other, path=str(tmp_path / "mine.zip")).verified
    assert get(checked, other, path=str(site / "data")).verified
    assert not get(other, checked, path=str(site / "data")).verified
    # Both are in the cache now.
    assert (get(checked, other).verified, get(other, checked).verified) == (True, False)
