"""The weights that the authors of NCF published, on the split that they published: all six digits."""

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import models, resolve, run
from recbench.data import Interactions
from recbench.errors import ConfigError, DataError
from recbench.experiment import prepare
from recbench.nn.pretrained import trained_weights

GMF, MLP = "gmf_8.npz", "mlp_64_32_16_8.npz"
DATA = {
    "dataset": "ncf-ml-1m",
    "split": "fixed",
    "evaluation": {"candidates": "published", "metrics": ["hr@10", "ndcg@10"]},
}


@pytest.fixture(scope="module")
def ncf(real_data, tmp_path_factory):
    """Give the folder of the split and the weights, and the split read from it."""
    folder = real_data / "ncf-ml-1m"
    for name in (GMF, MLP):
        if not (folder / name).is_file():
            pytest.skip(f"no {name} in {folder}.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECBENCH_MIRROR", str(real_data))
        patch.setenv("RECBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RECBENCH_OFFLINE", "1")
        yield folder, prepare(resolve({**DATA, "model": "popularity"}).config)


@pytest.mark.parametrize(
    "model, hr, ndcg",
    [
        ({"name": "gmf", "pretrained": GMF}, 0.636755, 0.369085),
        ({"name": "mlp", "pretrained": MLP}, 0.671026, 0.396254),
        ({"name": "neumf", "pretrained_gmf": GMF, "pretrained_mlp": MLP, "alpha": 0.5}, 0.671026, 0.396939),
    ],
    ids=["gmf", "mlp", "neumf"],
)
def test_the_authors_weights_give_the_authors_figures(model, hr, ndcg, ncf):
    """Without a step of training; a test item that is also one of its own negatives is ranked once, as they do."""
    folder, prepared = ncf
    model = {key: str(folder / value) if key.startswith("pretrained") else value for key, value in model.items()}
    outcome = run(resolve({**DATA, "model": model, "trainer": {"epochs": 0}}).config, prepared=prepared)
    values = outcome.reports["test"].values
    assert values["hr@10[published]"] == pytest.approx(hr, abs=5e-7)
    assert values["ndcg@10[published]"] == pytest.approx(ndcg, abs=5e-7)
    assert (outcome.fit.best_epoch, outcome.fit.curve) == (0, ())


@pytest.fixture
def train():
    """Give ids whose order as text is not that as numbers: 0, 1, 10, 11, 2, ..."""
    numbers = [str(number) for number in range(12)]
    return Interactions.from_frame(pd.DataFrame({"user": numbers, "item": numbers}))


def authors(folder, n_users=12, n_items=12, **more):
    """Write the arrays of a GMF with 2 factors as the authors name them, and return the file."""
    stream = np.random.default_rng(0)
    arrays = {
        "user_embedding.user_embedding_W": stream.normal(size=(n_users, 2)).astype("float32"),
        "item_embedding.item_embedding_W": stream.normal(size=(n_items, 2)).astype("float32"),
        "prediction.prediction_W": stream.normal(size=(2, 1)).astype("float32"),
        "prediction.prediction_b": stream.normal(size=1).astype("float32"),
    }
    path = folder / "weights.npz"
    np.savez(path, **arrays, **more)
    return path


def test_the_row_n_is_that_of_the_id_n(train, tmp_path):
    path = authors(tmp_path)
    model = models.build("gmf", train, 0, dim=2, pretrained=str(path))
    with np.load(path) as arrays:
        user, item = arrays["user_embedding.user_embedding_W"], arrays["item_embedding.item_embedding_W"]
        head, bias = arrays["prediction.prediction_W"][:, 0], arrays["prediction.prediction_b"][0]
    users, items = train.user_vocabulary.indices(["10", "2"]), train.item_vocabulary.indices(["11", "3"])
    with torch.no_grad():
        scores = model(torch.from_numpy(users), torch.from_numpy(items))
    expected = [[(user[u] * item[i] * head).sum() + bias for i in (11, 3)] for u in (10, 2)]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("model, options", [("gmf", {"dim": 3}), ("mlp", {"layers": (6, 4, 2)})])
def test_a_model_starts_from_a_finished_run(model, options, tmp_path):
    data = {"dataset": {"name": "planted", "n_users": 40, "n_items": 30}, "trainer": {"epochs": 2}, "threads": 1}
    first = run(resolve({**data, "model": {"name": model, **options}}).config, tmp_path / "first")
    started = {"name": model, **options, "pretrained": str(tmp_path / "first")}
    again = run(resolve({**data, "model": started, "trainer": {"epochs": 0}, "seed": 5}).config)
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def test_an_id_that_is_no_row_is_named(train, tmp_path):
    path = authors(tmp_path, n_items=11)
    with pytest.raises(DataError) as error:
        trained_weights(str(path), "gmf", train)
    assert str(error.value) == (
        f"{path}: row n belongs to the item with the id n, 0 to 10, as in the files of NCF; "
        "item '11' of the training data has none."
    )
    train = Interactions.from_frame(pd.DataFrame({"user": ["0", "u7"], "item": ["0", "1"]}))
    with pytest.raises(DataError) as error:
        trained_weights(str(path), "gmf", train)
    assert str(error.value) == (
        f"{path}: row n belongs to the user with the id n, 0 to 11, as in the files of NCF; "
        "user 'u7' of the training data has none."
    )


def test_files_that_hold_something_else_are_refused(train, tmp_path):
    path = authors(tmp_path, other_W=np.zeros(2))
    with pytest.raises(DataError) as error:
        trained_weights(str(path), "gmf", train)
    assert str(error.value) == (
        f"{path}: 'other_W' is none of the arrays of a GMF or an MLP of the NCF authors, which are user_embedding_W, "
        "item_embedding_W, prediction_W, prediction_b, layer1_W, layer1_b, layer2_W and so on."
    )
    np.savez(path, **{"prediction.prediction_W": np.zeros((2, 1)), "user_embedding_W": np.zeros((12, 2))})
    with pytest.raises(DataError) as error:
        trained_weights(str(path), "gmf", train)
    assert str(error.value) == (
        f"{path}: lacks item_embedding_W, prediction_b, which a GMF and an MLP of the NCF authors have."
    )
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            trained_weights(str(path), "gmf", train)
        assert str(error.value) == f"{path}: is no .npz file of plain numbers."
    np.savez(path, user_embedding_W=np.array([object()], dtype=object))
    with pytest.raises(DataError) as error:
        trained_weights(str(path), "gmf", train)
    assert str(error.value) == f"{path}: is no .npz file of plain numbers."
    absent = tmp_path / "absent.npz"
    with pytest.raises(DataError) as error:
        trained_weights(str(absent), "gmf", train)
    assert str(error.value) == f"{absent}: cannot be read (No such file or directory)."


def test_weights_of_another_shape_are_refused(train, tmp_path):
    path = authors(tmp_path)
    with pytest.raises(ConfigError) as error:
        models.build("gmf", train, 0, dim=3, pretrained=str(path))
    assert str(error.value) == (
        "the pre-trained weights do not fit: item.weight is (12, 2) there and (12, 3) here; "
        "choose the same model.dim and model.layers."
    )
    with pytest.raises(ConfigError) as error:
        models.build("mlp", train, 0, layers=(4, 2), pretrained=str(path))
    assert str(error.value) == (
        "the pre-trained weights do not fit: tower.linear.0.bias is missing there and (2,) here; "
        "choose the same model.dim and model.layers."
    )
