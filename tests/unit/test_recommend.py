"""A finished run recommends by published ids, and its folder is data that nothing executes."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import recbench
from recbench import ConfigError, DataError, Interactions, RunError, Split, resolve, run
from recbench.configuration import ExperimentConfig
from recbench.data import Features, UserBatch, Vocabulary, feature_table
from recbench.datasets.planted import PlantedConfig
from recbench.files import read_yaml, save_checkpoint, write_yaml
from recbench.models.mf import MF, MFConfig
from recbench.models.popularity import Popularity, PopularityConfig
from recbench.recommend import Recommender, load

SMALL = {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300}
COMPOSED = {"dataset": SMALL, "trainer": {"epochs": 2}, "tracking": {"tensorboard": False}, "seed": 3}

# Who took what, and into which part it falls: 0 is training, 1 validation, 2 test.
TAKEN = pd.DataFrame(
    [
        ("ann", "a", 0),
        ("ann", "b", 0),
        ("ann", "c", 1),
        ("ann", "d", 2),
        ("bob", "a", 0),
        ("bob", "b", 0),
        ("cat", "a", 0),
        ("cat", "e", 0),
        ("dan", "f", 2),
        ("eve", "a", 0),
        ("eve", "b", 0),
        ("eve", "c", 0),
        ("eve", "d", 0),
        ("eve", "e", 0),
        ("eve", "f", 0),
    ],
    columns=["user", "item", "part"],
)
TITLES = ["Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta"]


@pytest.fixture
def popular():
    """Give popularity on the table above: training counts a 4, b 3, e 2, c, d and f 1."""
    titles = pd.DataFrame({"item": list("abcdef"), "title": TITLES})
    features = Features(items=feature_table(titles, Vocabulary(titles["item"], "item")))
    interactions = Interactions.from_frame(TAKEN, part="part", features=features)
    split = Split.from_parts(interactions, interactions.parts)
    model = Popularity(PopularityConfig(), split.train)
    model.fit(split.train)
    config = ExperimentConfig(model=PopularityConfig(), dataset=PlantedConfig())
    return Recommender(config, split, model)


@pytest.fixture(scope="module")
def mf_run(tmp_path_factory):
    """Give the folder and the outcome of a run of MF."""
    folder = tmp_path_factory.mktemp("outputs") / "mf"
    return folder, run(resolve({"model": "mf", **COMPOSED}).config, folder, progress=False)


@pytest.fixture
def copied(mf_run, tmp_path):
    """Give a copy of that folder, to be spoilt."""
    return shutil.copytree(mf_run[0], tmp_path / "copy", ignore=shutil.ignore_patterns(".lock"))


# Lists


def test_all_that_is_known_of_a_user_is_left_out(popular):
    lists = popular.recommend(["ann", "bob"], k=3)
    ann = lists[lists["user"] == "ann"]
    assert list(ann["item"][:1]) == ["e"] and set(ann["item"]) == {"e", "f"}, "fewer than k are left"
    assert list(lists[lists["user"] == "bob"]["item"])[0] == "e"


def test_held_out_items_stay_where_asked(popular):
    lists = popular.recommend(["ann"], k=6, keep_heldout=True)
    assert lists["item"][0] == "e"
    assert set(lists["item"]) == {"c", "d", "e", "f"}


def test_lists_say_user_rank_item_score_and_title(popular):
    lists = popular.recommend(["bob", "dan"], k=2)
    assert list(lists.columns) == ["user", "rank", "item", "score", "title"]
    assert list(lists["user"]) == ["bob", "bob", "dan", "dan"]
    assert list(lists["rank"]) == [1, 2, 1, 2]
    assert list(lists["item"])[0] == "e" and list(lists["item"])[2:] == ["a", "b"]
    assert list(lists["score"]) == [2, 1, 4, 3]
    assert [lists["title"][i] for i in (0, 2, 3)] == ["Epsilon", "Alpha", "Beta"]
    assert list(lists.index) == [0, 1, 2, 3]


def test_who_knows_everything_gets_nothing(popular):
    assert len(popular.recommend(["eve"], k=3)) == 0


def test_without_titles_there_is_no_such_column(popular):
    plain = Interactions.from_frame(TAKEN, part="part")
    bare = Recommender(popular.config, Split.from_parts(plain, plain.parts), popular.model)
    assert list(bare.recommend(["bob"]).columns) == ["user", "rank", "item", "score"]


def test_lists_are_those_of_the_model_ordered_by_score(mf_run):
    folder, outcome = mf_run
    user_ids = list(outcome.split.train.user_vocabulary.ids[[4, 2]])
    lists = load(folder).recommend(user_ids, k=5, keep_heldout=True)
    users = torch.tensor([4, 2])
    histories = outcome.split.train.histories.rows(users)
    with torch.no_grad():
        scores = outcome.model.score(UserBatch(users, histories)).masked_fill(histories.mask(outcome.model.n_items), -9)
    best = torch.topk(scores, 5)
    assert list(lists["user"]) == np.repeat(user_ids, 5).tolist()
    assert list(lists["item"]) == outcome.split.train.item_vocabulary.names(best.indices.flatten().numpy()).tolist()
    np.testing.assert_array_equal(lists["score"], best.values.flatten().numpy())


@pytest.fixture
def crowd(popular):
    """Give popularity on 149 users of ``a`` alone, and one of all the other items, which so are equally popular."""
    users = [f"u{number}" for number in range(149)]
    rows = [(user, "a", 0) for user in users] + [("z", item, 0) for item in "bcdefgh"]
    interactions = Interactions.from_frame(pd.DataFrame(rows, columns=["user", "item", "part"]), part="part")
    split = Split.from_parts(interactions, interactions.parts)
    model = Popularity(PopularityConfig(), split.train)
    model.fit(split.train)
    return Recommender(popular.config, split, model)


def test_equal_scores_come_in_an_order_that_is_the_users_own(crowd):
    users = list(crowd.split.train.user_vocabulary.ids[:-1])
    orders = crowd.recommend(users, k=7).groupby("user")["item"].agg("".join)
    assert len(set(orders)) > 1
    again = crowd.recommend(users[::-1], k=7).groupby("user")["item"].agg("".join)
    assert orders.equals(again)


class HistoryLength(Popularity):
    """Scores every item by the number of items in the history."""

    def score(self, batch, items=None):
        return super().score(batch, items) * 0 + batch.history.counts[:, None]


def test_what_is_left_out_is_what_the_model_is_told(popular):
    told = Recommender(popular.config, popular.split, HistoryLength(PopularityConfig(), popular.split.train))
    assert set(told.recommend(["ann"])["score"]) == {4}
    assert set(told.recommend(["ann"], keep_heldout=True)["score"]) == {2}
    assert list(told.score(["ann", "bob"], ["f", "f"])["score"]) == [4, 2]
    assert set(told.recommend_history(["a", "b", "c"])["score"]) == {3}


def test_what_is_known_is_told_in_the_order_of_the_parts(popular):
    ann = popular._known.rows(torch.tensor([0]))
    assert list(popular.split.train.item_vocabulary.names(ann.items.numpy())) == ["a", "b", "c", "d"]


# Somebody unknown


def test_a_history_stands_for_somebody_unknown(popular):
    lists = popular.recommend_history(["b", "a", "b"], k=2)
    assert list(lists.columns) == ["rank", "item", "score", "title"]
    assert list(lists["item"])[0] == "e" and not set(lists["item"]) & {"a", "b"}
    assert list(popular.recommend_history([], k=1)["item"]) == ["a"]


def test_a_model_of_known_users_takes_no_history(mf_run):
    with pytest.raises(ConfigError) as error:
        load(mf_run[0]).recommend_history(["i0001"])
    assert str(error.value) == (
        "MF cannot recommend by a history: it only knows the users it was trained on. "
        "Models that can: content_cosine, ease, ials, item_knn, p3alpha, popularity, pure_svd, random, rp3beta, slim, "
        "user_knn."
    )


def test_an_unknown_user_is_told_of_histories_where_they_help(popular, mf_run):
    with pytest.raises(DataError) as error:
        popular.recommend(["nobody"])
    assert str(error.value) == (
        "no user 'nobody' among the 5 users. Ids look like 'ann'. "
        "For somebody unknown, give what they took: --history ID,ID,..."
    )
    with pytest.raises(DataError) as error:
        load(mf_run[0]).recommend(["nobody"])
    assert str(error.value) == "no user 'nobody' among the 30 users. Ids look like 'u0001'."


def test_an_unknown_item(popular):
    with pytest.raises(DataError, match="^no item 'zzz' among the 6 items"):
        popular.recommend_history(["a", "zzz"])


@pytest.mark.parametrize("call", ["recommend", "recommend_history"])
def test_lists_have_at_least_one_place(popular, call):
    with pytest.raises(ConfigError) as error:
        getattr(popular, call)(["ann"] if call == "recommend" else ["a"], k=0)
    assert str(error.value) == "k = 0: should be at least 1."


def test_nobody(popular):
    with pytest.raises(DataError) as error:
        popular.recommend([])
    assert str(error.value) == "no user is given."


def test_one_text_is_no_list_of_ids(popular):
    with pytest.raises(DataError) as error:
        popular.recommend("ann")
    assert str(error.value) == "ids should be a list, e.g. ['ann'], and are the text 'ann'."


# Pairs


def test_pairs_are_scored_as_in_the_lists(popular):
    table = popular.score(["ann", "dan", "ann"], ["a", "e", "f"])
    assert list(table.columns) == ["user", "item", "score"]
    assert table.to_dict("list") == {"user": ["ann", "dan", "ann"], "item": ["a", "e", "f"], "score": [4, 2, 1]}


def test_pairs_of_many_blocks_are_scored_alike(mf_run):
    folder, outcome = mf_run
    recommender = load(folder)
    train = outcome.split.train
    users = np.repeat(train.user_vocabulary.ids, train.n_items)
    items = np.tile(train.item_vocabulary.ids, train.n_users)
    assert len(users) > recommender.config.evaluation.user_block
    everyone = torch.arange(train.n_users)
    with torch.no_grad():
        scores = outcome.model.score(UserBatch(everyone, train.histories.rows(everyone)))
    np.testing.assert_allclose(recommender.score(users, items)["score"], scores.flatten().numpy(), rtol=1e-5, atol=1e-6)


def test_predicted_ratings_come_with_the_scores_where_there_are_any():
    interactions = Interactions.from_frame(TAKEN.assign(rating=[1.0, 5.0, 2.0] * 5), part="part")
    split = Split.from_parts(interactions, interactions.parts)
    config = ExperimentConfig(model=MFConfig(dim=2, loss="mse"), dataset=PlantedConfig())
    model = MF(config.model, split.train)
    table = Recommender(config, split, model.eval()).score(["ann"], ["e"])
    assert list(table.columns) == ["user", "item", "score", "rating"]
    assert table["rating"][0] == pytest.approx(float(model.predict(torch.tensor([0]), torch.tensor([4])).detach()))


def test_pairs_must_be_pairs(popular):
    with pytest.raises(DataError) as error:
        popular.score(["ann", "bob"], ["a"])
    assert str(error.value) == "score takes pairs: 2 users and 1 items are given."


# Everybody


def test_the_lists_of_all_users_as_a_file(popular, tmp_path):
    path = tmp_path / "all.csv"
    popular.write_all(path, k=2)
    table = pd.read_csv(path, dtype={"user": str, "item": str}, keep_default_na=False)
    expected = popular.recommend(["ann", "bob", "cat", "dan", "eve"], k=2)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def test_lists_do_not_depend_on_the_blocks(crowd, tmp_path):
    blocks = crowd.config.evaluation.model_copy(update={"user_block": 64})
    in_blocks = Recommender(replace(crowd.config, evaluation=blocks), crowd.split, crowd.model)
    in_blocks.write_all(tmp_path / "blocks.csv", k=5)
    crowd.write_all(tmp_path / "whole.csv", k=5)
    lines = (tmp_path / "blocks.csv").read_text().splitlines()
    assert len(lines) == 1 + 149 * 5 + 1
    assert lines == (tmp_path / "whole.csv").read_text().splitlines()


# Loading


def test_a_loaded_model_has_the_same_bits(mf_run):
    folder, outcome = mf_run
    loaded = recbench.load(str(folder))
    before, after = outcome.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not loaded.model.training
    assert loaded.config == outcome.config


def test_sampled_candidates_of_the_evaluation_do_not_matter_here(tmp_path):
    composed = {"model": "popularity", **COMPOSED, "evaluation": {"candidates": "sampled", "n_candidates": 5}}
    del composed["trainer"]
    run(resolve(composed).config, tmp_path / "run", progress=False)
    recommender = load(tmp_path / "run")
    assert recommender.split.test.candidates is None
    assert len(recommender.recommend(["u0001"], k=20)) == 20


def test_a_pre_trained_model_loads_without_the_runs_it_started_from(tmp_path):
    for model in ("gmf", "mlp"):
        run(resolve({"model": model, **COMPOSED}).config, tmp_path / model, progress=False)
    model = {"name": "neumf", "pretrained_gmf": str(tmp_path / "gmf"), "pretrained_mlp": str(tmp_path / "mlp")}
    outcome = run(resolve({"model": model, **COMPOSED}).config, tmp_path / "neumf", progress=False)
    shutil.rmtree(tmp_path / "gmf")
    shutil.rmtree(tmp_path / "mlp")
    loaded = load(tmp_path / "neumf").model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in outcome.model.state_dict().items())


def test_no_run(tmp_path):
    with pytest.raises(RunError, match="status.json: cannot be read"):
        load(tmp_path)


def test_a_run_that_failed_recommends_nothing(copied):
    result = json.loads((copied / "result.json").read_text())
    (copied / "result.json").write_text(json.dumps({**result, "status": "diverged"}))
    with pytest.raises(RunError) as error:
        load(copied)
    assert str(error.value) == f"the run {copied} is 'diverged': only a run that is done can recommend."


@pytest.mark.parametrize("name", ["data", "split"])
def test_other_data_is_noticed_and_named(copied, name):
    result = json.loads((copied / "result.json").read_text())
    found = result["fingerprints"][name]
    result["fingerprints"][name] = "0" * 64
    (copied / "result.json").write_text(json.dumps(result))
    with pytest.raises(RunError) as error:
        load(copied)
    assert str(error.value) == (
        f"the run {copied} was made with other {name} (fingerprint 000000000000..., now {found[:12]}...): "
        "bring back what dataset and split were then, or run the experiment again."
    )


def test_another_model_than_the_fitted_one_is_noticed(copied):
    config = read_yaml(copied / "config.yaml")
    write_yaml(copied / "config.yaml", {**config, "model": {**config["model"], "reg": 0.5}})
    with pytest.raises(RunError) as error:
        load(copied)
    assert str(error.value) == (
        f"{copied / 'config.yaml'}: its model is no longer what was fitted; bring back what result.json has below "
        "'config', or run the experiment again."
    )


def test_a_checkpoint_of_another_shape_is_noticed(copied, mf_run):
    _, outcome = mf_run
    state = {name: tensor.flatten()[:1] for name, tensor in outcome.model.state_dict().items()}
    save_checkpoint(copied, "mf", state, outcome.split.train, epoch=1)
    with pytest.raises(RunError) as error:
        load(copied)
    assert str(error.value).startswith(
        f"the run {copied}: its checkpoint does not fit the model 'mf' of this recbench (size mismatch for "
    )


def test_a_damaged_checkpoint_is_noticed(copied):
    with (copied / "checkpoint.pt").open("ab") as file:
        file.write(b"!")
    with pytest.raises(RunError, match="is damaged"):
        load(copied)


@pytest.mark.parametrize(
    ("poison", "error", "message"),
    [
        (
            "model: !!python/object/apply:os.mkdir [{marker}]\n",
            RunError,
            "could not determine a constructor",
        ),
        ("_target_: pathlib.Path\n", RunError, "is refused: _target_ = 'pathlib.Path' names code to run, and the"),
        ("hydra:\n  run: 1\n", RunError, "is refused: 'hydra' holds settings of Hydra, and the configuration of a run"),
        (
            "model:\n  name: mf\n  _target_: builtins.eval\n",
            RunError,
            "is refused: model._target_ = 'builtins.eval' names code to run, and the configuration of a run is plain",
        ),
        ("model:\n  name: os.system\n", ConfigError, "no model 'os.system'"),
        (
            "model:\n  name: mf\n  dim: ${{oc.env:HOME}}\n",
            RunError,
            "is refused: model.dim = '${oc.env:HOME}' refers to something outside the file, and the configuration of a "
            "run is plain values and nothing else. If the run is not yours, do not trust its other files either.",
        ),
    ],
)
def test_a_poisoned_configuration_is_refused_and_runs_nothing(copied, tmp_path, poison, error, message):
    marker = tmp_path / "marker"
    (copied / "config.yaml").write_text("dataset: planted\n" + poison.format(marker=marker))
    with pytest.raises(error) as raised:
        load(copied)
    assert message in str(raised.value)
    assert not marker.exists()
