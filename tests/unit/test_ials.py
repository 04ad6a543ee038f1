"""iALS as a part: options, errors, choice of the epoch, blocks, seeds; its sums are checked in tests/reference."""

import math

import pandas as pd
import pytest
import torch

from recbench import models, splits, trainers
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError, DivergedError
from recbench.models import AlternatingModel
from recbench.models.ials import INIT_LENGTH
from recbench.nn import least_squares
from recbench.nn.least_squares import LeastSquares, approach, solve_exactly
from recbench.options import Config


def frame(n_users=20, n_items=12):
    stream = torch.Generator().manual_seed(0)
    taken = torch.rand(n_users, n_items, generator=stream) < torch.linspace(0.8, 0.2, n_items)
    users, items = torch.nonzero(taken, as_tuple=True)
    rows = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    rows["rating"] = 1.0 + (rows["user"] + rows["item"]) % 5
    return rows


def split(rows=None, valid=0.2):
    return splits.build("random", valid=valid).apply(Interactions.from_frame(frame() if rows is None else rows))


def fitted(data, seed=0, validate=None, model_options=None, **options):
    model = models.build("ials", data.train, seed, **({"dim": 4} | (model_options or {})))
    trainer = trainers.build("alternating", **({"epochs": 3} | options))
    return model, trainer.fit(model, data, seed=seed, validate=validate)


# The model


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_the_same_seed_gives_the_same_bits_and_another_others(solver):
    data = split()
    first, again, other = (fitted(data, seed, model_options={"solver": solver})[0] for seed in (0, 0, 1))
    assert torch.equal(first.user, again.user)
    assert torch.equal(first.item, again.item)
    assert not torch.equal(first.item, other.item)


def test_first_vectors_are_as_long_as_the_paper_says():
    data = splits.build("none").apply(Interactions.from_frame(frame(400, 300)))
    model = models.build("ials", data.train, dim=50)
    for table in (model.user, model.item):
        assert float(table.square().sum(1).mean().sqrt()) == pytest.approx(INIT_LENGTH, rel=0.02)
        assert float(table.mean()) == pytest.approx(0.0, abs=1e-3)


def test_vectors_are_those_of_the_training_whatever_history_comes_along():
    data = split()
    model, _ = fitted(data)
    other = Histories.from_pairs(torch.tensor([0, 0]), torch.tensor([3, 1]), 2)
    found = model.score(UserBatch(torch.tensor([7, 2]), other))
    torch.testing.assert_close(found, model.user_vectors()[[7, 2]] @ model.item_vectors().T)


def test_a_user_without_training_gets_zeros_and_does_not_stop_the_rest():
    rows = frame()
    rows["part"] = (rows["user"] == 3).astype(int) * 2
    data = splits.build("fixed").apply(Interactions.from_frame(rows, part="part"))
    for solver in ("cholesky", "cg"):
        model, _ = fitted(data, model_options={"solver": solver}, epochs=30)
        index = int(data.train.user_vocabulary.indices(["3"])[0])
        assert int(data.train.histories.counts[index]) == 0
        assert float(model.user[index].abs().max()) < 1e-6
        assert float(model.user.norm(dim=1).median()) > 0.1


@pytest.mark.parametrize("confidence", ["linear", "log"])
def test_confidences_by_ratings_need_ratings_above_zero(confidence):
    options = {"confidence": confidence}
    with pytest.raises(ConfigError) as error:
        fitted(split(frame().drop(columns="rating")), model_options=options)
    assert str(error.value) == f"model.confidence = '{confidence}': goes by ratings, and there are none; use 'equal'."
    rows = frame()
    rows.loc[rows["user"] == 1, "rating"] = -0.5
    with pytest.raises(ConfigError) as error:
        fitted(split(rows), model_options=options)
    assert str(error.value) == (
        f"model.confidence = '{confidence}': needs ratings above 0, and the lowest is -0.5; use 'equal', or leave "
        "such pairs out (dataset.min_rating)."
    )
    data = split()
    model, _ = fitted(data, model_options=options)
    unrated = Histories.from_pairs(torch.tensor([0]), torch.tensor([3]), 1)
    with pytest.raises(ConfigError, match="goes by ratings, and there are none"):
        model.score(UserBatch(torch.tensor([-1]), unrated))


def test_equal_confidences_ignore_ratings():
    with_ratings, _ = fitted(split())
    without, _ = fitted(split(frame().drop(columns="rating")))
    assert torch.equal(with_ratings.user, without.user)


def test_options_without_effect_are_errors():
    data = split()
    with pytest.raises(ConfigError) as error:
        models.build("ials", data.train, epsilon=0.5, confidence="linear")
    assert str(error.value) == (
        "model 'ials' cannot be configured:\n  epsilon = 0.5: has no effect without confidence='log'."
    )
    with pytest.raises(ConfigError) as error:
        models.build("ials", data.train, cg_steps=5)
    assert str(error.value) == (
        "model 'ials' cannot be configured:\n  cg_steps = 5: has no effect without solver='cg'."
    )
    with pytest.raises(ConfigError) as error:
        models.build("ials", data.train, alpha0=0.0, reg=0.0, nu=-1.0, confidence="square", solver="lu", cg_steps=0)
    assert str(error.value) == (
        "model 'ials' cannot be configured:\n"
        "  alpha0 = 0.0: should be greater than 0.\n"
        "  reg = 0.0: should be greater than 0.\n"
        "  nu = -1.0: should be at least 0.\n"
        "  confidence = 'square': should be 'equal', 'linear' or 'log'.\n"
        "  solver = 'lu': should be 'cholesky' or 'cg'.\n"
        "  cg_steps = 0: should be at least 1."
    )


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_a_singular_problem_says_what_to_change(solver):
    """Eight dimensions, two items, and too little regularisation for float32."""
    data = splits.build("none").apply(Interactions.from_frame(pd.DataFrame({"user": [1, 2], "item": [1, 2]})))
    with pytest.raises(DivergedError) as error:
        fitted(data, model_options={"dim": 8, "nu": 0.0, "reg": 1e-30, "solver": solver})
    assert str(error.value) == "a least-squares problem is not positive definite in float32. Raise model.reg."


# The solver


def problems(n_rows=40, n_vectors=30, dim=5):
    """Return problems whose rows have 0 to all entries, and vectors."""
    stream = torch.Generator().manual_seed(1)
    taken = torch.rand(n_rows, n_vectors, generator=stream) < torch.linspace(0, 1, n_rows)[:, None] ** 2
    rows, entries = torch.nonzero(taken, as_tuple=True)
    order = torch.randperm(len(rows), generator=stream)
    quadratic, linear = torch.rand(2, len(rows), generator=stream) + 0.1
    reg = torch.rand(n_rows, generator=stream) + 0.1
    histories = Histories.from_pairs(rows[order], entries[order], n_rows)
    return LeastSquares(histories, quadratic, linear, 0.3, reg), torch.randn(n_vectors, dim, generator=stream)


@pytest.mark.parametrize("numbers", [1, 100, 1000, 10**6])
def test_blocks_do_not_change_solutions(numbers, monkeypatch):
    """In one block of all rows, in one a row, and between; against dense solves in float64."""
    problem, vectors = problems()
    rows, v = problem.rows, vectors.double()
    expected = []
    for r in range(len(rows)):
        entries = slice(int(rows.offsets[r]), int(rows.offsets[r + 1]))
        held = v[rows.items[entries]]
        system = held.T @ (problem.quadratic[entries, None].double() * held) + 0.3 * v.T @ v
        system += problem.reg[r].double() * torch.eye(v.shape[1])
        expected.append(torch.linalg.solve(system, held.T @ problem.linear[entries].double()))
    monkeypatch.setattr(least_squares, "BLOCK_NUMBERS", numbers)
    torch.testing.assert_close(solve_exactly(problem, vectors).double(), torch.stack(expected), rtol=1e-4, atol=1e-6)
    start = torch.ones(len(rows), v.shape[1])
    found = approach(problem, vectors, start, 12)
    torch.testing.assert_close(found.double(), torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_each_step_comes_nearer():
    problem, vectors = problems()
    exact = solve_exactly(problem, vectors)
    start = torch.zeros_like(exact)
    distances = [float((approach(problem, vectors, start, steps) - exact).norm()) for steps in (1, 2, 3, 4)]
    assert distances == sorted(distances, reverse=True)
    assert distances[2] < 0.05 * float(exact.norm())


# The trainer


def test_the_curve_has_the_objective_of_every_epoch_and_the_last_is_kept():
    data = split(valid=0.0)
    model, result = fitted(data, epochs=4)
    longer, longer_result = fitted(data, epochs=6)
    losses = [record.values["loss"] for record in longer_result.curve]
    assert losses == sorted(losses, reverse=True)
    assert [record.values for record in result.curve] == [{"loss": loss} for loss in losses[:4]]
    assert (result.best_epoch, longer_result.best_epoch) == (4, 6)
    assert not torch.equal(model.user, longer.user)
    assert not model.training


def test_the_best_epoch_on_validation_is_kept_and_patience_ends_the_fit():
    values = iter([0.2, 0.5, 0.4, 0.5, 0.3, 0.9])
    data = split()
    model, result = fitted(data, epochs=6, patience=3, validate=lambda _: {"ndcg@10": next(values)})
    assert result.best_epoch == 2
    assert [record.values["valid/ndcg@10"] for record in result.curve] == [0.2, 0.5, 0.4, 0.5, 0.3]
    two, _ = fitted(data, epochs=2, selection="last")
    assert torch.equal(model.user, two.user)
    assert torch.equal(model.item, two.item)


def test_no_epochs_leave_the_model_as_it_starts():
    data = split()
    model, result = fitted(data, epochs=0, selection="last")
    assert torch.equal(model.item, models.build("ials", data.train, dim=4).item)
    assert (result.best_epoch, result.curve) == (0, ())


def test_it_is_told_of_each_epoch():
    data, told = split(valid=0.0), []
    model = models.build("ials", data.train, dim=4)
    result = trainers.build("alternating", epochs=3).fit(model, data, on_epoch=told.append)
    assert tuple(told) == result.curve


class Diverging(AlternatingModel):
    """Loses its objective in the second sweep."""

    def score(self, batch, items=None):
        raise NotImplementedError

    def sweeps(self, train):
        yield from (1.0, math.nan)


def test_trainer_errors_say_what_to_write():
    data = split(valid=0.0)
    with pytest.raises(ConfigError) as error:
        trainers.build("alternating").fit(models.build("popularity", data.train), data)
    assert str(error.value) == "Popularity is no AlternatingModel, and the trainer 'alternating' fits no other."
    with pytest.raises(ConfigError) as error:
        fitted(data, selection="valid")
    assert str(error.value) == (
        "trainer.selection = 'valid': the split has no such part; use 'last', or a split with one."
    )
    with pytest.raises(DivergedError) as error:
        trainers.build("alternating").fit(Diverging(Config(), data.train), data)
    assert str(error.value) == "the objective of Diverging is no longer finite in epoch 2. Raise model.reg."
