"""The compiled steps of gmf, mlp and neumf against those in PyTorch, and its Adam against the formula."""

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import models, negatives, splits, trainers
from recbench.data import Interactions
from recbench.errors import ConfigError, DivergedError

pytest.importorskip("numba")
from recbench.compiled import adam

NETWORKS = {
    "gmf": {"dim": 5},
    "mlp": {"layers": (8, 6, 5, 3)},
    "mlp of one layer": {"layers": (6, 4)},
    "neumf": {"dim": 3, "layers": (8, 6, 5)},
}


def split():
    stream = torch.Generator().manual_seed(0)
    taken = torch.rand(40, 23, generator=stream) < 0.3
    users, items = torch.nonzero(taken, as_tuple=True)
    return splits.build("random", valid=0.2).apply(
        Interactions.from_frame(pd.DataFrame({"user": users.numpy(), "item": items.numpy()}))
    )


def fitted(network, backend, seed=0, data=None, model_options=None, **options):
    data = data or split()
    model = models.build(network.split()[0], data.train, seed, **NETWORKS[network], **(model_options or {}))
    sampler = negatives.build("uniform", data.train, n_negatives=3)
    trainer = trainers.build("gradient", **({"epochs": 3, "batch_size": 7, "lr": 0.01} | options))
    return model, trainer.fit(model, data, seed=seed, negatives=sampler, backend=backend)


@pytest.mark.parametrize(("loss", "optimizer"), [("bce", "adam"), ("bce", "sgd"), ("bpr", "sgd")])
@pytest.mark.parametrize("network", NETWORKS)
def test_three_epochs_equal_those_in_torch(network, loss, optimizer):
    """The same pairs, negatives and steps: every parameter and the loss to rounding, whatever the part.

    With bpr some gradients are sums of what cancels; Adam would make steps of full size of what rounding leaves.
    """
    options = {"model_options": {"loss": loss}, "optimizer": optimizer, "lr": 0.01 if optimizer == "adam" else 0.5}
    compiled, of_compiled = fitted(network, "compiled", **options)
    plain, of_plain = fitted(network, "torch", **options)
    start = models.build(network.split()[0], split().train, 0, **NETWORKS[network], loss=loss)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for name, values in plain.state_dict().items():
        moved = not torch.allclose(values, start.state_dict()[name])
        assert moved or (loss, name) == ("bpr", "output.bias"), f"{name} should have moved"
        torch.testing.assert_close(compiled.state_dict()[name], values, rtol=2e-4, atol=2e-6, msg=name)
    for ours, theirs in zip(of_compiled.curve, of_plain.curve):
        assert ours.values == pytest.approx(theirs.values, rel=1e-6)


def test_repeats_its_bits_and_another_seed_gives_others():
    first, again, other = (fitted("neumf", "compiled", seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mlp_user.weight"], other["mlp_user.weight"])


@pytest.mark.parametrize("gap", [0, 1, 40, adam.HORIZON - 1, adam.HORIZON, adam.HORIZON + 150])
def test_waiting_rows_move_as_adam_moves_them(gap):
    """A row with two gradients and ``gap`` steps without one between and after them, in the formula in float64."""
    n_steps = 2 * (gap + 1)
    slopes = np.zeros((n_steps, 2))
    slopes[0], slopes[gap + 1] = (1.0, -0.002), (0.5, 0.03)
    value, first, second = np.array([0.1, -0.2]), np.zeros(2), np.zeros(2)
    for step, slope in enumerate(slopes, 1):
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        value = value - 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)

    table = adam.table(np.array([[9.0, 9.0], [0.1, -0.2]], np.float32))
    rates, row = adam.rates(0.01, 0, n_steps), np.array([1, 1])
    for before in (0, gap + 1):
        adam.catch_up(table, row, before, rates)
        table.slope[1] = slopes[before]
        adam.move(table, row, before + 1, rates)
        assert not table.slope.any()
    adam.catch_up(table, np.arange(2), n_steps, rates)
    np.testing.assert_allclose(table.values[1], value, rtol=0, atol=3e-6)
    np.testing.assert_allclose(table.first[1], first, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(table.second[1], second, rtol=1e-4, atol=1e-12)
    assert table.values[0].tolist() == [9.0, 9.0], "a row without a gradient never moves"
    assert table.taken.tolist() == [adam.NEVER, n_steps]


@pytest.mark.parametrize(
    ("model_options", "options", "wanted"),
    [
        ({"reg": 0.1}, {}, "model.reg=0 (here 0.1)"),
        ({"dropout": 0.5}, {}, "model.dropout=0 (here 0.5)"),
        ({}, {"optimizer": "adagrad"}, "trainer.optimizer=adam|sgd (here adagrad)"),
        ({}, {"weight_decay": 0.1}, "trainer.weight_decay=0 (here 0.1)"),
        ({}, {"schedule": "linear"}, "trainer.schedule=constant (here linear)"),
        ({}, {"clip_norm": 1.0}, "trainer.clip_norm=null (here 1.0)"),
    ],
)
def test_what_there_are_no_loops_for(model_options, options, wanted):
    with pytest.raises(ConfigError) as error:
        fitted("neumf", "compiled", model_options=model_options, **options)
    assert str(error.value) == (
        f"backend = 'compiled': takes {wanted}; or write backend=auto, which is torch where there are no compiled "
        "loops."
    )
    model, _ = fitted("neumf", "auto", model_options=model_options, **options)
    plain, _ = fitted("neumf", "torch", model_options=model_options, **options)
    assert all(torch.equal(values, plain.state_dict()[name]) for name, values in model.state_dict().items())


def test_a_step_too_long_is_an_error():
    with pytest.raises(DivergedError) as error:
        fitted("mlp", "compiled", optimizer="sgd", lr=1e20)
    assert str(error.value) == "the loss of MLP is no longer finite in epoch 1 (lr 1e+20). Lower trainer.lr."
