"""scripts/benchmark: what it says, what its page makes of measurements, its data, its quality and its environments."""

import importlib
import importlib.machinery
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def script():
    """Give scripts/benchmark as a module; what it imports is found as ``benchmarking.NAME``."""
    loader = importlib.machinery.SourceFileLoader("benchmark", str(SCRIPTS / "benchmark"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("benchmark", loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    paths = list(sys.path)
    try:
        loader.exec_module(module)
        yield module
    finally:
        sys.dont_write_bytecode, sys.path[:] = written, paths
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarking"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def page(script):
    """Give the module that writes the page."""
    return script.page


@pytest.fixture
def typed(script, monkeypatch):
    """Give what runs the script with a command line."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])
        return script.main()

    return run


def side(seconds, recall=None, ndcg=None):
    """Return what a system is made to have come to."""
    qualities = {} if recall is None else {"recall@20": recall, "ndcg@10": ndcg}
    return {"seconds": seconds, "qualities": qualities, "peak": 2**20, "repeats": None}


def task(systems, wanted=2, against="cornac", users=None):
    """Return a task as it is kept."""
    kept = {"title": "A task", "data": "ml-1m: made up", "unit": "an epoch", "wanted": wanted, "users": users}
    kept |= {"systems": systems, "threads": 2, "machine": "a machine"}
    return kept if against is None else {**kept, "against": against}


def summary(page, tmp_path, tasks):
    """Return the cells of the summary on the page of some tasks, a row each."""
    page.write(tmp_path / "performance.md", {"tasks": tasks, "growth": {}})
    text = (tmp_path / "performance.md").read_text(encoding="utf-8").partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_list_names_every_task_and_its_peers(script, typed, capsys):
    assert typed("--list") == 0
    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(told) == [*script.TASKS, *script.COMMANDS]
    assert told["bpr-1m"].endswith("MF with BPR, 64 factors, ml-1m; cornac, implicit")
    assert told["command-8"].endswith("8 small runs from the command line; recbole")


def test_an_unknown_task_is_told_with_all_that_are_known(script, typed, tmp_path):
    with pytest.raises(SystemExit) as told:
        typed("--task", "ease-1m", "esae-1m", "--page", tmp_path / "performance.md")
    known = ", ".join([*script.TASKS, *script.COMMANDS])
    assert str(told.value) == f"error: no task 'esae-1m'; known: {known}."
    assert not list(tmp_path.iterdir())


def test_every_wanted_ratio_is_against_one_of_the_peers(script):
    named = {name: (found.against, found.wanted) for name, found in script.TASKS.items()}
    assert all(against in script.TASKS[name].peers for name, (against, _) in named.items())
    assert named["bpr-1m"] == ("cornac", 4) and named["bpr-20m"] == ("implicit", 6)
    assert named["evaluation-1m"] == ("recbole", 3) and named["evaluation-20m"] == ("implicit", 2.5)


def test_the_summary_is_against_the_named_peer_and_tells_the_fastest_beside(page, tmp_path):
    # Medians 1, 3 and 1.5; recall 0.995 of cornac's and NDCG 1.1 of it.
    systems = {
        "recbench": side([1, 0.5, 9], [0.198, 0.2], [0.33]),
        "cornac": side([2, 3, 4], [0.2], [0.3]),
        "implicit": side([1.5], [0.4], [0.6]),
    }
    assert summary(page, tmp_path, {"bpr-1m": task(systems)}) == [
        ["`bpr-1m`", "cornac", "3.00", "2", f"{0.199 / 0.2:.3f}", "reached", "implicit, 1.50"]
    ]


@pytest.mark.parametrize(
    ("theirs", "ndcg", "word"),
    [
        (2.0, 0.297, "reached"),
        (1.99, 0.3, "faster, not as wanted"),
        (1.0, 0.3, "faster, not as wanted"),
        (0.99, 0.3, "**slower**"),
        (2.0, 0.2969, "as fast as wanted, **quality more than 1 % below**"),
        (1.99, 0.2969, "faster, not as wanted, **quality more than 1 % below**"),
        (0.99, 0.2969, "**slower**, **quality more than 1 % below**"),
    ],
)
def test_the_verdict_is_on_speed_and_on_the_worse_of_two_qualities(page, tmp_path, theirs, ndcg, word):
    systems = {"recbench": side([1.0], [0.5], [ndcg]), "cornac": side([theirs], [0.2], [0.3])}
    (row,) = summary(page, tmp_path, {"bpr-1m": task(systems)})
    assert row[4:] == [f"{ndcg / 0.3:.3f}", word, ""]


def test_without_lists_only_speed_is_judged(page, tmp_path):
    tasks = {
        "evaluation-1m": task({"recbench": side([1.0]), "cornac": side([3.0])}, users=100),
        "ials-64-1m": task({"recbench": side([1.0], [0.2], [0.3]), "cornac": side([1.5])}),
    }
    assert [row[4:] for row in summary(page, tmp_path, tasks)] == [
        ["no lists", "reached", ""],
        ["no lists", "faster, not as wanted", ""],
    ]


def test_what_was_kept_without_the_name_of_the_peer_is_against_the_first(page, tmp_path):
    systems = {"recbench": side([1.0]), "implicit": side([4.0]), "lenskit": side([2.0])}
    (tmp_path / "performance.json").write_text(json.dumps({"tasks": {"ials-64-1m": task(systems, against=None)}}))
    kept = page.read(tmp_path / "performance.md")
    assert kept["growth"] == {} and kept["tasks"]["ials-64-1m"]["against"] == "implicit"
    (row,) = summary(page, tmp_path, kept["tasks"])
    assert row[1:4] == ["implicit", "4.00", "2"] and row[6] == "lenskit, 2.00"
    # Written, it is read as it is.
    assert page.read(tmp_path / "performance.md")["tasks"] == kept["tasks"]


def test_the_page_that_is_there_can_be_read_and_written(page, tmp_path):
    kept = page.read(ROOT / "docs" / "performance.md")
    rows = summary(page, tmp_path, kept["tasks"])
    assert [row[0] for row in rows] == [f"`{name}`" for name in kept["tasks"]]
    assert all(kept["tasks"][row[0].strip("`")]["against"] == row[1] for row in rows)


def test_a_page_without_figures_has_none(page, tmp_path):
    assert page.read(tmp_path / "performance.md") == {"tasks": {}, "growth": {}}


def test_the_table_of_a_task_by_hand(page):
    found = task({"recbench": side([2.0, 1.0, 4.0], [0.1, 0.3], [0.2]), "cornac": side([5.0])}, users=None)
    found["systems"]["cornac"]["repeats"] = False
    assert page.lines(found)[2:] == [
        # The standard error of 0.1 and 0.3: sqrt(0.02) / sqrt(2).
        "| recbench | 2 (1 to 4) | 1.00 | 0.2000 ± 0.1000 | 0.2000 | 1 |  |",
        "| cornac | 5 (5 to 5) | 2.50 |  |  | 1 | no |",
    ]
    # Users a second: the slowest time is the smallest figure.
    assert page.lines({**found, "users": 100})[2].startswith("| recbench | 50 (25 to 100) | 1.00 |")


@pytest.mark.parametrize(
    ("last", "exponent", "grown", "once", "word"),
    [
        (4.0, 1.07, 6, 0, "time reached, memory reached"),
        (4.0, 1.071, 2, 0, "time **not as wanted**, memory reached"),
        (4.5, 1.0, 6, 1, "time reached, memory hidden by what is set up once"),
        (4.5, 1.0, 6.01, 1, "time reached, memory **not as wanted**"),
    ],
)
def test_growth_is_shown_beside_what_is_wanted(page, tmp_path, last, exponent, grown, once, word):
    sizes, start, parameters = [1000, 2000, 4000], 50_000, [111, 222, 777]
    found = {"title": "MF", "unit": "an epoch", "interactions": sizes, "seconds": [1.0, 2.0, last]}
    found |= {"start": [start] * 3, "parameters": parameters, "exponent_of_time": exponent}
    # Some times the 16 bytes of each interaction, and as if ``once`` times the raw bytes of the largest besides.
    found["peak"] = [start + model + int(16 * n * grown) + 64_000 * once for n, model in zip(sizes, parameters)]
    page.write(tmp_path / "performance.md", {"tasks": {}, "growth": {"bpr-1m": found}})
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells[:2] == ["MF", "1,000 to 4,000"]
    assert cells[3:6] == [f"{exponent:.2f}", f"{2**exponent:.2f}", f"{last / 2:.2f}"]
    assert cells[7:] == [f"{grown:.2f}", f"{grown + once:.2f}", word]
    assert "exponent, wanted 1.07 | a doubling, wanted 2.1 |" in text and "over raw, wanted 6 |" in text


def test_the_exponent_of_growth_by_hand(script):
    assert script.slopes([10, 20, 40], [3, 12, 48]) == pytest.approx(2)
    assert script.slopes([10, 20, 40], [3, 3, 3]) == pytest.approx(0)
    # Least squares over -1, 0 and 1 in units of log 2: (1 * log2(9) - (-1) * 0) / 2.
    assert script.slopes([1, 2, 4], [1, 5, 9]) == pytest.approx(math.log2(9) / 2)


@pytest.fixture
def tiny(tmp_path):
    """Give a file of four users and 25 items; the last user has nothing to find."""
    path = tmp_path / "tiny.npz"
    np.savez(
        path,
        users=np.array([0, 1, 2, 3], np.int32),
        items=np.array([24, 24, 23, 22], np.int32),
        test_users=np.array([0, 0, 1, 2], np.int32),
        test_items=np.array([0, 15, 3, 1], np.int32),
        n_users=4,
        n_items=25,
    )
    return path


def test_quality_by_hand(script, tiny):
    quality = importlib.import_module("benchmarking.quality").quality
    lists = np.tile(np.arange(20, dtype=np.int32), (4, 1))
    lists[2] = [9, -1, *range(10, 19), *[-1] * 9]
    # Of the user who has nothing to find nothing counts, an item of training neither.
    lists[3] = 22
    # Ranks 1 and 16 of two; rank 4 of one; none of one.
    assert quality(tiny, lists) == {
        "recall@20": pytest.approx((2 / 2 + 1 / 1 + 0 / 1) / 3),
        "ndcg@10": pytest.approx((1 / (1 + 1 / math.log2(3)) + 1 / math.log2(5) + 0) / 3),
    }


def test_quality_of_a_list_cut_at_ten_and_at_twenty(script, tiny):
    quality = importlib.import_module("benchmarking.quality").quality
    lists = np.full((4, 20), -1, np.int32)
    lists[0, 9], lists[0, 10], lists[1, 19] = 0, 15, 3
    assert quality(tiny, lists) == {
        "recall@20": pytest.approx((2 / 2 + 1 / 1 + 0) / 3),
        "ndcg@10": pytest.approx(1 / math.log2(11) / (1 + 1 / math.log2(3)) / 3),
    }


@pytest.mark.parametrize(
    ("row", "said"), [([7, 24], "a list names an item of training."), ([7, 3, 7], "a list names an item twice.")]
)
def test_quality_refuses_lists_that_would_flatter(script, tiny, row, said):
    quality = importlib.import_module("benchmarking.quality").quality
    lists = np.full((4, 20), -1, np.int32)
    lists[1, : len(row)] = row
    with pytest.raises(ValueError) as told:
        quality(tiny, lists)
    assert str(told.value) == said


@pytest.fixture
def made(script, monkeypatch):
    """Give what makes generated data of a small shape."""
    monkeypatch.delenv("RECBENCH_MIRROR", raising=False)
    monkeypatch.setitem(script.data.SHAPES, "ml-tiny", (60, 80, 1500))
    monkeypatch.setitem(script.data.SHAPES, "ml-sparse", (200, 300, 1000))
    return script.data.make


def test_data_is_cut_into_disjoint_parts_and_all_are_trained(script, made, tmp_path):
    path, words = made("ml-sparse", tmp_path)
    assert path == tmp_path / "ml-sparse-generated.npz" and words == "generated, of this shape"
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    train = list(zip(data["users"].tolist(), data["items"].tolist()))
    test = list(zip(data["test_users"].tolist(), data["test_items"].tolist()))
    assert len(set(train)) == len(train) and len(set(test)) == len(test) and not set(train) & set(test)
    assert len(train) + len(test) == 1000
    assert {user for user, _ in train} == set(range(int(data["n_users"])))
    assert {item for _, item in train} == set(range(int(data["n_items"])))
    # Of 1000 at most 500 are kept in training; the rest go to test with probability 0.2, sqrt(1000 * 0.16) = 12.6.
    assert 0.2 * 500 - 4 * 12.6 < len(test) < 0.2 * 1000 + 4 * 12.6
    expected = {"all": 1000, "train": len(train), "test_users": len({user for user, _ in test})}
    assert script.data.shape(path) == expected


def test_data_is_made_of_the_same_bytes_again_and_once(made, tmp_path):
    first, again = (made("ml-tiny", tmp_path / name)[0] for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    before = first.stat().st_mtime_ns
    assert made("ml-tiny", tmp_path / "first")[0].stat().st_mtime_ns == before


def test_data_of_several_times_the_size_has_as_many_items(script, made, tmp_path):
    path, _ = made("ml-tinyx2", tmp_path)
    with np.load(path) as file:
        assert int(file["n_users"]) == 120 and int(file["n_items"]) == 80
    assert script.data.shape(path)["all"] == 3000


@pytest.fixture
def environments(script, monkeypatch, tmp_path):
    """Give the module of the environments; requirements are of one peer, and environments are made without pip."""
    module = importlib.import_module("benchmarking.environments")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "peer.txt").write_text("peer==1.0\n")
    monkeypatch.setattr(module, "REQUIREMENTS", tmp_path / "requirements")
    return module


def fake_pip(module, monkeypatch, status):
    """Put a small program in the place of an environment's interpreter, and return the file of what it was asked."""
    asked = module.REQUIREMENTS.parent / "asked.txt"

    def create(home, **_):
        python = home / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho no such peer >&2\nexit {status}\n')
        python.chmod(0o755)

    monkeypatch.setattr(module.venv, "create", create)
    return asked


def test_an_install_that_fails_says_so_and_is_tried_again(environments, monkeypatch, tmp_path, capsys):
    asked = fake_pip(environments, monkeypatch, 1)
    for _ in range(2):
        with pytest.raises(SystemExit) as told:
            environments.python_of("peer", tmp_path)
        assert str(told.value) == "error: peer cannot be installed:\nno such peer\n"
    assert len(asked.read_text().splitlines()) == 2
    assert capsys.readouterr().err.startswith(f"installing peer==1.0 into {tmp_path / 'peer'}\n")


def test_an_environment_is_made_once_and_anew_when_its_requirements_change(environments, monkeypatch, tmp_path):
    asked = fake_pip(environments, monkeypatch, 0)
    needed = environments.REQUIREMENTS / "peer.txt"
    for _ in range(2):
        assert environments.python_of("peer", tmp_path) == tmp_path / "peer" / "bin" / "python"
    assert asked.read_text() == f"-m pip install --quiet -r {needed}\n"
    needed.write_text("peer==1.1\n")
    environments.python_of("peer", tmp_path)
    assert len(asked.read_text().splitlines()) == 2


def test_recbench_needs_no_environment(environments, tmp_path):
    assert environments.python_of("recbench", tmp_path) == Path(sys.executable)


@pytest.mark.parametrize("already", [False, True])
def test_a_worker_that_dies_is_told_with_its_last_words(script, tiny, tmp_path, already):
    side = script.Side("nobody", Path(sys.executable), tiny, 1, tmp_path / "said")
    try:
        if already:
            side.process.wait()
        with pytest.raises(RuntimeError) as told:
            side.ask("bpr", {})
    finally:
        side.close()
    lines = str(told.value).splitlines()
    said = tmp_path / "said" / "nobody-tiny.txt"
    assert lines[0] == f"nobody ended with status 1 in the task 'bpr'; the last lines of {said}:"
    assert lines[-1] == "  ModuleNotFoundError: No module named 'of_nobody'"
    assert said.read_text().splitlines()[-1] == lines[-1].strip()


def test_a_task_is_measured_written_and_shown_and_the_others_stay(script, page, typed, monkeypatch, tmp_path, capsys):
    found = task({"recbench": side([1.0]), "cornac": side([4.0])})
    monkeypatch.setattr(script, "_compare", lambda asked, *_: {**found, "title": asked.title})
    for name in ("ease-1m", "bpr-1m"):
        assert typed("--task", name, "--page", tmp_path / "performance.md", "--threads", 1) == 0
    kept = page.read(tmp_path / "performance.md")["tasks"]
    assert list(kept) == ["ease-1m", "bpr-1m"] and kept["bpr-1m"]["threads"] == 1
    assert "| cornac | 4 (4 to 4) | 4.00 |" in capsys.readouterr().out


def test_that_a_worker_died_is_no_traceback(script, typed, monkeypatch, tmp_path):
    def compare(*_):
        raise RuntimeError("cornac ended with status 1")

    monkeypatch.setattr(script, "_compare", compare)
    with pytest.raises(SystemExit) as told:
        typed("--task", "ease-1m", "--page", tmp_path / "performance.md")
    assert str(told.value) == "error: cornac ended with status 1"


def test_no_memory_is_told_where_a_process_never_had_more_than_when_it_began(page):
    found = {"seconds": [1.0], "qualities": {}, "repeats": None, "peak": 50 * 2**20}
    systems = {"recbench": found | {"start": 20 * 2**20}, "peer": found | {"start": 50 * 2**20}}
    ours, peer = page.lines({"unit": "an epoch", "users": None, "systems": systems})[2:]
    assert ours.split("|")[6].strip() == "50"
    assert peer.split("|")[6].strip() == ""
