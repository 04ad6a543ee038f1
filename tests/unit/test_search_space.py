"""Spaces: how ranges are read, checked and drawn from, and the files that come with every model."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench import models
from recbench.cli.composition import make_plan
from recbench.cli.session import conf_dir, hydra_session
from recbench.configuration import resolve
from recbench.errors import ConfigError
from recbench.search.asking import next_options
from recbench.search.record import Search, Trial
from recbench.search.space import Choice, Interval, options_in, same, settings, with_options
from recbench.sweep import SweepConfig


@pytest.fixture
def plan(untouched_registries, monkeypatch, tmp_path):
    """Return the searches of ``plan("model=mf", "sweep=mf")``."""
    monkeypatch.chdir(tmp_path)

    def make(*words, config_dir=None):
        with hydra_session(config_dir) as session:
            return make_plan(session, list(words), multirun=True)

    return make


def a_search(space, **options):
    given = {"model": {"name": "ease"}, "dataset": {"name": "planted"}}
    plain = {"budget": 20, "seeds": (), "sampler": "tpe", "sampler_seed": 0, "prune": "none", **options}
    return Search(model="ease", monitor="ndcg@10", space=space, given=given, **plain)


@pytest.mark.parametrize(
    ("word", "domain"),
    [
        ("trainer.lr=interval(1,5)", Interval(low=1, high=5)),
        ("trainer.lr=tag(log,interval(1e-4,1e-1))", Interval(low=1e-4, high=0.1, log=True)),
        ("model.dim=int(tag(log,interval(8,128)))", Interval(low=8, high=128, log=True, whole=True)),
        ("model.dim=tag(log,int(interval(8,128)))", Interval(low=8, high=128, log=True, whole=True)),
        ("model.dim=range(10,50,20)", Interval(low=10, high=30, step=20, whole=True)),
        ("trainer.lr=range(0.25,1,0.25)", Interval(low=0.25, high=0.75, step=0.25)),
        ("model.loss=choice(bpr,bce)", Choice(choices=("bpr", "bce"))),
        ("negatives=choice(uniform,popularity)", Choice(choices=("uniform", "popularity"))),
    ],
)
def test_ranges_in_the_grammar_of_hydra(plan, word, domain):
    (search,) = plan("model=mf", word, "hydra/sweeper=search").searches
    assert search.space == {word.partition("=")[0]: domain}


def test_lists_are_searched_apart_and_ranges_within_each(plan):
    made = plan("model=mf,ease", "seed=0,1", "trainer.lr=interval(0.1,1)", "dataset=planted", "sweep.budget=7")
    assert [(search.model, search.given["seed"], set(search.space), search.budget) for search in made.searches] == [
        ("mf", 0, {"trainer.lr"}, 7),
        ("mf", 1, {"trainer.lr"}, 7),
        ("ease", 0, set(), 7),
        ("ease", 1, set(), 7),
    ]
    assert [job.resolved.config.seed for job in made.jobs] == [0, 1, 0, 1]


def test_without_an_interval_choices_are_a_grid(plan):
    made = plan("model=mf", "model.dim=choice(4,8)", "model.biases=true,false", "dataset=planted")
    assert made.searches == () and len(made.jobs) == 4


def test_what_is_typed_wins_over_the_file(plan):
    (search,) = plan("model=mf", "sweep=mf", "model.dim=32", "trainer.lr=interval(0.2,0.3)").searches
    assert "model.dim" not in search.space and search.given["model"]["dim"] == 32
    assert search.space["trainer.lr"] == Interval(low=0.2, high=0.3)
    assert set(search.space) == {"model.reg", "model.loss", "trainer.lr", "negatives.n_negatives"}


def test_every_mistake_of_every_space_is_told_at_once(plan):
    with pytest.raises(ConfigError) as told:
        plan(
            "model=neumf",
            "model.dim=interval(8,64)",
            "model.dmi=choice(8,16)",
            "model.dropout=choice(0.1,1.5)",
            "trainer.lr=tag(foo,interval(0,1))",
            "model.reg=tag(log,interval(0,1))",
            "model.alpha=interval(0.5,0.1)",
            "seed=interval(0,1)",
            "sweep.budget=6m",
            "sweep.prune=med",
        )
    assert str(told.value).splitlines() == [
        "trainer.lr=tag(foo,interval(0,1)): tag 'foo': the only one with a meaning is tag(log, interval(...)).",
        "model.reg=tag(log,interval(0,1)): the interval cannot be configured:",
        "  the interval from 0 cannot be searched by powers: it should begin above 0.",
        "model.alpha=interval(0.5,0.1): the interval cannot be configured:",
        "  the interval from 0.5 to 0.1 holds no number.",
        "seed=interval(0,1): a search is over options of the model, the trainer and the negatives; of others give one "
        "value, or a list, each of whose values gets a search of its own.",
        "the sweep cannot be configured:",
        "  budget = '6m': should be a number of trials such as 20, or of seconds such as 600s.",
        "  prune = 'med': should be 'none' or 'median'.",
        "the space of model.dim: model 'neumf' cannot be configured:",
        "  dim = 8.0: should be a whole number (an integer). Write int(interval(8, 64)).",
        "the space of model.dim: model 'neumf' cannot be configured:",
        "  dim = 64.0: should be a whole number (an integer). Write int(interval(8, 64)).",
        "the space of model.dmi: model 'neumf' cannot be configured:",
        "  dmi = 8: no such option. Did you mean 'dim'? Known: alpha, dim, dropout, init_std, layers, loss, "
        "pretrained_gmf, pretrained_mlp, reg.",
        "the space of model.dmi: model 'neumf' cannot be configured:",
        "  dmi = 16: no such option. Did you mean 'dim'? Known: alpha, dim, dropout, init_std, layers, loss, "
        "pretrained_gmf, pretrained_mlp, reg.",
        "the space of model.dropout: model 'neumf' cannot be configured:",
        "  dropout = 1.5: should be less than 1.",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("split=none",), "a search goes by validation, and there is none here; choose another split, or leave fit_on"),
        (("fit_on=train_valid",), "a search goes by validation, and there is none here; choose another split, or"),
        (("sweep=auto", "model=bent"), "no model 'bent'"),
        (("trainer.lrr=interval(0,1)", "model=mf,ease"), "lrr = 0.0: no such option. Did you mean 'lr'?"),
        (("experiment=tuned_comparison", "trainer.selection=test"), "trainer.selection = 'test': "),
    ],
)
def test_what_cannot_be_searched(plan, words, told):
    with pytest.raises(ConfigError) as error:
        plan("model=mf", "sweep=mf", *words)
    assert told in str(error.value)


def test_a_search_is_no_single_run(untouched_registries, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with hydra_session() as session, pytest.raises(ConfigError, match="^sweep: is a search, of many runs, .* add -m"):
        make_plan(session, ["model=mf", "sweep=mf"], multirun=False)


OURS = [
    name for name in models.registry.names() if models.registry.entry(name).target.__module__.startswith("recbench.")
]


@pytest.mark.parametrize("model", OURS)
def test_every_model_has_a_space_and_all_of_it_can_be_had(plan, model):
    """The ends are checked with the plan; here how options go with one another, at random, and that all are known."""
    (search,) = plan(f"model={model}", "sweep=auto", "dataset=planted", "sweep.sampler=random").searches
    assert set(options_in(search.config({}).to_dict(), search.space)) == set(search.space)
    for number in range(8):
        options = next_options(search)
        if options is None:
            assert not search.space and number == 1
            break
        search.config(options)
        search = search.changed(Trial(number=number, options=options, folder="", known=number, status="failed"))


def test_there_is_no_space_without_a_model():
    files = {path.stem for path in (conf_dir() / "sweep").glob("*.yaml")}
    assert files == {*OURS, "auto"}


@given(st.floats(0.001, 1000), st.floats(0.001, 1000), st.floats(0, 1), st.booleans())
def test_a_drawn_number_is_rounded_and_stays_inside(one, other, share, log):
    domain = Interval(low=min(one, other), high=max(one, other), log=log)
    drawn = domain.low + share * (domain.high - domain.low)
    value = domain.decoded(drawn)
    assert domain.low <= value <= domain.high
    assert math.isclose(value, drawn, rel_tol=0.001)
    assert domain.coded(value) == value


def test_what_lies_outside_has_no_code():
    assert Interval(low=1, high=5, whole=True).coded(2.0) is None
    assert Interval(low=1, high=5, whole=True).coded(6) is None
    assert Interval(low=0, high=1).coded(True) is None
    assert Interval(low=0, high=1).coded(1) == 1.0
    assert Interval(low=0, high=1, step=0.25).coded(0.3) is None
    layers = Choice(choices=((64, 32), (16,), None, True, 1))
    assert [layers.decoded(layers.coded(value)) for value in layers.choices] == [[64, 32], [16], None, True, 1]
    assert layers.coded(2) is None
    assert not same(True, 1) and same(1.0, 1)


def test_a_finite_space_is_tried_once_each_and_then_there_is_no_more():
    search = a_search({"model.reg": Interval(low=100, high=500, step=100)}, sampler="random")
    tried = []
    while (options := next_options(search)) is not None:
        tried.append(options["model.reg"])
        search = search.changed(Trial(number=len(tried) - 1, options=options, folder="", known=0, status="failed"))
    assert tried[0] == 500.0 and sorted(tried) == [100.0, 200.0, 300.0, 400.0, 500.0]
    assert len(list(settings({"a": Choice(choices=(1, 2)), "b": Interval(low=1, high=3, whole=True)}))) == 6
    assert settings({"a": Interval(low=0, high=1)}) is None


def test_options_are_set_beside_what_is_given():
    given = {"model": {"name": "mf", "dim": 8}, "negatives": {"name": "auto", "n_negatives": 2}}
    changed = with_options(given, {"model.dim": 16, "trainer.lr": 0.5, "negatives": "popularity"})
    assert changed == {
        "model": {"name": "mf", "dim": 16},
        "trainer": {"lr": 0.5},
        "negatives": {"name": "popularity", "n_negatives": 2},
    }
    assert given["model"]["dim"] == 8
    assert resolve({**changed, "dataset": "planted"}).config.trainer.lr == 0.5


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_samplers_learn_from_what_they_are_told(sampler):
    """What is asked for follows from what was told alone, and is better than chance where that can be learnt."""

    def searched(told):
        search = a_search({"model.reg": Interval(low=1, high=10000, log=True)}, sampler=sampler)
        for number in range(16):
            options = next_options(search)
            value = -abs(math.log10(options["model.reg"]) - 1.0) if told else None
            status = "done" if told else "failed"
            search = search.changed(
                Trial(number=number, options=options, folder="", known=number, status=status, value=value)
            )
        return [trial.options["model.reg"] for trial in search.trials]

    told, again, untold = searched(True), searched(True), searched(False)
    assert told == again and told[0] == 500.0
    if sampler != "random":
        last = [sum(abs(math.log10(reg) - 1.0) for reg in regs[-5:]) for regs in (told, untold)]
        assert last[0] < last[1]


def test_the_winner_is_the_best_and_of_equals_the_first():
    def winner(monitor, *values):
        search = a_search({}).model_copy(update={"monitor": monitor})
        for number, value in enumerate(values):
            status = "failed" if value is None else "done"
            search = search.changed(
                Trial(number=number, options={}, folder="", known=0, status=status, value=value, seconds=1.0)
            )
        return search.winner

    assert winner("ndcg@10", None) is None
    assert winner("ndcg@10", None, 0.1, 0.3, 0.3, 0.2) == 2
    assert winner("rmse", 0.9, 0.7, None, 0.7) == 1


def test_budgets():
    assert SweepConfig(budget=3).budget == 3 and SweepConfig(budget="90s").budget == "90s"
    trial = Trial(number=0, options={}, folder="", known=0, status="done", value=0.5, seconds=40.0)
    for budget, spent in ((1, True), (2, False), ("40s", True), ("41s", False)):
        assert a_search({}, budget=budget).changed(trial).spent is spent
    for wrong in (0, -1, 1.5, True, "0s", "s", "10", "1.5s", "10 s", None):
        assert SweepConfig.mistakes({"budget": wrong}) != []
