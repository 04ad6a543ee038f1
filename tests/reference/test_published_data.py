"""The published data sets themselves: what is read of them is as much as their authors say."""

import numpy as np
import pytest
import torch

from recbench import datasets, splits
from recbench.data import TEST, TRAIN, Features
from recbench.datasets import store
from recbench.datasets.store import Loaded, stored


@pytest.fixture
def load(real_data, tmp_path, monkeypatch):
    """Return how a data set is loaded with its default options, from the real files and an empty cache."""
    monkeypatch.setenv("RECBENCH_MIRROR", str(real_data))
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")

    def load(name, *, folder=None, **options):
        if not (real_data / (folder or name)).is_dir():
            pytest.skip(f"no {folder or name} in {real_data}.")
        return datasets.build(name, **options).load()

    return load


def counts(data):
    return data.n_users, data.n_items, len(data)


def n_parts(data):
    return torch.bincount(data.parts.long()).tolist()


def test_ml_1m(load):
    data = load("ml-1m")
    assert counts(data) == (6_040, 3_706, 1_000_209)
    assert data.time == "rank"
    assert torch.bincount(data.ratings.long()).tolist() == [0, 56_174, 107_557, 261_197, 348_971, 226_310]
    # The ranks of each user are 0, 1, 2, ...
    per_user = torch.bincount(data.users)
    assert torch.equal(data.timestamps, torch.cat([torch.arange(int(n)) for n in per_user]))
    kept = [stage.after.n_interactions for stage in data.provenance if stage.counted == "interactions"]
    assert kept == [1_000_209] * 2
    titles = data.features.items.text("title")
    assert titles[data.item_vocabulary.indices(["1"])[0]] == "Toy Story (1995)"
    assert titles[data.item_vocabulary.indices(["2858"])[0]] == "American Beauty (1999)"
    assert [title for title in titles if title.endswith("rables, Les (1995)")] == ["Misérables, Les (1995)"]


def test_ml_1m_comes_back_from_the_store(load):
    data = load("ml-1m")
    first = Loaded(data.select(torch.arange(len(data))))
    assert len(data) >= store.MIN_INTERACTIONS
    stored("k", lambda: first)
    second = stored("k", lambda: pytest.fail("it is made again"))
    assert second.interactions.fingerprint == data.fingerprint
    assert second.interactions.features.items is Features().items


def test_ncf_ml_1m(load):
    data = load("ncf-ml-1m")
    assert counts(data) == (6_040, 3_706, 1_000_209)
    assert n_parts(data) == [994_169, 0, 6_040]
    assert data.candidates.counts.tolist() == [99] * 6_040
    test = data.select(data.parts == TEST)
    assert test.users.tolist() == list(range(6_040))
    own = data.candidates.items.reshape(6_040, 99) == test.items[:, None]
    assert int(own.any(1).sum()) == 156
    # The test interaction has the highest rank of its user, mostly the number of the others.
    train = data.select(data.parts == TRAIN)
    last = torch.zeros(6_040, dtype=torch.int64).scatter_reduce(0, train.users, train.timestamps, "amax")
    assert torch.equal(test.timestamps, last + 1)
    assert int((test.timestamps - torch.bincount(train.users)).sum()) == 1_386


def test_ncf_ml_1m_is_ml_1m_with_other_ids(load):
    split, whole = load("ncf-ml-1m"), load("ml-1m")
    assert sorted(torch.bincount(split.users).tolist()) == sorted(torch.bincount(whole.users).tolist())
    assert sorted(split.popularity.tolist()) == sorted(whole.popularity.tolist())
    assert torch.equal(torch.bincount(split.ratings.long()), torch.bincount(whole.ratings.long()))


def test_gowalla(load):
    data = load("gowalla")
    assert counts(data) == (29_858, 40_981, 1_027_370)
    assert n_parts(data) == [810_128, 0, 217_242]
    assert (data.ratings, data.timestamps) == (None, None)
    test = data.select(data.parts == TEST)
    assert len(torch.unique(test.users)) == 29_858
    split = splits.build("fixed").apply(data)
    assert (len(split.train), int(split.test.target.counts.sum())) == (810_128, 217_242)


def test_ml_1m_recbole(load):
    data = load("ml-1m-recbole", folder="ml-1m")
    # The benchmark says 834,449 ratings, 6,034 users and 3,124 items, its padding counted among both.
    assert counts(data) == (6_034 - 1, 3_124 - 1, 834_449)


def test_ml_100k_mcrec(load):
    data = load("ml-100k-mcrec")
    assert counts(data) == (943, 1_682, 100_000)
    assert n_parts(data) == [80_000, 0, 20_000]
    assert len(torch.unique(data.users[data.parts == TEST])) == 942


def test_mcrec_is_ml_100k_split(load):
    split, whole = load("ml-100k-mcrec"), load("ml-100k")
    pairs = [
        np.char.add(np.char.add(data.user_vocabulary.names(data.users.numpy()).astype(str), " "), names.astype(str))
        for data in (split, whole)
        for names in [data.item_vocabulary.names(data.items.numpy())]
    ]
    assert sorted(pairs[0]) == sorted(pairs[1])
