"""iALS in compiled loops: the same solutions, objectives and bits as in PyTorch, however many threads there are."""

import pandas as pd
import pytest
import torch

from recbench import models, resolve, splits, trainers
from recbench.compiled import least_squares as compiled
from recbench.compiled.ials import IALSSweeps
from recbench.data import Histories, Interactions
from recbench.errors import DivergedError
from recbench.nn import least_squares
from recbench.nn.least_squares import LeastSquares

WEIGHTED = pytest.mark.parametrize("weighted", [True, False])
DIM = 5


def rated():
    """Return 20 users' ratings of 12 items, some of which are liked more than others."""
    taken = torch.rand(20, 12, generator=torch.Generator().manual_seed(0)) < torch.linspace(0.8, 0.2, 12)
    users, items = torch.nonzero(taken, as_tuple=True)
    rows = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    rows["rating"] = 1.0 + (rows["user"] + rows["item"]) % 5
    return splits.build("none").apply(Interactions.from_frame(rows))


def problems(weighted=True, n_rows=30, n_vectors=600, dim=DIM):
    """Return problems whose rows have from 0 to all vectors as entries, and the vectors."""
    stream = torch.Generator().manual_seed(1)
    taken = torch.rand(n_rows, n_vectors, generator=stream) < torch.linspace(0, 1, n_rows)[:, None] ** 2
    rows, entries = torch.nonzero(taken, as_tuple=True)
    order = torch.randperm(len(rows), generator=stream)
    quadratic, linear = torch.rand(2, len(rows), generator=stream) + 0.1 if weighted else (None, None)
    reg = 10 * torch.rand(n_rows, generator=stream) + 0.1
    histories = Histories.from_pairs(rows[order], entries[order], n_rows)
    return LeastSquares(histories, quadratic, linear, 0.3, reg), torch.randn(n_vectors, dim, generator=stream)


def gained(problem, vectors, solutions):
    """Return by how much the sum of the objectives is lower than where all solutions are 0, in float64."""
    rows, z, v = problem.rows, solutions.double(), vectors.double()
    dots = (z[rows.row_of_each()] * v[rows.items]).sum(1)
    a, b = (1.0 if given is None else given.double() for given in (problem.quadratic, problem.linear))
    everywhere = problem.everywhere * (z @ v.T).square().sum() + (problem.reg[:, None] * z.square()).sum()
    return -float((a * dots.square() - 2 * b * dots).sum() + everywhere)


@WEIGHTED
@pytest.mark.parametrize("threads", [1, 2])
def test_exact_solutions_are_those_of_torch(weighted, threads):
    """Among the rows one is empty, and some have more entries than are gathered at a time."""
    problem, vectors = problems(weighted)
    assert int(problem.rows.counts.min()) == 0 < 256 < int(problem.rows.counts.max())
    found = compiled.solve_exactly(problem, vectors, threads)
    expected = least_squares.solve_exactly(problem, vectors)
    torch.testing.assert_close(found.solutions, expected, rtol=1e-4, atol=1e-6)
    assert found.gained == pytest.approx(gained(problem, vectors, expected), rel=1e-5)


@WEIGHTED
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_conjugate_gradients_go_where_those_of_torch_go(weighted, threads, steps):
    problem, vectors = problems(weighted)
    start = torch.randn(len(problem.rows), DIM, generator=torch.Generator().manual_seed(2))
    found = compiled.approach(problem, vectors, start, steps, threads)
    expected = least_squares.approach(problem, vectors, start, steps)
    torch.testing.assert_close(found.solutions, expected, rtol=1e-4, atol=1e-5)
    assert found.gained == pytest.approx(gained(problem, vectors, expected), rel=1e-5)


def test_vectors_of_more_than_one_cache_line_are_whole():
    problem, vectors = problems(dim=20)
    start = torch.zeros(len(problem.rows), 20)
    found = compiled.approach(problem, vectors, start, 3, 1).solutions
    torch.testing.assert_close(found, least_squares.approach(problem, vectors, start, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_bits_repeat_and_are_the_same_on_two_threads(solver):
    data = rated()

    def swept(threads):
        model = models.build("ials", data.train, dim=DIM, solver=solver)
        engine = IALSSweeps(model, data.train, threads)
        return model, [engine.epoch(number)["loss"] for number in (1, 2, 3)]

    (first, losses), (again, same), (both, near) = swept(1), swept(1), swept(2)
    assert losses == same
    assert losses == pytest.approx(near, rel=1e-12)
    for other in (again, both):
        assert torch.equal(first.user, other.user)
        assert torch.equal(first.item, other.item)


@pytest.mark.parametrize("options", [{}, {"solver": "cg"}, {"confidence": "linear"}, {"solver": "cg", "nu": 0.0}])
def test_both_backends_fit_the_same_model_with_the_same_curve(options):
    data = rated()
    fitted, losses = {}, {}
    for backend in ("torch", "compiled"):
        fitted[backend] = models.build("ials", data.train, dim=DIM, **options)
        result = trainers.build("alternating", epochs=5).fit(fitted[backend], data, backend=backend)
        losses[backend] = [record.values["loss"] for record in result.curve]
    assert losses["compiled"] == pytest.approx(losses["torch"], rel=1e-5)
    for side in ("user_vectors", "item_vectors"):
        ours, theirs = (getattr(fitted[backend], side)() for backend in ("compiled", "torch"))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_singular_problem_is_refused():
    problem, vectors = problems()
    with pytest.raises(DivergedError, match="not positive definite in float32"):
        compiled.solve_exactly(
            LeastSquares(problem.rows, None, None, 0.3, torch.full_like(problem.reg, -1e9)), vectors, 2
        )


def test_auto_is_compiled_on_the_cpu_alone():
    config = resolve({"model": "ials", "dataset": "planted"}).config
    assert config.backend(torch.device("cpu")) == "compiled"
    assert config.backend(torch.device("cuda")) == "torch"
