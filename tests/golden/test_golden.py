"""Fixed-seed runs with pinned numbers; a change needs a line under *Changed results* in CHANGELOG.md."""

import pytest

from recbench import resolve, run

PLANTED = {"name": "planted", "n_users": 120, "n_items": 90}
GOLDEN = {
    "popularity": {
        "ndcg@10": 0.27267623595656804,
        "recall@20": 0.50609126984127,
        "map@10": 0.1648429154069035,
        "mrr@10": 0.38635912698412694,
        "coverage@10": 0.3333333333333333,
    },
    "item_knn": {
        "ndcg@10": 0.5181400458709271,
        "recall@20": 0.6991468253968254,
        "map@10": 0.38771501795162505,
        "mrr@10": 0.7018287037037038,
        "coverage@10": 0.7555555555555555,
    },
    "user_knn": {
        "ndcg@10": 0.4503112746782152,
        "recall@20": 0.6639880952380951,
        "map@10": 0.31573783541194256,
        "mrr@10": 0.612089947089947,
        "coverage@10": 0.5666666666666667,
    },
    "mf": {"ndcg@10": 0.372209590796369, "recall@20": 0.6119444444444444, "map@10": 0.24691942239858905},
    "gmf": {"ndcg@10": 0.22114273786136432, "recall@20": 0.4260912698412698, "map@10": 0.12167693373645755},
    "mlp": {"ndcg@10": 0.23088426841212284, "recall@20": 0.411031746031746, "map@10": 0.13269176744771982},
    "neumf": {"ndcg@10": 0.2710441067410487, "recall@20": 0.48121031746031745, "map@10": 0.1637813681027967},
}


def measured(model, **rest):
    given = {"dataset": PLANTED, "model": model, "threads": 1} | rest
    return run(resolve(given).config).reports["test"].values


@pytest.mark.parametrize("model", ["popularity", "item_knn", "user_knn"])
def test_models_in_closed_form(model):
    """Counts and sums of similarities: the same on any machine, but for ties of rounding, of which there are none."""
    values = measured(model)
    for name, value in GOLDEN[model].items():
        assert values[name] == pytest.approx(value, abs=1e-10), name


@pytest.mark.parametrize("model", ["mf", "gmf", "mlp", "neumf"])
def test_models_trained_by_gradients(model):
    """The last digits depend on the processor: a place may be swapped here and there, and no more."""
    values = measured(model, trainer={"epochs": 5, "lr": 0.02})
    for name, value in GOLDEN[model].items():
        assert values[name] == pytest.approx(value, abs=2e-3), name
