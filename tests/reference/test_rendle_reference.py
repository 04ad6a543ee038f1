"""MF with the logistic loss as Rendle et al. 2020 train it, against loops over single examples in plain numpy."""

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import models, negatives, splits, trainers
from recbench.data import Interactions
from recbench.randomness import generator

LR, REG, N_NEGATIVES = 0.05, 0.1, 8
OPTIONS = {"dim": 3, "loss": "bce_sum", "reg": REG, "init_std": 0.1}


@pytest.fixture(scope="module")
def data():
    taken = torch.rand(30, 20, generator=torch.Generator().manual_seed(0)) < 0.3
    users, items = torch.nonzero(taken, as_tuple=True)
    frame = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    return splits.build("random", test=0.0, valid=0.0).apply(Interactions.from_frame(frame))


def fitted(data, sampler="uniform", lr=LR, epochs=1, batch_size=1, **options):
    """Return the parameters before and after, and the result of the fit."""
    model = models.build("mf", data.train, 0, **OPTIONS | options)
    before = as_numpy(model)
    drawn = {"n_negatives": N_NEGATIVES, "reject_seen": False} if sampler == "uniform" else {}
    trainer = trainers.build("gradient", optimizer="sgd", lr=lr, epochs=epochs, batch_size=batch_size)
    sampler = negatives.build(sampler, data.train, **drawn)
    result = trainer.fit(model, data, negatives=sampler, backend="torch")
    return before, as_numpy(model), result


def as_numpy(model):
    return {name: value.detach().double().numpy().copy() for name, value in model.state_dict().items()}


def examples(data):
    """Return for each positive, in the order of training, its user, its items (itself first) and their labels."""
    order = torch.randperm(len(data.train), generator=generator(0, "shuffle", 1))
    stream = generator(0, "negatives", 1)
    labels = [1.0] + [0.0] * N_NEGATIVES
    for index in order:
        others = torch.randint(data.train.n_items, (1, N_NEGATIVES), generator=stream)[0]
        yield int(data.train.users[index]), [int(data.train.items[index]), *others.tolist()], labels


def gradients(w, user, item, label):
    """Yield what one example moves, and its gradient: of the logistic loss and of reg / 2 times all five squares."""
    p, q = w["user.weight"][user], w["item.weight"][item]
    score = w["bias"] + w["user_bias.weight"][user, 0] + w["item_bias.weight"][item, 0] + p @ q
    slope = 1 / (1 + np.exp(-score)) - label
    yield "user.weight", user, slope * q + REG * p
    yield "item.weight", item, slope * p + REG * q
    yield "user_bias.weight", user, slope + REG * w["user_bias.weight"][user]
    yield "item_bias.weight", item, slope + REG * w["item_bias.weight"][item]
    yield "bias", (), slope + REG * w["bias"]


def test_steps_over_single_positives_equal_a_plain_loop(data):
    """A batch of one is a positive with its negatives: nine examples that are summed at the same parameters."""
    w, found, _ = fitted(data)
    n_steps = 0
    for user, items, labels in examples(data):
        moves = [move for item, label in zip(items, labels) for move in gradients(w, user, item, label)]
        for name, row, gradient in moves:
            w[name][row] -= LR * gradient
        n_steps += 1
    assert n_steps >= 10
    for name, value in w.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_order_within_a_batch_hardly_matters_at_the_rate_of_the_paper(data):
    """Their loop moves after each example, and an item by the user's vector as just moved."""
    start, found, _ = fitted(data, lr=0.002)
    w = {name: value.copy() for name, value in start.items()}
    for user, items, labels in examples(data):
        for item, label in zip(items, labels):
            for name, row, _ in list(gradients(w, user, item, label)):
                move = next(move for other, _, move in gradients(w, user, item, label) if other == name)
                w[name][row] -= 0.002 * move
    for name, value in w.items():
        moved = np.linalg.norm(value - start[name])
        assert np.linalg.norm(found[name] - value) < 0.02 * moved, name


def test_larger_batches_sum_so_that_the_rate_keeps_its_meaning(data):
    """Each pair steps as far in a batch of 4 or 16 positives as alone; a mean would make it 9 to 144 times less."""
    _, alone, one = fitted(data, lr=0.01, epochs=5)
    for batch_size in (4, 16):
        before, together, result = fitted(data, lr=0.01, epochs=5, batch_size=batch_size)
        for name, value in alone.items():
            moved = np.linalg.norm(value - before[name])
            assert np.linalg.norm(together[name] - value) < 0.15 * moved, (name, batch_size)
        losses = [[record.values["loss"] for record in fit.curve] for fit in (one, result)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_shared_negatives_are_pairs_too(data):
    """With negatives that all users of a batch share, each of them makes a pair with each user."""
    w, found, _ = fitted(data, "in_batch", batch_size=10_000)
    order = torch.randperm(len(data.train), generator=generator(0, "shuffle", 1))
    users, items = data.train.users[order], data.train.items[order]
    drawn = negatives.build("in_batch", data.train).sample(users, items, generator(0, "negatives", 1))
    parameters = {name: torch.tensor(value, requires_grad=True) for name, value in w.items()}
    p, q = parameters["user.weight"][users], parameters["item.weight"][items]
    a, b = parameters["user_bias.weight"][users], parameters["item_bias.weight"][items]
    scores = parameters["bias"] + a + b.T + p @ q.T
    loss = -torch.nn.functional.logsigmoid(scores.diagonal()).sum()
    loss = loss - (torch.nn.functional.logsigmoid(-scores) * drawn.keep).sum()
    n = len(users)
    squares = sum(part.square().sum() for part in (p, q, a, b)) * n + n * n * parameters["bias"].square()
    (loss + REG / 2 * squares).backward()
    for name, value in parameters.items():
        expected = (value - LR * value.grad).detach().numpy()
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-3, err_msg=name)
