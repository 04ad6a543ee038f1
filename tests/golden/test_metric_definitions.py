"""The numbers of each version of the definitions of metrics, on runs whose lists depend on nothing else.

A number that changes means that a metric is computed differently: raise ``METRIC_DEFINITIONS_VERSION``, add the new
numbers below beside the old ones, and write a line under *Changed results* in CHANGELOG.md. Results of two versions
are never compared.
"""

from __future__ import annotations

import math

import pytest
import torch

from recbench import metrics, resolve, run
from recbench.evaluation import METRIC_DEFINITIONS_VERSION

CUT = [name for name in metrics.registry.names() if metrics.registry.entry(name).traits["cut"]]
RATINGS = ("mae", "rmse")
PREDICTED, ACTUAL = [3.5, 4.25, 1.0, 2.0], [4.0, 3.0, 1.0, 5.0]

NUMBERS = {
    1: {
        "popularity coverage@3": 0.17777777777777778,
        "popularity coverage@10": 0.3333333333333333,
        "popularity gini@3": 0.9307740324594257,
        "popularity gini@10": 0.8055992509363296,
        "popularity hr@3": 0.49166666666666664,
        "popularity hr@10": 0.725,
        "popularity map@3": 0.09603835978835978,
        "popularity map@10": 0.1648429154069035,
        "popularity map_capped@3": 0.15925925925925924,
        "popularity map_capped@10": 0.1648429154069035,
        "popularity map_k@3": 0.15416666666666667,
        "popularity map_k@10": 0.08119345238095238,
        "popularity mean_popularity@3": 51.63333333333334,
        "popularity mean_popularity@10": 42.11666666666667,
        "popularity mrr@3": 0.3458333333333333,
        "popularity mrr@10": 0.38635912698412694,
        "popularity ndcg@3": 0.22065219039077436,
        "popularity ndcg@10": 0.27267623595656804,
        "popularity ndcg_ideal_k@3": 0.21582813801420137,
        "popularity ndcg_ideal_k@10": 0.17252187205035266,
        "popularity ndcg_retrieved@3": 0.38474371345124,
        "popularity ndcg_retrieved@10": 0.4561156157675639,
        "popularity ndcg_uncut@3": 0.15950515700149287,
        "popularity ndcg_uncut@10": 0.27267623595656804,
        "popularity novelty@3": 1.2300109648518274,
        "popularity novelty@10": 1.5397650009811636,
        "popularity precision@3": 0.21111111111111108,
        "popularity precision@10": 0.155,
        "popularity recall@3": 0.13436507936507935,
        "popularity recall@10": 0.3307142857142857,
        "popularity recall_capped@3": 0.21944444444444447,
        "popularity recall_capped@10": 0.3307142857142857,
        "popularity auc": 0.6601028037604392,
        "ease coverage@3": 0.37777777777777777,
        "ease coverage@10": 0.6333333333333333,
        "ease gini@3": 0.8358302122347067,
        "ease gini@10": 0.7027153558052435,
        "ease hr@3": 0.7666666666666667,
        "ease hr@10": 0.9083333333333333,
        "ease map@3": 0.2204133597883598,
        "ease map@10": 0.3259145171957672,
        "ease map_capped@3": 0.33912037037037035,
        "ease map_capped@10": 0.3259145171957672,
        "ease map_k@3": 0.32638888888888895,
        "ease map_k@10": 0.14855092592592592,
        "ease mean_popularity@3": 44.891666666666666,
        "ease mean_popularity@10": 37.989999999999995,
        "ease mrr@3": 0.6180555555555555,
        "ease mrr@10": 0.6423875661375662,
        "ease ndcg@3": 0.42398128372900606,
        "ease ndcg@10": 0.4656157658837728,
        "ease ndcg_ideal_k@3": 0.4128487675231984,
        "ease ndcg_ideal_k@10": 0.2816079175556982,
        "ease ndcg_retrieved@3": 0.6558509466338537,
        "ease ndcg_retrieved@10": 0.6650893663159905,
        "ease ndcg_uncut@3": 0.3218927112380599,
        "ease ndcg_uncut@10": 0.4656157658837728,
        "ease novelty@3": 1.4683148054303363,
        "ease novelty@10": 1.7352113404660843,
        "ease precision@3": 0.38333333333333336,
        "ease precision@10": 0.22833333333333333,
        "ease recall@3": 0.26720238095238097,
        "ease recall@10": 0.5207936507936508,
        "ease recall_capped@3": 0.4013888888888889,
        "ease recall_capped@10": 0.5207936507936508,
        "ease auc": 0.7747727834225859,
        "ratings mae": 1.1875,
        "ratings rmse": 1.6441183047457382,
    }
}


def measured():
    """Return every metric: of two models in closed form on generated data, and of a few ratings."""
    found = {}
    for model in ("popularity", "ease"):
        given = {
            "dataset": {"name": "planted", "n_users": 120, "n_items": 90},
            "model": model,
            "threads": 1,
            "evaluation": {"metrics": [*(f"{name}@{k}" for name in CUT for k in (3, 10)), "auc"]},
        }
        values = run(resolve(given).config, progress=False).reports["test"].values
        found |= {f"{model} {name}": value for name, value in values.items()}
    for name in RATINGS:
        target = metrics.registry.entry(name).target
        found[f"ratings {name}"] = float(target(torch.tensor(PREDICTED), torch.tensor(ACTUAL)))
    return found


@pytest.fixture(scope="module")
def values():
    return measured()


def test_the_numbers_are_those_of_this_version_of_the_definitions(values):
    assert max(NUMBERS) == METRIC_DEFINITIONS_VERSION, "each version of the definitions has its numbers here"
    expected = NUMBERS[METRIC_DEFINITIONS_VERSION]
    assert set(values) == set(expected)
    changed = {name: (expected[name], value) for name, value in values.items() if abs(value - expected[name]) > 1e-10}
    assert not changed, "the definitions changed: raise METRIC_DEFINITIONS_VERSION and add their numbers"


def test_every_metric_has_a_number(values):
    named = {name.partition(" ")[2].partition("@")[0] for name in values}
    assert named == set(metrics.registry.names())
    assert all(math.isfinite(value) for value in values.values())


def test_each_version_tells_itself_from_the_one_before():
    versions = sorted(NUMBERS)
    assert versions == list(range(1, METRIC_DEFINITIONS_VERSION + 1))
    for one, next_ in zip(versions, versions[1:]):
        assert any(abs(NUMBERS[one][name] - NUMBERS[next_][name]) > 1e-10 for name in NUMBERS[one])
