"""A sweep in which all kinds of things happen, as ``recbench board`` shows it in a browser.

With RECBENCH_SCREENSHOTS=FOLDER the pictures of docs/tensorboard.md are written there.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin

import pytest
import webdriver

from recbench.report import OLD_ATTEMPT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        webdriver.programs() is None, reason="no browser: needs chromium and chromedriver (Debian's chromium-driver)."
    ),
]
PLUGIN = Path(__file__).with_name("planted_ends.py")
MODELS = ("popularity", "item_knn", "mf", "ials", "broken", "exploding", "stopped")
ENDS = {"broken": "failed", "exploding": "diverged", ("stopped", 1): "interrupted"}
METRICS = ("ndcg@10", "recall@10", "precision@10", "hr@10")
PICTURES = os.environ.get("RECBENCH_SCREENSHOTS")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Give the folder of a sweep over seven models and two seeds.

    Its command was terminated in the first run of ``stopped``, typed again, and terminated in the second one.
    """
    folder = tmp_path_factory.mktemp("board") / "sweep"
    words = ["run", "-m", "--quiet", "--plugin", PLUGIN.stem, f"model={','.join(MODELS)}", "seed=0,1", "threads=1"]
    words += ["dataset=planted", f"evaluation.metrics=[{','.join(METRICS)}]"]
    words += ["tracking.embeddings=true", f"hydra.sweep.dir={folder}"]
    for interrupted in ("0", "1"):
        ended = subprocess.run(
            [sys.executable, "-m", "recbench", *words],
            env={**environment(), "PLANTED_INTERRUPTION": interrupted},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 143, ended.stderr
    return folder


def environment():
    """Return the variables that let a process find the plugin."""
    places = [str(PLUGIN.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


@pytest.fixture(scope="module")
def results(sweep):
    """Return what ``result.json`` says of each run, by the name of its folder."""
    paths = [path for path in sweep.glob("*/result.json") if not OLD_ATTEMPT.search(path.parent.name)]
    assert len(paths) == 2 * len(MODELS)
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def address(sweep, results):
    """Give the address that ``recbench board`` prints, once all that the sweep wrote can be had there."""
    words = [sys.executable, "-m", "recbench", "board", str(sweep)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            address = process.stdout.readline().split()[0]
            done = {name for name, result in results.items() if result["status"] == "done"}

            def is_ready():
                tags = asked(address, "scalars/tags")
                return tags is not None and all("test/hr@10" in tags.get(run, ()) for run in done)

            webdriver.wait("the board", is_ready)
            yield address
        finally:
            process.terminate()


def asked(address, what, **query):
    """Return what TensorBoard's plugins answer, None while there is nobody."""
    url = urljoin(address, f"data/plugin/{what}?{urlencode(query)}")
    try:
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Give a browser without a window."""
    with webdriver.chromium(tmp_path_factory.mktemp("browser"), 1900, 850) as browser:
        yield browser


def picture(browser, name):
    """Keep a picture for the documentation, if it is asked for."""
    if PICTURES:
        browser.screenshot(Path(PICTURES) / f"{name}.png")


# Cells are spread over the page in no order: by rows from above, then by columns from the left.
TABLE = """
const rows = {};
for (const cell of shown('vaadin-grid-cell-content')) {
  const place = cell.getBoundingClientRect();
  (rows[Math.round((place.top + place.bottom) / 2)] ??= []).push([place.left, cell.innerText]);
}
const found = Object.keys(rows).sort((a, b) => a - b).map(row => rows[row].sort((a, b) => a[0] - b[0]));
return found.length == arguments[0] + 1 && found.map(row => row.map(cell => cell[1].replace(/\\s+/g, ' ').trim()));
"""


def table(browser, n_rows):
    """Return the table of the HPARAMS tab once it has so many rows: its head, and a row of values by name a run."""
    head, *rows = browser.wait(f"{n_rows} rows", TABLE, n_rows)
    return head, {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def shown_as(value):
    """Return ``value`` as the tab shows it, to five digits."""
    return pytest.approx(value, rel=1e-4)


def test_hparams_show_every_run_once_with_what_tells_it_from_others(browser, address, results):
    browser.open(f"{address}#hparams")
    head, rows = table(browser, len(results))
    picture(browser, "hparams")
    assert head[:5] == ["Trial ID", "Show Metrics", "Model", "Seed", "Status"]
    assert head[7:] == ["best/ndcg@10", *sorted(f"test/{name}" for name in METRICS)]
    assert rows.keys() == results.keys()
    for name, result in results.items():
        model, seed = result["model"], result["seed"]
        assert [rows[name][key] for key in ("Model", "Seed")] == [model, str(seed)]
        assert rows[name]["Status"] == result["status"] == ENDS.get(model, ENDS.get((model, seed), "done"))


def test_hparams_show_every_option_and_metric(browser, address, results, sweep):
    browser.open(f"{address}#hparams")
    table(browser, len(results))
    tick = "return shown('paper-checkbox').filter(box => !box.checked && box.parentElement.className == arguments[0])"
    for kind in ("hparam", "metric"):
        browser.run(f"{tick}.map(box => box.click())", kind)
    last = "return shown('vaadin-grid-cell-content').some(cell => cell.innerText.trim() == 'valid/recall@10')"
    browser.wait("the last column", last)
    head, rows = table(browser, len(results))
    assert {"Dataset", "Split", "model.dim", "model.alpha", "model.similarity", "trainer.lr"} <= set(head)
    parts = ("test", "valid")
    assert set(head) >= {f"{part}/{name}" for part in parts for name in METRICS} | {"train/loss", "best/ndcg@10"}
    for name, result in results.items():
        for metric, value in result["metrics"]["test"].items():
            assert float(rows[name][f"test/{metric}"]) == shown_as(value)
        if result["status"] == "done":
            assert float(rows[name]["best/ndcg@10"]) == shown_as(result["metrics"]["valid"]["ndcg@10"])
        else:
            assert rows[name]["test/ndcg@10"] == ""
        curve = [json.loads(line) for line in (sweep / name / "metrics.jsonl").read_text().splitlines()]
        if curve:
            assert float(rows[name]["valid/recall@10"]) == shown_as(curve[-1]["valid/recall@10"])
            assert float(rows[name]["train/loss"]) == shown_as(curve[-1]["loss"])


def test_seeds_and_ends_are_filters(browser, address, results):
    browser.open(f"{address}#hparams")
    table(browser, len(results))
    browser.click("paper-checkbox", "1")
    _, rows = table(browser, len(MODELS))
    assert {row["Seed"] for row in rows.values()} == {"0"}
    browser.click("paper-checkbox", "done")
    _, rows = table(browser, 2)
    assert {row["Model"]: row["Status"] for row in rows.values()} == {"broken": "failed", "exploding": "diverged"}


# Of each card the runs in the table below it, and of each curve the colour and how many points it goes through.
CARDS = """
const cards = shown('card-view').map(card => [card.querySelector('tb-truncated-path')?.title, {
  runs: [...card.querySelectorAll('tb-data-table-content-row')].map(row => row.innerText.trim().split(/\\s/)[0]),
  curves: [...card.querySelectorAll('.series-view > svg > path')].filter(one => one.style.display != 'none').map(
    one => [one.style.stroke, one.getAttribute('d').split('L').length]),
  n_dots: card.querySelectorAll('.series-view > svg > circle').length}]);
const sizes = cards.flatMap(([_, card]) => [card.runs.length, card.curves.length + card.n_dots]);
return JSON.stringify(sizes) == JSON.stringify(arguments[0].flatMap(n => [n, n])) && Object.fromEntries(cards);
"""


def test_time_series_lay_models_over_each_other(browser, address, results, sweep):
    names = ["test/ndcg@10", "train/loss", "valid/ndcg@10"]
    # Drawn as SVG, which can be looked at.
    browser.open(f"{address}&forceSVG=true&tagFilter={quote('|'.join(names))}#timeseries")
    done = sorted(name for name, result in results.items() if result["status"] == "done")
    n_epochs = {name: len((sweep / name / "metrics.jsonl").read_text().splitlines()) for name in results}
    trained = sorted(name for name, n in n_epochs.items() if n)
    assert {results[name]["model"] for name in trained} == {"exploding", "ials", "mf", "stopped"}
    cards = browser.wait("all runs in three cards", CARDS, [len(done), len(trained), len(trained)])
    picture(browser, "time_series")
    assert list(cards) == names
    ends, loss, curve = cards.values()
    assert ends["runs"] == done and ends["n_dots"] == len(done), "also of models without epochs"
    for card in (loss, curve):
        assert card["runs"] == trained
        # A run that went on after an interruption has no point twice.
        assert sorted(n for _, n in card["curves"]) == sorted(n_epochs[name] for name in trained)
        assert len({colour for colour, _ in card["curves"]}) == 4, "one a model"
    assert browser.run("return shown('input[type=number]').map(field => field.value)")[0] == "0", "no smoothing"


def test_tags_are_in_five_groups(address, results):
    tags = asked(address, "scalars/tags")
    assert {tag.partition("/")[0] for run in tags.values() for tag in run} == {
        "best",
        "test",
        "test_by_k",
        "train",
        "valid",
    }


def test_a_curve_goes_on_after_a_resume_without_double_points(address, results, sweep):
    (name,) = [name for name, result in results.items() if result["resumed"]]
    assert results[name]["model"] == "stopped" and results[name]["status"] == "done"
    curve = (sweep / name / "metrics.jsonl").read_text().splitlines()
    for tag in ("train/loss", "valid/ndcg@10"):
        points = asked(address, "scalars/scalars", run=name, tag=tag)
        assert [step for _, step, _ in points] == list(range(1, len(curve) + 1))
    assert len(asked(address, "scalars/scalars", run=name, tag="test/ndcg@10")) == 1


def test_the_card_is_a_table_with_the_line_that_repeats_the_run(browser, address):
    browser.open(f"{address}#text")
    cells = browser.wait("tables", "return shown('td').map(cell => cell.innerText.trim())")
    assert "model.name" in cells
    line = browser.wait("a line of code", "return shown('pre code').map(code => code.innerText)")
    assert line[0].startswith("recbench run --plugin=planted_ends model=")


def test_the_projector_shows_the_vectors_of_items(browser, address):
    browser.open(f"{address}#projector")
    browser.wait("points", "return shown('.numDataPoints').map(number => number.innerText).filter(Number)")
