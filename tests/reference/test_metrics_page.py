"""The page of metrics says what the code does, and its table of disagreements is what the libraries give."""

from __future__ import annotations

import math

import metrics_page
import pytest
import pytrec_eval
import torch
from given_scores import case
from library_conventions import COPIED, N_ITEMS, RELEVANT, RULES, VERSIONS, K
from random_rankings import evaluate

from recbench import metrics

ir_measures, sklearn = (
    pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[conformance]'")
    for name in ("ir_measures", "sklearn")
)
pytest.importorskip("sklearn.metrics")

SCORES = [float(N_ITEMS - place) for place in range(N_ITEMS)]
RECOMPUTED = {"pytrec_eval", "ir_measures", "scikit-learn"}
GAINS = {user: [place in places for place in range(1, N_ITEMS + 1)] for user, places in RELEVANT.items()}
JUDGED = {user: {str(place): 1 for place in places} for user, places in RELEVANT.items()}
LISTED = {user: {str(place): SCORES[place - 1] for place in range(1, N_ITEMS + 1)} for user in RELEVANT}


def test_the_generated_parts_are_up_to_date():
    page = metrics_page.PAGE.read_text(encoding="utf-8")
    assert page == metrics_page.filled(page), "run python tests/reference/metrics_page.py"


def test_the_page_has_all_metrics_and_all_rules():
    page = metrics_page.PAGE.read_text(encoding="utf-8")
    headings = [line.removeprefix("#### ").strip("`") for line in page.splitlines() if line.startswith("#### ")]
    assert sorted(name.removesuffix("@k") for name in headings) == sorted(metrics.registry.names())
    of_users = {name for name in metrics.registry.names() if name not in NOT_OF_RELEVANCE}
    assert {rule.here for rule in RULES if rule.here and "," not in rule.here} == of_users
    assert page.count("Also: ") == sum(bool(rule.elsewhere) for rule in RULES if rule.here in of_users)


NOT_OF_RELEVANCE = {"coverage", "gini", "novelty", "mean_popularity", "rmse", "mae"}


def test_our_column_is_what_the_engine_gives():
    problem = case(torch.tensor([SCORES] * 3), [[place - 1 for place in places] for places in RELEVANT.values()])
    ranking = problem.rank(N_ITEMS, with_auc=True)
    for rule in RULES:
        if rule.here is not None:
            name, _, whole = rule.here.partition(",")
            cut = None if name == "auc" else N_ITEMS if whole else K
            assert evaluate(name, ranking, cut).tolist() == pytest.approx(rule.per_user, abs=1e-12), rule


def pytrec(name):
    asked = name if name in ("map", "recip_rank") else f"{name}.{K}"
    found = pytrec_eval.RelevanceEvaluator(JUDGED, {asked}).evaluate(LISTED)
    return [found[user][asked.replace(".", "_")] for user in RELEVANT]


def ir(name):
    measure = getattr(ir_measures, name.removesuffix("@k"))
    found = ir_measures.iter_calc([measure @ K if name.endswith("@k") else measure], JUDGED, LISTED)
    by_user = {value.query_id: value.value for value in found}
    return [by_user[user] for user in RELEVANT]


def scikit_learn(name):
    if name == "ndcg_score":
        return [sklearn.metrics.ndcg_score([gains], [SCORES], k=K) for gains in GAINS.values()]
    return [getattr(sklearn.metrics, name)(gains, SCORES) for gains in GAINS.values()]


THE_LIBRARY = {"pytrec_eval": pytrec, "ir_measures": ir, "scikit-learn": scikit_learn}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.measure}: {rule.words}")
def test_libraries_follow_the_rule_that_names_them(rule):
    for library, name in rule.elsewhere.items():
        if library in THE_LIBRARY:
            assert THE_LIBRARY[library](name) == pytest.approx(rule.per_user, abs=1e-9), library
            continue
        per_user, together = COPIED[library, name]
        if per_user is not None and rule.per_user is not None:
            assert per_user == pytest.approx(rule.per_user, abs=1e-6), library
        assert together == pytest.approx(rule.mean, abs=1e-6), library


def test_every_copied_number_is_in_the_table():
    of_rules = {(library, name) for rule in RULES for library, name in rule.elsewhere.items()}
    assert set(COPIED) == {pair for pair in of_rules if pair[0] not in RECOMPUTED}
    assert {library for library, _ in of_rules} == set(VERSIONS)


def test_ranx_follows_its_rules():
    ranx = pytest.importorskip("ranx", reason="ranx is not installed: pip install '.[conformance]'")
    for rule in RULES:
        if "ranx" in rule.elsewhere:
            name = f"{rule.elsewhere['ranx']}@{K}"
            found = ranx.evaluate(ranx.Qrels(JUDGED), ranx.Run(LISTED), name, return_mean=False)
            assert found.tolist() == pytest.approx(rule.per_user, abs=1e-9), name


def test_the_sentence_about_the_spread_is_true():
    page = metrics_page.PAGE.read_text(encoding="utf-8")
    for words, measure in (("MAP@3 is anything from", "average precision"), ("NDCG@3 from", "NDCG")):
        means = [rule.mean for rule in RULES if rule.measure == measure and rule.elsewhere]
        assert f"{words} {min(means):.2f} to {max(means):.2f}" in page


def test_what_the_page_says_of_the_edges_elsewhere():
    def trec(judged, listed, *measures):
        return pytrec_eval.RelevanceEvaluator(judged, set(measures)).evaluate(listed)

    one = {"1": 1}
    # Nothing relevant: 0.
    assert trec({"a": {"1": 0}}, {"a": {"1": 1.0}}, "ndcg_cut.3")["a"]["ndcg_cut_3"] == 0
    assert sklearn.metrics.ndcg_score([[0, 0]], [[2.0, 1.0]]) == 0
    # No list: left out, or 0.
    judged, listed = {"a": one, "b": one}, {"a": {"1": 1.0}}
    assert set(trec(judged, listed, "recall.3")) == {"a"}
    assert ir_measures.calc_aggregate([ir_measures.R @ 3], judged, listed) == {ir_measures.R @ 3: 0.5}
    # Equal scores: by the id as text, but for RR.
    judged, listed = {"a": {"9": 1}}, {"a": {"9": 1.0, "10": 1.0}}
    assert trec(judged, listed, "recip_rank")["a"]["recip_rank"] == 1
    both = [ir_measures.RR @ 1, ir_measures.nDCG @ 1]
    assert ir_measures.calc_aggregate(both, judged, listed) == {both[0]: 0.0, both[1]: 1.0}
    # Not a number.
    assert trec({"a": one}, {"a": {"1": math.nan, "2": 1.0}}, "recip_rank")["a"]["recip_rank"] > 0
    with pytest.raises(ValueError, match="contains NaN"):
        sklearn.metrics.ndcg_score([[1, 0]], [[math.nan, 1.0]])
