"""What the users' values say: intervals, tests against a baseline, groups of users, costly models that lose."""

import logging
import time

import numpy as np
import pandas as pd
import pytest
from test_compare import result

from recbench import ConfigError, RunError
from recbench.comparison import compare, read_results, render, warnings, with_statistics
from recbench.comparison.rows import Group
from recbench.files import write_json
from recbench.per_user import PER_USER, USERS

NAN = float("nan")


@pytest.fixture
def made(tmp_path):
    """Return a function that makes the folder of a run with given values of users, and returns its path."""

    def make(model, values, seed=0, n_train=None, *, metric="ndcg@10", fit=1.0, users=None, more=None):
        name = model if isinstance(model, str) else model["name"]
        folder = tmp_path / "runs" / f"{name}-{seed}-{len(list(tmp_path.rglob('result.json')))}"
        folder.mkdir(parents=True)
        users = [f"u{n}" for n in range(len(values))] if users is None else users
        columns = {metric: values} | (more or {})
        means = {name: float(np.nanmean(column)) for name, column in columns.items()}
        told = result(model, seed=seed, metrics=means)
        write_json(folder / "result.json", {**told, "seconds": {"fit": fit, "evaluate": 0.1, "total": 2.0}})
        pd.DataFrame({"user": users, **columns}).to_csv(folder / PER_USER, index=False)
        if n_train is not None:
            pd.DataFrame({"user": users, "n_train": n_train}).to_csv(folder / USERS, index=False)
        return folder

    make.root = tmp_path / "runs"
    return make


def analysed(made, baseline=None, metric=None):
    rows = with_statistics(compare(read_results([made.root]), metric), baseline)
    return {row.label: row for row in rows}


def test_a_users_value_is_the_mean_over_seeds(made):
    made("mf", [0.4, 0.6, 0.8], seed=0)
    made("mf", [0.6, 0.8, 1.0], seed=1)
    made("popularity", [0.1, 0.2, 0.6])
    rows = analysed(made, "popularity")
    versus = rows["mf"].versus
    # Differences 0.4, 0.5 and 0.3.
    assert (versus.baseline, versus.n_users) == ("popularity", 3)
    assert versus.difference == pytest.approx((0.4 + 0.5 + 0.3) / 3)
    assert versus.effect_size == pytest.approx(0.4 / 0.1)
    assert (versus.interval.low, versus.interval.high) == (pytest.approx(0.3), pytest.approx(0.5))
    assert versus.p["randomisation"] == pytest.approx(2 / 8, abs=0.02)
    assert versus.p == versus.p_holm, "one row needs no correction"
    assert rows["popularity"].versus is None
    assert rows["mf"].intervals["ndcg@10"].low == pytest.approx(0.5)


def test_p_values_are_corrected_for_the_number_of_rows(made):
    stream = np.random.default_rng(0)
    base = stream.random(200)
    made("popularity", base)
    for model in ("mf", "gmf", "mlp"):
        made(model, base + stream.normal(0.02, 0.1, 200))
    rows = analysed(made, "popularity")
    found = {label: row.versus for label, row in rows.items() if row.versus}
    for test in ("t", "wilcoxon", "randomisation"):
        plain = sorted(versus.p[test] for versus in found.values())
        corrected = sorted(versus.p_holm[test] for versus in found.values())
        assert corrected[0] == pytest.approx(3 * plain[0])
        assert corrected[1] == pytest.approx(max(3 * plain[0], 2 * plain[1]))


def test_a_planted_difference_is_found_and_none_where_there_is_none(made):
    stream = np.random.default_rng(1)
    skill = np.clip(stream.normal(0.2, 0.2, 2000), 0, 1)
    for seed in range(3):
        made("popularity", np.clip(skill + stream.normal(0, 0.05, 2000), 0, 1), seed=seed)
        made("gmf", np.clip(skill + stream.normal(0, 0.05, 2000), 0, 1), seed=seed)
        made("mf", np.clip(skill + stream.normal(0.01, 0.05, 2000), 0, 1), seed=seed)
    rows = analysed(made, "popularity")
    assert all(value < 1e-3 for value in rows["mf"].versus.p_holm.values())
    assert rows["mf"].versus.interval.low > 0
    assert all(value > 0.05 for value in rows["gmf"].versus.p_holm.values())
    assert rows["gmf"].versus.interval.low < 0 < rows["gmf"].versus.interval.high


def test_a_user_without_a_value_counts_for_neither(made):
    made("mf", [0.4, NAN, 0.8, 0.1])
    made("popularity", [0.1, 0.2, 0.6, NAN])
    versus = analysed(made, "popularity")["mf"].versus
    assert (versus.n_users, versus.difference) == (2, pytest.approx((0.3 + 0.2) / 2))


# Which row is the baseline


def test_the_baseline_is_named_by_label_or_by_model(made):
    for dim in (8, 16):
        made({"name": "mf", "dim": dim}, [0.1, 0.2])
    made("popularity", [0.1, 0.3])
    assert analysed(made, "mf dim=16")["mf dim=8"].versus.baseline == "mf dim=16"
    assert analysed(made, "popularity")["mf dim=8"].versus.baseline == "popularity"
    with pytest.raises(ConfigError) as error:
        analysed(made, "mf")
    assert str(error.value) == "baseline 'mf': 2 rows are of it. Write the label of one: 'mf dim=16', 'mf dim=8'."
    with pytest.raises(ConfigError) as error:
        analysed(made, "popularty")
    assert str(error.value).startswith("baseline 'popularty': no row is called so. Did you mean 'popularity'?")


def test_a_metric_without_values_of_users_cannot_be_tested(made):
    folder = made("mf", [0.1, 0.2])
    made("popularity", [0.1, 0.2])
    for run in made.root.iterdir():
        told = pd.read_json(run / "result.json", typ="series").to_dict()
        told["metrics"]["test"]["coverage@10"] = 0.5
        write_json(run / "result.json", told)
    with pytest.raises(ConfigError) as error:
        analysed(made, "popularity", "coverage@10")
    assert str(error.value) == (
        "metric 'coverage@10': has no value for each user, so that nothing can be tested. Order by one that has, with "
        "--metric: ndcg@10."
    )
    assert "coverage@10" not in analysed(made)["mf"].intervals and folder.exists()


# What runs lack


def test_a_run_without_values_of_users_has_no_interval_and_it_is_said(made, caplog):
    made("mf", [0.4, 0.5])
    lacking = made("gmf", [0.1, 0.2])
    made("popularity", [0.1, 0.2])
    (lacking / PER_USER).unlink()
    rows = analysed(made, "popularity")
    assert rows["gmf"].intervals == {} and rows["gmf"].versus is None and rows["mf"].versus is not None
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"{lacking}: has no per_user.csv.gz, so 'gmf' gets no interval and no test."
    ]
    with pytest.raises(RunError) as error:
        analysed(made, "gmf")
    assert str(error.value) == f"{lacking}: has no per_user.csv.gz, so that 'gmf' can be no baseline."


def test_without_any_values_of_users_rows_are_as_they_were():
    rows = compare([result(), result("popularity")])
    assert with_statistics(rows) == rows
    assert with_statistics([]) == []
    with pytest.raises(RunError) as error:
        with_statistics(rows, "popularity")
    assert str(error.value) == "no run has a per_user.csv.gz, with the value of each user: there is nothing to test."


def test_other_users_are_refused(made):
    one = made("mf", [0.4, 0.5, 0.6])
    other = made("popularity", [0.1, 0.2], users=["u0", "u7"])
    with pytest.raises(RunError) as error:
        analysed(made)
    assert str(error.value) == (
        f"{one} and {other} do not belong in one table, since their test users differ: per_user.csv.gz has 3 and 2, of "
        "whom 1 are the same. One of the files was altered."
    )


def test_a_damaged_file_is_named(made):
    folder = made("mf", [0.4, 0.5, 0.6])
    (folder / PER_USER).write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(RunError, match=f"^{folder / PER_USER}: cannot be read "):
        analysed(made)


def test_ids_that_look_like_missing_values_stay(made):
    names = ["NA", "", "007", "nan"]
    made("mf", [0.4, NAN, 0.8, 0.1], users=names)
    made("popularity", [0.1, 0.2, 0.6, 0.1], users=names)
    assert analysed(made, "popularity")["mf"].versus.n_users == 3


# Groups of users


def test_groups_of_users(made):
    made("mf", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], n_train=[0, 1, 1, 5, 6, 9, 30])
    # Six are warm: two of them have at most 1, four at most 6.
    assert analysed(made)["mf"].groups == (
        Group("cold", 0, 0, 1, 0.0),
        Group("low", 1, 1, 2, pytest.approx((0.1 + 0.2) / 2)),
        Group("medium", 5, 6, 2, pytest.approx((0.3 + 0.4) / 2)),
        Group("high", 9, 30, 2, pytest.approx((0.5 + 0.6) / 2)),
    )


def test_users_with_equal_activity_are_one_group(made):
    made("mf", [0.1, 0.2, 0.6], n_train=[4, 4, 4])
    assert analysed(made)["mf"].groups == (Group("low", 4, 4, 3, pytest.approx(0.3)),)


def test_only_cold_users(made):
    made("mf", [0.1, 0.3], n_train=[0, 0])
    assert analysed(made)["mf"].groups == (Group("cold", 0, 0, 2, pytest.approx(0.2)),)


def test_runs_of_earlier_versions_have_no_groups(made, caplog):
    made("mf", [0.1, 0.3])
    with caplog.at_level(logging.INFO):
        assert analysed(made)["mf"].groups == ()
    assert "has no users.csv.gz, as runs of earlier versions: there are no groups of users." in caplog.text


def test_one_run_that_keeps_them_is_enough_for_groups_and_others_are_refused(made):
    made("gmf", [0.1, 0.3])
    folder = made("mf", [0.1, 0.3], n_train=[1, 9])
    assert [group.name for group in analysed(made)["gmf"].groups] == ["low", "medium"]
    pd.DataFrame({"user": ["u0", "u9"], "n_train": [1, 9]}).to_csv(folder / USERS, index=False)
    with pytest.raises(RunError) as error:
        analysed(made)
    assert str(error.value) == (
        f"{folder / USERS}: is not of the users of per_user.csv.gz; one of them was altered. Run the experiment again."
    )


def test_a_row_without_the_metric_has_neither_groups_nor_a_test(made):
    made("mf", [0.1, 0.3], n_train=[1, 9])
    made("gmf", [0.1, 0.3], metric="recall@10")
    made("popularity", [0.1, 0.2])
    rows = analysed(made, "popularity")
    assert rows["gmf"].groups == () and rows["gmf"].versus is None and rows["mf"].versus is not None
    assert rows["gmf"].intervals.keys() == {"recall@10"}
    told = render(list(rows.values()), groups=True)
    assert [line.split()[0] for line in told.splitlines()[-3:]] == ["mf", "popularity", "gmf"]
    assert "recall@10 of" not in render(list(rows.values()), "csv")


# Costly models that lose


def beaten(made):
    rows = with_statistics(compare(read_results([made.root])))
    return warnings(rows)


def test_a_costly_model_that_loses_to_a_trivial_one_is_a_warning(made):
    values = np.random.default_rng(2).random(500)
    made("item_knn", values, fit=0.1)
    made("popularity", values - 0.01 + np.random.default_rng(3).normal(0, 0.02, 500), fit=0.0)
    made("neumf", values - 0.05 + np.random.default_rng(4).normal(0, 0.1, 500), fit=60.0)
    made("mf", values + 0.05 + np.random.default_rng(5).normal(0, 0.1, 500), fit=60.0)
    assert beaten(made) == [
        "neumf (60.00 s to fit) is worse than item_knn (0.10 s to fit) by ndcg@10, and not by chance (paired t test "
        "over users, p below 0.05 after Holm's correction): what it costs buys nothing here."
    ]


@pytest.mark.parametrize(
    ("fit", "loss"),
    [(0.01, 0.05), (60.0, -0.05), (60.0, 0.0)],
    ids=["it is cheaper", "it is better", "it is not worse beyond chance"],
)
def test_no_warning(made, fit, loss):
    values = np.random.default_rng(2).random(500)
    made("item_knn", values, fit=0.1)
    made("neumf", values - loss + np.random.default_rng(4).normal(0, 0.1, 500), fit=fit)
    assert beaten(made) == []


def test_where_lower_is_better_higher_loses(made):
    values = np.random.default_rng(2).random(500)
    made("item_knn", values, fit=0.1, metric="mean_popularity@10")
    made("neumf", values + 0.05 + np.random.default_rng(4).normal(0, 0.1, 500), fit=60.0, metric="mean_popularity@10")
    assert len(beaten(made)) == 1


# Speed


def test_two_models_of_five_seeds_and_six_thousand_users_take_seconds(made):
    stream = np.random.default_rng(6)
    more = {f"recall@{k}": stream.random(6000) for k in range(1, 10)}
    for model in ("mf", "popularity"):
        for seed in range(5):
            made(model, stream.random(6000), seed=seed, n_train=stream.integers(1, 200, 6000), more=more)
    begun = time.process_time()
    rows = analysed(made, "popularity")
    # Five seconds are asked for, with the start of the program; of a busy machine only its own work counts.
    assert time.process_time() - begun < 4
    assert rows["mf"].versus.n_users == 6000
