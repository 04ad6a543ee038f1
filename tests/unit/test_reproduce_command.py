"""``recbench reproduce``, on tables of our own over small data."""

import json
import re
import shutil
from pathlib import Path

import pytest

from recbench.cli import reproduce, standing, task

TABLE = """\
# @package _global_
defaults:
  - override /dataset: files
  - override /split: random
dataset:
  interactions: behaviour.csv
evaluation:
  metrics: [ndcg@10, hr@10]
tracking:
  tensorboard: false
published:
  title: Ours
  minutes: 0.5
  source: Nobody, Nothing, 2020
  protocol: All items are ranked.
  seen: primary
  tolerance: "{tolerance}"
"""
ROW = """\
# @package _global_
defaults:
  - mine/_table
  - override /model: {model}
  - _self_
{rest}
"""
EPOCH = "trainer:\n  epochs: 1\n"


@pytest.fixture
def typed(command, tmp_path, monkeypatch):
    """Return the command in a folder with data and the table ``mine``, each time as a process of its own."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    pairs = [(user, (user * 7 + step * step) % 40) for user in range(60) for step in range(10)]
    Path("behaviour.csv").write_text(
        "user,item\n" + "".join(f"u{user},i{item}\n" for user, item in dict.fromkeys(pairs))
    )
    table("1")
    row("top_pop", "popularity", 'published:\n  values: {ndcg@10: ".2", hr@10: ".5"}\n')

    def run(*words):
        monkeypatch.setattr(task, "_prepared", {})
        return command("reproduce", "--config-dir", "conf", *words)

    return run


def table(tolerance: str) -> None:
    Path("conf/experiment/mine").mkdir(parents=True, exist_ok=True)
    Path("conf/experiment/mine/_table.yaml").write_text(TABLE.format(tolerance=tolerance))


def row(name: str, model: str, rest: str) -> None:
    Path(f"conf/experiment/mine/{name}.yaml").write_text(ROW.format(model=model, rest=rest))


def lines(ended) -> list[dict]:
    return json.loads(ended.out)


def kept() -> dict[str, bytes]:
    """Return every file of every run."""
    return {str(path): path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()}


def test_the_tables_are_listed_with_what_they_need(typed):
    ended = typed()
    assert ended.code == 0
    assert (
        "mine: Ours\n  1 rows: top_pop\n  needs files (needs no files), and about 0.5 minutes on two cores\n"
    ) in ended.out
    assert "mcrec: MCRec's split of MovieLens 100K\n" in ended.out


def test_a_row_is_run_once(typed):
    first = typed("mine", "top_pop", "--format", "json")
    assert first.code == 0
    assert [(line["metric"], line["published"], line["verdict"]) for line in lines(first)] == [
        ("ndcg@10", 0.2, "reproduced"),
        ("hr@10", 0.5, "reproduced"),
    ]
    before = kept()
    again = typed("mine", "top_pop", "--format", "json")
    assert "done already, skipped" in again.err
    assert lines(again) == lines(first)
    assert kept() == before
    shown = typed("mine", "--show", "--format", "json")
    assert lines(shown) == lines(first)
    assert "earlier state" not in typed("mine", "--show").out


def test_several_seeds_give_mean_and_deviation(typed):
    row("mf", "mf", EPOCH + 'published:\n  values: {ndcg@10: ".2"}\n  seeds: 2\n')
    (two,) = lines(typed("mine", "mf", "--format", "json"))
    values = [
        json.loads(path.read_text())["metrics"]["test"]["ndcg@10"] for path in Path("outputs").rglob("result.json")
    ]
    assert len(values) == two["n_seeds"] == 2
    assert two["ours"] == pytest.approx(sum(values) / 2, abs=1e-15)
    assert two["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5, abs=1e-15)
    (three,) = lines(typed("mine", "mf", "--seeds", "3", "--format", "json"))
    assert three["n_seeds"] == 3
    assert len(list(Path("outputs").rglob("result.json"))) == 3


def test_a_row_that_starts_from_others_runs_them_first(typed):
    for name in ("gmf", "mlp"):
        row(name, name, EPOCH + "published:\n  values: {}\n")
    row(
        "neumf",
        "neumf",
        EPOCH
        + "model:\n  pretrained_gmf: the run of row gmf\n  pretrained_mlp: the run of row mlp\n"
        + 'published:\n  values: {ndcg@10: ".2"}\n'
        + "  starts_from: {model.pretrained_gmf: gmf, model.pretrained_mlp: mlp}\n",
    )
    ended = typed("mine", "neumf", "--seeds", "2", "--format", "json")
    assert ended.code == 0, ended.err
    assert [(line["row"], line["n_seeds"]) for line in lines(ended)] == [("neumf", 2)]
    results = [json.loads(path.read_text()) for path in Path("outputs").rglob("result.json")]
    assert len(results) == 6
    started = {
        (result["seed"], result["config"]["model"]["pretrained_gmf"])
        for result in results
        if result["model"] == "neumf"
    }
    gmf = {
        (result["seed"], str(path.parent.absolute()))
        for path in Path("outputs").rglob("gmf*/result.json")
        for result in [json.loads(path.read_text())]
    }
    assert started == gmf


def test_a_row_that_is_worse_than_known_is_exit_code_1(typed):
    table(".0001")
    ended = typed("mine")
    assert ended.code == 1
    assert ended.err.endswith("error: worse than is known of the row: top_pop.\n")
    row("top_pop", "popularity", 'published:\n  values: {ndcg@10: ".9"}\n  expect: deviates\n  note: Tried twice.\n')
    ended = typed("mine")
    assert ended.code == 0
    assert "top_pop: Tried twice." in ended.out


def test_data_that_is_not_there_any_more_touches_no_result(typed, monkeypatch):
    typed("mine")
    before = kept()
    Path("behaviour.csv").rename("elsewhere.csv")
    # By other code, the row has to be run anew.
    for module in (standing, reproduce):
        monkeypatch.setattr(module, "code_fingerprint", lambda config: "other")
    ended = typed("mine")
    assert ended.code == 2
    assert "top_pop: measured with an earlier state of the code." in ended.out
    assert kept() == before


def test_data_that_was_never_there(typed):
    Path("behaviour.csv").unlink()
    ended = typed("mine")
    assert ended.code == 2
    (line,) = [line for line in ended.out.splitlines() if line.startswith("top_pop: not run:")]
    assert line == "top_pop: not run: behaviour.csv: there is no such file."
    assert "not run" in typed("mine", "--show").out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["mein"], "no table 'mein'. Did you mean 'mine'? Known: {tables}."),
        (["mine", "toppop"], "no row 'toppop' in table 'mine'. Did you mean 'top_pop'? Known: top_pop."),
        (
            ["mine", "top_pop", "seed=3"],
            "'seed=3': a published row is run as it was published; what can be set is dataset.path, device, threads, "
            "backend. "
            "For a run of your own: recbench run experiment=mine/ROW seed=3",
        ),
        (
            ["mine", "--page", "page.md"],
            "--page FILE is of all tables with what is done, and takes no TABLE and no --seeds.",
        ),
        (
            ["--page", "page.html"],
            "--page page.html: should end in .md; what it is made from is kept beside it, in .json.",
        ),
        (["--show", "--format", "json"], "--show, --format: needs a TABLE; without one the tables are listed."),
        (["--seeds", "2"], "--seeds: needs a TABLE; without one the tables are listed."),
        (
            ["mine", "--seeds", "0"],
            "argument --seeds: '0': should be a whole number, at least 1. See 'recbench reproduce --help'.",
        ),
    ],
)
def test_mistakes(typed, words, error):
    known = [path.name for path in Path(task.__file__).parents[2].glob("conf/experiment/*") if path.is_dir()]
    ended = typed(*words)
    assert ended.code == 2
    assert ended.err == f"error: {error.format(tables=', '.join(sorted([*known, 'mine'])))}\n"
    assert not Path("outputs").exists()


def test_seeds_that_are_not_run_yet_are_told(typed):
    row("mf", "mf", EPOCH + 'published:\n  values: {ndcg@10: ".2"}\n  seeds: 3\n')
    typed("mine", "mf", "--seeds", "1")
    assert "\nmf: not run: 2 of 3 seeds have no run yet\n" in typed("mine", "mf", "--show").out


def test_a_published_metric_has_to_be_measured(typed):
    row("wrong", "popularity", 'published:\n  values: {map@10: ".2"}\n')
    assert typed("mine").err == (
        "error: experiment=mine/wrong: published.values names 'map@10', which is not measured; add it to "
        "evaluation.metrics.\n"
    )


def test_a_mistake_in_a_row_runs_nothing(typed):
    row("wrong", "popularity", 'published:\n  values: {ndcg@10: "0,2"}\n')
    ended = typed("mine")
    assert ended.code == 2
    assert ended.err == (
        "error: experiment=mine/wrong: the run cannot be configured:\n"
        "  published.values = '0,2': should be a number in quotes with the digits that are printed, such as '.2430'.\n"
    )
    assert not Path("outputs").exists()


def test_a_row_that_starts_from_others_is_nothing_for_run(typed, command):
    row("neumf", "neumf", "model:\n  pretrained_gmf: the run of row gmf\n  pretrained_mlp: the run of row mlp\n")
    ended = command("run", "--config-dir", "conf", "experiment=mine/neumf")
    assert ended.code == 2
    assert "; is the run of row gmf a finished run?" in ended.err


def test_run_shows_what_was_published(typed, command):
    ended = command("run", "--config-dir", "conf", "experiment=mine/top_pop")
    assert ended.code == 0
    head, ndcg, hr, *_ = ended.out.splitlines()
    assert head.split() == ["test", "valid", "published"]
    assert ndcg.split()[::3] == ["ndcg@10", "0.2000"] and hr.split()[::3] == ["hr@10", "0.5000"]


def test_a_page_keeps_results_whose_runs_are_no_more(typed, monkeypatch):
    # Without the other tables, each of whose rows takes its time to compose.
    tables = reproduce.published_tables
    monkeypatch.setattr(reproduce, "published_tables", lambda session: {"mine": tables(session)["mine"]})
    row("mf", "mf", EPOCH + 'published:\n  values: {ndcg@10: ".2"}\n  seeds: 2\n')
    typed("mine")
    typed("--page", "page.md")
    page, record = Path("page.md").read_bytes(), Path("page.json").read_bytes()
    assert [(entry["row"], entry["seed"]) for entry in json.loads(record)["results"]] == [
        ("mf", 0),
        ("mf", 1),
        ("top_pop", 0),
    ]
    shutil.rmtree("outputs")
    assert typed("--page", "page.md").code == 0
    assert (Path("page.md").read_bytes(), Path("page.json").read_bytes()) == (page, record)

    row("mf", "mf", EPOCH + 'model:\n  dim: 3\npublished:\n  values: {ndcg@10: ".2"}\n  seeds: 2\n')
    typed("--page", "page.md")
    assert [entry["row"] for entry in json.loads(Path("page.json").read_text())["results"]] == ["top_pop"]
    assert "- mf: not run: no run yet\n" in Path("page.md").read_text()


def test_a_page_keeps_results_wherever_the_mirror_is(typed, monkeypatch):
    tables = reproduce.published_tables
    monkeypatch.setattr(reproduce, "published_tables", lambda session: {"mine": tables(session)["mine"]})
    place = "dataset:\n  interactions: ${oc.env:RECBENCH_MIRROR,RECBENCH_MIRROR}/behaviour.csv\n"
    row("top_pop", "popularity", place + 'published:\n  values: {ndcg@10: ".2"}\n')
    mirror = Path("mirror").absolute()
    mirror.mkdir()
    Path("behaviour.csv").rename(mirror / "behaviour.csv")
    monkeypatch.setenv("RECBENCH_MIRROR", str(mirror))
    assert typed("mine").code == 0
    typed("--page", "page.md")
    page, record = Path("page.md").read_text(), Path("page.json").read_text()
    assert "| top_pop | ndcg@10 | .2 | ." in page
    assert '"RECBENCH_MIRROR/behaviour.csv"' in record and str(mirror) not in page + record
    shutil.rmtree("outputs")
    for elsewhere in (str(mirror.parent) + "/", None):
        monkeypatch.delenv("RECBENCH_MIRROR")
        if elsewhere:
            monkeypatch.setenv("RECBENCH_MIRROR", elsewhere)
        assert typed("--page", "page.md").code == 0
        assert (Path("page.md").read_text(), Path("page.json").read_text()) == (page, record)


def test_a_page_leaves_out_results_of_rows_that_are_no_more(typed, monkeypatch):
    tables = reproduce.published_tables
    monkeypatch.setattr(reproduce, "published_tables", lambda session: {"mine": tables(session)["mine"]})
    row("mf", "mf", EPOCH + 'published:\n  values: {ndcg@10: ".2"}\n')
    typed("mine")
    typed("--page", "page.md")
    Path("conf/experiment/mine/mf.yaml").unlink()
    ended = typed("--page", "page.md")
    assert (ended.code, ended.err) == (
        0,
        "warning: page.json: mine mf is no row any more; its result is left out.\n",
    )
    assert [entry["row"] for entry in json.loads(Path("page.json").read_text())["results"]] == ["top_pop"]
    assert "| mf |" not in Path("page.md").read_text()


def test_a_page_beside_another_file_of_json(typed):
    Path("page.json").write_text('{"schema_version": 1, "results": [{"row": "ease"}]}')
    assert typed("--page", "page.md").err == (
        "error: page.json: is not what recbench reproduce --page keeps; name another page, or take the file away.\n"
    )


def test_page(typed):
    typed("mine")
    ended = typed("--page", "page.md")
    assert (ended.code, ended.out) == (0, "written to page.md and page.json\n")
    text = Path("page.md").read_text()
    assert "\n## Ours (`mine`)\n" in text and "| `mine` |  | 2 |  |  |  |  |\n" in text
    assert re.search(
        r"\n- recbench \S+, commit [0-9a-f]{12}( with changes)?; torch \S+ on cpu, \d+ threads?: 1 runs\n$", text
    )
    assert text.count("\n## ") == 2 + len(list(Path(task.__file__).parents[2].glob("conf/experiment/*/_table.yaml")))


def test_runs_are_found_whatever_threads_data_and_folders_they_had(typed):
    rest = 'published:\n  values: {ndcg@10: ".2"}\n'
    start = "  starts_from: {model.pretrained_gmf: gmf, model.pretrained_mlp: mlp}\n"
    for name in ("gmf", "mlp"):
        row(name, name, EPOCH + rest)
    row("neumf", "neumf", EPOCH + "model:\n  pretrained_gmf: gmf\n  pretrained_mlp: mlp\n" + rest + start)
    first = typed("mine", "neumf", "threads=1", "backend=torch", "--format", "json")
    assert first.code == 0, first.err
    assert lines(typed("mine", "neumf", "--show", "--format", "json")) == lines(first)
    Path("outputs").rename("moved")
    moved = typed("mine", "neumf", "--show", "--format", "json", "--folder", "moved/reproduce")
    assert lines(moved) == lines(first)
    # Another seed, and another setting, are other runs.
    two = lines(typed("mine", "neumf", "--seeds", "2", "--show", "--format", "json", "--folder", "moved/reproduce"))
    assert [line["n_seeds"] for line in two] == [1]
    row("neumf", "neumf", EPOCH + "model:\n  dim: 3\n  pretrained_gmf: g\n  pretrained_mlp: m\n" + rest + start)
    other = typed("mine", "neumf", "--show", "--format", "json", "--folder", "moved/reproduce")
    assert [line["verdict"] for line in lines(other)] == ["not run"]
