"""Runs become rows, and only what belongs together stands in one table."""

import csv
import io
import json
import logging
import math

import pytest

from recbench import ConfigError, RunError, resolve, run
from recbench.comparison import Row, Spread, compare, read_results, render, unfinished
from recbench.files import read_json, write_json

MINUTE = iter(range(10**6))


def result(model="mf", seed=0, *, metrics=None, status="done", fingerprints=None, **options):
    """Return what a run would have recorded, as far as compare looks at it."""
    name = model if isinstance(model, str) else model["name"]
    composed = {"model": model, "dataset": "planted", "seed": seed} | options
    config = resolve(composed).config.to_dict()
    return {
        "schema_version": 1,
        "metric_definitions_version": 1,
        "status": status,
        "error": None,
        "model": name,
        "dataset": "planted",
        "split": "random",
        "seed": seed,
        "label": config["label"],
        "metrics": {"test": metrics or {"ndcg@10": 0.5}, "valid": {}},
        "seconds": {"fit": 1.0, "evaluate": 0.5, "total": 2.0},
        "peak_memory_bytes": 10**8,
        "fingerprints": {"data": "d" * 64, "split": "s" * 64, "features": None, "candidates": None, "code": "1+c"}
        | (fingerprints or {}),
        "selection": "valid",
        "ended": f"2026-01-01T{next(MINUTE):08d}",
        "config": config,
        "folder": f"outputs/{name}-{seed}",
    }


def labels(rows):
    return [row.label for row in rows]


# Grouping


def test_seeds_of_a_configuration_are_one_row():
    values = [0.1, 0.2, 0.6]
    (row,) = compare([result(seed=seed, metrics={"ndcg@10": value}) for seed, value in enumerate(values)])
    mean = (0.1 + 0.2 + 0.6) / 3
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / (3 - 1))
    assert row.metrics == {"ndcg@10": Spread(pytest.approx(mean), pytest.approx(std))}
    assert (row.model, row.label, row.n_seeds, row.differs) == ("mf", "mf", 3, {})


def test_one_seed_has_no_deviation():
    (row,) = compare([result()])
    assert row.metrics == {"ndcg@10": Spread(0.5, None)}


@pytest.mark.parametrize(
    "options",
    [
        {"device": "cpu"},
        {"threads": 2},
        {"backend": "torch"},
        {"label": "other"},
        {"tracking": {"tensorboard": False}},
        {"dataset": {"name": "planted", "n_users": 150}},
        {"evaluation": {"same_item": "title"}},
    ],
)
def test_what_makes_no_other_configuration(options):
    assert len(compare([result(seed=0), result(seed=1, **options)])) == 1


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"model": {"name": "mf", "dim": 8}}, "mf dim=8"),
        ({"trainer": {"epochs": 7}}, "mf epochs=7"),
        ({"negatives": {"n_negatives": 3}}, "mf n_negatives=3"),
    ],
)
def test_what_makes_another_configuration_is_its_label(options, label):
    rows = compare([result(), result(**options)])
    assert label in labels(rows)
    assert all(len(row.differs) == 1 for row in rows)


def test_rows_of_a_model_are_told_apart_by_what_differs_among_them_alone():
    rows = compare([result({"name": "mf", "dim": 8}), result({"name": "mf", "dim": 16}), result("popularity")])
    assert sorted(labels(rows)) == ["mf dim=16", "mf dim=8", "popularity"]
    assert {row.label: dict(row.differs) for row in rows} == {
        "mf dim=8": {"model.dim": 8},
        "mf dim=16": {"model.dim": 16},
        "popularity": {},
    }


def test_a_row_speaks_only_of_options_that_it_has():
    rows = compare([result("gmf", negatives={"name": "popularity", "alpha": 0.5}), result("gmf")])
    assert sorted(labels(rows)) == ["gmf negatives=popularity alpha=0.5", "gmf negatives=uniform reject_seen=true"]


def test_pre_trained_runs_are_one_configuration_whichever_run_they_started_from():
    def started(seed):
        model = {"name": "neumf", "pretrained_gmf": f"gmf-{seed}", "pretrained_mlp": f"mlp-{seed}"}
        return result(model, seed=seed)

    rows = compare([started(0), started(1), result("neumf")])
    assert sorted(row.n_seeds for row in rows) == [1, 2]
    assert "neumf pretrained_gmf=true pretrained_mlp=true" in labels(rows)


def test_other_feature_tables_are_another_configuration():
    rows = compare([result(), result(fingerprints={"features": "f" * 64})])
    assert len(rows) == 2 and all(row.differs.keys() == {"features"} for row in rows)


def test_a_given_label_names_the_row_where_all_runs_have_it():
    (row,) = compare([result(seed=0, label="mine"), result(seed=1, label="mine")])
    assert row.label == "mine"
    (row,) = compare([result(seed=0, label="mine"), result(seed=1)])
    assert row.label == "mf"


def test_choosing_on_test_is_said():
    (row,) = compare([{**result(), "selection": "test"}])
    assert row.label == "mf (epoch chosen on test)"


def test_of_equal_runs_the_newest_counts_and_it_is_said(caplog):
    old = {**result(metrics={"ndcg@10": 0.1}), "folder": "z-old"}
    new = {**result(metrics={"ndcg@10": 0.3}), "folder": "a-new"}
    for runs in ([old, new], [new, old]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            (row,) = compare(runs)
        assert (row.n_seeds, row.metrics["ndcg@10"].mean) == (1, 0.3)
        assert [record.getMessage() for record in caplog.records] == [
            "z-old and a-new have the same configuration and seed; only the second, newer one counts."
        ]


def test_costs_are_means_and_the_highest_peak():
    runs = [result(seed=seed) for seed in (0, 1)]
    runs[0] |= {"seconds": {"fit": 1.0, "evaluate": 0.5, "total": 9.0}, "peak_memory_bytes": 5}
    runs[1] |= {"seconds": {"fit": 4.0, "evaluate": 1.0, "total": 9.0}, "peak_memory_bytes": 3}
    (row,) = compare(runs)
    assert row.seconds == {"fit": (1.0 + 4.0) / 2, "evaluate": (0.5 + 1.0) / 2}
    assert row.peak_memory_bytes == 5


def test_a_value_that_is_not_defined_makes_the_mean_undefined():
    (row,) = compare([result(seed=0, metrics={"auc": 0.5}), result(seed=1, metrics={"auc": None})])
    assert row.metrics == {"auc": Spread(None, None)}


# Order


def scored(metrics, **trainer):
    return [
        result(model, metrics=values, **({} if model == "popularity" else {"trainer": trainer}))
        for model, values in metrics.items()
    ]


VALUES = {
    "mf": {"ndcg@10": 0.2, "recall@10": 0.5, "gini@10": 0.9},
    "gmf": {"ndcg@10": 0.3, "recall@10": 0.4, "gini@10": 0.7},
    "popularity": {"ndcg@10": 0.1, "recall@10": 0.6, "gini@10": 0.8},
}


def test_the_best_is_first_by_the_monitored_metric():
    assert labels(compare(scored(VALUES))) == ["gmf", "mf", "popularity"]
    assert labels(compare(scored(VALUES, monitor="recall@10"))) == ["popularity", "mf", "gmf"]


@pytest.mark.parametrize(
    ("metric", "order"),
    [("recall@10", ["popularity", "mf", "gmf"]), ("gini@10", ["gmf", "popularity", "mf"])],
)
def test_the_best_is_first_by_the_metric_asked_for_whichever_way_is_better(metric, order):
    rows = compare(scored(VALUES), metric)
    assert labels(rows) == order
    assert all(next(iter(row.metrics)) == metric for row in rows), "it is the first column"


def test_without_the_usual_metrics_the_first_one_orders():
    values = {"mf": {"mrr@5": 0.1, "recall@5": 0.9}, "popularity": {"mrr@5": 0.2, "recall@5": 0.1}}
    assert labels(compare(scored(values))) == ["popularity", "mf"]


def test_rows_without_the_metric_are_last():
    rows = compare([result("popularity", metrics={"recall@10": 0.9}), result("mf", metrics={"ndcg@10": 0.1})])
    assert labels(rows) == ["mf", "popularity"]
    rows = compare(
        [result("popularity", metrics={"recall@10": 0.9}), result("mf", metrics={"gini@10": 0.1})], "gini@10"
    )
    assert labels(rows) == ["mf", "popularity"]


def test_sampled_metrics_are_found_by_their_plain_name():
    sampled = {"candidates": "sampled"}
    values = {"mf": 0.2, "popularity": 0.3}
    runs = [
        result(model, metrics={"ndcg@10[sampled100]": value}, evaluation=sampled) for model, value in values.items()
    ]
    assert labels(compare(runs)) == labels(compare(runs, "ndcg@10")) == ["popularity", "mf"]


def test_a_metric_that_no_run_has():
    with pytest.raises(ConfigError) as error:
        compare([result(metrics={"ndcg@10": 0.1, "hr@10": 0.2})], "ndgc@10")
    assert str(error.value) == (
        "metric 'ndgc@10': none of these runs has it. Did you mean 'ndcg@10'? Known: hr@10, ndcg@10."
    )


# What does not belong together


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (
            {"fingerprints": {"data": "e" * 64}},
            "data differ: planted (fingerprint dddddddd) and planted (fingerprint eeeeeeee)",
        ),
        (
            {"fingerprints": {"split": "t" * 64}},
            "splits differ: random (fingerprint ssssssss) and random (fingerprint tttttttt)",
        ),
        (
            {"evaluation": {"candidates": "sampled", "n_candidates": 99}, "fingerprints": {"candidates": "c" * 64}},
            "candidates differ: full ranking and 99 sampled uniform with seed 0 (fingerprint cccccccc)",
        ),
        (
            {
                "evaluation": {"candidates": "file", "candidates_path": "c.tsv"},
                "fingerprints": {"candidates": "c" * 64},
            },
            "candidates differ: full ranking and those of c.tsv (fingerprint cccccccc)",
        ),
        (
            {"evaluation": {"candidates": "sampled"}, "fingerprints": {"candidates": "c" * 64}},
            "candidates differ: full ranking and 100 sampled uniform with seed 0 (fingerprint cccccccc)",
        ),
        (
            {"evaluation": {"mask": "train"}},
            "masks differ: evaluation.mask=train_valid and evaluation.mask=train",
        ),
        (
            {"evaluation": {"tie_seed": 3}},
            "orders of ties differ: evaluation.tie_seed=0 and evaluation.tie_seed=3",
        ),
    ],
)
def test_what_measures_something_else_is_refused(other, what):
    with pytest.raises(RunError) as error:
        compare([result(), result("popularity", **other)])
    assert str(error.value) == (
        "outputs/mf-0 and outputs/popularity-0 do not belong in one table, since their "
        f"{what}. Compare them in separate folders."
    )


def test_candidates_are_the_same_where_their_fingerprint_is_whatever_they_came_from():
    def ranked(model, fingerprint, **evaluation):
        return result(model, evaluation=evaluation, fingerprints={"candidates": fingerprint * 64})

    drawn = ranked("mf", "c", candidates="sampled", n_candidates=5)
    named = {"candidates": "file", "candidates_path": "c.tsv"}
    assert sorted(labels(compare([drawn, ranked("popularity", "c", **named)]))) == ["mf", "popularity"]
    with pytest.raises(RunError) as error:
        compare([drawn, ranked("popularity", "b", candidates="sampled", n_candidates=5)])
    assert (
        "since their candidates differ: 5 sampled uniform with seed 0 (fingerprint cccccccc) and "
        "5 sampled uniform with seed 0 (fingerprint bbbbbbbb)." in str(error.value)
    )


def test_other_definitions_of_metrics_are_refused():
    with pytest.raises(RunError) as error:
        compare([result(), {**result("popularity"), "metric_definitions_version": 2}])
    assert "their definitions of metrics differ: version 1 and version 2." in str(error.value)


def test_other_code_is_one_warning(caplog):
    def warnings(*codes):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            (row,) = compare([result(seed=seed, fingerprints={"code": code}) for seed, code in enumerate(codes)])
        assert row.n_seeds == len(codes)
        return [record.getMessage() for record in caplog.records]

    assert warnings("1+c", "1+c") == []
    assert warnings("1+c", "1+c", "1+d", "1+e") == [
        "outputs/mf-0 and outputs/mf-2 were made with different code (of recbench, or a plugin that one of them "
        "uses); what tells them apart may be the code."
    ]


def test_a_result_that_a_newer_one_replaces_is_not_asked_for_its_code(caplog):
    runs = [result(fingerprints={"code": code}) for code in ("1+c", "1+d")]
    with caplog.at_level(logging.WARNING):
        compare(runs)
    assert [record.getMessage().partition(" have ")[0] for record in caplog.records] == [
        "outputs/mf-0 and outputs/mf-0"
    ]


def test_runs_that_are_not_done_are_not_asked():
    failed = {**result("popularity", status="failed"), "fingerprints": {"data": None, "split": None, "features": None}}
    assert labels(compare([failed, result()])) == ["mf"]


# Runs that are not done


def test_runs_that_are_not_done_are_counted_and_listed_and_not_measured():
    error = {"type": "DivergedError", "message": "the loss is no longer finite"}
    runs = [
        result(seed=0),
        {**result(seed=1, status="diverged", metrics={}), "error": error},
        {**result(seed=2, status="interrupted")},
        {"status": "dead", "model": "gmf", "folder": "outputs/gmf-0"},
    ]
    (row,) = compare(runs)
    assert row.n_seeds == 1
    assert row.statuses == {"done": 1, "diverged": 1, "interrupted": 1}
    assert unfinished(runs) == (
        "outputs/mf-1: diverged: DivergedError: the loss is no longer finite\n"
        "outputs/mf-2: interrupted\n"
        "outputs/gmf-0: dead"
    )


def test_trials_that_a_search_pruned_are_counted():
    runs = [result(seed=0), *({**result(seed=seed, metrics={}), "status": "pruned"} for seed in (1, 2))]
    assert unfinished(runs) == "2 trials of a search were pruned."
    (row,) = compare(runs)
    assert (row.n_seeds, row.statuses) == (1, {"done": 1, "pruned": 2})


def fitted_on(run, part):
    return {**run, "config": {**run["config"], "fit_on": part}}


def test_what_a_model_was_fitted_on_makes_another_configuration_and_is_told(caplog):
    runs = [result(seed=0), fitted_on(result(seed=1), "train")]
    (row,) = compare(runs)
    assert row.n_seeds == 2 and caplog.records == [], "results of earlier versions are of training"
    rows = compare([*runs, fitted_on(result(seed=2), "train_valid")])
    assert sorted(labels(rows)) == ["mf fit_on=train", "mf fit_on=train_valid"]
    assert [record.getMessage() for record in caplog.records] == [
        "outputs/mf-0 and outputs/mf-2 were fitted on different parts (fit_on): one has learnt from the validation "
        "part too."
    ]


def test_what_finding_a_configuration_cost_is_kept_and_makes_no_other_one():
    tuning = {"budget": "20 trials", "trials": 20, "seconds": 12.5}
    told = {**result(seed=1), "tuning": tuning}
    told["config"] = {**told["config"], "tuning": tuning}
    (row,) = compare([result(seed=0), told])
    assert (row.n_seeds, row.tuning) == (2, tuning)


def test_costs_that_are_not_known_stay_so():
    theirs = {**result(), "seconds": {"fit": None, "evaluate": 0.5, "total": None}, "peak_memory_bytes": None}
    (row,) = compare([theirs])
    assert (row.seconds, row.peak_memory_bytes) == ({"fit": None, "evaluate": 0.5}, None)


def test_nothing_is_unfinished():
    assert unfinished([result()]) == ""


# Reading


def test_results_are_read_from_folders(tmp_path):
    config = {
        "model": "popularity",
        "dataset": {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300},
        "tracking": {"tensorboard": False},
    }
    for seed in (0, 1):
        run(resolve({**config, "seed": seed}).config, tmp_path / "sweep" / f"seed-{seed}", progress=False)
    write_json(tmp_path / "status.json", {"schema_version": 1, "status": "running", "model": "mf"})
    (tmp_path / "link").symlink_to(tmp_path / "sweep")
    aside = tmp_path / "sweep" / "seed-1.old-12"
    aside.mkdir()
    write_json(aside / "status.json", {"schema_version": 1, "status": "failed", "model": "mf"})
    found = read_results([tmp_path / "link", tmp_path, tmp_path / "sweep"])
    assert [(run["folder"], run["status"]) for run in found] == [
        (str(tmp_path), "dead"),
        (str(tmp_path / "sweep" / "seed-0"), "done"),
        (str(tmp_path / "sweep" / "seed-1"), "done"),
    ]
    (row,) = compare(found)
    assert (row.label, row.n_seeds) == ("popularity", 2)
    expected = read_json(tmp_path / "sweep" / "seed-0" / "result.json")["metrics"]["test"]
    assert row.metrics == {name: Spread(pytest.approx(value), 0.0) for name, value in expected.items()}


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(RunError) as error:
        read_results([str(tmp_path)])
    assert str(error.value) == (
        f"no run below {str(tmp_path)!r}: expected folders that hold a result.json, as 'recbench run' makes them "
        "below outputs."
    )


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match="^no run below"):
        read_results([tmp_path / "nowhere"])


def test_a_result_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunError, match=f"^{tmp_path / 'result.json'}: cannot be read"):
        read_results([tmp_path])


# Rendering

METRICS = ["ndcg@10", "recall@10", "precision@10", "hr@10", "mrr@10"]
ROWS = [
    Row(
        model="mf",
        label="mf dim=8",
        differs={"model.dim": 8},
        n_seeds=2,
        metrics={name: Spread(1 / 3, 0.00512) for name in METRICS},
        seconds={"fit": 12.345, "evaluate": 0.5},
        peak_memory_bytes=1_234_567_890,
        statuses={"done": 2},
        selection="valid",
        metric_definitions_version=1,
    ),
    Row(
        model="popularity",
        label="popu|arity\x1b[0m",
        differs={},
        n_seeds=1,
        metrics={name: Spread(0.25, None) for name in METRICS[:2]},
        seconds={"fit": 0.0, "evaluate": 0.5},
        peak_memory_bytes=5_000_000,
        statuses={"done": 1, "failed": 1},
        selection=None,
        metric_definitions_version=1,
    ),
]


def test_the_table_is_aligned_and_says_what_it_leaves_out():
    assert render(ROWS) == (
        "model          seeds          ndcg@10        recall@10     precision@10            hr@10"
        "  fit s  evaluate s  peak MB\n"
        "-------------  -----  ---------------  ---------------  ---------------  ---------------"
        "  -----  ----------  -------\n"
        "mf dim=8           2  0.3333 ± 0.0051  0.3333 ± 0.0051  0.3333 ± 0.0051  0.3333 ± 0.0051"
        "  12.35        0.50    1,235\n"
        "popu|arity[0m      1           0.2500           0.2500                -                -"
        "   0.00        0.50        5\n"
        "\n"
        "Not shown, but in --format csv and json: mrr@10."
    )


def test_markdown():
    spread = "0.3333 ± 0.0051"
    assert render(ROWS, "markdown") == (
        "| model | seeds | ndcg@10 | recall@10 | precision@10 | hr@10 | fit s | evaluate s | peak MB |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"| mf dim=8 | 2 | {spread} | {spread} | {spread} | {spread} | 12.35 | 0.50 | 1,235 |\n"
        "| popu\\|arity[0m | 1 | 0.2500 | 0.2500 | - | - | 0.00 | 0.50 | 5 |"
    )


def test_csv_has_everything_in_full_precision():
    head, one, other = csv.reader(io.StringIO(render(ROWS, "csv")))
    assert head == [
        "model",
        "label",
        "n_seeds",
        *(f"{name} {part}" for name in METRICS for part in ("mean", "std")),
        "fit_seconds",
        "evaluate_seconds",
        "peak_memory_bytes",
    ]
    assert one == ["mf", "mf dim=8", "2", *[repr(1 / 3), "0.00512"] * 5, "12.345", "0.5", "1234567890"]
    assert other == ["popularity", "popu|arity\x1b[0m", "1", *["0.25", ""] * 2, *[""] * 6, "0.0", "0.5", "5000000"]


def test_json_keeps_its_contract():
    one, other = json.loads(render(ROWS, "json"))
    assert [one[key] for key in ("model", "label", "n_seeds")] == ["mf", "mf dim=8", 2]
    assert one["metrics"]["ndcg@10"] == {"mean": 1 / 3, "std": 0.00512}
    assert other["metrics"] == {name: {"mean": 0.25, "std": None} for name in METRICS[:2]}
    assert other["statuses"] == {"done": 1, "failed": 1}
    assert one["differs"] == {"model.dim": 8}
    assert one["metric_definitions_version"] == 1


def test_no_rows():
    assert render([]) == render([], "markdown") == "no run is done."
    assert json.loads(render([], "json")) == []
    assert render([], "csv").startswith("model,label,n_seeds,")


def test_an_unknown_format():
    with pytest.raises(ConfigError) as error:
        render(ROWS, "pdf")
    assert str(error.value) == "format 'pdf': should be 'table', 'markdown', 'latex', 'csv' or 'json'."
