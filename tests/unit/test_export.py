"""A run exported for others: read back without recbench, its scores are those of the model."""

import hashlib
import json
import shutil
import stat

import numpy as np
import pytest
import torch

from recbench import ConfigError, RunError, resolve, run
from recbench.data import UserBatch
from recbench.errors import StorageError
from recbench.export import export
from recbench.recommend import load

SMALL = {"name": "planted", "n_users": 30, "n_items": 40, "n_interactions": 300}
COMPOSED = {"dataset": SMALL, "tracking": {"tensorboard": False}, "seed": 3, "threads": 1}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Give for each model the folder of its run and that of its export."""
    place = tmp_path_factory.mktemp("outputs")
    folders = {}
    for model, more in (("mf", {"trainer": {"epochs": 2}}), ("ease", {})):
        run(resolve({"model": model, **COMPOSED, **more}).config, place / model, progress=False)
        folders[model] = place / model, export(place / model)
    return folders


def read_by_others(folder):
    """Read an export with safetensors, json and numpy alone."""
    from safetensors.numpy import load_file

    users, items = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("users", "items"))
    return load_file(folder / "model.safetensors"), users, items


def scores_here(run_folder):
    recommender = load(run_folder)
    train = recommender.split.train
    users = torch.arange(train.n_users)
    with torch.no_grad():
        scores = recommender.model.score(UserBatch(users, train.histories.rows(users))).numpy()
    return scores, train


def test_vectors_of_mf_give_its_scores(exported):
    run_folder, folder = exported["mf"]
    assert folder == run_folder / "export"
    tensors, users, items = read_by_others(folder)
    scores, train = scores_here(run_folder)
    assert (users, items) == (train.user_vocabulary.ids.tolist(), train.item_vocabulary.ids.tolist())
    found = tensors["vectors.users"] @ tensors["vectors.items"].T
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-6)
    assert np.ptp(scores) > 0.01, "there is something to compare"


def test_weights_of_ease_give_its_scores(exported):
    run_folder, folder = exported["ease"]
    tensors, users, items = read_by_others(folder)
    scores, train = scores_here(run_folder)
    assert set(tensors) == {"weights"}
    taken = np.zeros((len(users), len(items)), np.float32)
    taken[train.users.numpy(), train.items.numpy()] = 1
    np.testing.assert_allclose(taken @ tensors["weights"], scores, rtol=1e-4, atol=1e-6)


def test_every_tensor_of_the_model_is_there_with_the_same_bits(exported):
    for run_folder, folder in exported.values():
        tensors, _, _ = read_by_others(folder)
        for name, tensor in load(run_folder).model.state_dict().items():
            assert np.array_equal(tensors[name], tensor.numpy()), name


def test_what_it_says_of_itself(exported):
    run_folder, folder = exported["mf"]
    about = json.loads((folder / "export.json").read_text())
    result = json.loads((run_folder / "result.json").read_text())
    for key in ("config", "metrics", "fingerprints", "model", "seed", "n_users"):
        assert about[key] == result[key], key
    assert about["schema_version"] == 1
    assert about["files"] == {"tensors": "model.safetensors", "users": "users.json", "items": "items.json"}
    dim, (_, users, items) = result["config"]["model"]["dim"], read_by_others(folder)
    n_users, n_items = len(users), len(items)
    assert about["tensors"]["user.weight"] == {"shape": [n_users, dim], "dtype": "float32"}
    assert about["tensors"]["vectors.items"] == {"shape": [n_items, dim + 2], "dtype": "float32"}


def test_its_checksums_are_those_of_all_its_files(exported):
    _, folder = exported["mf"]
    lines = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert lines.keys() == {"export.json", "items.json", "model.safetensors", "users.json"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in lines.items())
    modes = {stat.S_IMODE((folder / name).stat().st_mode) for name in lines}
    assert len(modes) == 1, "none is more private than the others"


def test_an_occupied_place_is_left_alone(exported, tmp_path):
    run_folder, folder = exported["ease"]
    before = (folder / "export.json").read_bytes()
    with pytest.raises(RunError) as error:
        export(run_folder)
    assert str(error.value) == (
        f"{folder}: holds something already; take it away, or name another folder with --to FOLDER."
    )
    assert (folder / "export.json").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError) as error:
        export(run_folder, tmp_path / "file")
    assert str(error.value) == f"{tmp_path / 'file'}: is no folder; name one with --to FOLDER."
    with pytest.raises(StorageError) as error:
        export(run_folder, tmp_path / "file" / "below")
    assert str(error.value) == f"{tmp_path / 'file' / 'below'}: cannot be made (Not a directory)."


def test_without_the_package_it_says_what_to_install(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        export(exported["ease"][0], tmp_path / "to")
    assert str(error.value) == "recbench export needs the package safetensors: pip install 'recbench[export]'."
    assert not (tmp_path / "to").exists()


def test_the_command(exported, command, tmp_path):
    shutil.copytree(exported["ease"][0], tmp_path / "run", ignore=shutil.ignore_patterns(".lock", "export"))
    ended = command("export", "run", "--to", "out/for-others")
    assert (ended.code, ended.out) == (0, "written to out/for-others\n")
    assert len(list((tmp_path / "out" / "for-others").iterdir())) == 5
    assert command("export", "--help").out.count("safetensors") >= 2
    assert command("export", "nowhere").code == 2
