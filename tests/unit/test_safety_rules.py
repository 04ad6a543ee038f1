"""The twelve rules of SECURITY.md, each with tests that try to break it."""

import ast
import hashlib
import io
import json
import logging
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version

import recbench
from recbench import ConfigError, DataError, Interactions, RunError, Split, datasets, models, resolve, run, splits
from recbench.cli import board
from recbench.comparison import compare, read_results, render
from recbench.configuration import ExperimentConfig
from recbench.data import Features, Vocabulary, feature_table
from recbench.data.cache import cache_folder, cache_path, obtain
from recbench.data.checksums import RECORD, checked
from recbench.data.places import Archive, File, LocalOnly, RawFiles, _StaySecure
from recbench.datasets.planted import PlantedConfig
from recbench.experiment import prepare
from recbench.files import load_checkpoint, replacing
from recbench.inspection.describe import describe
from recbench.inspection.page import page
from recbench.models.popularity import Popularity, PopularityConfig
from recbench.paths import below, checked_name
from recbench.recommend import Recommender, load
from recbench.redaction import REDACTED, redacted, redacted_text
from recbench.run_config import read_config
from recbench.tracking import hparams

PACKAGE = Path(recbench.__file__).parent
ROOT = PACKAGE.parent
SMALL = {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300}
WORDS = ("dataset=planted", "dataset.n_users=30", "dataset.n_items=40", "dataset.n_interactions=300")
SECRET = "s3cret-of-the-environment"
BAD_NAMES = [
    "",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "nul\0",
    "CON",
    "com1.csv",
    "x" * 129,
    "a\n",
    "ü",
    "-rf",
    ".x",
]


class Marker:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Let each test have a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give the folder of a finished run."""
    place = tmp_path_factory.mktemp("outputs") / "popularity"
    composed = {"model": "popularity", "dataset": SMALL, "tracking": {"tensorboard": False}, "threads": 1}
    run(resolve(composed).config, place, progress=False)
    return place


@pytest.fixture
def copied(finished, tmp_path):
    """Give a copy of it, to be poisoned."""
    return shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns(".lock"))


def sources():
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}


def written_below(place):
    """Return the bytes of everything below a folder, unpacked names included."""
    return {str(path): path.read_bytes() for path in Path(place).rglob("*") if path.is_file()}


# 1. Never unpickle.


def test_rule_01_no_source_unpickles_or_evaluates():
    forbidden_modules = {
        "pickle",
        "_pickle",
        "cPickle",
        "joblib",
        "dill",
        "cloudpickle",
        "marshal",
        "shelve",
        "jsonpickle",
    }
    forbidden_calls = {
        *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle"),
        *("torch.export.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "yaml.load"),
        *("yaml.full_load", "yaml.unsafe_load", "tempfile.mktemp", "tarfile.open", "hydra.utils.instantiate"),
    }
    found = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [
                    f"{path}: import {a.name}" for a in node.names if a.name.partition(".")[0] in forbidden_modules
                ]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in forbidden_modules:
                # The exception that a refused checkpoint raises.
                found += [
                    f"{path}: from {node.module} import {a.name}" for a in node.names if a.name != "UnpicklingError"
                ]
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                found += [f"{path}: {called}"] if called in forbidden_calls or called.endswith(".extractall") else []
                found += (
                    [f"{path}: {called} of {given}"]
                    if called == "torch.load" and given.get("weights_only") != "True"
                    else []
                )
                found += (
                    [f"{path}: {called} of {given}"]
                    if called == "np.load" and given.get("allow_pickle") != "False"
                    else []
                )
                found += [f"{path}: {called} with a shell"] if given.get("shell", "False") != "False" else []
    assert found == []


def test_rule_01_the_linter_watches_too():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    watched = set(project["tool"]["ruff"]["lint"]["select"])
    assert {"S102", "S202", "S301", "S302", "S306", "S307", "S506", "S602", "S604", "S605"} <= watched


@pytest.mark.parametrize("how", ["torch", "pickle", "module"])
def test_rule_01_a_poisoned_checkpoint_runs_nothing(copied, tmp_path, how):
    marker, path = tmp_path / "marker", copied / "checkpoint.pt"
    if how == "torch":
        torch.save({"schema_version": 1, "model": "popularity", "state_dict": Marker(marker)}, path)
    elif how == "module":
        torch.save(torch.nn.Linear(2, 2), path)
    else:
        path.write_bytes(pickle.dumps(Marker(marker)))
    (copied / "checkpoint.pt.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  checkpoint.pt\n")
    with pytest.raises(
        RunError, match="is refused: it is no checkpoint of plain tensors, and could run code when read"
    ):
        load(copied)
    assert not marker.exists()


# 2. Names, not imports.


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            "callbacks: {x: {_target_: os.mkdir, name: marker}}",
            "hydra.callbacks.x._target_ = 'os.mkdir': names code to run",
        ),
        ("launcher: {_target_: os.mkdir}", "hydra.launcher._target_ = 'os.mkdir': names code to run"),
        (
            "sweeper: {_target_: os.mkdir}",
            "hydra.sweeper._target_ = 'os.mkdir': names code to run",
        ),
        (
            "job_logging: {handlers: {x: {(): os.mkdir}}}",
            "hydra.job_logging: names code to run, and log lines are recbench",
        ),
        (
            "hydra_logging: {root: {handlers: [x]}}",
            "hydra.hydra_logging: names code to run, and log lines are recbench's",
        ),
        (
            "job: {env_set: {RECBENCH_PLUGINS: evil}}",
            "hydra.job.env_set: would change what programs and modules a run finds",
        ),
    ],
)
def test_rule_02_a_file_cannot_have_hydra_run_code(command, tmp_path, node, said):
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('marker').touch()\n")
    (tmp_path / "theirs" / "experiment" / "bad.yaml").write_text(f"# @package _global_\nhydra:\n  {node}\n")
    words = ("--config-dir=theirs", "experiment=bad", "model=popularity", *WORDS)
    every = (("run", *words), ("run", "-m", *words, "seed=0,1"), ("config", *words), ("run", "--cfg=job", *words))
    for asked in every if node.startswith("callbacks") else every[:1]:
        ended = command(*asked)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.py", "theirs"]


def test_rule_02_a_file_cannot_name_a_plugin_or_a_class(command, tmp_path):
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    (tmp_path / "evil.py").write_text("import pathlib\npathlib.Path('marker').touch()\n")
    for written, said in (
        ("plugins: [evil]", "no option 'plugins'"),
        ("model: {_target_: evil.Model}", "_target_ = 'evil.Model': no such option"),
        ("model: {name: evil.Model}", "no model 'evil.Model'"),
    ):
        (tmp_path / "theirs" / "experiment" / "bad.yaml").write_text(f"# @package _global_\n{written}\n")
        ended = command("run", "--config-dir=theirs", "experiment=bad", *WORDS)
        assert ended.code == 2
        assert said in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.py", "theirs"]


# 3. A run's folder is data.


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        ("_target_: os.system\n", "_target_ = 'os.system' names code to run"),
        ("model: {name: popularity, _target_: os.system}\n", "model._target_ = 'os.system' names code to run"),
        (
            "dataset: {name: planted, clean: [{_target_: os.system}]}\n",
            "dataset.clean[0]._target_ = 'os.system' names code",
        ),
        ("hydra: {run: {dir: /tmp}}\n", "'hydra' holds settings of Hydra"),
        ("label: ${oc.env:HOME}\n", "label = '${oc.env:HOME}' refers to something outside the file"),
        ("label: !!python/object/apply:pathlib.Path.touch [marker]\n", "could not determine a constructor"),
    ],
)
def test_rule_03_a_poisoned_run_is_refused_whoever_reads_it(command, copied, tmp_path, poison, said):
    (copied / "config.yaml").write_text(f"model: popularity\n{poison}" if not poison.startswith("model") else poison)
    with pytest.raises(RunError, match=re.escape(said)):
        read_config(copied)
    with pytest.raises(RunError, match=re.escape(said)):
        load(copied)
    for asked, code in (
        (("recommend", "copy", "--user", "u0001"), 2),
        (("export", "copy"), 2),
        (("doctor", "copy"), 1),
    ):
        ended = command(*asked)
        assert ended.code == code
        assert said in ended.out + ended.err
    (copied / "result.json").unlink()
    ended = command("run", "--resume", "copy")
    assert ended.code == 2 and said in ended.err, "of a run that did not come to its end"
    assert not (tmp_path / "marker").exists()


def test_rule_03_a_result_can_hold_no_more_than_json(copied):
    (copied / "result.json").write_bytes(pickle.dumps({}))
    with pytest.raises(RunError, match="result.json: cannot be read"):
        load(copied)


# 4. Secrets stay out of files.


@pytest.mark.parametrize(
    "label",
    [
        "${oc.env:HF_TOKEN}",
        "x-${oc.env:HF_TOKEN}",
        "${oc.decode:${oc.env:HF_TOKEN}}",
        "${oc.env:HF_${oc.select:z,TOKEN}}",
        SECRET,
    ],
)
def test_rule_04_an_option_cannot_hold_a_secret(command, tmp_path, monkeypatch, label):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    (tmp_path / "theirs" / "experiment" / "leak.yaml").write_text(f'# @package _global_\nlabel: "{label}"\n')
    for more in (("hydra.run.dir=one",), ("-m", "seed=0,1", "hydra.sweep.dir=many"))[: 2 if label == SECRET else 1]:
        ended = command("run", "--config-dir=theirs", "experiment=leak", "model=popularity", *WORDS, *more)
        assert ended.code == 2
        assert (
            "label: would write the environment variable 'HF_TOKEN' into the run's files, and by its name it is a "
            "secret; leave it out (a plugin that needs it can read the variable itself)."
        ) in ended.err
        assert SECRET not in ended.out + ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_rule_04_a_resolver_of_a_secret_that_is_no_text_is_refused_by_its_name(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PIN_SECRET", "1234")
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    leak = "# @package _global_\nseed: ${oc.decode:${oc.env:PIN_SECRET}}\n"
    (tmp_path / "theirs" / "experiment" / "leak.yaml").write_text(leak)
    ended = command("run", "--config-dir=theirs", "experiment=leak", "model=popularity", *WORDS)
    assert ended.code == 2
    assert "seed: would write the environment variable 'PIN_SECRET' into the run's files" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_rule_04_other_variables_can_be_referred_to(command, monkeypatch):
    monkeypatch.setenv("N_FACTORS", "mine")
    assert command("run", "model=popularity", *WORDS, "label=${oc.env:N_FACTORS}", "hydra.run.dir=one").code == 0
    assert read_config(Path("one"))["label"] == "mine"


def test_rule_04_no_file_of_a_run_has_a_secret_that_came_another_way(tmp_path, monkeypatch):
    config = resolve({"model": "popularity", "dataset": SMALL, "label": f"by {SECRET}", "threads": 1}).config
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(sys, "argv", ["recbench", "run", f"dataset.api_key={SECRET[::-1]}", SECRET])
    with (
        pytest.raises(ValueError, match="the end"),
        recbench.report.RunFolder(tmp_path / "run", config, torch.device("cpu")),
    ):
        logging.getLogger("recbench").info("asked for https://example.org/?token=%s", SECRET)
        raise ValueError(f"{SECRET}, password=hunter2, the end")
    held = written_below(tmp_path / "run")
    assert {Path(name).name.partition(".")[0] for name in held} >= {"config", "run", "result", "events"}
    for name, content in held.items():
        assert SECRET.encode() not in content and SECRET[::-1].encode() not in content, name
        assert b"hunter2" not in content, name
    assert read_config(tmp_path / "run")["label"] == f"by {REDACTED}"
    assert SECRET not in str(hparams(config))


def test_rule_04_what_is_redacted(monkeypatch):
    for name, value in (
        ("HF_TOKEN", SECRET),
        ("API_KEY", "short"),
        ("SSH_KEY", "/home/me/key"),
        ("HOST", "machine-one"),
    ):
        monkeypatch.setenv(name, value)
    plain = {"api_key": "abc", "user_password": "abc", "n_tokens": 5, "monkey": "abc", "list": [f"<{SECRET}>", 1, None]}
    assert redacted(plain) == {
        **{"api_key": REDACTED, "user_password": REDACTED, "n_tokens": 5, "monkey": "abc"},
        "list": [f"<{REDACTED}>", 1, None],
    }
    assert redacted_text("short /home/me/key machine-one keyboard=us") == "short /home/me/key machine-one keyboard=us"
    assert redacted_text("a.token='x y' b.secret=z, c=1") == f"a.token={REDACTED} b.secret={REDACTED} c=1"


# 5. Data sets by manifest.


def card_places():
    for name in datasets.registry.names():
        for place in datasets.registry.entry(name).target.card.places:
            yield name, place


def test_rule_05_every_address_is_secure():
    addresses = [getattr(place, "url", getattr(place, "base_url", None)) for _, place in card_places()]
    assert len([address for address in addresses if address]) > 5
    assert all(address.startswith("https://") for address in addresses if address)


def test_rule_05_a_redirection_cannot_leave_https():
    asked = urllib.request.Request("https://data.example/a.zip")
    with pytest.raises(DataError, match=r"^is redirected from https to http://data\.example/a\.zip$"):
        _StaySecure().redirect_request(asked, io.BytesIO(), 302, "Found", {}, "http://data.example/a.zip")
    elsewhere = _StaySecure().redirect_request(asked, io.BytesIO(), 302, "Found", {}, "https://cdn.example/a.zip")
    assert elsewhere.full_url == "https://cdn.example/a.zip"


def test_rule_05_other_content_than_published_is_an_error_and_no_option_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.csv").write_bytes(b"1,3\n")
    place = RawFiles(
        tmp_path.as_uri(), max_bytes=9, folder="", files=(File("a.csv", hashlib.sha256(b"1,2\n").hexdigest(), 4),)
    )
    with pytest.raises(DataError, match="a.csv has the SHA-256 .* instead of"):
        obtain("toy", [place], licence="free", homepage="https://toy.example")
    assert not list((tmp_path / "cache").rglob("a.csv"))
    options = {
        field for name in datasets.registry.names() for field in datasets.registry.entry(name).options.model_fields
    }
    assert not [option for option in options if "verif" in option or "trust" in option or "checksum" in option]


# 6. Archives: see also cases 47 and 51.


def test_rule_06_only_the_named_members_leave_an_archive_and_within_limits(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("../evil", "/evil", "toy/../../evil", "toy/a.csv", "toy/more"):
            archive.writestr(name, b"1,2\n")
    into = tmp_path / "scratch" / "files"
    into.mkdir(parents=True)
    Archive(tmp_path / "a.zip", folder="toy", files=(File("a.csv"),)).fetch(into)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "a.zip",
        "scratch/files/a.csv",
    ]
    monkeypatch.setattr("recbench.data.places._MAX_BYTES", 7)
    (into / "a.csv").unlink()
    with pytest.raises(DataError, match="^the members have more than 7 bytes$"):
        Archive(tmp_path / "a.zip", folder="toy", files=(File("a.csv"), File("more"))).fetch(into)


# 7. Names and paths.


@pytest.mark.parametrize("name", BAD_NAMES)
def test_rule_07_a_name_is_no_way_out(tmp_path, monkeypatch, name):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    text = (
        f"thing name {name!r}: use 1 to 128 letters, digits, '.', '_', '=', ',', '+' and '-' only, a letter or digit "
        "first, and no name of a device."
    )
    with pytest.raises(ConfigError) as error:
        checked_name(name, "thing")
    assert str(error.value) == text
    with pytest.raises(ConfigError, match=r"^data set name .*: use 1 to 128 letters"):
        obtain(name, [LocalOnly("x", folder="", files=())], licence="", homepage="")
    for registry in (datasets.registry, models.registry, splits.registry):
        with pytest.raises(ConfigError, match=f"^{registry.kind} name .*: use 1 to 128 letters"):
            registry.register(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "CON", "nul\0"])
def test_rule_07_a_typed_name_is_no_way_out(command, tmp_path, name):
    quoted = "'" + name.replace("\\", "\\\\") + "'"
    assert command("run", f"dataset={quoted}", f"model={quoted}", f"experiment={quoted}").code == 2
    assert list(tmp_path.iterdir()) == []


def test_rule_07_good_names_and_links(tmp_path):
    root = tmp_path / "root"
    (tmp_path / "outside").mkdir()
    root.mkdir()
    for name in ("ml-100k", "a.b_c+d", "seed=1,2", "x" * 128, "console"):
        assert below(root, name, "thing") == root / name
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError) as error:
        below(root, "link", "thing")
    assert str(error.value) == f"{root / 'link'}: is a link that leads out of {root}; take it away."


def test_rule_07_a_run_is_named_in_safe_letters(command, tmp_path):
    words = ("model=popularity", *WORDS, "label='../../x'", "hydra.sweep.dir=sweep")
    assert command("run", "-m", *words, "seed=0,1").code == 0
    for place in (path.parent for path in tmp_path.rglob("result.json")):
        assert checked_name(place.name, "run") == place.name
        assert place.parent == tmp_path / "sweep"


# 8. Cache and temporary files.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_rule_08_a_cache_that_others_can_change_is_refused(cache, monkeypatch):
    cache.mkdir()
    for mode in (0o770, 0o777, 0o702):
        cache.chmod(mode)
        with pytest.raises(DataError) as error:
            cache_folder()
        assert str(error.value) == (
            f"the cache folder {cache} can be written to by others (mode {mode:o}). If nobody has: chmod go-w {cache}. "
            "To share data sets, share a folder for RECBENCH_MIRROR."
        )
        with pytest.raises(DataError, match="can be written to by others"):
            run(resolve({"model": "popularity", "dataset": SMALL}).config, progress=False)
    cache.chmod(0o755)
    assert cache_folder() == cache
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    with pytest.raises(DataError, match="belongs to another user. Set RECBENCH_CACHE to one of your own."):
        cache_folder()


def test_rule_08_the_cache_is_made_private_and_nowhere_predictable(cache, monkeypatch):
    before = os.umask(0)
    try:
        run(resolve({"model": "popularity", "dataset": SMALL}).config, progress=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert list(cache.rglob("*.npz")), "the split is kept"
    monkeypatch.delenv("RECBENCH_CACHE")
    assert cache_path() == Path(platformdirs.user_cache_dir("recbench"))


def test_rule_08_no_source_has_a_place_in_tmp():
    found = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith(("/tmp", "/var/tmp"))
            ):
                found.append(f"{path}: {node.value!r}")
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("tempfile."):
                beside = "dir" in [keyword.arg for keyword in node.keywords]
                found += [] if beside else [f"{path}: {ast.unparse(node)}"]
    assert found == []


def test_rule_08_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    (tmp_path / "victim").write_text("mine")
    (tmp_path / f".out.csv.{'0' * 16}.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match="cannot be written"), replacing(tmp_path / "out.csv") as file:
        file.write(b"overwritten")
    assert (tmp_path / "victim").read_text() == "mine"


def test_rule_08_an_output_that_is_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out.csv").symlink_to(tmp_path / "victim")
    with replacing(tmp_path / "out.csv") as file:
        file.write(b"new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "out.csv").is_symlink()


def test_rule_08_checksums_name_files_of_their_folder_alone(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "outside").write_bytes(b"x")
    (tmp_path / "cache" / "outside").write_bytes(b"x")
    for name in ("../outside", str(tmp_path / "outside"), ".."):
        (tmp_path / "cache" / RECORD).write_text(f"{hashlib.sha256(b'x').hexdigest()}  {name}\n")
        with pytest.raises(DataError, match=f"^{RECORD} names .*, which is no file of this folder$"):
            checked(tmp_path / "cache")


# 9. TensorBoard on this machine alone.


def test_rule_09_the_board_listens_on_this_machine_alone(command):
    words = board.command("outputs", 6006)
    assert words[words.index("--host") + 1] == "localhost"
    for flag in ("--bind_all", "--host=0.0.0.0"):
        ended = command("board", "outputs", flag)
        assert ended.code == 2
        assert "no flag" in ended.err
    assert not resolve({"model": "popularity", "dataset": SMALL}).config.tracking.embeddings
    told = [path for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")] if "--bind_all" in path.read_text()]
    assert told == []


# 10. Text of others.

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\x1b[2Jx\u202e", "<script>alert(1)</script>|"]


@pytest.fixture
def hostile():
    """Give a recommender whose ids and titles are attacks."""
    table = pd.DataFrame({"user": ["u"] + ["=v"] * len(HOSTILE), "item": ["x", *HOSTILE], "part": 0})
    titles = pd.DataFrame({"item": ["x", *HOSTILE], "title": ["x", *HOSTILE]})
    vocabulary = Vocabulary(table["item"], "item")
    interactions = Interactions.from_frame(
        table, part="part", features=Features(items=feature_table(titles, vocabulary))
    )
    split = Split.from_parts(interactions, interactions.parts)
    model = Popularity(PopularityConfig(), split.train)
    model.fit(split.train)
    return Recommender(ExperimentConfig(model=PopularityConfig(), dataset=PlantedConfig()), split, model)


def test_rule_10_spreadsheets_get_no_formulas_where_asked(hostile, tmp_path):
    hostile.write_all(tmp_path / "plain.csv", k=20)
    hostile.write_all(tmp_path / "safe.csv", k=20, for_spreadsheet=True)
    read = {"dtype": str, "keep_default_na": False, "lineterminator": "\n"}
    plain, safe = (pd.read_csv(tmp_path / name, **read) for name in ("plain.csv", "safe.csv"))
    assert set(plain["item"]) == {"x", *HOSTILE}
    assert not [text for column in ("user", "item", "title") for text in safe[column] if text[0] in "=+-@\t\r"]
    assert set(safe["item"]) == {"x", *(f"'{text}" for text in HOSTILE[:6]), *HOSTILE[6:]}
    assert list(safe["score"]) == list(plain["score"]), "numbers stay numbers"


def test_rule_10_the_terminal_gets_no_control_characters(command, tmp_path):
    items = ["x", "=cmd|' /C calc'!A0", "\x1b[2Jx\u202e", "\u2066y\x9b2J"]
    Path("theirs.csv").write_text("user,item\nu,x\n" + "".join(f"v,{item}\n" for item in items), encoding="utf-8")
    words = ("dataset=files", "dataset.interactions=theirs.csv", "model=popularity", "split=none", "hydra.run.dir=run")
    assert command("run", *words).code == 0
    ended = command("recommend", "run", "--user", "u")
    assert (ended.code, len(ended.out.splitlines())) == (0, 4)
    unsafe = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]")
    assert not unsafe.search(ended.out)
    assert "\n=cmd" not in command("recommend", "run", "--user", "u", "--format", "csv", "--excel-safe").out
    assert ",'=cmd" in command("recommend", "run", "--user", "u", "--format", "csv", "--excel-safe").out
    for words in (("recommend", "run\x1b[2J", "--user", "u"), ("recommend", "run", "--user", "a\x1b[2J\u202eb")):
        ended = command(*words)
        assert ended.code == 2
        assert not unsafe.search(ended.err)
    for words in (("recommend", "run", "--user", "u"), ("compare", ".")):
        ended = command(*words, "--excel-safe")
        assert (ended.code, ended.err) == (
            2,
            "error: --excel-safe has no effect on --format table; write --format csv, or leave it out.\n",
        )


def test_rule_10_a_label_in_a_comparison_is_text(command, copied):
    for name in ("result.json",):
        told = json.loads((copied / name).read_text())
        label = "=HYPERLINK(1)\x1b[2J|<b>"
        told["label"] = told["config"]["label"] = label
        (copied / name).write_text(json.dumps(told))
    rows = compare(read_results([copied]))
    assert render(rows, "csv").splitlines()[1].startswith("popularity,=HYPERLINK(1)")
    assert render(rows, "csv", for_spreadsheet=True).splitlines()[1].startswith("popularity,'=HYPERLINK(1)")
    assert "\x1b" not in render(rows, "table")
    assert "| =HYPERLINK(1)[2J\\|&lt;b> |" in render(rows, "markdown")
    with pytest.raises(ConfigError) as error:
        render(rows, "json", for_spreadsheet=True)
    assert str(error.value) == "--excel-safe has no effect on --format json; write --format csv, or leave it out."
    assert (
        command("compare", "copy", "--format", "csv", "--excel-safe").out.splitlines()[1].startswith("popularity,'=HYP")
    )


def test_rule_10_pages_escape(hostile):
    interactions = hostile.split.train
    card = datasets.registry.entry("planted").target.card
    text = page(describe("<script>alert(1)</script>", card, interactions, None), interactions)
    assert "<script" not in text and "&lt;script&gt;" in text


# 11. Dependencies and the network.

NO_NETWORK = """
import sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        raise AssertionError(f"the network was asked for: {event} {arguments}")
    if event == "subprocess.Popen" and arguments[1][0] not in ("git", "uname"):
        raise AssertionError(f"a program was started: {arguments[1]}")

sys.addaudithook(watch)
"""
"""What ends a process that asks for the network, or starts another program than those that tell where it runs."""


def isolated(script, **environment):
    words = [sys.executable, "-c", NO_NETWORK + script]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECBENCH_MIRROR")}
    return subprocess.run(words, env=clean | environment, capture_output=True, text=True, check=False)


def test_rule_11_nothing_asks_for_the_network_but_fetching_and_offline_that_neither(tmp_path):
    done = isolated(
        f"""
import importlib, pkgutil, recbench
from recbench.cli import main
for module in pkgutil.walk_packages(recbench.__path__, "recbench."):
    if module.name != "recbench.__main__":
        importlib.import_module(module.name)
words = {[*WORDS, "threads=1", "trainer.epochs=1"]!r}
assert main(["run", "model=mf", *words, "hydra.run.dir=one"]) == 0
assert main(["recommend", "one", "--user", "u0001"]) == 0
assert main(["data", "fetch", "ml-100k"]) == 2
""",
        RECBENCH_OFFLINE="1",
        RECBENCH_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RECBENCH_OFFLINE forbids the network.") >= 2, "each place says so"
    assert "the network was asked for" not in done.stderr


def test_rule_11_the_watch_itself_works(tmp_path):
    done = isolated("from recbench.cli import main\nmain(['data', 'fetch', 'ml-100k'])", RECBENCH_CACHE=str(tmp_path))
    assert "the network was asked for: urllib.Request" in done.stderr


def test_rule_11_floors_are_at_patched_versions():
    floors = {"torch": "2.11", "hydra-core": "1.3.8", "filelock": "3.20.3", "tensorboard": "2.21", "pydantic": "2.7"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {one.name: one for one in map(Requirement, project["project"]["dependencies"])}
    for name, floor in floors.items():
        lowest = min(Version(one.version) for one in wanted[name].specifier if one.operator == ">=")
        assert lowest >= Version(floor), name


# 12. Said to people.


def test_rule_12_the_boundary_is_written_down():
    text = (ROOT / "SECURITY.md").read_text()
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
    for number in range(1, 13):
        assert re.search(rf"^{number}\. \*\*", text, re.MULTILINE), number
    for word in ("--plugin", "out of scope", "report", "recbench export", "RECBENCH_OFFLINE", "scripts/audit"):
        assert word in text.lower() + text, word


def test_rule_12_nothing_can_be_trusted_by_a_flag(command):
    for name in recbench.cli.COMMANDS:
        ended = command(name, "--trust")
        assert ended.code == 2, name


def test_rule_12_a_refused_checkpoint_tells_the_safe_way(copied):
    torch.save(np.zeros(1), copied / "checkpoint.pt")
    digest = hashlib.sha256((copied / "checkpoint.pt").read_bytes()).hexdigest()
    (copied / "checkpoint.pt.sha256").write_text(f"{digest}  checkpoint.pt\n")
    train = prepare(resolve({"model": "popularity", "dataset": SMALL}).config).split.train
    with pytest.raises(RunError, match="Ask who made it for what 'recbench export RUN' writes."):
        load_checkpoint(copied, "popularity", train)
