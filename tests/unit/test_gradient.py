"""The gradient trainer and its optimisers against plain PyTorch loops."""

import copy
import math

import pandas as pd
import pytest
import torch
from torch import nn

from recbench import models, negatives, splits, trainers
from recbench.data import Interactions
from recbench.errors import ConfigError, DivergedError
from recbench.negatives import Negatives, Sampler
from recbench.negatives.uniform import Uniform, UniformConfig
from recbench.nn.products import dot_products
from recbench.nn.tables import Table
from recbench.randomness import generator
from recbench.trainers.optimizers import Descent, Optimizer, RowwiseAdagrad, build_optimizer


def split(valid=0.2):
    stream = torch.Generator().manual_seed(0)
    taken = torch.rand(24, 16, generator=stream) < 0.4
    users, items = torch.nonzero(taken, as_tuple=True)
    frame = pd.DataFrame({"user": users.numpy(), "item": items.numpy()})
    frame["rating"] = 1.0 + (frame["user"] + frame["item"]) % 5
    return splits.build("random", valid=valid).apply(Interactions.from_frame(frame))


def fitted(data, model="mf", seed=0, validate=None, on_epoch=None, negative="uniform", model_options=None, **options):
    network = models.build(model, data.train, seed, **(model_options or {}))
    sampler = negatives.build(negative, data.train) if negative else None
    trainer = trainers.build("gradient", **({"epochs": 3, "batch_size": 16} | options))
    result = trainer.fit(network, data, seed=seed, negatives=sampler, validate=validate, on_epoch=on_epoch)
    return network, result


def test_ten_steps_equal_a_plain_loop():
    """BPR with L2, Adam, 10 steps: the same numbers as autograd over the formulas, in the same order."""
    data = split()
    options = {"dim": 4, "biases": False, "loss": "bpr", "reg": 0.1}
    batch = math.ceil(len(data.train) / 10)
    network, _ = fitted(data, model_options=options, epochs=1, batch_size=batch, optimizer="adam", lr=0.01)

    plain = models.build("mf", data.train, 0, **options)
    user, item = plain.user.weight.detach().clone(), plain.item.weight.detach().clone()
    user.requires_grad_(), item.requires_grad_()
    adam = torch.optim.Adam([user, item], lr=0.01)
    order = torch.randperm(len(data.train), generator=generator(0, "shuffle", 1))
    stream = generator(0, "negatives", 1)
    sampler = negatives.build("uniform", data.train)
    for index in order.split(batch):
        users, positives = data.train.users[index], data.train.items[index]
        drawn = sampler.sample(users, positives, stream).items
        p, q, n = user[users], item[positives], item[drawn]
        margin = (p * q).sum(1)[:, None] - (p[:, None] * n).sum(2)
        loss = -torch.nn.functional.logsigmoid(margin).mean()
        loss = loss + 0.1 / 2 * (p.square().sum() + q.square().sum() + n.square().sum()) / len(users)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert len(order.split(batch)) == 10
    torch.testing.assert_close(network.user.weight, user, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.item.weight, item, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", [Table, nn.Embedding])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_over_a_batch_is_adam_over_the_table(weight_decay, kind, large, monkeypatch):
    """Rows that are twice in a batch, rows that are in none, and gradients of all kinds: torch's Adam to the bit."""
    monkeypatch.setattr("recbench.trainers.optimizers.LARGE_TABLE", 17 if large else 18)
    stream = torch.Generator().manual_seed(0)
    ours, plain = kind(6, 3), nn.Embedding(6, 3)
    plain.load_state_dict(ours.state_dict())
    optimizer = build_optimizer("adam", ours, weight_decay)
    adam = torch.optim.Adam(plain.parameters(), lr=0.1, weight_decay=weight_decay, fused=True)
    for rows in torch.tensor([[0, 1, 1], [2, 0, 3], [5, 5, 5], [1, 2, 4]]):
        factors = torch.randn(3, 3, generator=stream)
        for table, optim in ((ours, optimizer), (plain, adam)):
            optim.zero_grad()
            (table(rows) * factors).sum().backward()
        gradient = ours.weight.grad
        assert gradient.is_sparse is large
        optimizer.step(0.1)
        adam.step()
        assert torch.equal(ours.weight, plain.weight)
        assert ours.weight.grad is gradient, "it is there until it is forgotten"


def test_the_rules_are_torchs_own():
    """Rows that are twice in a batch, rows that are in none, changing rates: torch's optimisers to the last digits."""
    torchs = {
        "sgd": lambda rows, others: [torch.optim.SGD([*rows, *others], lr=1.0)],
        "lazy_adam": lambda rows, others: [torch.optim.SparseAdam(rows), torch.optim.Adam(others, fused=True)],
        "adagrad": lambda rows, others: [torch.optim.Adagrad(others)],
    }
    for name, make in torchs.items():
        stream = torch.Generator().manual_seed(0)
        ours, plain = (nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 2)) for _ in range(2))
        plain.load_state_dict(ours.state_dict())
        optimizer = build_optimizer(name, ours, 0.0)
        plain[0].sparse = ours[0].sparse
        others = make([plain[0].weight], list(plain[1].parameters()))
        compared = [1] if name == "adagrad" else [0, 1]  # torch has no row-wise Adagrad.
        for rows, lr in zip(torch.tensor([[0, 1, 1], [2, 0, 3], [5, 5, 5], [1, 2, 4]]), [0.1, 0.2, 0.3, 0.4]):
            factors = torch.randn(3, 2, generator=stream)
            for model in (ours, plain):
                model.zero_grad()
                (model(rows) * factors).sum().backward()
            optimizer.step(lr)
            for other in others:
                other.param_groups[0]["lr"] = lr
                other.step()
            plain[0].load_state_dict(ours[0].state_dict() if name == "adagrad" else plain[0].state_dict())
            for part in compared:
                for found, wanted in zip(ours[part].parameters(), plain[part].parameters()):
                    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7, msg=f"{name}, part {part}")


@pytest.mark.parametrize("name", ["adam", "lazy_adam", "adagrad"])
def test_an_optimiser_goes_on_from_its_state(name):
    def stepped(model, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.zero_grad()
            model(torch.tensor([0, 2, 2])).square().sum().backward()
            optimizer.step(0.1)
        return model

    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))
    optimizer = build_optimizer(name, model, 0.0)
    stepped(model, optimizer, 2)
    resumed, forgetful = copy.deepcopy(model), copy.deepcopy(model)
    goes_on, begins = build_optimizer(name, resumed, 0.0), build_optimizer(name, forgetful, 0.0)
    goes_on.restore(copy.deepcopy(optimizer.state()))
    for moved, rule in ((model, optimizer), (resumed, goes_on), (forgetful, begins)):
        stepped(moved, rule, 2)
    for whole, found, other in zip(model.parameters(), resumed.parameters(), forgetful.parameters()):
        assert torch.equal(whole, found)
        assert not torch.equal(whole, other)


@pytest.mark.parametrize("name", ["sgd", "adam", "lazy_adam", "adagrad"])
@pytest.mark.parametrize("model", ["mf", "neumf"])
def test_the_same_seed_gives_the_same_bits_and_another_others(name, model):
    data = split()
    first, _ = fitted(data, model, optimizer=name)
    again, _ = fitted(data, model, optimizer=name)
    other, _ = fitted(data, model, seed=1, optimizer=name)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert any(not torch.equal(value, other.state_dict()[key]) for key, value in first.state_dict().items())


def test_what_is_watched_or_told_changes_no_bit():
    data = split()
    alone, _ = fitted(data, "neumf", selection="last", model_options={"dropout": 0.5})
    torch.manual_seed(123)
    watched, _ = fitted(
        data,
        "neumf",
        selection="last",
        model_options={"dropout": 0.5},
        validate=lambda model: {"ndcg@10": float(torch.rand(()))},
        on_epoch=lambda record: torch.rand(7),
    )
    for key, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key


def test_training_does_not_disturb_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(split(), "neumf", model_options={"dropout": 0.5})
    assert torch.equal(torch.rand(3), expected)


def test_the_best_epoch_is_restored_and_of_equals_the_earlier():
    data = split()
    script = iter([0.1, 0.3, 0.3, 0.2, 0.1])
    states = []

    def validate(model):
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"ndcg@10": next(script)}

    network, result = fitted(data, epochs=5, validate=validate)
    assert result.best_epoch == 2
    assert [record.values["valid/ndcg@10"] for record in result.curve] == [0.1, 0.3, 0.3, 0.2, 0.1]
    for key, value in network.state_dict().items():
        assert torch.equal(value, states[1][key])


def test_patience_stops_after_so_many_evaluations_without_improvement():
    script = iter([0.5, 0.4, 0.4, 0.4, 0.4])
    _, result = fitted(split(), epochs=5, patience=2, validate=lambda model: {"ndcg@10": next(script)})
    assert len(result.curve) == 3 and result.best_epoch == 1


def test_a_lower_rmse_is_better():
    script = iter([0.9, 0.8, 1.0])
    _, result = fitted(
        split(), model_options={"loss": "mse"}, negative=None, monitor="rmse", validate=lambda _: {"rmse": next(script)}
    )
    assert result.best_epoch == 2


def test_without_validation_the_last_epoch_stays():
    _, result = fitted(split(valid=0.0), epochs=2)
    assert result.best_epoch == 2 and len(result.curve) == 2


@pytest.mark.parametrize("validate", [None, lambda _: {"ndcg@10": 0.5}])
def test_no_epochs_leave_the_model_as_it_starts(validate):
    data = split()
    network, result = fitted(data, epochs=0, validate=validate)
    start = models.build("mf", data.train, 0)
    for key, value in network.state_dict().items():
        assert torch.equal(value, start.state_dict()[key]), key
    assert (result.best_epoch, result.curve, network.training) == (0, (), False)


def test_an_epoch_and_the_last_one_are_evaluated_every_n():
    seen = []
    _, result = fitted(split(), epochs=5, evaluate_every=2, validate=lambda _: seen.append(1) or {"ndcg@10": 0.0})
    assert ["valid/ndcg@10" in record.values for record in result.curve] == [False, True, False, True, True]


def test_mse_learns_the_ratings():
    data = split()
    network, _ = fitted(data, model_options={"loss": "mse"}, negative=None, epochs=200, lr=0.2, optimizer="adagrad")
    with torch.no_grad():
        predicted = network.predict(data.train.users, data.train.items)
    constant = float((data.train.ratings - data.train.ratings.mean()).square().mean())
    assert float((predicted - data.train.ratings).square().mean()) < constant / 4


def test_ratings_are_learnt_batch_by_batch_whatever_negatives_there_are():
    """A sampler, which mse does not ask, lets several batches be looked up together."""
    alone, beside = (fitted(split(), model_options={"loss": "mse"}, negative=name)[0] for name in (None, "uniform"))
    assert torch.equal(alone.user.weight, beside.user.weight) and torch.equal(alone.item.weight, beside.item.weight)


@pytest.mark.parametrize(
    "schedule, expected",
    [("constant", [1.0, 1.0, 1.0]), ("linear", [2 / 3, 1 / 3, 0.0]), ("cosine", [0.75, 0.25, 0.0])],
)
def test_schedules(schedule, expected):
    """The rate after each of three epochs, when the last step of n in an epoch has passed."""
    data = split()
    _, result = fitted(data, batch_size=1, lr=1.0, schedule=schedule, model_options={"dim": 1}, optimizer="adagrad")
    assert [record.values["lr"] for record in result.curve] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("shape", [(5, 2), (40, 3)], ids=["fewer than the rows", "more"])
@pytest.mark.parametrize("name", ["mf", "gmf", "mlp", "neumf"])
def test_the_penalty_is_of_all_rows_that_are_looked_up_once_an_occurrence(name, shape):
    data = split().train
    network = models.build(name, data, 3)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    stream = torch.Generator().manual_seed(1)
    users = torch.randint(data.n_users, shape[:1], generator=stream)
    items = torch.randint(data.n_items, shape, generator=stream)
    expected = len(users) * network.bias.square() if name == "mf" else torch.zeros(())
    n_tables = 0
    for table in (module for module in network.modules() if isinstance(module, nn.Embedding)):
        n_tables += 1
        for row in (users if len(table.weight) == data.n_users else items).flatten():
            expected = expected + table.weight[row].square().sum()
    assert data.n_users != data.n_items and n_tables == {"mf": 4, "neumf": 4}.get(name, 2)
    torch.testing.assert_close(network.penalty(users, items), expected, rtol=1e-5, atol=0.0)


def test_clipping_bounds_the_gradient():
    data = split()
    before = models.build("mf", data.train, 0, dim=4).state_dict()
    network, _ = fitted(
        data, model_options={"dim": 4}, epochs=1, batch_size=10_000, optimizer="sgd", lr=1.0, clip_norm=1e-3
    )
    moved = sum((value - before[key]).square().sum() for key, value in network.state_dict().items())
    assert float(moved) ** 0.5 == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("sparse", [True, False])
def test_clipping_scales_the_whole_gradient(sparse):
    """Rows looked up twice have the gradient (6, 8) together, the other table (0, 24): the norm is 26."""
    model = nn.ModuleList([nn.Embedding(3, 2, sparse=sparse), nn.Embedding(2, 2)])
    optimizer = Optimizer((Descent(list(model.parameters())),))
    loss = (model[0](torch.tensor([1, 1])) * torch.tensor([3.0, 4.0])).sum()
    (loss + (model[1](torch.tensor([0])) * torch.tensor([0.0, 24.0])).sum()).backward()
    optimizer.clip(13.0)
    found = [table.weight.grad.to_dense() if table.weight.grad.is_sparse else table.weight.grad for table in model]
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(found[1], torch.tensor([[0.0, 12.0], [0.0, 0.0]]))
    optimizer.clip(14.0)
    torch.testing.assert_close(model[1].weight.grad, torch.tensor([[0.0, 12.0], [0.0, 0.0]]))


@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
def test_lazy_optimisers_can_clip(optimizer):
    _, result = fitted(split(), optimizer=optimizer, clip_norm=0.1)
    assert math.isfinite(result.curve[-1].values["loss"])


@pytest.mark.parametrize("negative", ["in_batch", "popularity"])
@pytest.mark.parametrize("loss", ["sampled_softmax", "bce", "bpr"])
def test_losses_and_negatives_are_axes(negative, loss):
    """One epoch of plain gradient descent equals the formulas over the drawn negatives, with autograd."""
    data = split()
    options = {"dim": 3, "biases": False, "loss": loss, "reg": 0.0}
    network, _ = fitted(
        data, negative=negative, model_options=options, epochs=1, batch_size=32, optimizer="sgd", lr=0.5
    )
    plain = models.build("mf", data.train, 0, **options)
    user = plain.user.weight.detach().clone().requires_grad_()
    item = plain.item.weight.detach().clone().requires_grad_()
    order = torch.randperm(len(data.train), generator=generator(0, "shuffle", 1))
    stream = generator(0, "negatives", 1)
    sampler = negatives.build(negative, data.train)
    for index in order.split(32):
        users, positives = data.train.users[index], data.train.items[index]
        drawn = sampler.sample(users, positives, stream)
        others = drawn.items.expand(len(index), -1)
        log_q = drawn.log_q.expand(len(index), -1)
        total, count = torch.zeros(()), 0
        for row in range(len(index)):
            p = user[users[row]]
            kept = others[row][drawn.keep[row]]
            positive, negative_scores = p @ item[positives[row]], item[kept] @ p
            if loss == "bpr":
                total, count = total - torch.log(torch.sigmoid(positive - negative_scores)).sum(), count + len(kept)
            elif loss == "bce":
                total = total - torch.log(torch.sigmoid(positive)) - torch.log(torch.sigmoid(-negative_scores)).sum()
                count += 1 + len(kept)
            else:
                corrected = negative_scores - log_q[row][drawn.keep[row]]
                total = total + torch.logsumexp(torch.cat([positive[None], corrected]), 0) - positive
                count += 1
        user.grad = item.grad = None
        (total / count).backward()
        with torch.no_grad():
            user -= 0.5 * user.grad
            item -= 0.5 * item.grad
    torch.testing.assert_close(network.user.weight, user, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network.item.weight, item, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("with_keep", [True, False])
def test_negatives_that_a_batch_shares_may_be_more_than_its_pairs(with_keep):
    """Its positives, which ``bpr`` finds on the diagonal, and all items; each batch learns from all of them."""
    train, asked = split().train, []

    class Shared(Sampler):
        def to(self, device):
            return self

        def sample(self, users, positives, generator):
            items = torch.cat([positives, torch.arange(train.n_items)])
            keep = torch.ones(len(users), len(items), dtype=torch.bool) if with_keep else None
            return Negatives(items, keep, torch.zeros(len(items)))

    model = models.build("mf", train, dim=2, loss="sampled_softmax", reg=0.0)
    forward = model.forward
    model.forward = lambda users, items: asked.append((len(users), len(items))) or forward(users, items)
    trainers.build("gradient", epochs=1, batch_size=16).fit(model, split(), negatives=Shared(), backend="torch")
    assert asked == [(n, n + train.n_items) for n in (len(part) for part in torch.arange(len(train)).split(16))]


def test_a_loss_that_is_not_finite_stops_and_says_where():
    with pytest.raises(DivergedError) as error:
        fitted(split(), model_options={"loss": "mse"}, negative=None, optimizer="sgd", lr=1e30)
    assert str(error.value).startswith("the loss of MF is no longer finite in epoch 1, in step ")
    assert str(error.value).endswith(". Lower trainer.lr, or set trainer.clip_norm=1.")


@pytest.mark.parametrize("bad", [1, 3, 64, 65, 70])
def test_the_step_and_the_pairs_of_a_loss_that_is_not_finite_are_named(bad):
    """The one that was it, of the 64 between two looks; one pair a step, so that the order is that of the shuffle."""
    train = split().train
    steps = [0]

    class Breaking(Uniform):
        """Breaks one step, by an item that is scored as NaN from then on."""

        def sample(self, users, positives, generator):
            steps[0] += 1
            if steps[0] == bad:
                model.item.weight.data.fill_(torch.nan)
            return super().sample(users, positives, generator)

    model = models.build("mf", train, dim=2)
    trainer = trainers.build("gradient", epochs=1, batch_size=1, optimizer="sgd", lr=0.01)
    with pytest.raises(DivergedError) as error:
        trainer.fit(model, split(), negatives=Breaking(UniformConfig(), train), backend="torch")
    order = torch.randperm(len(train), generator=generator(0, "shuffle", 1))
    user, item = train.users[order[bad - 1]], train.items[order[bad - 1]]
    pair = (train.user_vocabulary.ids[user], train.item_vocabulary.ids[item])
    assert str(error.value) == (
        f"the loss of MF is no longer finite in epoch 1, in step {bad} of {len(train)} (lr 0.01), whose pairs are "
        f"{pair}. Lower trainer.lr, or set trainer.clip_norm=1."
    )


def test_parameters_that_are_not_finite_stop_too():
    """One step an epoch: the loss before it is finite, what it leaves is not."""
    with pytest.raises(DivergedError) as error:
        fitted(split(), model_options={"reg": 1e3}, optimizer="sgd", lr=1e38, batch_size=10_000)
    assert str(error.value).startswith(
        "a parameter of MF is no longer finite in epoch 1, by step 1 of 1 (lr 1e+38), whose pairs are ('"
    )
    n_pairs = len(split().train)
    assert str(error.value).endswith(f" and {n_pairs - 5} more. Lower trainer.lr, or set trainer.clip_norm=1.")


def test_errors_say_what_to_write():
    data = split(valid=0.0)
    with pytest.raises(ConfigError) as error:
        fitted(data, selection="valid")
    assert str(error.value) == (
        "trainer.selection = 'valid': the split has no such part; use 'last', or a split with one."
    )
    with pytest.raises(ConfigError) as error:
        fitted(split(), monitor="mrr@5", validate=lambda _: {"ndcg@10": 0.5, "hr@10": 1.0})
    assert str(error.value) == (
        "trainer.monitor = 'mrr@5': is not measured; add it to evaluation.metrics or choose one of: ndcg@10, hr@10."
    )
    with pytest.raises(ConfigError) as error:
        fitted(split(), negative=None)
    assert str(error.value) == "model.loss = 'bpr': needs negatives."
    with pytest.raises(ConfigError) as error:
        fitted(split(), optimizer="adagrad", weight_decay=0.1)
    assert str(error.value) == (
        "trainer 'gradient' cannot be configured:\n"
        "  weight_decay = 0.1: acts on all rows, and 'adagrad' moves only those of the batch; use model.reg, or "
        "optimizer=adam."
    )
    with pytest.raises(ConfigError) as error:
        fitted(split(), selection="last", patience=3)
    assert str(error.value) == (
        "trainer 'gradient' cannot be configured:\n"
        "  patience = 3: has no effect with selection='last', which never stops early; leave it alone, or choose "
        "another selection."
    )
    with pytest.raises(ConfigError) as error:
        fitted(split(), validate=lambda _: {"ndcg@10": math.nan})
    assert str(error.value) == "trainer.monitor = 'ndcg@10': is not defined for any user in epoch 1."
    data = split()
    with pytest.raises(ConfigError) as error:
        trainers.build("gradient").fit(models.build("popularity", data.train), data)
    assert str(error.value) == "Popularity is no GradientModel, and the trainer 'gradient' fits no other."
    with pytest.raises(ConfigError) as error:
        trainers.build("gradient", optimizer="adma")
    assert "optimizer = 'adma': should be 'adagrad', 'adam', 'lazy_adam' or 'sgd'." in str(error.value)


def test_ratings_are_needed_for_mse():
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]})
    data = splits.build("random", test=0.0, valid=0.0).apply(Interactions.from_frame(frame))
    with pytest.raises(ConfigError) as error:
        fitted(data, model_options={"loss": "mse"}, negative=None)
    assert str(error.value) == "model.loss = 'mse': learns from ratings, and the data set has none; try 'bpr'."


@pytest.mark.parametrize("sparse", [True, False])
def test_rowwise_adagrad_by_hand(sparse):
    table = nn.Embedding(3, 2, sparse=sparse)
    nn.init.zeros_(table.weight)
    optimizer = Optimizer((RowwiseAdagrad([table.weight]),))
    for _ in range(2):
        optimizer.zero_grad()
        # Row 1 twice: its gradient is (2 * 3, 2 * 4); the mean square of (6, 8) is 50.
        (table(torch.tensor([1, 1])) * torch.tensor([3.0, 4.0])).sum().backward()
        optimizer.step(0.5)
    expected = -0.5 * torch.tensor([6.0, 8.0]) * (1 / math.sqrt(50) + 1 / math.sqrt(100))
    torch.testing.assert_close(table.weight.detach(), torch.stack([torch.zeros(2), expected, torch.zeros(2)]))


@pytest.mark.parametrize("name, moves", [("adam", True), ("lazy_adam", False), ("adagrad", False)])
def test_only_dense_optimisers_move_rows_outside_the_batch(name, moves):
    """Adam's momentum goes on moving a row after its batch; the lazy ones leave it."""
    model = nn.Sequential(nn.Embedding(2, 3))
    optimizer = build_optimizer(name, model, 0.0)
    positions = []
    for row in (0, 1):
        optimizer.zero_grad()
        model(torch.tensor([row])).sum().backward()
        optimizer.step(0.1)
        positions.append(model[0].weight.detach()[0].clone())
    assert torch.equal(positions[0], positions[1]) is not moves


def test_weight_decay_moves_all_rows_towards_zero():
    """Adam's first step is the learning rate in the direction of the gradient, here of the decay alone."""
    model = nn.Sequential(nn.Embedding(2, 3))
    before = model[0].weight.detach().clone()
    optimizer = build_optimizer("adam", model, 0.5)
    optimizer.zero_grad()
    (0 * model(torch.tensor([0])).sum()).backward()
    optimizer.step(0.1)
    torch.testing.assert_close(model[0].weight.detach(), before - 0.1 * before.sign())


def test_a_dense_step_over_a_large_table_is_warned_of(caplog):
    build_optimizer("adam", nn.Sequential(nn.Embedding(2**20, 2)), 0.0)
    assert "trainer.optimizer=adam steps over all 1,048,576 rows of a table in each batch" in caplog.text


# Products


@pytest.mark.parametrize("n_candidates", [0, 1, 2, 5])
def test_gradients_of_dot_products_are_those_by_differences(n_candidates):
    """Of users, of each user's own items, of both, and once more of the gradients."""
    numbers = torch.Generator().manual_seed(0)
    users = torch.randn(3, 4, generator=numbers, dtype=torch.float64)
    items = torch.randn(3, n_candidates, 4, generator=numbers, dtype=torch.float64)
    for learnt in ((True, False), (False, True), (True, True)):
        sides = [side.requires_grad_(wanted) for side, wanted in zip((users.clone(), items.clone()), learnt)]
        assert torch.autograd.gradcheck(dot_products, sides)
    assert torch.autograd.gradgradcheck(dot_products, sides)
