"""Neighbours in compiled loops: the same, ties included, as in PyTorch, on any number of threads."""

import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from recbench import ConfigError, load, models, resolve, run, splits, trainers
from recbench.data import Histories, Interactions, UserBatch
from recbench.nn.item_weights import ItemNeighbours
from recbench.nn.profiles import ProfileConfig, nearest_profiles

OPTIONS = [
    {},
    {"weighting": "none"},
    {"weighting": "none", "shrink": 3.0},
    {"weighting": "bm25", "documents": "terms", "shrink": 1.0},
    {"similarity": "asymmetric", "alpha": 0.3},
    {"similarity": "jaccard", "weighting": "none"},
    {"similarity": "dice", "weighting": "none", "shrink": 2.0},
    {"similarity": "tversky", "weighting": "none", "alpha": 0.2, "beta": 1.5},
]
EACH = pytest.mark.parametrize("options", OPTIONS)


def taken(n_profiles=60, n_terms=12, seed=0):
    """Return which terms profiles have: few, so that many are equally near; the first has none."""
    drawn = torch.rand(n_profiles, n_terms, generator=torch.Generator().manual_seed(seed))
    return drawn < torch.linspace(0, 0.6, n_profiles)[:, None]


@pytest.fixture(scope="module")
def data():
    users, items = torch.nonzero(taken(40, 25), as_tuple=True)
    rows = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    return splits.build("random", valid=0.2).apply(Interactions.from_frame(rows))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@EACH
@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_nearest_are_those_of_torch(options, k):
    """With 7 the cut is between equals for most, and with 60 those who share nothing stand in their order."""
    matrix = sp.csr_array(taken().double().numpy())
    ours, near = nearest_profiles(ProfileConfig(**options), matrix, k, compiled=True)
    theirs, expected = nearest_profiles(ProfileConfig(**options), matrix, k)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(near, expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("n_profiles", [63, 64, 65, 128, 200])
def test_the_nearest_of_more_than_are_compared_at_a_time(n_profiles):
    """They are compared 64 at a time, behind the first k; here with all k around that, and few terms, so many ties."""
    matrix = sp.csr_array(taken(n_profiles, 9).double().numpy())
    options = ProfileConfig(weighting="none")
    for k in sorted({1, 62, 63, 64, 65, 127, 128, n_profiles - 1, n_profiles}):
        if k <= n_profiles:
            ours, near = nearest_profiles(options, matrix, k, compiled=True)
            theirs, expected = nearest_profiles(options, matrix, k)
            assert torch.equal(ours, theirs)
            torch.testing.assert_close(near, expected, rtol=1e-12, atol=0.0)


def test_the_nearest_of_three_by_hand():
    """Two share both terms, the third has one of them; the first has the lower index, and nobody is near to itself."""
    matrix = sp.csr_array(torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]).double().numpy())
    indices, near = nearest_profiles(ProfileConfig(weighting="none"), matrix, 3, compiled=True)
    assert indices.tolist() == [[1, 2, 0], [0, 2, 1], [0, 1, 2]]
    expected = [[1.0, 1 / 2**0.5, 0.0], [1.0, 1 / 2**0.5, 0.0], [1 / 2**0.5, 1 / 2**0.5, 0.0]]
    assert near.tolist() == [pytest.approx(row) for row in expected]


def scores(name, data, backend, candidates=None, **options):
    """Return scores of known users by their training, of some by other histories, and of unknown ones."""
    model = models.build(name, data.train, 0, **options)
    trainers.build("closed_form").fit(model, data, backend=backend)
    everyone = torch.arange(data.train.n_users)
    twice = Histories.from_pairs(torch.tensor([0, 0, 0, 1]), torch.tensor([3, 1, 3, 2]), 3)
    asked = (
        (everyone, data.train.histories),
        (torch.tensor([5, 6, 7]), twice),
        (torch.full((3,), -1), twice),
    )
    with torch.no_grad():
        return torch.cat(
            [model.score(UserBatch(*users), None if candidates is None else candidates[users[0]]) for users in asked]
        )


@EACH
@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_scores_are_those_of_torch(data, name, options):
    ours, theirs = (scores(name, data, backend, neighbours=6, **options) for backend in ("compiled", "torch"))
    assert float(theirs.max()) > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"centred": True}, {"weighting": "bm25", "history": "weighted"}])
def test_scores_of_weighted_and_centred_histories_are_those_of_torch(data, options):
    ours, theirs = (scores("item_knn", data, backend, neighbours=6, **options) for backend in ("compiled", "torch"))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_candidates_are_scored_as_among_all(data, name):
    candidates = torch.randint(data.train.n_items, (data.train.n_users, 4), generator=torch.Generator().manual_seed(0))
    whole = scores(name, data, "compiled")
    rows = torch.cat([torch.arange(data.train.n_users), torch.tensor([5, 6, 7]), torch.full((3,), -1)])
    found = scores(name, data, "compiled", candidates)
    assert torch.equal(found, whole.gather(1, candidates[rows]))


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_bits_repeat_and_are_the_same_on_two_threads(data, threads, name):
    found = []
    for number in (1, 1, 2):
        threads(number)
        found.append(scores(name, data, "compiled"))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_model_that_takes_over_others_weights_forgets_its_own(data):
    first, second = (models.build("item_knn", data.train, 0, neighbours=5, weighting="none") for _ in range(2))
    batch = UserBatch(torch.arange(data.train.n_users), data.train.histories)
    first.fit(data.train)
    assert float(second.score(batch).max()) == 0.0
    second.load_state_dict(first.state_dict())
    assert first.compiled
    assert torch.equal(second.score(batch), first.score(batch))


def test_where_it_applies():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")

    def config(model, **given):
        return resolve({"model": model, "dataset": "planted", **given}).config

    column = {"name": "user_knn", "prune_axis": "column", "documents": "terms", "shrink": 1.0}
    for model in ("item_knn", "user_knn"):
        assert config(model).backend(cpu) == "compiled"
        assert config(model, backend="torch").backend(cpu) == "torch"
        assert config(model).backend(cuda) == "torch"
    assert config(column).backend(cpu) == "torch"
    with pytest.raises(ConfigError) as error:
        config(column, backend="compiled")
    assert str(error.value) == (
        "backend = 'compiled': takes model.prune_axis=row (here column); or write backend=auto, which is torch where "
        "there are no compiled loops."
    )


def test_torch_is_asked_where_it_is_set(data):
    model = models.build("item_knn", data.train, 0)
    assert model.compiled
    trainers.build("closed_form").fit(model, data, backend="torch")
    assert not model.compiled


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_a_loaded_run_scores_by_the_backend_that_it_was_made_with(tmp_path, backend):
    planted = {"name": "planted", "n_users": 60, "n_items": 40, "n_interactions": 600}
    settings = {"backend": backend, "threads": 1, "tracking": {"tensorboard": False}}
    run(resolve({"model": "item_knn", "dataset": planted, **settings}).config, tmp_path / "run", progress=False)
    assert load(tmp_path / "run").model.compiled == (backend == "compiled")


def test_of_which_items_each_is_a_neighbour_by_hand():
    """Weights of 0 are left out; what is kept anew is told anew."""
    near = ItemNeighbours(3, 2)
    near.keep(torch.tensor([[1, 2], [2, 0], [0, 1]]), torch.tensor([[0.5, 0.25], [0.0, 1.0], [2.0, 4.0]]))
    rows = near.by_neighbour()
    assert rows.offsets.tolist() == [0, 2, 4, 5]
    assert rows.items.tolist() == [1, 2, 0, 2, 0]
    assert rows.values.tolist() == [1.0, 2.0, 0.5, 4.0, 0.25]
    near.keep(near.neighbours.clone(), torch.zeros(3, 2))
    assert near.by_neighbour().offsets.tolist() == [0, 0, 0, 0]
