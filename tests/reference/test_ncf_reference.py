"""GMF, MLP and NeuMF against the paper's formulas written out plainly, and MF against its own."""

import math

import pandas as pd
import pytest
import torch

from recbench import models
from recbench.data import Histories, Interactions, UserBatch
from recbench.errors import ConfigError

N_USERS, N_ITEMS = 7, 9


@pytest.fixture(scope="module")
def train():
    pairs = [(user, item) for user in range(N_USERS) for item in range(N_ITEMS) if (user * 3 + item) % 4]
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    frame["rating"] = 1.0 + frame["item"] % 5
    return Interactions.from_frame(frame)


def everyone():
    users = torch.arange(N_USERS)
    return UserBatch(users, Histories(torch.zeros(N_USERS + 1, dtype=torch.int64), torch.empty(0, dtype=torch.int64)))


def randomised(name, train, **options):
    model = models.build(name, train, 3, **options)
    stream = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    return model


def tower(weights, user, item):
    """Equation 10: the concatenation through ReLU layers."""
    hidden = torch.cat([user, item])
    depth = 0
    while f"tower.linear.{depth}.weight" in weights:
        hidden = torch.relu(weights[f"tower.linear.{depth}.weight"] @ hidden + weights[f"tower.linear.{depth}.bias"])
        depth += 1
    return hidden


def gmf(w, u, i):
    return w["output.weight"][0] @ (w["user.weight"][u] * w["item.weight"][i]) + w["output.bias"][0]


def mlp(w, u, i):
    return w["output.weight"][0] @ tower(w, w["user.weight"][u], w["item.weight"][i]) + w["output.bias"][0]


def neumf(w, u, i):
    left = w["gmf_user.weight"][u] * w["gmf_item.weight"][i]
    right = tower(w, w["mlp_user.weight"][u], w["mlp_item.weight"][i])
    return w["output.weight"][0] @ torch.cat([left, right]) + w["output.bias"][0]


def mf(w, u, i):
    return (
        w["user.weight"][u] @ w["item.weight"][i]
        + w["bias"]
        + w["user_bias.weight"][u, 0]
        + w["item_bias.weight"][i, 0]
    )


PLAIN = {
    "gmf": (gmf, {"dim": 5}),
    "mlp": (mlp, {"layers": (8, 6, 3)}),
    "mf": (mf, {"dim": 4}),
    "neumf": (neumf, {"dim": 5, "layers": (8, 6, 3)}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_scores_equal_the_formula(name, train):
    formula, options = PLAIN[name]
    model = randomised(name, train, **options)
    weights = model.state_dict()
    expected = torch.stack([torch.stack([formula(weights, u, i) for i in range(N_ITEMS)]) for u in range(N_USERS)])
    with torch.no_grad():
        torch.testing.assert_close(model.score(everyone()), expected, rtol=1e-5, atol=1e-5)
        candidates = torch.stack([torch.tensor([user % N_ITEMS, 4, 8]) for user in range(N_USERS)])
        some = model.score(everyone(), candidates)
    torch.testing.assert_close(some, expected.gather(1, candidates), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_the_penalty_counts_every_looked_up_row(name, train):
    model = randomised(name, train, **PLAIN[name][1])
    users, items = torch.tensor([2, 2]), torch.tensor([[1, 3], [1, 1]])
    tables = {
        key: value
        for key, value in model.state_dict().items()
        if key.endswith("weight") and "tower" not in key and "output" not in key
    }
    expected = sum(
        float(table[users if "user" in key else items.flatten()].square().sum()) for key, table in tables.items()
    )
    if name == "mf":
        expected += 2 * float(model.bias.detach()) ** 2
    assert float(model.penalty(users, items).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("init", "factor", "of_output"), [("glorot", 6, 3), ("uniform", 1, 1)])
def test_first_values_of_the_layers(init, factor, of_output, train):
    """Glorot's reach as far as the root of 6 over inputs and outputs, LeCun's of 3 over inputs, PyTorch's of 1."""
    model = models.build("mlp", train, 0, layers=(400, 300, 200), layer_init=init)
    for layer in (*model.tower.linear, model.output):
        inputs, outputs = layer.in_features, layer.out_features
        if layer is model.output:
            bound = math.sqrt(of_output / inputs)
        else:
            bound = math.sqrt(factor / (inputs + outputs if init == "glorot" else inputs))
        assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert float(layer.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        biases = layer.bias.detach()
        assert float(biases.abs().max()) <= (0 if init == "glorot" else bound)
        if init == "uniform" and len(biases) > 1:
            assert float(biases.std()) == pytest.approx(bound / math.sqrt(3), rel=0.2)


@pytest.mark.parametrize("name", ["mlp", "neumf"])
def test_dropout_draws_anew_for_every_pair(name, train):
    """With the items' half of the first layer at 0 only what is left of the user tells the pairs of a user apart."""
    tower = models.build(name, train, 0, layers=(32, 4), dropout=0.5).tower
    (layer,) = tower.linear
    with torch.no_grad():
        layer.weight[:, 16:] = 0
        layer.bias.fill_(100)
        vectors, items = torch.rand(3, 16) + 1, torch.rand(1000, 16)
        torch.manual_seed(0)
        dropped, whole = tower.train()(vectors, items), tower.eval()(vectors, items)
    assert dropped.shape == whole.shape == (3, 1000, 4)
    assert all(len(pairs.unique(dim=0)) > 900 for pairs in dropped)
    assert all(len(pairs.unique(dim=0)) == 1 for pairs in whole)
    torch.testing.assert_close(dropped.mean(1), whole.mean(1), atol=0.3, rtol=0)


def test_neumf_starts_from_a_gmf_and_an_mlp(train):
    """Equation 13: the score at the start is alpha times the one's and (1 - alpha) times the other's."""
    left, right = randomised("gmf", train, dim=5), randomised("mlp", train, layers=(8, 6, 3))
    model = models.build("neumf", train, 0, dim=5, layers=(8, 6, 3))
    model.start_from(left.state_dict(), right.state_dict(), 0.3)
    with torch.no_grad():
        expected = 0.3 * left.score(everyone()) + 0.7 * right.score(everyone())
        torch.testing.assert_close(model.score(everyone()), expected, rtol=1e-5, atol=1e-5)


def test_neumf_refuses_runs_that_do_not_fit(train):
    left, right = randomised("gmf", train, dim=4), randomised("mlp", train, layers=(8, 6, 3))
    model = models.build("neumf", train, 0, dim=5, layers=(8, 6, 3))
    with pytest.raises(ConfigError) as error:
        model.start_from(left.state_dict(), right.state_dict(), 0.5)
    assert str(error.value) == (
        "the pre-trained weights do not fit: gmf_item.weight is (9, 4) there and (9, 5) here; "
        "choose the same model.dim and model.layers."
    )


def test_neumf_wants_both_runs_or_none(train):
    with pytest.raises(ConfigError) as error:
        models.build("neumf", train, 0, pretrained_gmf="somewhere")
    assert str(error.value) == (
        "model 'neumf' cannot be configured:\n  pretrained_gmf and pretrained_mlp go together: name both, or none."
    )


BOTH = {"pretrained_gmf": "one", "pretrained_mlp": "another"}


@pytest.mark.parametrize(
    ("name", "options", "mistake"),
    [
        (
            "neumf",
            {"alpha": 0.3},
            "alpha = 0.3: has no effect without pretrained_gmf and pretrained_mlp; name both, or leave alpha alone.",
        ),
        (
            "neumf",
            {"init_std": 0.1, **BOTH},
            "init_std = 0.1: has no effect with pretrained_gmf and pretrained_mlp; leave it alone.",
        ),
        (
            "gmf",
            {"init_std": 0.1, "pretrained": "one"},
            "init_std = 0.1: has no effect with pretrained; leave it alone.",
        ),
        (
            "mlp",
            {"init_std": 0.1, "pretrained": "one"},
            "init_std = 0.1: has no effect with pretrained; leave it alone.",
        ),
        (
            "mlp",
            {"layer_init": "uniform", "pretrained": "one"},
            "layer_init = 'uniform': has no effect with pretrained; leave it alone.",
        ),
    ],
)
def test_options_without_effect_are_refused(name, options, mistake, train):
    with pytest.raises(ConfigError) as error:
        models.build(name, train, 0, **options)
    assert str(error.value) == f"model '{name}' cannot be configured:\n  {mistake}"


@pytest.mark.parametrize("name", ["mf", "gmf"])
def test_the_vectors_give_the_scores(name, train):
    model = randomised(name, train, **PLAIN[name][1])
    with torch.no_grad():
        torch.testing.assert_close(
            model.user_vectors() @ model.item_vectors().T, model.score(everyone()), rtol=1e-5, atol=1e-5
        )


def test_first_values_are_as_in_the_paper():
    """N(0, 0.01) embeddings, a LeCun-uniform output, a Glorot-uniform tower, zero biases."""
    frame = pd.DataFrame({"user": [str(n) for n in range(3000)], "item": [str(n) for n in range(3000)]})
    model = models.build("neumf", Interactions.from_frame(frame), 0)
    for table in (model.gmf_user, model.gmf_item, model.mlp_user, model.mlp_item):
        assert float(table.weight.detach().std()) == pytest.approx(0.01, rel=0.03)
        assert abs(float(table.weight.detach().mean())) < 5 * 0.01 / (3000 * 8) ** 0.5
    assert float(model.output.weight.detach().abs().max()) <= (3 / 16) ** 0.5
    assert float(model.output.weight.detach().abs().max()) > 0.7 * (3 / 16) ** 0.5
    first = model.tower.linear[0].weight
    assert float(first.detach().abs().max()) == pytest.approx((6 / (64 + 32)) ** 0.5, rel=0.02)
    assert float(model.output.bias.detach()) == 0 and float(model.tower.linear[0].bias.detach().abs().max()) == 0


@pytest.mark.parametrize("layers", [(8,), (7, 4), (8, 0)])
def test_impossible_towers_are_refused(layers, train):
    with pytest.raises(ConfigError, match="should be at least two positive widths, the first even"):
        models.build("mlp", train, 0, layers=layers)
