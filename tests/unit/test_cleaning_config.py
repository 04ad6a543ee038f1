"""Steps of cleaning in a configuration, on the command line, and on the way from a table to interactions."""

import logging
import re

import numpy as np
import pandas as pd
import pytest

from recbench import datasets
from recbench.cleaning.duplicates import DuplicatesConfig
from recbench.cleaning.k_core import KCoreConfig
from recbench.cleaning.missing import MissingConfig
from recbench.cleaning.normalise import NormaliseConfig
from recbench.cleaning.rating import RatingConfig
from recbench.cleaning.run import clean
from recbench.configuration import resolve, without_effect
from recbench.data import Counts, Stage
from recbench.datasets import Card, Dataset, DatasetConfig, Tables
from recbench.errors import ConfigError, DataError, EmptyDatasetError
from recbench.experiment import run
from recbench.fingerprints import code_fingerprint
from recbench.recommend import load
from recbench.repeat import overrides


def refuses(message, make, kind=ConfigError):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        make()


class Given(Dataset):
    """A data set from a table in memory."""

    card = Card(description="given", homepage="", licence="", citation="")

    def __init__(self, tables, **options):
        super().__init__(DatasetConfig.from_mapping(options, "dataset"))
        self.tables = tables

    def read(self):
        return self.tables


# a: x twice, y; b: x, y; c: z
TABLE = pd.DataFrame(
    {
        "user": ["a", "a", "a", "b", "b", "c"],
        "item": ["x", "y", "x", "x", "y", "z"],
        "rating": [1.0, 5.0, 4.0, 4.0, 2.0, 5.0],
        "timestamp": [30, 20, 10, 50, 40, 60],
    }
)


def pairs(interactions):
    users = interactions.user_vocabulary.names(interactions.users.numpy())
    return list(zip(users, interactions.item_vocabulary.names(interactions.items.numpy())))


# In the configuration


def test_steps_are_written_as_mappings_or_names():
    written = [{"step": "k_core", "users": 5, "items": 3}, "normalise"]
    config = datasets.registry.entry("planted").configure({"clean": written})
    assert config.clean == (KCoreConfig(users=5, items=3), NormaliseConfig())
    assert config.model_dump(mode="json")["clean"] == [
        {"step": "k_core", "after_split": False, "users": 5, "items": 3},
        {"step": "normalise", "after_split": True, "by": "user", "to": "mean"},
    ]
    assert type(config)(clean=config.clean) == config
    assert hash(config) == hash(type(config)(clean=(KCoreConfig(users=5, items=3), NormaliseConfig())))


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (
            {"clean": "k_core"},
            ["clean = 'k_core': should be a list of steps, e.g. [{step: k_core, users: 5, items: 5}, normalise]."],
        ),
        ({"clean": [5]}, ["clean[0] = 5: should name a step, e.g. {step: k_core, users: 5, items: 5}."]),
        (
            {"clean": [{"users": 5}]},
            ["clean[0] = {'users': 5}: should name a step, e.g. {step: k_core, users: 5, items: 5}."],
        ),
        (
            {
                "clean": ["normalize", {"step": "k_core", "usres": 5, "items": 0}, "rating", "min_counts"],
                "duplicates": "some",
            },
            [
                "clean[0]: no cleaning step 'normalize'. Did you mean 'normalise'? Known: duplicates, k_core, "
                "min_counts, missing, normalise, rating, sample_users, time_window.",
                "clean[1].usres = 5: no such option. Did you mean 'users'? Known: after_split, items, users.",
                "clean[1].items = 0: should be at least 1.",
                "clean[2]: has no effect: set min, max, or both, or binarise=true.",
                "clean[3]: has no effect: set users, items, or both.",
                "duplicates = 'some': should be 'last', 'first', 'sum', 'keep' or 'error'.",
            ],
        ),
        (
            {
                "clean": [
                    {"step": "rating", "min": 4, "max": 3},
                    {"step": "missing"},
                    {"step": "missing", "rating": "constant"},
                    {"step": "missing", "rating": "mean"},
                    {"step": "missing", "rating": "drop", "value": 3},
                    {"step": "time_window"},
                    {"step": "time_window", "start": "2003-01-02", "end": "2003-01-02"},
                    {"step": "time_window", "start": "yesterday"},
                    {"step": "sample_users"},
                    {"step": "sample_users", "n": 3, "share": 0.5},
                    {"step": "sample_users", "share": 1.0},
                    {"step": "normalise", "after_split": False},
                    {"step": "duplicates", "after_split": True},
                ]
            },
            [
                "clean[0]: min = 4.0: should be at most max = 3.0.",
                "clean[1]: has no effect: set rating=drop, rating=constant value=NUMBER, or timestamp=drop.",
                "clean[2]: rating=constant and value=NUMBER go together: give both, or none.",
                "clean[3].rating = 'mean': should be 'error', 'drop' or 'constant'.",
                "clean[4]: rating=constant and value=NUMBER go together: give both, or none.",
                "clean[5]: has no effect: set start, end, or both.",
                "clean[6]: start = '2003-01-02': should be before end = '2003-01-02'.",
                "clean[7].start = 'yesterday': should be whole seconds since 1970, or a date such as 2003-01-31 or "
                "2003-01-31T12:00:00 (UTC).",
                "clean[8]: set n, a number of users, or share, and not both.",
                "clean[9]: set n, a number of users, or share, and not both.",
                "clean[10].share = 1.0: should be less than 1.",
                "clean[11].after_split = False: should be True.",
                "clean[12].after_split = True: should be False.",
            ],
        ),
        ({"clean": ["normalise", "normalise"]}, ["clean holds the step normalise more than once; keep one."]),
        ({"clean": ["duplicates", "duplicates"]}, ["clean holds the step duplicates more than once; keep one."]),
        (
            {"clean": ["duplicates"], "duplicates": "sum"},
            ["duplicates = 'sum' and clean[0], duplicates(keep=last), are given together; keep one."],
        ),
        (
            {"clean": [{"step": "k_core", "users": 5}, {"step": "duplicates", "keep": "first"}], "duplicates": "last"},
            ["duplicates = 'last' and clean[1], duplicates(keep=first), are given together; keep one."],
        ),
        (
            {"clean": [{"step": "rating", "min": 4, "binarise": True, "after_split": True}]},
            [
                "clean[0]: binarise = True: holds for all parts, and after_split for the training part alone; leave "
                "one of them out."
            ],
        ),
        (
            {"clean": [{"step": "rating", "min": 4, "binarise": True}, {"step": "k_core", "users": 5}, "normalise"]},
            [
                "clean holds normalise(by=user, to=mean) behind rating(min=4.0, binarise), which leaves no ratings: "
                "put it in front, or leave one of them out."
            ],
        ),
        (
            {"clean": [{"step": "rating", "binarise": True}, {"step": "rating", "max": 4}]},
            [
                "clean holds rating(max=4.0) behind rating(binarise), which leaves no ratings: put it in front, or "
                "leave one of them out."
            ],
        ),
        (
            {"clean": ["normalise", {"step": "k_core", "users": 5}]},
            [
                "clean[1], k_core(users=5), runs before the split and normalise(by=user, to=mean) after it: put what "
                "runs before first."
            ],
        ),
    ],
)
def test_every_mistake_is_told_with_its_place(options, lines):
    refuses(
        "dataset 'planted' cannot be configured:\n" + "\n".join(f"  {line}" for line in lines),
        lambda: datasets.build("planted", **options),
    )


def test_short_forms_come_behind_missing_and_before_the_rest():
    assert DatasetConfig().steps == (DuplicatesConfig(),)
    missing, core = MissingConfig(rating="drop"), KCoreConfig(users=2)
    config = DatasetConfig(duplicates="sum", min_rating=4.0, clean=(missing, core))
    assert config.steps == (missing, DuplicatesConfig(keep="sum"), RatingConfig(min=4.0), core)
    own = DatasetConfig(min_rating=4.0, clean=(core, DuplicatesConfig(keep="keep")))
    assert own.steps == (RatingConfig(min=4.0), core, DuplicatesConfig(keep="keep"))
    assert (config.keeps_repeats, own.keeps_repeats, DatasetConfig(duplicates="keep").keeps_repeats) == (
        False,
        True,
        True,
    )


def test_only_declared_columns_may_have_missing_values():
    assert DatasetConfig().tolerates == frozenset()
    assert DatasetConfig(clean=(MissingConfig(rating="drop"),)).tolerates == {"rating"}
    assert DatasetConfig(clean=(MissingConfig(timestamp="drop"),)).tolerates == {"timestamp"}


def test_a_configuration_is_read_back_and_repeated():
    plain = {"model": "popularity", "dataset": {"name": "planted", "clean": [{"step": "k_core", "users": 5}]}}
    config = resolve(plain).config
    assert resolve(config.to_dict()).config == config
    assert resolve(config.to_dict()).config.identity == config.identity
    explicit = [{"step": "k_core", "users": 5, "items": None, "after_split": False}]
    assert resolve({**plain, "dataset": {"name": "planted", "clean": explicit}}).config.identity == config.identity
    assert resolve({**plain, "dataset": "planted"}).config.identity != config.identity
    assert "dataset.clean=[{step:k_core,after_split:false,users:5,items:null}]" in overrides(config)
    assert code_fingerprint(config)


def test_the_command_line(command):
    words = ("dataset=planted", "model=popularity", "dataset.clean=[{step:k_core,users:5,items:5}]")
    assert command("run", "--dry-run", *words).code == 0
    shown = command("config", *words).out
    assert re.search(r"dataset.clean = \[\{step:k_core,after_split:false,users:5,items:5\}\] +# command line", shown)
    ended = command("run", *words)
    assert (ended.code, "k_core(users=5, items=5): leaves out" in ended.err) == (0, True)
    wrong = command("run", "dataset=planted", "dataset.clean=[{step:k_core,user:5}]")
    assert wrong.code == 2
    assert "clean[0].user = 5: no such option. Did you mean 'users'? Known: after_split, items, users." in wrong.err


def test_the_steps_are_listed(command):
    assert command("list", "cleaning").out.split()[0] == "duplicates"
    told = command("list", "cleaning", "k_core").out
    assert "options, written 'dataset.clean=[{step:k_core,OPTION:VALUE}]':" in told
    assert "users: a whole number at least 1 or null; by default null" in told
    assert "clean: a list" in command("list", "datasets", "planted").out


# From a table to interactions


def test_each_step_is_logged_and_kept(caplog):
    caplog.set_level(logging.DEBUG, "recbench")
    reading = Stage("read t.csv", Counts(7), Counts(6), {"user id is empty": 1})
    interactions = Given(Tables(TABLE, provenance=(reading,)), min_rating=4).load()
    assert pairs(interactions) == [("a", "y"), ("b", "x"), ("c", "z")]
    lines = [
        "duplicates(keep=last): leaves out 1 of 6 interactions; 3 users and 3 items are left",
        "rating(min=4.0): leaves out 2 of 5 interactions; 3 users and 3 items are left (lowest rating: 1.0, "
        "highest rating: 5.0)",
    ]
    assert [str(stage) for stage in interactions.provenance] == [str(reading), *lines]
    assert [stage.asked for stage in interactions.provenance] == [False, False, True]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", str(reading)),
        ("WARNING", lines[0]),
        ("INFO", lines[1]),
    ]
    caplog.clear()
    Given(Tables(TABLE[1:])).load()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "duplicates(keep=last): keeps all 5 interactions; 3 users and 3 items are left")
    ]


def test_the_order_of_the_steps_matters():
    core, threshold = {"step": "k_core", "users": 2, "items": 2}, {"step": "rating", "min": 4}
    # The core is a and b with x and y; of these, two ratings are below 4.
    assert pairs(Given(Tables(TABLE), clean=[core, threshold]).load()) == [("a", "y"), ("b", "x")]
    refuses(
        "k_core(users=2, items=2) leaves no interaction. What each step left:\n"
        "  duplicates(keep=last): leaves out 1 of 6 interactions; 3 users and 3 items are left\n"
        "  rating(min=4.0): leaves out 2 of 5 interactions; 3 users and 3 items are left (lowest rating: 1.0, "
        "highest rating: 5.0)\n"
        "  k_core(users=2, items=2): leaves out 3 of 3 interactions; 0 users and 0 items are left (rounds: 1)",
        lambda: Given(Tables(TABLE), clean=[threshold, core]).load(),
        EmptyDatasetError,
    )


def test_repeats_are_kept_where_asked():
    kept = Given(Tables(TABLE), duplicates="keep").load()
    assert pairs(kept).count(("a", "x")) == 2


def test_ids_of_all_kinds_become_texts():
    table = pd.DataFrame({"user": [7, 7, 10], "item": ["x", "y", "x"]})
    assert clean(table, [KCoreConfig(users=2)]).table["user"].tolist() == ["7", "7"]
    refuses(
        "the user ids are fractions (7.0, ...): ids are opaque; read the column as text or as whole numbers.",
        lambda: clean(table.assign(user=table["user"].astype(float)), []),
        DataError,
    )
    refuses("row 1: the item id is missing.", lambda: clean(table.assign(item=["x", None, "y"]), []), DataError)
    missing = pd.Categorical.from_codes([0, -1, 0], ["x"])
    refuses("row 1: the item id is missing.", lambda: clean(table.assign(item=missing), []), DataError)


def test_steps_after_the_split_wait():
    dataset = Given(Tables(TABLE), clean=[{"step": "rating", "min": 4, "after_split": True}, "normalise"])
    assert len(dataset.load()) == 5
    assert dataset.after_split == (RatingConfig(min=4.0, after_split=True), NormaliseConfig())


def test_published_candidates_follow_the_vocabularies(caplog):
    caplog.set_level(logging.INFO, "recbench")
    published = pd.DataFrame({"user": ["b", "a", "b", "d", "a", "d"], "item": ["z", "z", "x", "x", "w", "w"]})
    interactions = Given(Tables(TABLE, candidates=published)).load()
    assert interactions.candidates.offsets.tolist() == [0, 1, 3, 3]
    assert interactions.item_vocabulary.names(interactions.candidates.items.numpy()).tolist() == ["z", "z", "x"]
    assert interactions.provenance[-1] == Stage(
        "published candidates",
        Counts(6),
        Counts(3),
        {"the user is not in the data": 2, "the item is not in the data": 1},
        counted="candidates",
        asked=True,
    )
    assert caplog.messages[-1] == (
        "published candidates: leaves out 3 of 6 candidates "
        "(the user is not in the data: 2, the item is not in the data: 1)"
    )
    # z goes with the threshold on its only rating, and with it the candidates that name it.
    smaller = Given(Tables(TABLE, candidates=published), clean=[{"step": "rating", "max": 4}]).load()
    assert smaller.candidates.offsets.tolist() == [0, 0, 1]
    assert Given(Tables(TABLE)).load().candidates is None


def test_timestamps_that_look_wrong_are_kept_with_a_warning(caplog):
    table = TABLE.assign(timestamp=TABLE["timestamp"] * 10**11)
    interactions = Given(Tables(table[1:])).load()
    assert interactions.timestamps.tolist() == [10**12, 2 * 10**12, 4 * 10**12, 5 * 10**12, 6 * 10**12]
    assert caplog.messages == [
        "all timestamps look like milliseconds, e.g. 6000000000000. They are kept as they are; write them all in "
        "seconds where time matters."
    ]
    caplog.clear()
    ranked = Given(Tables(table[1:], time="rank")).load()
    assert (ranked.time, caplog.messages) == ("rank", [])


def test_rows_of_tables_are_accounted_for():
    """The item w is described, and is not in the data; cleaning takes users and items that are."""
    tables = Tables(
        TABLE,
        users=pd.DataFrame({"user": ["b", "a", "c"], "age": [1, 2, 3]}),
        items=pd.DataFrame({"item": ["x", "y", "z", "w"], "title": ["X", "Y", "Z", "W"]}),
    )
    *_, users, items = Given(tables).load().provenance
    assert str(users) == "descriptions of users: keeps all 3 users"
    assert str(items) == "descriptions of items: leaves out 1 of 4 items (the item is not in the data: 1)"
    # The threshold leaves a and x alone.
    *_, users, items = Given(tables, clean=[{"step": "rating", "max": 1}]).load().provenance
    assert users.details == {"the user is not in the data": 2}
    assert items.details == {"the item is not in the data": 3}


def test_what_learns_ratings_is_refused_without_any():
    clean = [{"step": "rating", "min": 3, "binarise": True}]
    dataset = {"name": "planted", "n_users": 20, "n_items": 40, "clean": clean}
    given = {"dataset": dataset, "trainer": {"epochs": 1}, "tracking": {"tensorboard": False}}
    refuses(
        "model.loss = 'mse': learns from ratings, and the data set has none; try 'bpr'.",
        lambda: run(resolve({**given, "model": {"name": "mf", "dim": 2, "loss": "mse"}}).config, progress=False),
    )
    outcome = run(resolve({**given, "model": {"name": "mf", "dim": 2, "loss": "bpr"}}).config, progress=False)
    assert outcome.split.train.ratings is None and outcome.split.test.target.values is None
    # The same interactions are kept as by the threshold alone.
    threshold = datasets.build("planted", n_users=20, n_items=40, min_rating=3).load()
    plain = datasets.build("planted", n_users=20, n_items=40, clean=clean).load()
    assert pairs(plain) == pairs(threshold) and threshold.ratings is not None


@pytest.mark.parametrize(
    ("model", "learner"),
    [
        ({"name": "mf", "loss": "bpr"}, "model 'mf' with loss 'bpr'"),
        ("neumf", "model 'neumf' with loss 'bce'"),
        ("item_knn", "model 'item_knn'"),
    ],
)
def test_normalise_without_effect_is_named(model, learner):
    dataset = {"name": "planted", "clean": [{"step": "k_core", "users": 2}, {"step": "normalise", "by": "item"}]}
    assert without_effect(resolve({"dataset": dataset, "model": model}).config) == (
        f"the cleaning step normalise(by=item, to=mean) has no effect: {learner} learns from no ratings. Leave it out.",
    )
    assert without_effect(resolve({"dataset": dataset, "model": {"name": "mf", "loss": "mse"}}).config) == ()
    assert without_effect(resolve({"dataset": "planted", "model": model}).config) == ()


def test_predicted_ratings_come_back_on_the_scale_of_the_data(tmp_path):
    dataset = {"name": "planted", "n_users": 20, "n_items": 40, "clean": [{"step": "normalise", "to": "z_score"}]}
    config = resolve(
        {
            "dataset": dataset,
            "model": {"name": "mf", "dim": 2, "loss": "mse"},
            "trainer": {"epochs": 2},
            "evaluation": {"metrics": ["rmse", "ndcg@10"]},
        }
    ).config
    outcome = run(config, tmp_path / "run", progress=False)
    assert abs(float(outcome.split.train.ratings.mean())) < 1e-6
    test, train = outcome.split.test, outcome.split.train
    users, items = test.users[test.target.row_of_each()], test.target.items
    scored = load(tmp_path / "run").score(
        train.user_vocabulary.names(users.numpy()), train.item_vocabulary.names(items.numpy())
    )
    published = datasets.registry.make(config.dataset).load()
    actual = dict(zip(pairs(published), published.ratings.tolist()))
    wanted = np.array([actual[pair] for pair in zip(scored["user"], scored["item"])])
    rmse = np.sqrt(np.mean((scored["rating"] - wanted) ** 2))
    assert outcome.reports["test"].values["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert 2 < scored["rating"].mean() < 4
