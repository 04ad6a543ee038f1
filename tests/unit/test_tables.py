"""Tables of vectors: rows, products of rows, sums of squares, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recbench.nn import tables
from recbench.nn.tables import Table, products_of_rows


def table(n_rows: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Table:
    values = torch.randn(n_rows, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return Table.from_pretrained(values, freeze=False)


def numbers(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("rows", [[3], [[0, 2, 2], [4, 0, 2]], [[]]], ids=["one", "some twice, 1 and 3 never", "none"])
def test_rows_and_their_gradient_are_torchs_own_to_the_bit(rows, dim):
    ours, rows = table(5, dim), torch.tensor(rows, dtype=torch.int64)
    plain = nn.Embedding.from_pretrained(ours.weight.detach().clone(), freeze=False)
    factors = numbers(*rows.shape, dim)
    for each in (ours, plain):
        (each(rows) * factors).sum().backward()
    assert torch.equal(ours(rows), plain(rows))
    assert torch.equal(ours.weight.grad, plain.weight.grad)


def test_gradients_of_the_rows_alone_are_torchs():
    """As the optimisers want it that move no other rows."""
    users, items, rows = table(4, 2), table(6, 2), torch.tensor([[1, 1], [3, 0]])
    users.sparse = items.sparse = True
    products_of_rows(users, items, torch.tensor([2, 2]), rows).sum().backward()
    for side, found, met in ((users, [2], items.weight[rows].sum((0, 1))[None]), (items, [0, 1, 3], None)):
        gradient = side.weight.grad.coalesce()
        assert gradient.indices().tolist() == [found]
        expected = torch.tensor([[1.0], [2.0], [1.0]]) * users.weight[2] if met is None else met
        torch.testing.assert_close(gradient.values(), expected)


WAYS = {
    "dense": ((False, False), "_ProductsBackward", "_LookUpBackward"),
    "users sparse": ((True, False), "_OwnProductsBackward", "EmbeddingBackward0"),
    "items sparse": ((False, True), "_OwnProductsBackward", "_LookUpBackward"),
}


@pytest.mark.parametrize("sparse, of_products, of_rows", WAYS.values(), ids=WAYS)
def test_gradients_take_the_way_that_the_optimiser_wants(sparse, of_products, of_rows):
    """Both tables must be dense for the products' own; each gives the kind of gradient that it is asked for."""
    sides = table(4, 2), table(6, 2)
    sides[0].sparse, sides[1].sparse = sparse
    products = products_of_rows(*sides, torch.tensor([2, 2]), torch.tensor([[1, 1], [3, 0]]))
    assert (products.grad_fn.name(), sides[0](torch.tensor([1])).grad_fn.name()) == (of_products, of_rows)
    products.sum().backward()
    assert tuple(side.weight.grad.is_sparse for side in sides) == sparse


OPTIONS = [{"padding_idx": 1}, {"max_norm": 0.5}, {"scale_grad_by_freq": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=[next(iter(options)) for options in OPTIONS])
def test_options_of_an_embedding_keep_their_meaning(options):
    """Of rows, of products and of sums of squares."""
    values, rows, gradients = numbers(4, 2), torch.tensor([[1, 3, 3], [1, 0, 1]]), []
    for kind in (Table, nn.Embedding):
        each = kind.from_pretrained(values.clone(), freeze=False, **options)
        others = table(2, 2)
        found = each(rows)
        square = each.squares(rows) if kind is Table else each(rows).square().sum()
        products = products_of_rows(others, each, torch.tensor([0, 1]), rows) if kind is Table else 0
        if kind is nn.Embedding:
            products = (others(torch.tensor([0, 1]))[:, None] * each(rows)).sum(-1)
        (found.sum() + square + products.sum()).backward()
        gradients.append([found, each.weight.grad, each.weight])
    for ours, torchs in zip(*gradients):
        torch.testing.assert_close(ours, torchs)


def test_products_of_what_does_not_fit_are_refused():
    users, items = torch.tensor([0]), torch.tensor([[0], [1]])
    with pytest.raises(ValueError) as error:
        products_of_rows(table(4, 2), table(4, 2), users, items)
    assert str(error.value) == "1 users, and items for 2 of them."
    with pytest.raises(ValueError) as error:
        products_of_rows(table(4, 1), table(4, 2), users, items[:1])
    assert str(error.value) == "vectors of 1 and of 2 numbers have no product."


@pytest.mark.parametrize("n_candidates", [0, 1, 2, 5])
def test_gradients_of_products_are_those_by_differences(n_candidates):
    """With rows that stand twice and rows that never do, of both tables and of each alone."""
    stream = torch.Generator().manual_seed(1)
    users, items = torch.tensor([2, 0, 2, 4]), torch.randint(6, (4, n_candidates), generator=stream)
    for learnt in ((True, False), (False, True), (True, True)):
        sides = [table(5, 3, 0, torch.float64), table(7, 3, 1, torch.float64)]
        for side, wanted in zip(sides, learnt):
            side.weight.requires_grad_(wanted)

        def products(of_users, of_items):
            return tables._Products.apply(of_users, of_items, users, items)

        assert torch.autograd.gradcheck(products, [side.weight for side in sides])


@pytest.mark.parametrize("n_users", [50, 2**16 + 1], ids=["few rows", "more than 16 bits"])
def test_products_are_those_of_looked_up_rows(n_users, monkeypatch):
    """By whole and by small blocks, with the gradients of autograd: rows meet up to a hundred others."""
    stream = torch.Generator().manual_seed(2)
    users = torch.randint(n_users - 50, n_users, (300,), generator=stream)
    items, factors = torch.randint(20, (300, 3), generator=stream), numbers(300, 3)
    found = []
    for block in (tables.BLOCK, 7 * 3 * 4, 1):
        monkeypatch.setattr(tables, "BLOCK", block)
        sides = table(n_users, 4), table(20, 4, 1)
        products = products_of_rows(*sides, users, items)
        (products * factors).sum().backward()
        found.append([products, *(side.weight.grad for side in sides)])
    plain = table(n_users, 4), table(20, 4, 1)
    wanted = (plain[0](users)[:, None] * plain[1](items)).sum(-1)
    (wanted * factors).sum().backward()
    for whole, *by_blocks, expected in zip(*found, [wanted, *(side.weight.grad for side in plain)]):
        torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-5)
        assert all(torch.equal(whole, other) for other in by_blocks)


def test_scores_have_the_same_bits_however_the_tables_are_learnt():
    """Without gradients no optimiser is to be seen in them."""
    stream = torch.Generator().manual_seed(4)
    users, items = torch.randint(9, (40,), generator=stream), torch.randint(7, (40, 3), generator=stream)
    sides = table(9, 33), table(7, 33, 1)
    with torch.no_grad():
        assert not any(side.adds_up for side in sides)
        dense = products_of_rows(*sides, users, items)
        for side in sides:
            side.sparse = True
        assert torch.equal(products_of_rows(*sides, users, items), dense)


def test_items_that_are_the_same_for_all_users():
    users, items = table(4, 3), table(6, 3, 1)
    found = products_of_rows(users, items, torch.tensor([1, 3]), torch.tensor([5, 0, 2]))
    assert torch.equal(found, users.weight[[1, 3]] @ items.weight[[5, 0, 2]].T)


def test_the_gradient_of_products_has_the_same_bits_with_any_number_of_threads():
    stream = torch.Generator().manual_seed(3)
    users, items = torch.randint(90, (5000,), generator=stream), torch.randint(70, (5000, 2), generator=stream)
    factors, before, found = numbers(5000, 2), torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3, 2):
            torch.set_num_threads(n_threads)
            sides = table(90, 16), table(70, 16, 1)
            (products_of_rows(*sides, users, items) * factors).sum().backward()
            found.append(torch.cat([side.weight.grad for side in sides]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("rows", [[2, 0, 2], [[2, 0, 2], [2, 4, 4]]], ids=["fewer than the table", "more"])
def test_sums_of_squares_count_each_occurrence(rows, sparse):
    """Of rows (1, 2) (3, 4) ... whose gradient is twice the row, as often as it is looked up.

    The rows are not looked up where they are more than the table has, unless their gradient is to be sparse.
    """
    values = torch.arange(1.0, 11).view(5, 2)
    ours, rows = Table.from_pretrained(values.clone(), freeze=False, sparse=sparse), torch.tensor(rows)
    total = ours.squares(rows)
    assert (total.grad_fn.name() == "SumBackward0") is (sparse or rows.numel() < 5)
    total.backward()
    assert ours.weight.grad.is_sparse is sparse
    times = torch.bincount(rows.flatten(), minlength=5).float()
    assert total.item() == sum(float(times[row]) * (values[row, 0] ** 2 + values[row, 1] ** 2) for row in range(5))
    gradient = ours.weight.grad.to_dense() if sparse else ours.weight.grad
    assert torch.equal(gradient, 2 * times[:, None] * values)


def test_an_unknown_row_is_refused():
    users, items = table(4, 3), table(6, 3, 1)
    for user, item in ((4, 0), (-1, 0), (0, 6), (0, -1)):
        asked = torch.tensor([user]), torch.tensor([[item]])
        with pytest.raises(IndexError):
            products_of_rows(users, items, *asked)
