"""From plain values to a typed experiment, and the pipeline as a whole."""

import json
import logging

import pytest
import torch

from recbench import ExperimentConfig, resolve, run
from recbench.candidates import candidates_fingerprint
from recbench.datasets.planted import PlantedConfig
from recbench.errors import ConfigError
from recbench.evaluation import EvaluationConfig
from recbench.experiment import prepare
from recbench.leaks import Share
from recbench.models.mf import MFConfig

SMALL = {"name": "planted", "n_users": 60, "n_items": 50}


def composed(model="mf", **rest):
    return {"dataset": SMALL, "split": "random", "model": model} | rest


def error_of(*args, **kwargs):
    with pytest.raises(ConfigError) as error:
        resolve(composed(*args, **kwargs))
    return str(error.value)


def test_what_is_left_out_is_the_models_own():
    config = resolve(composed()).config
    assert config.trainer.optimizer == "adagrad" and config.trainer.epochs == 100
    assert config.negatives.n_negatives == 4
    assert resolve(composed("neumf")).config.negatives.n_negatives == 4
    assert resolve(composed("popularity")).config.negatives is None


def test_what_is_given_wins_over_the_models_own():
    config = resolve(composed(trainer={"lr": 0.5}, negatives={"name": "popularity", "alpha": 1.0})).config
    assert config.trainer.lr == 0.5 and config.trainer.optimizer == "adagrad"
    assert config.negatives.alpha == 1.0 and config.negatives.n_negatives == 4


def test_a_configuration_survives_its_plain_form():
    config = resolve(composed("neumf", seed=3, trainer={"epochs": 2}, evaluation={"metrics": ["auc"]})).config
    assert resolve(json.loads(json.dumps(config.to_dict()))).config == config


def test_the_identity_knows_what_changes_a_number():
    base = resolve(composed()).config.identity
    assert resolve(composed(label="mine", tracking={"tensorboard": False})).config.identity == base
    assert resolve(composed(trainer={"optimizer": "adagrad"})).config.identity == base
    assert resolve(composed(seed=1)).config.identity != base
    assert resolve(composed(threads=1)).config.identity != base


def test_all_mistakes_of_all_parts_come_together():
    message = error_of(
        {"name": "neumf", "dmi": 3, "dim": "abc", "loss": "brp"}, split={"name": "random", "test": 2}, sede=1
    )
    assert message.splitlines()[0].startswith("no option 'sede'. Did you mean 'seed'? Known: ")
    assert "split 'random' cannot be configured:\n  test = 2: should be less than 1." in message
    assert "model 'neumf' cannot be configured:\n  dmi = 3: no such option. Did you mean 'dim'?" in message
    assert (
        "\n  dim = 'abc': should be a whole number (an integer).\n  loss = 'brp': should be 'bce' or 'bpr'." in message
    )


def test_an_unknown_name_gets_the_nearest():
    assert error_of("nuemf") == (
        "no model 'nuemf'. Did you mean 'neumf'? Known: content_cosine, ease, gmf, ials, item_knn, mf, mlp, neumf, "
        "p3alpha, popularity, pure_svd, random, rp3beta, slim, user_knn."
    )
    assert (
        error_of(negatives="unifrom")
        == "no negatives 'unifrom'. Did you mean 'uniform'? Known: in_batch, popularity, uniform."
    )
    assert error_of(trainer="gradeint").startswith("no trainer 'gradeint'. Did you mean 'gradient'?")


def test_an_option_without_effect_is_an_error_alone_and_a_record_in_a_sweep():
    assert error_of("popularity", trainer={"lr": 0.1}) == (
        "trainer.lr = 0.1 has no effect on model 'popularity', whose trainer is 'closed_form'."
    )
    assert error_of({"name": "mf", "loss": "mse"}, negatives={"n_negatives": 2}) == (
        "negatives.n_negatives has no effect: model 'mf' with loss 'mse' uses no negatives."
    )
    assert error_of(negatives={"name": "in_batch", "n_negatives": 2}) == (
        "negatives.n_negatives = 2 has no effect on model 'mf', whose negatives is 'in_batch'."
    )
    given = composed("popularity", trainer={"lr": 0.1}, negatives={"n_negatives": 2})
    assert resolve(given, several_models=True).not_applicable == ("trainer.lr", "negatives.n_negatives")


def test_an_option_that_no_trainer_has_is_a_mistake_even_in_a_sweep():
    with pytest.raises(ConfigError, match="trainer 'closed_form' cannot be configured:\n  lrr = 0.1: no such option."):
        resolve(composed("popularity", trainer={"lrr": 0.1}), several_models=True)


def test_parts_that_do_not_fit_together():
    assert error_of("popularity", trainer="gradient") == (
        "model 'popularity' is fitted by trainer 'closed_form', not by 'gradient'; leave trainer=auto."
    )
    assert error_of(evaluation={"metrics": ["rmse"]}) == (
        "metric 'rmse': model 'mf' with these options predicts no ratings."
    )
    assert error_of(trainer={"selection": "test"}).startswith(
        "trainer.selection = 'test': is allowed only inside experiment=NAME"
    )
    assert resolve(composed(trainer={"selection": "test"}, experiment="x")).config.trainer.selection == "test"
    assert error_of(evaluation={"metrics": ["ndgc@10"]}).startswith(
        "evaluation cannot be configured:\n  metrics[0] = 'ndgc@10': no metric 'ndgc'. Did you mean 'ndcg'?"
    )


def test_the_first_metric_is_monitored_where_the_usual_one_is_not_measured():
    measured = {"metrics": ["auc", "hr@5"]}
    assert resolve(composed(evaluation=measured)).config.trainer.monitor == "auc"
    assert resolve(composed(evaluation=measured, trainer={"monitor": "hr@5"})).config.trainer.monitor == "hr@5"
    assert resolve(composed()).config.trainer.monitor == "ndcg@10"
    config = ExperimentConfig(
        model=MFConfig(), dataset=PlantedConfig(), evaluation=EvaluationConfig(metrics=("hr@5", "auc"))
    )
    assert config.trainer.monitor == "hr@5"


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"trainer": {"monitor": "hr@5"}},
            "trainer.monitor = 'hr@5': is not measured; add it to evaluation.metrics, or monitor one of: ndcg@10, ",
        ),
        (
            {"trainer": {"selection": "valid"}, "split": {"name": "random", "valid": 0.0}},
            "trainer.selection = 'valid': the split has no validation part; use 'last'.",
        ),
        (
            {"trainer": {"optimizer": "lazy_adam", "weight_decay": 0.1}},
            "trainer 'gradient' cannot be configured:\n  weight_decay = 0.1: acts on all rows, and 'lazy_adam' moves ",
        ),
        (
            {"evaluation": {"candidates": "file"}},
            "evaluation cannot be configured:\n  candidates=file and candidates_path=FILE go together: give both, ",
        ),
        (
            {"evaluation": {"n_candidates": 100}},
            "evaluation cannot be configured:\n  n_candidates = 100: has no effect with candidates=full, where nothing "
            "is sampled. Leave it out, or set candidates=sampled.",
        ),
        (
            {"evaluation": {"candidates": "published", "candidates_replacement": False}},
            "evaluation cannot be configured:\n  candidates_replacement = False: has no effect with "
            "candidates=published,",
        ),
        (
            {"evaluation": {"candidates": "file", "candidates_path": "c.tsv", "candidates_seed": 0}},
            "evaluation cannot be configured:\n  candidates_seed = 0: has no effect with candidates=file, ",
        ),
        (
            {"device": "meta"},
            "the run cannot be configured:\n  device = 'meta': should be auto, cpu, cuda or cuda:N.",
        ),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(given, message):
    assert error_of(**given).startswith(message)


def test_a_split_without_validation_needs_no_monitor():
    split = {"name": "random", "valid": 0.0}
    assert resolve(composed(split=split, evaluation={"metrics": ["hr@5"]})).config.trainer.selection == "auto"


def test_python_needs_no_hydra_and_no_folder():
    config = ExperimentConfig(model=MFConfig(dim=4), dataset=PlantedConfig(n_users=60, n_items=50))
    outcome = run(config)
    assert set(outcome.reports) == {"valid", "test"}
    assert 0 <= outcome.reports["test"].values["ndcg@10"] <= 1
    again = run(config)
    for part in ("valid", "test"):
        assert outcome.reports[part].values == again.reports[part].values
    for name, value in outcome.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert outcome.peak_memory_bytes > 2**20


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, ""),
        ({"candidates": "sampled"}, "[sampled100]"),
        ({"candidates": "sampled", "n_candidates": 9, "candidates_by": "popularity"}, "[sampled9pop]"),
        ({"candidates": "published"}, "[published]"),
        ({"candidates": "file", "candidates_path": "c.tsv"}, "[file]"),
    ],
)
def test_what_is_ranked_is_the_label_of_the_metrics(options, label):
    assert EvaluationConfig(**options).label == label


def test_the_usual_draw_is_one_configuration_given_or_not():
    usual = {"n_candidates": 100, "candidates_by": "uniform", "candidates_replacement": False, "candidates_seed": 0}
    configs = [
        resolve(composed(evaluation={"candidates": "sampled", **given})).config
        for given in ({}, {**usual, "candidates_exclude": "all"})
    ]
    assert configs[0] == configs[1] and configs[0].identity == configs[1].identity
    assert resolve(json.loads(json.dumps(configs[0].to_dict()))).config == configs[0]


def test_sampled_candidates_are_labelled():
    evaluation = {"candidates": "sampled", "n_candidates": 5, "metrics": ["ndcg@10", "coverage@10"]}
    outcome = run(resolve(composed("popularity", evaluation=evaluation)).config)
    assert set(outcome.reports["test"].values) == {"ndcg@10[sampled5]", "coverage@10[sampled5]"}
    ranked = outcome.split.test.candidates
    assert torch.equal((ranked >= 0).sum(1), outcome.split.test.target.counts + 5)


def test_candidates_are_the_same_for_every_model_and_seed_and_not_for_every_seed_of_theirs():
    def fingerprint(model, seed=0, **draw):
        evaluation = {"candidates": "sampled", "n_candidates": 5, **draw}
        config = resolve(composed(model, seed=seed, evaluation=evaluation)).config
        return candidates_fingerprint(prepare(config).candidates)

    usual = fingerprint("mf")
    assert usual == fingerprint("popularity") == fingerprint("mf", seed=7)
    others = [{"candidates_seed": 1}, {"n_candidates": 6}, {"candidates_by": "popularity"}]
    assert len({usual, *(fingerprint("mf", **other) for other in others)}) == 1 + len(others)


def test_published_candidates_that_are_not_published(tmp_path):
    for part, item in (("train", "x"), ("test", "y")):
        (tmp_path / f"{part}.csv").write_text(f"user,item\nu,{item}\nv,{item}\n")
    dataset = {"name": "files", **{part: str(tmp_path / f"{part}.csv") for part in ("train", "test")}}
    published = {"candidates": "published"}
    with pytest.raises(ConfigError) as error:
        prepare(resolve(composed("popularity", dataset=dataset, split="fixed", evaluation=published)).config)
    assert str(error.value) == (
        "evaluation.candidates = 'published': the data set publishes none. "
        "Write full, sampled, or file with evaluation.candidates_path=FILE."
    )
    with pytest.raises(ConfigError) as error:
        resolve(composed(evaluation=published))
    assert str(error.value) == (
        "evaluation.candidates = 'published': are made for the split that the data comes with, not for split 'random'; "
        "set split=fixed, or evaluation.candidates=sampled."
    )


def test_a_split_and_negatives_that_the_data_comes_with_and_that_are_not_used_are_told(tmp_path, caplog):
    (tmp_path / "train.csv").write_text("user,item\n" + "".join(f"u{n % 4},i{n}\n" for n in range(40)))
    (tmp_path / "test.csv").write_text("user,item\n" + "".join(f"u{n},i{n + 1}\n" for n in range(4)))
    (tmp_path / "test.negative").write_text("".join(f"(u{n},i{n + 1})\ti{n + 2}\n" for n in range(4)))
    files = {part: str(tmp_path / f"{part}.csv") for part in ("train", "test")}
    dataset = {"name": "files", **files, "negatives": str(tmp_path / "test.negative")}

    def told(split, candidates):
        caplog.clear()
        evaluation = {"candidates": candidates}
        with caplog.at_level(logging.INFO, logger="recbench"):
            prepare(resolve(composed("popularity", dataset=dataset, split=split, evaluation=evaluation)).config)
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        return [line for line in lines if "comes with" in line[1]]

    anew = (
        "WARNING",
        "split random: shares out all parts of the data anew. To take the split that the data comes with: split=fixed.",
    )
    unused = (
        "INFO",
        "negatives that the data comes with are not used. To rank them: evaluation.candidates=published.",
    )
    assert told("random", "full") == [anew, unused]
    assert told("fixed", "full") == [unused]
    assert told("fixed", "published") == []


def test_what_leaks_is_told_once(caplog):
    config = resolve(composed("popularity")).config
    with caplog.at_level(logging.INFO, logger="recbench"):
        prepared = prepare(config)
        run(config, prepared=prepared, progress=False)
    told = [record for record in caplog.records if "leak" in record.getMessage()]
    assert [(record.levelname, record.getMessage()) for record in told] == [
        ("INFO", f"split random: {prepared.leaks.sentence}")
    ]


def test_pairs_that_are_in_training_too_are_a_warning(tmp_path, caplog):
    (tmp_path / "train.csv").write_text("user,item\nu,a\nu,b\nv,b\n")
    (tmp_path / "test.csv").write_text("user,item\nu,b\nv,a\n")
    files = {"name": "files", "train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    config = resolve({"dataset": {**files, "duplicates": "keep"}, "split": "fixed", "model": "popularity"}).config
    with caplog.at_level(logging.INFO, logger="recbench"):
        assert prepare(config).leaks.seen_pairs == Share(1, 2)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "split fixed: Whether the split leaks across time cannot be told: the data has no timestamps. "
        "1 of 2 test pairs of user and item are in training too."
    ]


def test_steps_behind_the_split_are_in_the_data_and_leave_its_fingerprint():
    usual = prepare(resolve(composed()).config)
    dataset = {**SMALL, "clean": [{"step": "normalise", "by": "user"}]}
    prepared = prepare(resolve(composed(dataset=dataset)).config)
    assert prepared.data_fingerprint == usual.data_fingerprint
    assert prepared.split.train.scale is not None
    assert len(prepared.split.train.provenance) == len(usual.split.train.provenance) + 1
