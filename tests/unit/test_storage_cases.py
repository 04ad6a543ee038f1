"""Every known case of storage that fails or is hostile: downloads, a cache that many fill, archives, pickles, sweeps.

One test or more a case, numbered as in the project's list of cases.
"""

import gzip
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import signal
import stat
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import ConfigError, DataError, Interactions, RunError, datasets, splits
from recbench.data.cache import data_set_folder, locked, obtain
from recbench.data.checksums import digest
from recbench.data.places import Archive, File, RawFiles, Url
from recbench.data.vectors import read_vectors
from recbench.datasets import store
from recbench.files import load_checkpoint
from recbench.formats import source
from recbench.nn.pretrained import trained_weights
from recbench.splits.store import assigned

CONTENT = b"user,item\n" + b"".join(b"u%d,i%d\n" % (n % 50, n) for n in range(500))
KNOWN = File("ratings.csv", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
UNKNOWN = File("ratings.csv")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache and no mirror."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECBENCH_MIRROR", raising=False)
    monkeypatch.delenv("RECBENCH_OFFLINE", raising=False)
    return tmp_path / "cache"


class Marker:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@contextmanager
def server(answer):
    """Give the address of a server on this machine that answers each request by ``answer(handler)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            serving.join()


def sends(content, announced=None, status=200):
    """Return an answer of ``content``, whose length is announced as another one where given."""

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def get(*places):
    return obtain("toy", places, licence="free", homepage="https://toy.example")


def reason(*places):
    """Return why the last place failed, and see that nothing is left of the attempt."""
    with pytest.raises(DataError) as error:
        get(*places)
    assert [path.name for path in data_set_folder("toy").iterdir()] == ["lock"]
    assert str(error.value).endswith(
        "Get it from https://toy.example (free) and name its folder or zip archive: dataset.path=PATH. "
        "Or put ratings.csv into FOLDER/toy/ and set RECBENCH_MIRROR=FOLDER."
    )
    return [line for line in str(error.value).splitlines() if line.startswith("  ")][-1].partition(": ")[2]


def raw(address, file=KNOWN, max_bytes=10_000):
    return RawFiles(address, max_bytes=max_bytes, folder="", files=(file,))


def zipped(path, members, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_type(path, name, kind):
    """Write an archive whose member says that it is a link, a device, ..."""
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "/etc/passwd")
    return path


# 47. Downloads that break off, or are something else.


@pytest.mark.parametrize("file", [KNOWN, UNKNOWN])
def test_case_47_a_half_written_download_is_refused(file):
    """A download breaks off, has another length, or is an HTML page. -> It is refused before anything takes its place
    in the cache; the next place is tried, and offline says so at once."""
    with server(sends(CONTENT[:100], announced=len(CONTENT))) as address:
        assert reason(raw(address, file)) == (
            f"the download of ratings.csv broke off after 100 of {len(CONTENT):,} bytes."
        )


@pytest.mark.parametrize("announced", [100, len(CONTENT) - 1])
def test_case_47_a_wrong_length_is_refused(announced):
    with server(sends(CONTENT, announced=announced)) as address:
        assert reason(raw(address)) == f"ratings.csv has {announced:,} bytes instead of {len(CONTENT):,}."


def test_case_47_more_than_published_is_broken_off():
    with server(sends(CONTENT + b"x")) as address:
        assert reason(raw(address)) == f"has more than the {len(CONTENT):,} bytes expected."
        assert reason(raw(address, UNKNOWN, max_bytes=99)) == "has more than the 99 bytes expected."


def test_case_47_an_html_page_as_an_archive_is_refused_and_shown():
    with server(sends(b"<!DOCTYPE html><title>Quota exceeded</title>")) as address:
        place = Url(f"{address}/toy.zip", max_bytes=10_000, folder="", files=(UNKNOWN,))
        assert reason(place) == (
            "is not a sound zip archive (File is not a zip file; it begins with b'<!DOCTYPE html><')."
        )


def test_case_47_an_html_page_as_a_file_is_refused_where_anything_is_known_of_it():
    with server(sends(b"<html>Sorry</html>")) as address:
        assert reason(raw(address)) == f"ratings.csv has 18 bytes instead of {len(CONTENT):,}."


def test_case_47_an_error_of_the_server_is_told():
    with server(sends(b"gone", status=404)) as address:
        assert reason(raw(address)) == "HTTP Error 404: Not Found."


def test_case_47_a_half_written_archive_is_refused(tmp_path):
    whole = zipped(tmp_path / "toy.zip", {"ratings.csv": CONTENT}).read_bytes()
    for place in range(0, len(whole), 37):
        with pytest.raises(DataError, match="is not a sound zip archive"):
            (tmp_path / "half.zip").write_bytes(whole[:place])
            get(Url((tmp_path / "half.zip").as_uri(), max_bytes=10_000, folder="", files=(UNKNOWN,)))
    assert [path.name for path in data_set_folder("toy").iterdir()] == ["lock"]


def test_case_47_the_next_place_helps_and_what_is_kept_is_whole():
    with server(sends(CONTENT[:7], announced=len(CONTENT))) as broken, server(sends(CONTENT)) as sound:
        found = get(raw(broken), raw(sound))
    assert (found.folder / "ratings.csv").read_bytes() == CONTENT


def test_case_47_offline_it_says_so_at_once(monkeypatch):
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    assert reason(raw("https://toy.example")) == "RECBENCH_OFFLINE forbids the network."


# 48. Many processes and one cache.


def _obtain_and_tell(place, told):
    try:
        found = get(place)
        told.put((found.files[0].sha256, digest(found.folder / "ratings.csv")))
    except BaseException as error:  # The parent is to see whatever it was.
        told.put(repr(error))
        raise


def test_case_48_eight_processes_on_an_empty_cache_fetch_once_and_agree(tmp_path):
    """Several processes fill one cache. -> One fetches, the others wait and take the same; a killed one holds nobody
    up."""
    asked, archive = [], zipped(tmp_path / "toy.zip", {"ratings.csv": CONTENT}).read_bytes()

    def answer(handler):
        asked.append(handler.path)
        sends(archive)(handler)

    processes = multiprocessing.get_context("fork")
    told = processes.SimpleQueue()
    with server(answer) as address:
        place = Url(f"{address}/toy.zip", max_bytes=100_000, folder="", files=(UNKNOWN,))
        started = [processes.Process(target=_obtain_and_tell, args=(place, told)) for _ in range(8)]
        for process in started:
            process.start()
        heard = [told.get() for _ in started]
        for process in started:
            process.join()
    assert [process.exitcode for process in started] == [0] * 8
    assert set(heard) == {(KNOWN.sha256, KNOWN.sha256)}
    assert asked == ["/toy.zip"]
    assert sorted(path.name for path in data_set_folder("toy").iterdir()) == sorted([place.key, "lock"])


def _hold_until_killed(holds):
    with locked(data_set_folder("toy")):
        holds.put(os.getpid())
        signal.pause()


def test_case_48_the_lock_of_a_killed_process_holds_nobody_up(tmp_path):
    processes = multiprocessing.get_context("fork")
    holds = processes.SimpleQueue()
    process = processes.Process(target=_hold_until_killed, args=(holds,))
    process.start()
    os.kill(holds.get(), signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (tmp_path / "ratings.csv").write_bytes(CONTENT)
    assert (get(raw(tmp_path.as_uri())).folder / "ratings.csv").read_bytes() == CONTENT


def test_case_48_what_a_killed_download_left_is_no_data(tmp_path):
    place = raw(tmp_path.as_uri())
    left = data_set_folder("toy") / "unfinished-abc" / "files"
    left.mkdir(parents=True)
    (left / "ratings.csv").write_bytes(CONTENT[:10])
    (tmp_path / "ratings.csv").write_bytes(CONTENT)
    assert (get(place).folder / "ratings.csv").read_bytes() == CONTENT


# 50. A job of a sweep that fails.

PLUGIN = """
import torch
from recbench.models import Model, register
from recbench.options import Config

class FragileConfig(Config):
    \"\"\"Options.\"\"\"

    fails: bool = False
    \"\"\"Whether it does.\"\"\"

@register("fragile", config=FragileConfig)
class Fragile(Model):
    \"\"\"Gives the same score to all, or fails.\"\"\"

    def fit(self, train):
        if self.config.fails:
            raise RuntimeError("out of order")

    def score(self, batch, items=None):
        return torch.zeros(len(batch.users), self.n_items)
"""


def test_case_50_a_failing_job_is_recorded_and_the_others_go_on(command, tmp_path):
    """A job of a sweep fails. -> The others go on, its status and traceback are kept, the exit code is 1; typed again
    the sweep skips what is done and leaves alone what failed; with `sweep.retry=failed` it runs that."""
    (tmp_path / "fragile_plugin.py").write_text(PLUGIN)
    words = ["run", "-m", "--plugin=fragile_plugin", "model=fragile", "model.fails=true,false", "dataset=planted"]
    words += ["dataset.n_users=30", "dataset.n_items=40", "dataset.n_interactions=300", "hydra.sweep.dir=sweep"]
    ended = command(*words)
    assert ended.code == 1
    failure = r"^failed  RuntimeError: out of order  sweep/fragile-fails_true-planted-\w{8}/run\.log$"
    assert re.search(failure, ended.out, re.MULTILINE)
    assert "1 of 2 runs did not end well. Typed again, the command leaves alone what failed, unless with" in ended.err
    statuses = {path.parent: json.loads(path.read_text())["status"] for path in Path("sweep").rglob("status.json")}
    assert sorted(statuses.values()) == ["done", "failed"]
    (failed,) = [folder for folder, status in statuses.items() if status == "failed"]
    assert 'raise RuntimeError("out of order")' in (failed / "run.log").read_text(), "the traceback is in its log"
    again = command(*words)
    assert (again.code, again.err.count("done already, skipped")) == (1, 1)
    assert again.err.count("failed before, left alone") == 1 and re.search(failure, again.out, re.MULTILINE)
    assert not list(Path("sweep").glob("*.old-*"))
    (tmp_path / "sweep" / failed.name / "run.log").unlink()
    told = command(*words, "sweep.retry=failed")
    assert told.code == 1 and (failed / "run.log").exists() and len(list(Path("sweep").glob("*.old-1"))) == 1


# 51. Archives that attack.

ESCAPES = ["../ratings.csv", "/ratings.csv", "x/../../ratings.csv", "..\\ratings.csv", "C:\\ratings.csv"]


@pytest.mark.parametrize("name", ESCAPES)
def test_case_51_a_member_that_leads_elsewhere_is_not_taken(tmp_path, name):
    """An archive holds `../`, links, devices, a bomb or a member twice. -> Only named plain members are read, as many
    bytes as they may have; nothing is ever unpacked as a whole."""
    archive = zipped(tmp_path / "toy.zip", {name: CONTENT})
    place = Archive(archive, folder="", files=(UNKNOWN,))
    assert reason(place) == "has no member ratings.csv."
    assert not list(tmp_path.rglob("ratings.csv"))
    assert not Path("/ratings.csv").exists()
    with pytest.raises(DataError, match="has no member ratings.csv"):
        list(source.blocks(archive / "ratings.csv"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR])
def test_case_51_links_and_devices_are_refused(tmp_path, kind):
    archive = with_type(tmp_path / "toy.zip", "ratings.csv", kind)
    assert reason(Archive(archive, folder="", files=(UNKNOWN,))) == "the member ratings.csv is not a plain file."
    with pytest.raises(DataError, match="the member ratings.csv is a link or encrypted, and no plain file"):
        list(source.blocks(archive / "ratings.csv"))


@pytest.mark.parametrize(("how", "size"), [(zipfile.ZIP_DEFLATED, 20_000_000), (zipfile.ZIP_BZIP2, 20_000_000)])
def test_case_51_a_bomb_is_refused(tmp_path, how, size):
    archive = zipped(tmp_path / "toy.zip", {"ratings.csv": bytes(size)}, how)
    assert archive.stat().st_size < 60_000
    said = "the member ratings.csv is more than 200 times as large as the archive."
    assert reason(Archive(archive, folder="", files=(UNKNOWN,))) == said
    with pytest.raises(DataError, match=r"unpacks to more than [\d,]+ bytes, and is [\d,]+ bytes packed"):
        list(source.blocks(archive / "ratings.csv"))
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(bytes(size)))
    with pytest.raises(DataError, match=r"unpacks to more than [\d,]+ bytes, and is [\d,]+ bytes packed"):
        list(source.blocks(tmp_path / "ratings.csv.gz"))


def test_case_51_a_bomb_that_lies_about_its_size_is_refused(tmp_path):
    archive = zipped(tmp_path / "toy.zip", {"ratings.csv": bytes(1_000_000)})
    true, said = (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(true, said))
    assert "ratings.csv" in reason(Archive(archive, folder="", files=(UNKNOWN,)))
    assert not list(tmp_path.rglob("ratings.csv"))


def test_case_51_a_member_that_is_there_twice_cannot_choose_which_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        archive.writestr("ratings.csv", CONTENT)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("ratings.csv", b"user,item\nevil,evil\n")
    with pytest.raises(DataError, match="has 2 members ratings.csv"):
        list(source.blocks(tmp_path / "toy.zip" / "ratings.csv"))
    assert reason(Archive(tmp_path / "toy.zip", folder="", files=(KNOWN,))) == (
        f"the member ratings.csv has 20 bytes instead of {len(CONTENT):,}."
    )


def test_case_51_archives_of_other_kinds_are_not_unpacked(tmp_path):
    (tmp_path / "ratings.csv").write_bytes(CONTENT)
    with tarfile.open(tmp_path / "toy.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "ratings.csv", "../../escaped.csv")
    with pytest.raises((DataError, ConfigError)):
        datasets.build("files", interactions=str(tmp_path / "toy.tar.gz")).load()
    assert not [path for path in (tmp_path, *tmp_path.parents[:3]) if (path / "escaped.csv").exists()]


# 52. Pickles.


def poisoned_array(path, marker):
    np.save(path, np.array([Marker(marker)], dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize("how", ["torch", "legacy", "pickle"])
def test_case_52_a_pickle_in_a_checkpoint_is_refused_and_runs_nothing(tmp_path, how):
    """A checkpoint, a data set or a file of the cache is a pickle. -> It is refused, and nothing in it runs."""
    path, marker = tmp_path / "checkpoint.pt", tmp_path / "marker"
    poison = {"schema_version": 1, "model": "mf", "train": "x", "state_dict": {"weight": Marker(marker)}}
    if how == "pickle":
        path.write_bytes(pickle.dumps(poison))
    else:
        torch.save(poison, path, _use_new_zipfile_serialization=how == "torch")
    path.with_name("checkpoint.pt.sha256").write_text(f"{digest(path)}  checkpoint.pt\n")
    train = Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"]}))
    for read in (lambda: load_checkpoint(tmp_path, "mf", train), lambda: trained_weights(str(tmp_path), "mf", train)):
        with pytest.raises(RunError, match="is refused: it is no checkpoint of plain tensors"):
            read()
    assert not marker.exists()
    pickle.loads(path.read_bytes()) if how == "pickle" else torch.load(path, weights_only=False)
    assert marker.exists(), "the poison is one"


@pytest.mark.parametrize("name", ["data.csv", "data.pkl", "data.parquet", "data.jsonl", "data.inter", "data.csv.gz"])
def test_case_52_a_pickle_as_a_data_set_is_refused_and_runs_nothing(tmp_path, name):
    path, marker = tmp_path / name, tmp_path / "marker"
    content = pickle.dumps(pd.DataFrame({"user": [Marker(marker)], "item": ["x"]}))
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises((DataError, ConfigError)):
        datasets.build("files", interactions=str(path)).load()
    assert not marker.exists()


def test_case_52_a_pickle_in_arrays_is_refused_and_runs_nothing(tmp_path):
    marker = tmp_path / "marker"
    array = poisoned_array(tmp_path / "vectors.npy", marker)
    with zipfile.ZipFile(tmp_path / "vectors.npz", "w") as archive:
        for name in ("ids", "vectors", "user_embedding_W"):
            archive.write(array, f"{name}.npy")
    train = Interactions.from_frame(pd.DataFrame({"user": ["0"], "item": ["0"]}))
    with pytest.raises(DataError, match="is no .npz file of plain numbers"):
        trained_weights(str(tmp_path / "vectors.npz"), "gmf", train)
    with pytest.raises(DataError, match="cannot be read as arrays of numbers and text"):
        read_vectors(tmp_path / "vectors.npz")
    assert not marker.exists()


def test_case_52_a_pickle_in_the_cache_is_refused_and_runs_nothing(tmp_path, cache):
    marker = tmp_path / "marker"
    folder = cache / "tables" / "key"
    folder.mkdir(parents=True)
    cache.chmod(0o700)
    poisoned_array(folder / "items.npy", marker)
    (folder / "meta.json").write_text(json.dumps({"files": ["meta.json", "items.npy"], "loaded": {}, "warnings": []}))
    lines = [f"{digest(folder / name)}  {name}\n" for name in ("items.npy", "meta.json")]
    (folder / "SHA256SUMS").write_text("".join(lines))
    made = store.Loaded(Interactions.from_frame(pd.DataFrame({"user": ["a"], "item": ["x"]})))
    assert store.stored("key", lambda: made) is made
    assert not marker.exists()


def test_case_52_a_pickle_as_a_kept_split_is_refused_and_runs_nothing(tmp_path, cache):
    marker, splitter = tmp_path / "marker", splits.build("random")
    interactions = Interactions.from_frame(pd.DataFrame({"user": ["a"] * 10, "item": list("abcdefghij")}))
    assigned(splitter, "random", interactions)
    (path,) = cache.rglob("*.npz")
    np.savez(path, parts=np.array([Marker(marker)], dtype=object))
    with pytest.raises(DataError, match=r"is damaged. Delete it, and the split is drawn anew.$"):
        assigned(splitter, "random", interactions)
    assert not marker.exists()
