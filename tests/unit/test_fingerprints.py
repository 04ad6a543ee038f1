"""Code and feature tables have fingerprints that change with them, and with nothing else."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import recbench
from recbench import ExperimentConfig, models, source_code
from recbench.data import Features, Vocabulary, feature_table
from recbench.data.feature_config import CategoricalConfig, NumericConfig, VectorConfig
from recbench.datasets.planted import PlantedConfig
from recbench.fingerprints import code_fingerprint, features_fingerprint
from recbench.models.mf import MFConfig

CONFIG = ExperimentConfig(model=MFConfig(), dataset=PlantedConfig())
ITEMS = pd.DataFrame({"item": ["a", "b"], "title": ["A", "B"], "year": [1990, 1991]})
MISSING_IS_0 = NumericConfig(name="year", missing="constant", value=0.0)
ONE = torch.tensor([1])


def table(frame, *declared):
    return feature_table(frame, Vocabulary(["a", "b"], "item"), declared)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package with a model ``borrowed`` and a helper; gives its folder, and the model's options."""
    folder = tmp_path / "borrowed_models"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "helper.py").write_text("ONE = 1\n")
    (folder / "borrowed.py").write_text(
        "from recbench.models.mf import MF, MFConfig\n"
        "class BorrowedConfig(MFConfig):\n    pass\n"
        "class Borrowed(MF):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import borrowed_models.borrowed as module

    monkeypatch.setattr(models.registry, "_entries", dict(models.registry._entries))
    models.register("borrowed", config=module.BorrowedConfig)(module.Borrowed)
    yield folder, module.BorrowedConfig()
    for name in [name for name in sys.modules if name.startswith("borrowed_models")]:
        del sys.modules[name]


def test_the_code_is_a_version_and_a_hash_that_stay():
    version, _, digest = code_fingerprint(CONFIG).partition("+")
    assert version == recbench.__version__
    assert len(digest) == 64
    source_code.source_code_sha256.cache_clear()
    assert code_fingerprint(CONFIG) == f"{version}+{digest}"


def test_other_sources_are_other_code(tmp_path, monkeypatch):
    before = code_fingerprint(CONFIG)
    (tmp_path / "extra.py").write_text("")
    monkeypatch.setattr(recbench, "__path__", [*recbench.__path__, str(tmp_path)])
    source_code.source_code_sha256.cache_clear()
    after = code_fingerprint(CONFIG)
    source_code.source_code_sha256.cache_clear()
    assert after != before


@pytest.mark.parametrize("changed", ["borrowed.py", "inner/helper.py"])
def test_a_plugin_counts_with_its_whole_package_where_it_is_used(plugin, changed):
    folder, config = plugin
    used = replace(CONFIG, model=config)
    source_code.source_code_sha256.cache_clear()
    before, without = code_fingerprint(used), code_fingerprint(CONFIG)
    assert before != without
    with (folder / changed).open("a") as file:
        file.write("# other\n")
    assert code_fingerprint(used) == before, "what this process has imported is still the same"
    source_code.source_code_sha256.cache_clear()
    assert code_fingerprint(used) != before
    assert code_fingerprint(CONFIG) == without


def test_features_count_with_values_names_and_sides():
    found = [
        features_fingerprint(features)
        for features in (
            Features(items=table(ITEMS)),
            Features(users=table(ITEMS)),
            Features(items=table(ITEMS.rename(columns={"year": "age"}))),
            Features(items=table(ITEMS.assign(year=[1990, 1992]))),
            Features(items=table(ITEMS.assign(title=["A", "C"]))),
            Features(items=table(ITEMS.assign(item=["b", "a"]))),
            Features(items=table(ITEMS, NumericConfig(name="year"))),
            Features(items=table(ITEMS, NumericConfig(name="year", scale="standard"))),
            Features(items=table(ITEMS, CategoricalConfig(name="year"))),
            Features(items=table(ITEMS.assign(year=[1991, 1990]), CategoricalConfig(name="year"))),
            Features(items=table(ITEMS.assign(year=[1990, None]), MISSING_IS_0)),
            Features(items=table(ITEMS.assign(year=[1990, 0]), MISSING_IS_0)),
            Features(items=table(ITEMS), users=table(ITEMS)),
        )
    ]
    assert len(set(found)) == len(found)
    again = Features(items=table(ITEMS[::-1]))
    assert features_fingerprint(again) == features_fingerprint(again.fitted(ONE, ONE)) == found[0]
    assert features_fingerprint(Features()) is None


def test_vectors_count_by_their_content_alone(tmp_path):
    def found(name, ids, vectors):
        np.savez(tmp_path / name, ids=np.array(ids), vectors=np.array(vectors, dtype=float)[:, None])
        config = VectorConfig(name="image", path=str(tmp_path / name), missing="mean")
        return features_fingerprint(Features(items=table(ITEMS[["item"]], config)))

    one = found("one.npz", ["c", "a"], [3, 1])
    assert found("other.npz", ["a", "c"], [1, 3]) == found("less.npz", ["a"], [1]) == one
    assert found("other.npz", ["a", "c"], [2, 3]) != one
