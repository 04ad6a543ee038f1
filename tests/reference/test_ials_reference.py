"""iALS against dense solves written from the formulas, its objective against autograd, and published rows."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import datasets, models, splits, trainers
from recbench.data import Histories, Interactions, UserBatch
from recbench.evaluation import EvaluationConfig, candidate_sets, evaluate, with_candidates
from recbench.models.ials import IALS, IALSConfig

SETTINGS = [
    {"nu": 1.0},
    {"nu": 0.0},
    {"nu": 0.5, "alpha0": 2.0},
    {"nu": 1.0, "confidence": "linear"},
    {"nu": 0.0, "confidence": "log", "epsilon": 0.5, "alpha0": 0.02},
]
BASE = {"dim": 3, "alpha0": 0.4, "reg": 0.05}


def rated(seed, n_users=9, n_items=7):
    """Return a (U, I) matrix of ratings 1 to 5, and 0 where there is none; the last item has no interaction."""
    stream = np.random.default_rng(seed)
    matrix = stream.integers(1, 6, (n_users, n_items)) * (stream.random((n_users, n_items)) < 0.5)
    matrix[:, -1] = 0
    matrix[np.arange(n_users), np.arange(n_users) % (n_items - 1)] = 3
    return matrix.astype(float)


def interactions(matrix):
    """Return them with the last item in the vocabulary alone."""
    users, items = np.nonzero(matrix)
    frame = pd.DataFrame({"user": [f"u{user}" for user in users], "item": [f"i{item}" for item in items]})
    frame["rating"] = matrix[users, items]
    frame["part"] = 0
    frame.loc[len(frame)] = ["u0", f"i{matrix.shape[1] - 1}", 1.0, 2]
    return splits.build("fixed").apply(Interactions.from_frame(frame, part="part")).train


def weights(matrix, config):
    """Return a and b of each pair, (U, I): ``a s^2 - 2 b s + b`` beside ``alpha0 s^2``; 0 where nothing is observed."""
    seen = matrix > 0
    if config.confidence == "equal":
        return seen * 1.0, seen * 1.0
    extra = matrix if config.confidence == "linear" else np.log(1 + matrix / config.epsilon)
    return seen * extra, seen * (extra + config.alpha0)


def loss(matrix, config, users, items):
    """Return the objective by a loop over all pairs; Hu's where confidences go by ratings."""
    (n_users, n_items), total = matrix.shape, 0.0
    a, _ = weights(matrix, config)
    for u in range(n_users):
        for i in range(n_items):
            s = users[u] @ items[i]
            if matrix[u, i] == 0:
                total += config.alpha0 * s**2
            elif config.confidence == "equal":
                total += (1 - s) ** 2 + config.alpha0 * s**2
            else:
                total += (config.alpha0 + a[u, i]) * (1 - s) ** 2
    for u in range(n_users):
        frequency = (matrix[u] > 0).sum() + config.alpha0 * n_items
        total += config.reg * frequency**config.nu * users[u] @ users[u]
    for i in range(n_items):
        frequency = (matrix[:, i] > 0).sum() + config.alpha0 * n_users
        total += config.reg * frequency**config.nu * items[i] @ items[i]
    return total


def dense_half(matrix, config, others):
    """Return the solutions (R, D) for the rows of ``matrix`` (R, V), one dense solve a row, given ``others`` (V, D)."""
    a, b = weights(matrix, config)
    rows = []
    for r in range(len(matrix)):
        frequency = (matrix[r] > 0).sum() + config.alpha0 * matrix.shape[1]
        system = others.T @ np.diag(a[r] + config.alpha0) @ others
        system += config.reg * frequency**config.nu * np.eye(others.shape[1])
        rows.append(np.linalg.solve(system, others.T @ b[r]))
    return np.array(rows)


def numpy_of(model):
    return model.user.double().numpy().copy(), model.item.double().numpy().copy()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_each_half_of_a_sweep_is_a_direct_solve(options, seed):
    matrix, config = rated(seed), IALSConfig(**BASE | options)
    train = interactions(matrix)
    model = IALS(config, train, seed)
    _, start = numpy_of(model)
    sweeps = model.sweeps(train)
    for _ in range(2):
        found = next(sweeps)
        users, items = numpy_of(model)
        np.testing.assert_allclose(users, dense_half(matrix, config, start), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(items, dense_half(matrix.T, config, users), rtol=1e-3, atol=1e-5)
        assert found == pytest.approx(loss(matrix, config, users, items) / (matrix > 0).sum(), rel=1e-5)
        start = items


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_in_the_end_no_small_change_of_all_vectors_is_better(options):
    """The gradient of the objective, by autograd over a dense formula, is zero where alternating stops."""
    matrix, config = rated(1), IALSConfig(**BASE | options)
    train = interactions(matrix)
    model = IALS(config, train)
    sweeps = model.sweeps(train)
    for _ in range(300):
        next(sweeps)
    users, items = (torch.from_numpy(table).requires_grad_() for table in numpy_of(model))
    a, b = (torch.from_numpy(table) for table in weights(matrix, config))
    scores, seen = users @ items.T, torch.from_numpy(matrix > 0)
    total = (a * scores**2 - 2 * b * scores + b).sum() + config.alpha0 * (scores**2).sum()
    for table, counts, n_others in ((users, seen.sum(1), matrix.shape[1]), (items, seen.sum(0), matrix.shape[0])):
        total = total + (config.reg * (counts + config.alpha0 * n_others) ** config.nu * table.square().sum(1)).sum()
    assert total.item() == pytest.approx(loss(matrix, config, *numpy_of(model)))
    total.backward()
    assert float(users.grad.abs().max()) < 2e-3 > float(items.grad.abs().max())


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_three_users_and_items_of_one_dimension_by_hand(nu):
    """With D = 1 a solution is a fraction: the sum of the others' numbers over that of their squares."""
    matrix = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=float)
    users, items = np.nonzero(matrix)
    frame = pd.DataFrame({"user": users, "item": items})
    train = Interactions.from_frame(frame)
    model = models.build("ials", train, dim=1, alpha0=0.5, reg=0.1, nu=nu)
    model.item.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
    next(model.sweeps(train))
    everywhere = 0.5 * (1 + 4 + 9)
    expected = [
        (1 + 2) / (1 + 4 + everywhere + 0.1 * (2 + 0.5 * 3) ** nu),
        (2 + 3) / (4 + 9 + everywhere + 0.1 * (2 + 0.5 * 3) ** nu),
        3 / (9 + everywhere + 0.1 * (1 + 0.5 * 3) ** nu),
    ]
    assert model.user[:, 0].tolist() == pytest.approx(expected, rel=1e-6)
    p, q, r = expected
    everywhere = 0.5 * (p * p + q * q + r * r)
    expected = [
        p / (p * p + everywhere + 0.1 * (1 + 0.5 * 3) ** nu),
        (p + q) / (p * p + q * q + everywhere + 0.1 * (2 + 0.5 * 3) ** nu),
        (q + r) / (q * q + r * r + everywhere + 0.1 * (2 + 0.5 * 3) ** nu),
    ]
    assert model.item[:, 0].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_no_half_of_a_sweep_makes_the_objective_worse(options, solver):
    """Few steps of conjugate gradients, too, only go down: they start from the vectors before."""
    steps = {"cg_steps": 1} if solver == "cg" else {}
    matrix, config = rated(2), IALSConfig(**BASE | options, solver=solver, **steps)
    train = interactions(matrix)
    model = IALS(config, train)
    sweeps = model.sweeps(train)
    users, items = numpy_of(model)
    before = loss(matrix, config, users, items)
    for _ in range(8):
        next(sweeps)
        users, after_items = numpy_of(model)
        half = loss(matrix, config, users, items)
        whole = loss(matrix, config, users, after_items)
        assert half <= before + 1e-5
        assert whole <= half + 1e-5
        before, items = whole, after_items


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_enough_steps_of_conjugate_gradients_are_exact(options):
    train = interactions(rated(3))
    exact = models.build("ials", train, 5, **BASE | options)
    approached = models.build("ials", train, 5, **BASE | options, solver="cg", cg_steps=6)
    few = models.build("ials", train, 5, **BASE | options, solver="cg", cg_steps=1)
    for model in (exact, approached, few):
        next(model.sweeps(train))
    torch.testing.assert_close(approached.user, exact.user, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(approached.item, exact.item, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(few.item, exact.item, rtol=1e-2)


@pytest.mark.parametrize("confidence", [1.7, 5.0])
def test_hu_with_equal_confidences_is_the_same_but_for_scale(confidence):
    """c on observed pairs, 1 elsewhere, lambda on the squares: alpha0 = 1 / (c - 1), reg = lambda / c, nu = 0."""
    matrix, penalty = (rated(4) > 0) * 1.0, 0.3
    train = interactions(matrix)
    model = models.build("ials", train, 2, dim=3, alpha0=1 / (confidence - 1), reg=penalty / confidence, nu=0.0)
    scale = math.sqrt(confidence / (confidence - 1))
    items = scale * numpy_of(model)[1]
    sweeps = model.sweeps(train)
    for _ in range(2):
        next(sweeps)
        sides = []
        for table in (matrix, matrix.T):
            weight = np.where(table > 0, confidence, 1.0)
            others = sides[0] if sides else items
            sides.append(
                np.array(
                    [
                        np.linalg.solve(others.T @ np.diag(c) @ others + penalty * np.eye(3), others.T @ (c * p))
                        for c, p in zip(weight, table, strict=True)
                    ]
                )
            )
        users, items = sides
        np.testing.assert_allclose(scale * numpy_of(model)[0], users, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(scale * numpy_of(model)[1], items, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_unknown_users_are_solved_for_by_their_history(options, solver):
    matrix, config = rated(6), IALSConfig(**BASE | options, solver=solver)
    train = interactions(matrix)
    model = IALS(config, train)
    trainers.build("alternating", epochs=3).fit(model, splits.build("none").apply(train))
    users, items = numpy_of(model)
    unknown = np.vstack([rated(7)[:3], np.zeros((1, matrix.shape[1]))])
    histories = np.vstack([unknown, matrix[:2]])
    rows, columns = np.nonzero(histories)
    values = torch.from_numpy(histories[rows, columns]).float()
    pairs = Histories.from_pairs(torch.from_numpy(rows), torch.from_numpy(columns), len(histories), values)
    found = model.score(UserBatch(torch.tensor([-1, -1, -1, -1, 5, 2]), pairs))
    expected = np.vstack([dense_half(unknown, config, items), users[[5, 2]]]) @ items.T
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)
    assert found[3].abs().max() == 0
    candidates = torch.tensor([[6, 0, 0]] * 6)
    torch.testing.assert_close(
        model.score(UserBatch(torch.tensor([-1, -1, -1, -1, 5, 2]), pairs), candidates), found.gather(1, candidates)
    )


@pytest.fixture
def load(real_data, tmp_path, monkeypatch):
    """Return how a published split is loaded from the real files, with the candidates that it comes with."""
    monkeypatch.setenv("RECBENCH_MIRROR", str(real_data))
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")

    def load(name, evaluation):
        if not (real_data / name).is_dir():
            pytest.skip(f"no {name} in {real_data}.")
        split = splits.build("fixed").apply(datasets.build(name).load())
        return with_candidates(split, candidate_sets(split, evaluation))

    return load


def test_it_meets_the_row_of_mcrec(load):
    """Ferrari Dacrema et al., TOIS 2021, table 46, "iALS", with the settings of table 49: .3596 .2283 .2759.

    There confidences are 1 + .001 log(1 + r / .001), and every r is 1.
    """
    evaluation = EvaluationConfig(metrics=("precision@10", "recall@10", "ndcg_uncut@10"))
    split = load("ml-100k-mcrec", evaluation)
    confidence = 1 + 0.001 * math.log(1 + 1 / 0.001)
    model = models.build("ials", split.train, dim=15, alpha0=1 / (confidence - 1), reg=2.71e-4 / confidence, nu=0.0)
    trainers.build("alternating", epochs=10).fit(model, split)
    values = evaluate(model, split, "test", evaluation).values
    assert list(values.values()) == pytest.approx([0.3596, 0.2283, 0.2759], rel=0.03)
