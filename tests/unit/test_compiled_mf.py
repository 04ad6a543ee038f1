"""The compiled loops of mf against the same examples in plain Python, and what is drawn, repeated and refused."""

import hashlib
import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import ConfigError, DivergedError, models, negatives, resolve, run, trainers
from recbench.compiled.mf import MFSteps, n_workers
from recbench.data import Interactions
from recbench.datasets.planted import PlantedConfig
from recbench.randomness import derive, generator

LR, ALL = 0.05, 2**64 - 1
TRAINER = {"optimizer": "sgd", "batch_size": 1}
PLANTED = {"name": "planted", "n_users": 60, "n_items": 40, "n_interactions": 600}


def interactions(pairs, n_items=None):
    """Return the training part of (user, item) pairs; items 0 .. n_items - 1 are known by a user of their own."""
    extra = [] if n_items is None else [(999, item) for item in range(n_items)]
    rows = [(f"{user:03}", f"{item:03}") for user, item in [*pairs, *extra]]
    data = Interactions.from_frame(pd.DataFrame(rows, columns=["user", "item"]))
    if n_items is None:
        return data
    stranger = list(data.user_vocabulary.ids).index("999")
    return data.select(data.users != stranger)


def random_data(n_users=30, n_items=20, share=0.3):
    taken = torch.rand(n_users, n_items, generator=torch.Generator().manual_seed(0)) < share
    return interactions(torch.nonzero(taken).tolist())


def steps(data, workers=1, seed=0, lr=LR, n_negatives=2, reject_seen=True, **options):
    """Return the model and what takes its steps."""
    model = models.build("mf", data, 0, **{"dim": 3, "reg": 0.1, "init_std": 0.5} | options)
    if model.config.biases:
        with torch.no_grad():  # So that each bias has something to lose by reg.
            for name, part in model.named_parameters():
                if "bias" in name:
                    part += 0.3 * torch.randn(part.shape, generator=torch.Generator().manual_seed(len(name)))
    trainer = trainers.build("gradient", lr=lr, **TRAINER).config
    drawn = negatives.build("uniform", data, n_negatives=n_negatives, reject_seen=reject_seen).config
    return model, MFSteps(model, data, trainer, seed, drawn, workers)


def as_numpy(model):
    return {name: value.detach().double().numpy().copy() for name, value in model.state_dict().items()}


# The same once more, in plain Python and float64.


def mixed(state):
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & ALL
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & ALL
    return state ^ (state >> 31)


def stream(key, user, turn):
    state = mixed((mixed((key + user * 0x9E3779B97F4A7C15) & ALL) + turn * 0x9E3779B97F4A7C15) & ALL)
    while True:
        state = (state + 0x9E3779B97F4A7C15) & ALL
        yield mixed(state)


def below(bits, n):
    return ((bits & 0xFFFFFFFF) * n) >> 32


def draw(numbers, positive, pool, seen, n_items, reject_seen):
    if reject_seen:
        return next(item for item in (pool[below(bits, len(pool))] for bits in numbers) if item not in seen)
    bits = next(numbers)
    if below(bits >> 32, n_items) == 0:
        return positive
    others = [item for item in pool if item != positive]
    return others[below(bits, len(others))]


def examples(data, workers, n_negatives, reject_seen):
    """Yield for each turn of the first epoch each worker's users with their positives and negatives, in order."""
    key = derive(0, "compiled", 1)
    users = torch.randperm(data.n_users, generator=generator(0, "users", 1)).tolist()
    items = torch.randperm(data.n_items, generator=generator(0, "blocks", 1)).tolist()
    cuts = [data.n_items * block // workers for block in range(workers + 1)]
    pools = [items[begin:end] for begin, end in zip(cuts, cuts[1:])]
    owned, passed = [[] for _ in range(workers)], 0
    rows = {}
    for user in users:
        history = data.histories.rows(torch.tensor([user])).items.tolist()
        passed += len(history)
        owned[sum(passed >= len(data) * worker / workers for worker in range(1, workers))].append(user)
        numbers = stream(key, user, 0)
        row = []
        for k, item in enumerate(history):
            row.append(item)
            other = below(next(numbers), k + 1)
            row[k], row[other] = row[other], row[k]
        rows[user] = row
    late = []
    for turn in range(workers):
        turns = []
        for worker in range(workers):
            pool = pools[(worker + turn) % workers]
            turns.append([])
            for user in owned[worker]:
                wanted = [item for item in rows[user] if item in pool]
                if reject_seen and set(wanted) == set(pool):
                    late += [(user, item) for item in wanted]
                    continue
                numbers = stream(key, user, turn + 1)
                for item in wanted:
                    drawn = [
                        draw(numbers, item, pool, set(rows[user]), data.n_items, reject_seen)
                        for _ in range(n_negatives)
                    ]
                    turns[-1].append((user, [item, *drawn]))
        yield turns
    last = []
    for user in sorted({user for user, _ in late}):
        numbers = stream(key, user, workers + 1)
        positions = {item: place for place, item in enumerate(rows[user])}
        for item in sorted(
            (item for other, item in late if other == user),
            key=lambda item: ([item in pool for pool in turned(pools, owned, user)].index(True), positions[item]),
        ):
            drawn = [draw(numbers, item, items, set(rows[user]), data.n_items, True) for _ in range(n_negatives)]
            last.append((user, [item, *drawn]))
    yield [last]


def turned(pools, owned, user):
    """Return the blocks in the order in which the user's worker comes to them."""
    worker = next(worker for worker, users in enumerate(owned) if user in users)
    return pools[worker:] + pools[:worker]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def moved(w, user, items, labels, loss, reg, biased):
    """Move ``w`` by one example and return its loss: the gradient by the formula, all of it before anything moves."""
    p, bias = w["user.weight"][user].copy(), w["bias"] if biased else 0.0
    scores = [
        w["item.weight"][item] @ p + (bias + w["user_bias.weight"][user, 0] + w["item_bias.weight"][item, 0])
        if biased
        else w["item.weight"][item] @ p
        for item in items
    ]
    if loss == "bpr":
        n = len(items) - 1
        wrong = [sigmoid(score - scores[0]) / n for score in scores[1:]]
        slopes = [-sum(wrong), *wrong]
        value = -sum(math.log(sigmoid(scores[0] - score)) for score in scores[1:]) / n
    else:
        n = len(items)
        slopes = [(sigmoid(score) - label) / n for score, label in zip(scores, labels)]
        value = -sum(math.log(sigmoid(score if label else -score)) for score, label in zip(scores, labels)) / n
    squares = p @ p + sum(w["item.weight"][item] @ w["item.weight"][item] for item in items)
    if biased:
        squares += w["user_bias.weight"][user, 0] ** 2 + bias**2
        squares += sum(w["item_bias.weight"][item, 0] ** 2 for item in items)
    gradient = reg * p
    for item, slope in zip(items, slopes):
        q = w["item.weight"][item]
        gradient = gradient + slope * q
        w["item.weight"][item] = q - LR * (slope * p + reg * q)
        if biased:
            w["item_bias.weight"][item] -= LR * (slope + reg * w["item_bias.weight"][item])
    w["user.weight"][user] -= LR * gradient
    if biased:
        w["user_bias.weight"][user] -= LR * (sum(slopes) + reg * w["user_bias.weight"][user])
        w["bias"] = bias - LR * (sum(slopes) + reg * bias)
    return value + reg / 2 * squares


def expected(data, w, workers, loss, reg, biased, n_negatives, reject_seen):
    """Return the mean loss of the first epoch, and move ``w``."""
    total = 0.0
    for turns in examples(data, workers, n_negatives, reject_seen):
        start = w.get("bias")
        ends = []
        for worker in turns:
            if biased:
                w["bias"] = start
            for user, items in worker:
                labels = [1] + [0] * n_negatives
                if loss == "bce_sum":
                    for item, label in zip(items, labels):
                        total += moved(w, user, [item], [label], loss, reg, biased)
                else:
                    total += moved(w, user, items, labels, loss, reg, biased)
            ends.append((w.get("bias"), len(worker)))
        n_positives = sum(n for _, n in ends)
        if biased:
            w["bias"] = sum(end * n for end, n in ends) / n_positives if n_positives else start
    return total / len(data)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("loss", ["bpr", "bce", "bce_sum"])
@pytest.mark.parametrize(
    "biased, reg, reject_seen, n_negatives", [(True, 0.1, True, 1), (True, 0.1, False, 3), (False, 0.0, True, 3)]
)
def test_an_epoch_equals_a_plain_loop(loss, workers, biased, reg, reject_seen, n_negatives):
    data = random_data(n_items=7 if workers == 3 else 20, share=0.6 if workers == 3 else 0.3)
    options = {"n_negatives": n_negatives, "reject_seen": reject_seen}
    model, engine = steps(data, workers, loss=loss, reg=reg, biases=biased, **options)
    w = as_numpy(model)
    start = {name: value.copy() for name, value in w.items()}
    mean = expected(data, w, workers, loss, reg, biased, **options)
    values = engine.epoch(1)
    assert values == {"loss": pytest.approx(mean, rel=1e-5), "lr": LR}
    found = as_numpy(model)
    for name, value in w.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
        shrinks = reg and not (loss == "bpr" and name in ("bias", "user_bias.weight"))
        assert not np.allclose(value, start[name], atol=1e-3) or not shrinks, name


@pytest.mark.parametrize("loss", ["bpr", "bce"])
@pytest.mark.parametrize("biases", [True, False])
def test_a_step_is_that_of_torch(loss, biases):
    """One positive, and one item that can be its negative: six epochs are six steps, the same on both backends."""
    data = interactions([(0, 1)], n_items=2)
    states = {}
    for backend in ("torch", "compiled"):
        model, _ = steps(data, loss=loss, biases=biases)
        trainer = trainers.build("gradient", lr=LR, epochs=6, **TRAINER)
        split = SimpleNamespace(train=data)
        sampler = negatives.build("uniform", data, n_negatives=1)
        result = trainer.fit(model, split, negatives=sampler, backend=backend)
        states[backend] = as_numpy(model), [record.values["loss"] for record in result.curve]
    np.testing.assert_allclose(states["compiled"][1], states["torch"][1], rtol=1e-5)
    for name, value in states["torch"][0].items():
        np.testing.assert_allclose(states["compiled"][0][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def digest(workers, seed=0, epochs=(1, 2)):
    model, engine = steps(random_data(), workers, seed, loss="bce_sum")
    for epoch in epochs:
        engine.epoch(epoch)
    return hashlib.sha256(b"".join(part.detach().numpy().tobytes() for part in model.parameters())).hexdigest()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_bits_twice_and_other_bits_of_another_seed(workers):
    assert digest(workers) == digest(workers) != digest(workers, seed=1)


def test_the_same_bits_in_another_process():
    code = "import test_compiled_mf as t; print(t.digest(1), t.digest(2))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=__file__.rpartition("/")[0]
    )
    assert done.stdout.split() == [digest(1), digest(2)]


def test_an_epoch_depends_on_its_number_and_not_on_those_before():
    """Epochs 1 and 2 by one engine, or each by an engine of its own on the same parameters."""
    model, engine = steps(random_data(), 2)
    engine.epoch(1)
    again, other = steps(random_data(), 2)
    again.load_state_dict(model.state_dict())
    engine.epoch(2)
    other.epoch(2)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def n_drawn(data, workers, n_epochs=1, **options):
    """Return how often each item was drawn as a negative.

    With vectors that hardly count and a tiny rate every pair moves its item's bias by half of the rate.
    """
    lr = 1e-6
    counts = np.zeros(data.n_items)
    for epoch in range(1, n_epochs + 1):
        model, engine = steps(data, workers, lr=lr, loss="bce_sum", reg=0.0, dim=1, init_std=1e-6, **options)
        for part in (model.user_bias.weight, model.item_bias.weight, model.bias):
            torch.nn.init.zeros_(part)
        engine.epoch(epoch)
        counts += data.popularity.numpy() - model.item_bias.weight.detach().double().numpy()[:, 0] / (lr / 2)
    assert np.abs(counts - counts.round()).max() < 0.3
    return counts.round()


def chi_square(counts, share):
    wanted = counts.sum() * np.asarray(share)
    return ((counts - wanted) ** 2 / wanted)[wanted > 0].sum()


@pytest.mark.parametrize("workers, n_epochs, n_negatives", [(1, 10, 150), (2, 400, 1)])
def test_negatives_are_uniform_over_the_unseen_items(workers, n_epochs, n_negatives):
    """One positive an epoch, so that its draws are independent; 99.9 % of such sums are below 29.6 (10 degrees)."""
    data = interactions([(0, 4)], n_items=12)
    counts = n_drawn(data, workers, n_epochs, n_negatives=n_negatives)
    assert counts[4] == 0 and counts.sum() == n_epochs * n_negatives
    assert chi_square(np.delete(counts, 4), np.full(11, 1 / 11)) < 29.6


@pytest.mark.parametrize("workers, n_epochs, n_negatives", [(1, 10, 150), (2, 400, 1)])
def test_negatives_are_uniform_over_all_items_where_seen_ones_are_not_rejected(workers, n_epochs, n_negatives):
    """The positive itself comes as often as any other item: 1 / 12, not 1 / 6 as in its own block of two."""
    data = interactions([(0, 4)], n_items=12)
    counts = n_drawn(data, workers, n_epochs, n_negatives=n_negatives, reject_seen=False)
    assert counts.sum() == n_epochs * n_negatives
    assert chi_square(counts, np.full(12, 1 / 12)) < 31.3


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_a_user_has_seen_is_never_drawn(workers):
    """Seven of eight items are seen, so that most blocks hold no other; those come last, and are not forgotten."""
    data = interactions([(0, item) for item in (0, 1, 2, 3, 5, 6, 7)], n_items=8)
    assert n_drawn(data, workers, n_epochs=5, n_negatives=3).tolist() == [0, 0, 0, 0, 7 * 3 * 5, 0, 0, 0]


def test_positives_are_drawn_at_their_share_where_they_are_not_rejected():
    data = interactions([(0, item) for item in range(0, 20, 2)], n_items=20)
    seen = n_drawn(data, 1, n_epochs=20, n_negatives=20, reject_seen=False)[::2].sum()
    n = 20 * 20 * 10
    assert abs(seen - n / 2) < 4 * math.sqrt(n / 4)


def test_workers_are_no_more_than_pay():
    assert [n_workers(threads, range_of(5000, 40)) for threads in (1, 2, 3, 4, 64)] == [1, 2, 3, 3, 3]
    assert n_workers(8, range_of(500, 40)) == 1
    assert n_workers(8, range_of(100_000, 5)) == 2


def range_of(n, n_items):
    class Sized(SimpleNamespace):
        def __len__(self):
            return n

    return Sized(n_items=n_items)


def test_divergence_stops_and_says_where():
    _, engine = steps(random_data(), lr=1e30, loss="bpr")
    with pytest.raises(DivergedError) as error:
        engine.epoch(3)
    assert str(error.value) in (
        "the loss of MF is no longer finite in epoch 3 (lr 1e+30). Lower trainer.lr.",
        "a parameter of MF is no longer finite in epoch 3 (lr 1e+30). Lower trainer.lr.",
    )


@pytest.mark.parametrize("wrong", [20.0, 200.0])
def test_the_loss_of_pairs_that_are_far_off_is_exact(wrong):
    """Of a score of -20, 1 less the sigmoid is 1 as a float32; of one of -200, the sigmoid itself is 0."""
    data = interactions([(0, 0)], n_items=2)
    model, engine = steps(data, loss="bce_sum", reg=0.0, lr=1e-9, biases=True, n_negatives=1)
    with torch.no_grad():
        model.bias.fill_(0.0)
        model.user_bias.weight.fill_(0.0)
        model.item_bias.weight.copy_(torch.tensor([[-wrong], [wrong]]))
    p, q = model.user.weight[0].detach(), model.item.weight.detach()
    scores = q @ p
    assert engine.epoch(1)["loss"] == pytest.approx(2 * wrong - float(scores[0] - scores[1]), rel=1e-6)


# Chosen, refused and recorded.


def config(**given):
    base = {"model": {"name": "mf", "dim": 4}, "dataset": PLANTED, "threads": 1, "trainer": {**TRAINER, "epochs": 2}}
    return resolve({**base, "tracking": {"tensorboard": False}, **given}).config


def refused(**given):
    with pytest.raises(ConfigError) as error:
        config(backend="compiled", **given)
    return str(error.value)


def test_auto_takes_the_compiled_one_where_it_applies():
    cpu = torch.device("cpu")
    assert config().backend(cpu) == "compiled"
    assert config(backend="torch").backend(cpu) == "torch"
    assert config(trainer={}).backend(cpu) == "torch"
    assert config(model="popularity", trainer={}).backend(cpu) == "torch"
    assert config().backend(torch.device("cuda")) == "torch"
    assert config(model={"name": "mf", "loss": "sampled_softmax"}).backend(cpu) == "torch"
    assert config(negatives="popularity").backend(cpu) == "torch"


SAYS = "backend = 'compiled': takes "
OR = "; or write backend=auto, which is torch where there are no compiled loops."


def test_where_the_compiled_one_does_not_apply_it_is_refused():
    assert refused(trainer={}) == f"{SAYS}trainer.optimizer=sgd (here adagrad), trainer.batch_size=1 (here 1024){OR}"
    known = "mf|gmf|mlp|neumf|ials|item_knn|ease|user_knn"
    assert refused(model="popularity", trainer={}) == f"{SAYS}model={known} (here Popularity){OR}"
    assert (
        refused(model={"name": "mf", "loss": "mse"})
        == f"{SAYS}model.loss=bpr|bce|bce_sum (here mse), negatives=uniform{OR}"
    )
    assert refused(negatives="popularity") == f"{SAYS}negatives=uniform{OR}"
    assert refused(device="cuda:0") == f"{SAYS}device=cpu (here cuda){OR}"
    assert refused(trainer={**TRAINER, "schedule": "linear", "clip_norm": 1.0}) == (
        f"{SAYS}trainer.schedule=constant (here linear), trainer.clip_norm=null (here 1.0){OR}"
    )
    with pytest.raises(ConfigError) as error:
        config(backend="numba")
    assert str(error.value) == (
        "the run cannot be configured:\n  backend = 'numba': should be 'auto', 'torch' or 'compiled'."
    )


def test_without_numba_auto_is_torch_and_compiled_is_refused(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else found(name))
    assert config().backend(torch.device("cpu")) == "torch"
    assert refused() == (
        "backend = 'compiled': needs numba and threadpoolctl, which are not both installed. Run pip install "
        "'recbench[fast]', or write backend=auto."
    )


def test_a_user_who_has_taken_all_is_the_same_mistake_on_both(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("user,item\na,x\na,y\nb,x\n")
    for backend in ("torch", "compiled"):
        chosen = config(backend=backend, dataset={"name": "files", "interactions": str(path)}, split="none")
        with pytest.raises(ConfigError) as error:
            run(chosen, progress=False)
        assert str(error.value) == (
            "user 'a' has taken all 2 items, so there is no negative for them; set negatives.reject_seen=false."
        )


def test_a_run_records_the_backend(tmp_path):
    for backend in ("torch", "compiled"):
        run(config(backend=backend), tmp_path / backend, progress=False)
        for name in ("run.json", "result.json"):
            assert json.loads((tmp_path / backend / name).read_text())["backend"] == backend


def test_what_needs_no_numba_does_not_import_it():
    code = (
        "import sys\nfrom recbench import resolve, run\n"
        "run(resolve({'model': 'mf', 'dataset': 'planted', 'trainer': {'epochs': 1}}).config, progress=False)\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_both_backends_reach_the_same_quality():
    """Means over seeds of NDCG@10, which a wrong sign, seen negatives or a lost half of the steps would part."""
    chosen = replace(
        config(dataset=PLANTED, negatives={"n_negatives": 2}, model={"name": "mf", "dim": 8}),
        dataset=PlantedConfig(n_users=40, n_items=30, n_interactions=300),
    )
    values = {"torch": [], "compiled": []}
    for backend, found in values.items():
        for seed in range(4):
            settings = chosen.settings.model_copy(update={"seed": seed, "backend": backend})
            trainer = chosen.trainer.model_copy(update={"epochs": 6, "lr": 0.1, "selection": "last"})
            outcome = run(replace(chosen, settings=settings, trainer=trainer), progress=False)
            found.append(outcome.reports["test"].values["ndcg@10"])
    mean, error = {}, 0.0
    for backend, found in values.items():
        mean[backend] = np.mean(found)
        error += np.var(found, ddof=1) / len(found)
    assert abs(mean["compiled"] - mean["torch"]) < 3 * math.sqrt(error)
