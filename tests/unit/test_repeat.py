"""A configuration becomes the few words that make it again."""

import shlex
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from recbench import ExperimentConfig, resolve
from recbench.configuration import Settings
from recbench.datasets.planted import PlantedConfig
from recbench.evaluation import EvaluationConfig
from recbench.models.gmf import GMFConfig
from recbench.models.mf import MFConfig
from recbench.models.mlp import MLPConfig
from recbench.models.popularity import PopularityConfig
from recbench.negatives.uniform import UniformConfig
from recbench.repeat import command_line, overrides, written
from recbench.splits.leave_one_out import LeaveOneOutConfig
from recbench.tracking import TrackingConfig
from recbench.trainers.gradient import GradientConfig


@pytest.fixture(scope="module")
def read_back(tmp_path_factory):
    """Give a function from overrides to plain nested values, as Hydra reads them."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "config.yaml").write_text("{}\n")
    with initialize_config_dir(str(folder), version_base="1.3"):

        def read(words):
            # model=mf chooses a group in the real configuration; here it is an option like all others.
            options = [
                f"++{key if '.' in key or key not in GROUPS else key + '.name'}={value}"
                for key, _, value in (word.partition("=") for word in words)
            ]
            return OmegaConf.to_container(compose("config", overrides=options), resolve=True)

        yield read


PARSER = OverridesParser.create()
GROUPS = ("model", "dataset", "split", "trainer", "negatives")
MF = ExperimentConfig(model=MFConfig(), dataset=PlantedConfig())


def test_only_what_differs_is_said():
    config = ExperimentConfig(model=MFConfig(dim=8), dataset=PlantedConfig(), settings=Settings(seed=1))
    assert overrides(config) == ["model=mf", "model.dim=8", "dataset=planted", "seed=1"]
    assert command_line(config) == "recbench run model=mf model.dim=8 dataset=planted seed=1"


def test_what_the_model_wishes_of_its_trainer_is_no_difference():
    assert overrides(MF) == ["model=mf", "dataset=planted"]
    # The general default of lr differs from what mf wishes.
    general = GradientConfig(**MF.trainer.model_dump() | {"lr": GradientConfig().lr})
    assert overrides(replace(MF, trainer=general)) == ["model=mf", "dataset=planted", "trainer.lr=0.001"]


CONFIGS = {
    "defaults": MF,
    "popularity": ExperimentConfig(model=PopularityConfig(), dataset=PlantedConfig(n_users=50, n_interactions=500)),
    "ratings": ExperimentConfig(model=MFConfig(loss="mse"), dataset=PlantedConfig()),
    "layers": ExperimentConfig(model=MLPConfig(layers=(16, 8)), dataset=PlantedConfig()),
    "split": ExperimentConfig(model=GMFConfig(), dataset=PlantedConfig(), split=LeaveOneOutConfig()),
    "negatives": ExperimentConfig(model=GMFConfig(), dataset=PlantedConfig(), negatives=UniformConfig(n_negatives=9)),
    "everything": ExperimentConfig(
        model=MFConfig(dim=3, reg=1e-05),
        dataset=PlantedConfig(seed=4),
        trainer=GradientConfig(clip_norm=1.0, patience=None, monitor="recall@5"),
        evaluation=EvaluationConfig(metrics=("recall@5", "auc")),
        tracking=TrackingConfig(tensorboard=False),
        settings=Settings(seed=2, device="cpu", threads=1, label='it\'s a "label" with ${x}, [1] = \\ é'),
    ),
    "experiment": ExperimentConfig(
        model=MFConfig(),
        dataset=PlantedConfig(),
        trainer=GradientConfig(selection="test"),
        settings=Settings(experiment="citable"),
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_command_line_makes_the_same_configuration(name, read_back):
    words = shlex.split(command_line(CONFIGS[name]))
    assert words[:2] == ["recbench", "run"]
    assert resolve(read_back(words[2:])).config == CONFIGS[name]


def test_another_sampler_is_named_with_what_differs_from_its_own_defaults(read_back):
    words = ["model=gmf", "dataset=planted", "negatives=popularity", "negatives.alpha=0.5"]
    config = resolve(read_back(words)).config
    assert config.negatives.n_negatives == 4, "what gmf wishes of any sampler"
    assert overrides(config) == words


def test_an_experiment_lists_all_of_its_options():
    config = replace(MF, settings=Settings(experiment="citable"))
    words = overrides(config)
    plain = config.to_dict()
    n_options = sum(len(value) if isinstance(value, dict) else value is not None for value in plain.values())
    assert len(words) == n_options
    assert "experiment=citable" in words and "trainer.epochs=100" in words


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.text("'\"\\${}[], :=ab", max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_any_value_is_read_back_as_it_was(value):
    read = PARSER.parse_override(f"x={written(value)}").value()
    assert OmegaConf.to_container(OmegaConf.create({"x": read}), resolve=True) == {"x": value}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        ("true", "'true'"),
        ("12", "'12'"),
        ("", "''"),
        ("/data/a-b_c.csv", "/data/a-b_c.csv"),
        (("ndcg@10", "auc"), "[ndcg@10,auc]"),
        ("it's", r"'it\'s'"),
        ({"a": 1}, "{a:1}"),
    ],
)
def test_values_are_bare_where_they_can_be(value, expected):
    assert written(value) == expected


def test_plugins_that_were_named_are_named_again(monkeypatch):
    config = resolve({"model": "popularity", "dataset": "planted"}).config
    assert command_line(config) == "recbench run model=popularity dataset=planted"
    monkeypatch.setenv("RECBENCH_CONFIG_DIR", "my conf")
    assert command_line(config).startswith("recbench run '--config-dir=my conf' model=popularity ")
    monkeypatch.delenv("RECBENCH_CONFIG_DIR")
    monkeypatch.setenv("RECBENCH_PLUGINS", "json,email.policy")
    assert command_line(config) == "recbench run --plugin=json --plugin=email.policy model=popularity dataset=planted"
