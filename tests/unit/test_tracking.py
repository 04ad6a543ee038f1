"""What TensorBoard is given can be read back from the event files."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from recbench import ConfigError, DivergedError, ExperimentConfig, resolve, run
from recbench.configuration import Settings
from recbench.data import Ranking
from recbench.datasets.planted import PlantedConfig
from recbench.models.item_knn import ItemKNNConfig
from recbench.models.neumf import NeuMFConfig
from recbench.models.popularity import PopularityConfig
from recbench.report import RunFolder
from recbench.tracking import Tracker, TrackingConfig, hide_events, hparams, recall_and_precision_by_k
from recbench.trainers import EpochRecord

DATA = PlantedConfig(n_users=30, n_items=40, n_interactions=300)
MF = resolve(
    {
        "model": {"name": "mf", "dim": 2},
        "dataset": {"name": "planted", **DATA.model_dump()},
        "trainer": {"epochs": 3},
        "tracking": {"embeddings": True, "max_embeddings": 7},
        "seed": 8,
    }
).config


def events_of(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Give the folder, the outcome and the events of a run of MF."""
    folder = tmp_path_factory.mktemp("outputs") / "mf-3f2a91c0"
    outcome = run(MF, folder, progress=False)
    return folder, outcome, events_of(folder)


def test_each_epoch_is_a_point_of_each_curve(tracked):
    _, outcome, events = tracked
    names = outcome.fit.curve[0].values
    assert {"loss", "lr", "valid/ndcg@10"} <= names.keys()
    for name in names:
        points = events.Scalars({"loss": "train/loss", "lr": "train/lr"}.get(name, name))
        assert [point.step for point in points] == [1, 2, 3]
        assert [point.value for point in points] == pytest.approx([point.values[name] for point in outcome.fit.curve])
    assert {tag.partition("/")[0] for tag in events.Tags()["scalars"]} == {
        "train",
        "valid",
        "best",
        "test",
        "test_by_k",
    }


def test_the_final_values_are_written_once_at_the_epoch_that_they_are_of(tracked):
    _, outcome, events = tracked
    assert outcome.fit.best_epoch == 1, "not the last one"
    expected = {f"test/{name}": value for name, value in outcome.reports["test"].values.items()}
    expected["best/ndcg@10"] = outcome.reports["valid"].values["ndcg@10"]
    assert expected.keys() == {tag for tag in events.Tags()["scalars"] if tag.startswith(("test/", "best/"))}
    for tag, value in expected.items():
        (point,) = events.Scalars(tag)
        assert point.step == 1
        assert point.value == pytest.approx(value)


def test_a_run_is_one_line_of_the_hparams_tab(tracked):
    folder, _, events = tracked
    start, end = sessions(events)
    values = {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}
    assert values == hparams(MF) | {"Status": "done"}
    assert start.group_name == "", "then it is that of the run, which no other has"
    assert end.status == api_pb2.STATUS_SUCCESS
    assert end.end_time_secs >= start.start_time_secs
    assert "_hparams_/experiment" not in events.summary_metadata, "one run's would hide the columns of the others"
    assert {file.parent for file in folder.parent.rglob("events.out.tfevents.*")} == {folder}, "no run beside it"


def sessions(events):
    """Return the records of the session's start and end."""
    found = {}
    for tag in ("_hparams_/session_start_info", "_hparams_/session_end_info"):
        content = events.SummaryMetadata(tag).plugin_data.content
        found[tag] = plugin_data_pb2.HParamsPluginData.FromString(content)
    start, end = found.values()
    return start.session_start_info, end.session_end_info


def test_hparams_begin_with_what_every_run_has_and_are_named_as_on_the_command_line():
    found = hparams(MF)
    assert sorted(found)[:4] == ["Dataset", "Model", "Seed", "Split"], "the order of TensorBoard"
    assert found == {
        "Dataset": "planted",
        "Model": "mf",
        "Seed": "8",
        "Split": "random",
        "model.dim": 2,
        "model.biases": True,
        "model.loss": "bpr",
        "model.reg": MF.model.reg,
        "model.init_std": MF.model.init_std,
        "trainer.lr": MF.trainer.lr,
        "trainer.epochs": 3,
        "trainer.batch_size": MF.trainer.batch_size,
    }


def test_hparams_are_few_and_those_that_differ_come_first():
    config = ExperimentConfig(model=NeuMFConfig(dropout=0.25), dataset=DATA, settings=Settings(seed=1))
    found = hparams(config)
    assert len(found) == 12
    assert found["model.dropout"] == 0.25
    assert found["model.layers"] == "[64, 32, 16, 8]", "a list is a text"
    assert "model.pretrained_gmf" not in found


def test_hparams_of_a_model_without_training_options():
    config = ExperimentConfig(model=ItemKNNConfig(), dataset=DATA)
    assert not [name for name in hparams(config) if name.startswith("trainer.")]
    assert all(isinstance(value, bool | int | float | str) for value in hparams(config).values())


ENDS = {"failed": ZeroDivisionError, "diverged": DivergedError, "interrupted": KeyboardInterrupt}


@pytest.mark.parametrize("status", ENDS)
def test_a_run_that_does_not_end_well_says_how(tmp_path, status):
    config = replace(MF, tracking=TrackingConfig())
    with pytest.raises(ENDS[status]), RunFolder(tmp_path / "run", config, torch.device("cpu")) as folder:
        folder.epoch(EpochRecord(1, {"loss": 0.5}))
        raise ENDS[status]
    events = events_of(tmp_path / "run")
    start, end = sessions(events)
    assert end.status == api_pb2.STATUS_FAILURE
    assert start.hparams["Status"].string_value == status
    assert [point.value for point in events.Scalars("train/loss")] == [0.5]


def test_a_run_that_goes_on_has_no_status_and_no_point_twice(tmp_path):
    """One that was interrupted in its second epoch and is killed in its third."""
    config, device = replace(MF, tracking=TrackingConfig()), torch.device("cpu")
    curve = tuple(EpochRecord(epoch, {"loss": 1 / epoch}) for epoch in (1, 2, 3))
    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run", config, device) as folder:
        folder.epoch(curve[0])
        folder.epoch(curve[1])
        raise KeyboardInterrupt
    tracker = Tracker(tmp_path / "run", config, "card", curve[:1])
    tracker.epoch(curve[1])
    tracker.epoch(curve[2])
    events = events_of(tmp_path / "run")
    assert [point.step for point in events.Scalars("train/loss")] == [1, 2, 3]
    (content,) = events.PluginTagToContent("hparams").values()
    assert "Status" not in plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    tracker.close("done")
    assert sessions(events_of(tmp_path / "run"))[0].hparams["Status"].string_value == "done"


def test_who_watches_a_run_sees_its_end(tmp_path):
    with RunFolder(tmp_path / "run", replace(MF, tracking=TrackingConfig()), torch.device("cpu")) as folder:
        folder.epoch(EpochRecord(1, {"loss": 0.5}))
        watching = events_of(tmp_path / "run")
        folder.epoch(EpochRecord(2, {"loss": 0.25}))
        folder._tracker.close("done")
    watching.Reload()
    assert [point.value for point in watching.Scalars("train/loss")] == [0.5, 0.25]
    assert sessions(watching)[1].status == api_pb2.STATUS_SUCCESS


def test_events_of_an_attempt_moved_aside_are_kept_under_another_name(tmp_path):
    """So that the board shows every run once."""
    with RunFolder(tmp_path / "run", replace(MF, tracking=TrackingConfig()), torch.device("cpu")):
        pass
    before = {path.read_bytes() for path in tmp_path.rglob("*tfevents*")}
    hide_events(tmp_path / "run")
    assert not list(tmp_path.rglob("*tfevents*"))
    assert {path.read_bytes() for path in tmp_path.rglob("events.out.earlier.*")} == before != set()


def test_points_can_be_watched_while_the_run_goes_on(tmp_path):
    with RunFolder(tmp_path / "run", replace(MF, tracking=TrackingConfig()), torch.device("cpu")) as folder:
        folder.epoch(EpochRecord(1, {"loss": 0.5}))
        assert [point.step for point in events_of(tmp_path / "run").Scalars("train/loss")] == [1]


def test_the_card_is_a_table_with_the_line_that_repeats_the_run(tracked):
    _, _, events = tracked
    card = events.Tensors("card/text_summary")[0].tensor_proto.string_val[0].decode()
    assert card.startswith("    recbench run model=mf model.dim=2 dataset=planted ")
    assert "\n| model.dim | 2 |\n" in card
    assert "\n| seed | 8 |\n" in card


def test_a_card_shows_text_of_others_as_text(tmp_path):
    config = replace(MF, tracking=TrackingConfig(), settings=Settings(label="a|b\n<script>"))
    with RunFolder(tmp_path / "run", config, torch.device("cpu")):
        pass
    card = events_of(tmp_path / "run").Tensors("card/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| label | a\\|b&lt;script> |" in card


def test_recall_and_precision_by_k_are_curves_over_k(tracked):
    _, outcome, events = tracked
    report = outcome.reports["test"]
    for name in ("recall", "precision"):
        points = {point.step: point.value for point in events.Scalars(f"test_by_k/{name}")}
        assert list(points) == list(range(1, report.ranking.k + 1))
        assert points[10] == pytest.approx(report.values[f"{name}@10"])


def ranking(hits):
    hits = torch.tensor(hits)
    items = torch.arange(hits.shape[1]).repeat(len(hits), 1)
    nothing = torch.zeros_like(hits)
    return Ranking(torch.arange(len(hits)), items, hits, torch.full((len(hits),), 2), nothing, torch.ones(9), 9)


def test_recall_and_precision_by_k_by_hand():
    """One user, two relevant items, hits at ranks 1 and 3: recall 1/2, 1/2, 2/2; precision 1/1, 1/2, 2/3."""
    found = recall_and_precision_by_k(ranking([[True, False, True]]))
    assert found == {
        "recall": pytest.approx({1: 1 / 2, 2: 1 / 2, 3: 2 / 2}),
        "precision": pytest.approx({1: 1 / 1, 2: 1 / 2, 3: 2 / 3}),
    }


def test_of_a_long_list_fifty_lengths_are_shown():
    found = recall_and_precision_by_k(replace(ranking([[True] * 200]), popularity=torch.ones(300)))
    assert len(found["recall"]) == 50 and min(found["recall"]) == 1 and max(found["recall"]) == 200


def test_the_projector_has_the_most_popular_items(tracked):
    folder, outcome, _ = tracked
    train = outcome.split.train
    best = torch.argsort(train.popularity, descending=True, stable=True)[:7]
    (metadata,) = folder.rglob("metadata.tsv")
    lines = [line.split("\t") for line in metadata.read_text().splitlines()]
    assert lines[0] == ["title", "item", "popularity"]
    ids = train.item_vocabulary.names(best.numpy())
    assert lines[1:] == [[f"Planted {name}", name, str(int(train.popularity[i]))] for name, i in zip(ids, best)]
    (tensors,) = folder.rglob("tensors.tsv")
    vectors = np.loadtxt(tensors)
    np.testing.assert_allclose(vectors, outcome.model.item_vectors()[best].numpy(), rtol=1e-6)


def test_a_model_without_vectors_is_named(tmp_path, caplog):
    config = ExperimentConfig(model=PopularityConfig(), dataset=DATA, tracking=TrackingConfig(embeddings=True))
    with caplog.at_level(logging.WARNING):
        run(config, tmp_path / "run", progress=False)
    assert "tracking.embeddings has no effect: Popularity has no vectors of items." in caplog.text
    assert not list((tmp_path / "run").rglob("tensors.tsv"))
    assert events_of(tmp_path / "run").Scalars("test/ndcg@10")[0].step == 0


def test_without_tensorboard_there_are_no_events(tmp_path):
    run(replace(MF, tracking=TrackingConfig(tensorboard=False)), tmp_path / "run", progress=False)
    assert not list((tmp_path / "run").rglob("events.out.tfevents.*"))
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_tracking_changes_no_number(tracked):
    _, outcome, _ = tracked
    plain = run(replace(MF, tracking=TrackingConfig(tensorboard=False)), progress=False)
    assert plain.reports["test"].values == outcome.reports["test"].values
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), outcome.model.parameters()))


def test_embeddings_without_tensorboard_are_a_mistake():
    with pytest.raises(ConfigError) as error:
        TrackingConfig.from_mapping({"tensorboard": False, "embeddings": True}, "tracking")
    assert str(error.value) == (
        "tracking cannot be configured:\n  embeddings = True: has no effect with tensorboard=false."
    )
