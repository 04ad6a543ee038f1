"""Plain files, gzip and members of zip archives read alike; damaged, hostile and missing ones are refused by name."""

import contextlib
import gzip
import os
import re
import stat
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.errors import DataError
from recbench.formats import Column, Layout, read_delimited, source

ROWS = b"user\titem\n" + b"".join(b"u%d\ti%d\n" % (n % 7, n) for n in range(100))
COLUMNS = (Column("user", "user", "id"), Column("item", "item", "id"))
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def content(path):
    return b"".join(source.blocks(path))


def refuses(path, message):
    with pytest.raises(DataError, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        content(path)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return path


@pytest.mark.parametrize("block", [1, 10, source.BLOCK_BYTES])
def test_every_way_of_packing_gives_the_same(tmp_path, monkeypatch, block):
    monkeypatch.setattr(source, "BLOCK_BYTES", block)
    (tmp_path / "r.tsv").write_bytes(ROWS)
    (tmp_path / "r.tsv.gz").write_bytes(gzip.compress(ROWS))
    (tmp_path / "two.tsv.gz").write_bytes(gzip.compress(ROWS[:50]) + gzip.compress(ROWS[50:]))
    zipped(tmp_path / "one.zip", r_tsv=ROWS)
    zipped(tmp_path / "packed.zip", r_tsv_gz=gzip.compress(ROWS))
    zipped(tmp_path / "all.zip", a__r_tsv=ROWS, a__b_txt=b"other", r_tsv_gz=gzip.compress(ROWS))
    with zipfile.ZipFile(tmp_path / "folder.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.mkdir("a")
        archive.writestr("a/r.tsv", ROWS)
    paths = ["r.tsv", "r.tsv.gz", "two.tsv.gz", "one.zip", "packed.zip"]
    paths += ["all.zip/a/r.tsv", "all.zip/r.tsv.gz", "folder.zip", "folder.zip/a/r.tsv"]
    for path in paths:
        assert content(tmp_path / path) == ROWS, path
    frames = [read_delimited(str(tmp_path / path), COLUMNS, Layout()).frame for path in paths]
    assert all(frame.equals(frames[0]) for frame in frames)


def test_blocks_have_the_size_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 64)
    (tmp_path / "r.tsv").write_bytes(ROWS)
    sizes = [len(block) for block in source.blocks(tmp_path / "r.tsv")]
    assert sizes[:-1] == [64] * (len(ROWS) // 64)


def test_a_folder_may_be_called_like_an_archive(tmp_path):
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "r.tsv").write_bytes(ROWS)
    assert content(tmp_path / "a.zip" / "r.tsv") == ROWS


def test_what_is_not_there(tmp_path):
    refuses(tmp_path / "no.tsv", "PATH: there is no such file.")
    refuses(tmp_path / "no.zip" / "r.tsv", "PATH: there is no such file.")
    refuses(tmp_path, "PATH: cannot be read (Is a directory).")
    archive = zipped(tmp_path / "a.zip", x_tsv=ROWS, y_tsv=ROWS)
    refuses(
        archive / "no.tsv", f"PATH: {archive} has no member no.tsv. It has: {archive / 'x.tsv'}, {archive / 'y.tsv'}."
    )
    refuses(archive, f"PATH: holds 2 files instead of one. Name one: {archive / 'x.tsv'}, {archive / 'y.tsv'}.")
    many = zipped(tmp_path / "many.zip", **{f"f{n}": b"" for n in range(7)})
    shown = ", ".join(str(many / f"f{n}") for n in range(5))
    refuses(many, f"PATH: holds 7 files instead of one. Name one: {shown}, ....")
    refuses(zipped(tmp_path / "none.zip"), "PATH: holds 0 files instead of one. Name one: nothing.")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refuses(tmp_path / "pipe", "PATH: is no plain file.")


def test_links_and_repeated_members_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("x", ROWS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x", ROWS)
    refuses(tmp_path / "a.zip" / "link", "PATH: the member link is a link or encrypted, and no plain file.")
    shown = ", ".join(str(tmp_path / "a.zip" / name) for name in ("link", "x", "x"))
    refuses(tmp_path / "a.zip" / "x", f"PATH: {tmp_path / 'a.zip'} has 2 members x. It has: {shown}.")


def test_damaged_files(tmp_path):
    packed = gzip.compress(ROWS)
    for name, data in (("short.gz", packed[:-9]), ("plain.gz", ROWS), ("flipped.gz", packed[:-8] + bytes(8))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{re.escape(name)}: is not a whole gzip file \(.+\)\.$"):
            content(tmp_path / name)
    (tmp_path / "plain.zip").write_bytes(ROWS)
    refuses(tmp_path / "plain.zip", "PATH: is not a sound zip archive (File is not a zip file).")
    refuses(tmp_path / "plain.zip" / "r.tsv", "PATH: is not a sound zip archive (File is not a zip file).")


def test_what_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1 << 16)
    zeros = bytes(3 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(zeros))
    size = (tmp_path / "a.gz").stat().st_size
    limit = 200 * size + (1 << 20)
    refuses(
        tmp_path / "a.gz",
        f"PATH: unpacks to more than {limit:,} bytes, and is {size:,} bytes packed. "
        "Unpack it yourself if you trust it.",
    )
    zipped(tmp_path / "a.zip", r=zeros)
    with pytest.raises(DataError, match=r"a\.zip: unpacks to more than [\d,]+ bytes, and is [\d,]+ bytes packed\."):
        content(tmp_path / "a.zip")
    monkeypatch.setattr(source, "_MAX_RATIO", 1_000)
    monkeypatch.setattr(source, "_MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"a\.gz: unpacks to more than 1,048,576 bytes"):
        content(tmp_path / "a.gz")
    monkeypatch.setattr(source, "_MAX_BYTES", len(zeros))
    assert content(tmp_path / "a.gz") == zeros
    monkeypatch.setattr(source, "_MAX_BYTES", len(zeros) - 1)
    with pytest.raises(DataError, match=r"a\.gz: unpacks to more than 3,145,727 bytes"):
        content(tmp_path / "a.gz")
    (tmp_path / "plain").write_bytes(zeros)
    assert content(tmp_path / "plain") == zeros


@SETTINGS
@given(
    kind=st.sampled_from(["r.gz", "r.zip", "r.zip/r"]),
    place=st.floats(0, 1),
    value=st.integers(0, 255),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_changed_byte_or_a_cut_is_read_or_refused(tmp_path, kind, place, value, cut):
    packed = tmp_path / kind.partition("/")[0]
    if packed.suffix == ".gz":
        packed.write_bytes(gzip.compress(ROWS))
    else:
        zipped(packed, r=ROWS)
    data = bytearray(packed.read_bytes())
    data[int(place * (len(data) - 1))] = value
    packed.write_bytes(data[: None if cut is None else int(cut * len(data))])
    with contextlib.suppress(DataError):
        assert content(tmp_path / kind) in (ROWS, b"")
