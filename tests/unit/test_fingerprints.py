"""Code and feature tables have fingerprints that change with them, and with nothing else."""

import sys
from dataclasses import replace

import pandas as pd
import pytest

import recbench
from recbench import ExperimentConfig, fingerprints, models
from recbench.data import Features
from recbench.datasets.planted import PlantedConfig
from recbench.fingerprints import code_fingerprint, features_fingerprint
from recbench.models.mf import MFConfig

CONFIG = ExperimentConfig(model=MFConfig(), dataset=PlantedConfig())
ITEMS = pd.DataFrame({"title": ["A", "B"], "year": [1990, 1991]})


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
    fingerprints._sources.cache_clear()
    assert code_fingerprint(CONFIG) == f"{version}+{digest}"


def test_other_sources_are_other_code(tmp_path, monkeypatch):
    before = code_fingerprint(CONFIG)
    (tmp_path / "extra.py").write_text("")
    monkeypatch.setattr(recbench, "__path__", [*recbench.__path__, str(tmp_path)])
    fingerprints._sources.cache_clear()
    after = code_fingerprint(CONFIG)
    fingerprints._sources.cache_clear()
    assert after != before


@pytest.mark.parametrize("changed", ["borrowed.py", "inner/helper.py"])
def test_a_plugin_counts_with_its_whole_package_where_it_is_used(plugin, changed):
    folder, config = plugin
    used = replace(CONFIG, model=config)
    fingerprints._sources.cache_clear()
    before, without = code_fingerprint(used), code_fingerprint(CONFIG)
    assert before != without
    with (folder / changed).open("a") as file:
        file.write("# other\n")
    assert code_fingerprint(used) == before, "what this process has imported is still the same"
    fingerprints._sources.cache_clear()
    assert code_fingerprint(used) != before
    assert code_fingerprint(CONFIG) == without


def test_features_count_with_values_names_and_sides():
    found = [
        features_fingerprint(features)
        for features in (
            Features(items=ITEMS),
            Features(users=ITEMS),
            Features(items=ITEMS.rename(columns={"year": "age"})),
            Features(items=ITEMS.assign(year=[1990, 1992])),
            Features(items=ITEMS[::-1]),
            Features(items=ITEMS, users=ITEMS),
        )
    ]
    assert len(set(found)) == len(found)
    assert features_fingerprint(Features(items=ITEMS.copy())) == found[0]
    assert features_fingerprint(Features()) is None
