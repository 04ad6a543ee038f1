"""A training that goes on from what was kept ends with the same bits as one that never stopped."""

import itertools
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stopping import checkpoints_in, stopping_at

from recbench import datasets, models, negatives, splits, trainers
from recbench.checkpoints import BEST, LAST, PREVIOUS, Best, TrainingState, read_state, remove_states
from recbench.errors import DivergedError, RunError
from recbench.files import load_plain, save_plain
from recbench.interrupts import Interrupts
from recbench.models.mf import MF, MFConfig
from recbench.negatives.uniform import Uniform, UniformConfig
from recbench.trainers import EpochRecord
from recbench.trainers.epochs import Engine, EpochsConfig, fit_in_epochs

SPLIT = splits.build("random").apply(datasets.build("planted", n_users=30, n_items=40, n_interactions=300).load())
BATCH_SIZE = 32
STEPS = -(-len(SPLIT.train) // BATCH_SIZE)
"""Steps of an epoch."""
EPOCHS = 3
NEUMF = {"dim": 2, "layers": (8, 4), "dropout": 0.4}


def test_the_epochs_have_the_steps_that_the_tests_count_on():
    assert STEPS == 7


def fit(name="mf", options=None, checkpoints=None, stop=0, number=signal.SIGINT, on_epoch=None, **trainer):
    """Return a fitted model and the result, or raise ``KeyboardInterrupt`` at step ``stop``."""
    model = models.build(name, SPLIT.train, **({"dim": 2} if options is None else options))
    values = itertools.count()

    def validate(model):
        # Better, worse, better: by the weights, so that it depends on nothing else.
        next(values)
        return {"ndcg@10": float(sum(parameter.double().sum() for parameter in model.state_dict().values())) % 1}

    fitter = trainers.build("gradient", epochs=EPOCHS, batch_size=BATCH_SIZE, **{"lr": 0.05, **trainer})
    sampler = stopping_at(stop, SPLIT.train, number, n_negatives=2)
    result = fitter.fit(
        model, SPLIT, seed=5, negatives=sampler, validate=validate, on_epoch=on_epoch, checkpoints=checkpoints
    )
    return model, result


def same(first, second):
    (model, result), (other, other_result) = first, second
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert (result.curve, result.best_epoch) == (other_result.curve, other_result.best_epoch)


def stopped(folder, stop, **options):
    """Train until step ``stop``, in which a signal comes; what is needed to go on is in ``folder``."""
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        fit(checkpoints=checkpoints_in(folder, interrupts), stop=stop, **options)


PLACES = {"first step": 1, "middle": STEPS + 3, "last of the epoch": STEPS, "first of the next": STEPS + 1, "end": 21}


@pytest.mark.parametrize("stop", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lazy_adam", "adagrad"])
def test_resuming_equals_not_stopping_with_each_optimiser(tmp_path, optimizer, stop):
    options = {"optimizer": optimizer, "schedule": "linear"}
    stopped(tmp_path, stop, **options)
    state = read_state(tmp_path).state
    assert len(state.curve) == (stop - 1) // STEPS
    assert state.engine["within"]["step"] == stop - STEPS * len(state.curve), "the step was finished, and no other"
    same(fit(**options), fit(**options, checkpoints=checkpoints_in(tmp_path)))


@pytest.mark.parametrize("stop", PLACES.values(), ids=PLACES)
def test_resuming_equals_not_stopping_with_dropout(tmp_path, stop):
    options = {"name": "neumf", "options": NEUMF, "clip_norm": 1.0}
    stopped(tmp_path, stop, **options)
    torch.manual_seed(99)
    same(fit(**options), fit(**options, checkpoints=checkpoints_in(tmp_path)))


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 6, 7, 8, 10, 21])
def test_resuming_among_batches_whose_negatives_were_drawn_together(tmp_path, monkeypatch, stop):
    """Those of 3 and 3 and 1 of the 7 steps are; the signal comes while the model is asked for a step's scores."""
    monkeypatch.setattr("recbench.negatives.base.DRAWN_TOGETHER", 2 * (3 * BATCH_SIZE + 1))
    drawn = []

    class Watched(Uniform):
        pair_by_pair = True

        def sample(self, users, positives, generator):
            drawn.append(len(users))
            return super().sample(users, positives, generator)

    class Asked(MF):
        left = 0

        def forward(self, users, items):
            type(self).left -= 1
            if type(self).left == 0:
                os.kill(os.getpid(), signal.SIGINT)
            return super().forward(users, items)

    def train(checkpoints=None, stop=0):
        Asked.left = stop
        model = Asked(MFConfig(dim=2, reg=0.0), SPLIT.train)
        trainer = trainers.build("gradient", epochs=EPOCHS, batch_size=BATCH_SIZE, selection="last", patience=None)
        negatives = Watched(UniformConfig(n_negatives=2), SPLIT.train)
        return model, trainer.fit(model, SPLIT, seed=5, negatives=negatives, checkpoints=checkpoints)

    whole = train()
    n = len(SPLIT.train)
    assert drawn == EPOCHS * [3 * BATCH_SIZE, 3 * BATCH_SIZE, n - 6 * BATCH_SIZE]
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        train(checkpoints_in(tmp_path, interrupts), stop)
    assert read_state(tmp_path).state.engine["within"]["step"] == (stop - 1) % STEPS + 1
    drawn.clear()
    same(whole, train(checkpoints_in(tmp_path)))
    monkeypatch.setattr("recbench.negatives.base.DRAWN_TOGETHER", 1)
    same(whole, train())


def test_stopping_again_and_again_changes_nothing(tmp_path):
    options = {"name": "neumf", "options": NEUMF}
    for _ in range(3 * STEPS):
        # Each time in the first step from there.
        stopped(tmp_path, 1, **options)
    same(fit(**options), fit(**options, checkpoints=checkpoints_in(tmp_path)))


def test_the_dropout_of_the_rest_of_an_epoch_is_not_that_of_its_start(tmp_path):
    """What the test with dropout would not see if dropout had no effect."""
    options = {"name": "neumf", "options": NEUMF}
    stopped(tmp_path, 3, **options)
    checkpoints = checkpoints_in(tmp_path)
    dropout = checkpoints.found.engine["within"]["dropout"]
    dropout["cpu"] = torch.Generator().manual_seed(0).get_state()
    with pytest.raises(AssertionError):
        same(fit(**options), fit(**options, checkpoints=checkpoints))


def test_keeping_the_state_at_each_step_changes_no_bit(tmp_path):
    options = {"name": "neumf", "options": NEUMF}
    same(fit(**options), fit(**options, checkpoints=checkpoints_in(tmp_path, seconds=0.0)))
    assert {path.name for path in tmp_path.glob("*.pt")} == {LAST, PREVIOUS, BEST}


def test_a_training_that_is_over_is_not_trained_again(tmp_path):
    whole = fit(checkpoints=checkpoints_in(tmp_path, seconds=0.0))
    told = []
    same(whole, fit(checkpoints=checkpoints_in(tmp_path), on_epoch=told.append, stop=1))
    assert told == []


def test_what_stopped_early_is_over(tmp_path):
    options = {"patience": 1, "lr": 0.3, "epochs": 30}
    whole = fit_long(tmp_path, **options)
    assert len(whole[1].curve) < 30
    same(whole, fit_long(tmp_path, **options, stop=1))


def fit_long(folder, stop=0, **trainer):
    model = models.build("mf", SPLIT.train, dim=2)
    fitter = trainers.build("gradient", batch_size=BATCH_SIZE, **trainer)
    values = iter([0.5, 0.2, 0.1, 0.0])
    sampler = stopping_at(stop, SPLIT.train)
    checkpoints = checkpoints_in(folder, seconds=0.0)
    validate = lambda _: {"ndcg@10": next(values)}  # noqa: E731
    return model, fitter.fit(model, SPLIT, seed=5, negatives=sampler, validate=validate, checkpoints=checkpoints)


def test_a_signal_while_validating_stops_at_once_and_keeps_the_steps_of_the_epoch(tmp_path):
    class Asked(Exception):
        pass

    def trained(checkpoints, validate):
        model = models.build("mf", SPLIT.train, dim=2)
        fitter = trainers.build("gradient", epochs=2, batch_size=BATCH_SIZE)
        sampler = stopping_at(0, SPLIT.train)
        return model, fitter.fit(model, SPLIT, negatives=sampler, validate=validate, checkpoints=checkpoints)

    def interrupted(model):
        os.kill(os.getpid(), signal.SIGTERM)
        raise Asked

    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        trained(checkpoints_in(tmp_path, interrupts), interrupted)
    state = read_state(tmp_path).state
    assert (len(state.curve), state.engine["within"], state.unvalidated.keys()) == (0, None, {"loss", "lr"})
    usual = lambda _: {"ndcg@10": 0.5}  # noqa: E731
    same(trained(None, usual), trained(checkpoints_in(tmp_path), usual))


def test_a_signal_between_two_epochs_keeps_the_state(tmp_path):
    """While the curve is written, say: no step is going on, and no state was kept before."""
    interrupts = Interrupts()
    asked = iter([False, True])

    def on_epoch(record):
        if next(asked):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        fit(checkpoints=checkpoints_in(tmp_path, interrupts), on_epoch=on_epoch)
    assert len(read_state(tmp_path).state.curve) == 2
    same(fit(), fit(checkpoints=checkpoints_in(tmp_path)))


@pytest.mark.parametrize("backend", ["torch", "compiled"])
def test_alternating_least_squares_go_on(tmp_path, backend):
    def fitted(checkpoints=None, stop=0):
        model = models.build("ials", SPLIT.train, dim=3, solver="cg")

        def told(record):
            if record.epoch == stop:
                os.kill(os.getpid(), signal.SIGINT)

        trainer = trainers.build("alternating", epochs=5)
        return model, trainer.fit(model, SPLIT, on_epoch=told, checkpoints=checkpoints, backend=backend)

    # Between two sweeps the signal waits for the state to be kept.
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        fitted(checkpoints_in(tmp_path, interrupts, seconds=0.0), stop=3)
    assert len(read_state(tmp_path).state.curve) == 3
    same(fitted(), fitted(checkpoints_in(tmp_path)))


@pytest.mark.parametrize("name", ["gmf", "neumf", "mf"])
def test_compiled_steps_go_on_after_an_epoch(tmp_path, name):
    options = {"gmf": {"dim": 4}, "neumf": {"dim": 2, "layers": (8, 4)}, "mf": {"dim": 2}}[name]
    trainer = {"optimizer": "sgd", "batch_size": 1, "lr": 0.1} if name == "mf" else {"optimizer": "adam", "lr": 0.01}

    def fitted(checkpoints=None, stop=0):
        model = models.build(name, SPLIT.train, **options)

        def told(record):
            if record.epoch == stop:
                os.kill(os.getpid(), signal.SIGINT)

        fitter = trainers.build("gradient", **{"epochs": 4, "batch_size": BATCH_SIZE, **trainer})
        sampler = negatives.build("uniform", SPLIT.train, n_negatives=2)
        return model, fitter.fit(
            model, SPLIT, seed=5, negatives=sampler, on_epoch=told, checkpoints=checkpoints, backend="compiled"
        )

    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        fitted(checkpoints_in(tmp_path, interrupts, seconds=0.0), stop=3)
    assert len(read_state(tmp_path).state.curve) == 3
    same(fitted(), fitted(checkpoints_in(tmp_path)))


class Adding(Engine):
    """An engine as somebody else would write it: adds numbers that it draws itself, one a step."""

    def __init__(self, model, stop=0):
        self.model = model
        self.stop = stop
        self.generator = torch.Generator().manual_seed(1)

    def epoch(self, number):
        self.stop -= 1
        if self.stop == 0:
            os.kill(os.getpid(), signal.SIGINT)
        with torch.no_grad():
            self.model.bias += torch.rand((), generator=self.generator)
        return {"loss": self.model.bias.item()}

    def state(self):
        return {"generator": self.generator.get_state()}

    def restore(self, state):
        self.generator.set_state(state["generator"])


def test_an_engine_of_ones_own_goes_on_by_giving_and_taking_a_state(tmp_path):
    def fitted(stop=0, checkpoints=None):
        model = models.build("mf", SPLIT.train, dim=2)
        config = EpochsConfig(epochs=5)
        keywords = {"validate": None, "on_epoch": None, "progress": False}
        return model, fit_in_epochs(model, Adding(model, stop), config, checkpoints=checkpoints, **keywords)

    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.caught():
        fitted(3, checkpoints_in(tmp_path, interrupts))
    assert len(read_state(tmp_path).state.curve) == 3, "its epoch is the step that is finished"
    same(fitted(), fitted(checkpoints=checkpoints_in(tmp_path)))


def test_a_state_that_is_not_finite_is_not_kept(tmp_path):
    """Before the loss is looked at: every step is offered, and the first that is not finite ends the training."""
    with pytest.raises(DivergedError, match="is no longer finite in epoch 1, by step 1 of 7 "):
        fit(checkpoints=checkpoints_in(tmp_path, seconds=0.0), optimizer="sgd", lr=1e38, options={"reg": 1e3})
    assert not list(tmp_path.iterdir())


# Files


def state(n_epochs, best_epoch=None, with_best=True):
    """Return a state after some epochs, whose model counts them."""
    best = Best(best_epoch, {"w": torch.tensor([float(best_epoch)])}) if best_epoch and with_best else None
    curve = tuple(EpochRecord(epoch, {"loss": 0.1 * epoch}) for epoch in range(1, n_epochs + 1))
    return TrainingState(
        {"w": torch.tensor([float(n_epochs)])},
        {"nested": [(1, None, True), {"0": torch.ones(2, dtype=torch.uint8)}]},
        {"best_epoch": best_epoch, "best_value": float("-inf"), "waited": 0},
        curve,
        None,
        1.5,
        best,
    )


def kept(folder, *states):
    checkpoints = checkpoints_in(folder)
    for one in states:
        checkpoints.save(one)


def test_a_state_comes_back_as_it_was(tmp_path):
    kept(tmp_path, replace(state(2, 1), unvalidated={"loss": 0.1 + 0.2}))
    found = read_state(tmp_path)
    assert found.is_last and found.fingerprints == {"config": "c", "data": "d"}
    back = found.state
    assert torch.equal(back.model["w"], torch.tensor([2.0])) and torch.equal(back.best.model["w"], torch.tensor([1.0]))
    assert back.engine["nested"][0] == (1, None, True)
    assert torch.equal(back.engine["nested"][1]["0"], torch.ones(2, dtype=torch.uint8))
    assert back.choice == {"best_epoch": 1, "best_value": float("-inf"), "waited": 0}
    assert back.curve == (EpochRecord(1, {"loss": 0.1}), EpochRecord(2, {"loss": 0.2}))
    assert (back.unvalidated, back.seconds, back.best.epoch) == ({"loss": 0.1 + 0.2}, 1.5, 1)


def test_a_state_of_other_things_than_plain_ones_is_refused(tmp_path):
    with pytest.raises(TypeError) as error:
        kept(tmp_path, replace(state(1), engine={"folder": tmp_path}))
    assert str(error.value) == "a training state holds tensors, numbers and texts alone, and no PosixPath."
    assert read_state(tmp_path) is None


def test_the_one_before_is_kept_and_all_goes_when_it_is_no_longer_needed(tmp_path):
    kept(tmp_path, state(1), state(2), state(3, best_epoch=2))
    assert [load_plain(tmp_path / name)["model"]["w"].item() for name in (LAST, PREVIOUS, BEST)] == [3.0, 2.0, 2.0]
    for name in (LAST, PREVIOUS, BEST):
        assert (tmp_path / f"{name}.sha256").read_text().split()[1:] == [name]
    remove_states(tmp_path)
    assert not list(tmp_path.iterdir())


def damage(path, how="flip"):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if how == "flip" else content[: len(content) // 2])


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_state_falls_back_to_the_one_before_with_a_warning(tmp_path, caplog, how):
    kept(tmp_path, state(1), state(2))
    damage(tmp_path / LAST, how)
    found = read_state(tmp_path)
    assert len(found.state.curve) == 1 and not found.is_last
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{tmp_path / LAST}: is damaged: its SHA-256 is ")
    assert record.getMessage().endswith("... was written. It goes on from the state before, previous.pt.")


def test_a_damaged_state_never_takes_the_place_of_the_whole_one_before(tmp_path):
    kept(tmp_path, state(1), state(2))
    damage(tmp_path / LAST)
    kept(tmp_path, state(2))
    assert len(load_plain(tmp_path / PREVIOUS)["curve"]) == 1
    assert len(load_plain(tmp_path / LAST)["curve"]) == 2


def test_when_all_is_damaged_nothing_starts_anew_in_silence(tmp_path):
    kept(tmp_path, state(1), state(2))
    damage(tmp_path / LAST)
    damage(tmp_path / PREVIOUS)
    with pytest.raises(RunError) as error:
        read_state(tmp_path)
    message = str(error.value)
    assert message.startswith(f"the run {tmp_path} cannot be resumed: {tmp_path / LAST}: is damaged: its SHA-256 is ")
    assert f" {tmp_path / PREVIOUS}: is damaged: " in message
    assert message.endswith("... was written. Run the experiment anew, in another folder.")


def test_the_best_epoch_may_be_from_further_on_and_no_other(tmp_path):
    kept(tmp_path, state(2, best_epoch=1), state(5, best_epoch=4))
    damage(tmp_path / LAST)
    found = read_state(tmp_path).state
    assert len(found.curve) == 2 and found.best is None
    # Going on from there, the file stays until the training is there again.
    kept(tmp_path, replace(found, curve=state(3).curve))
    assert load_plain(tmp_path / BEST)["epoch"] == 4
    kept(tmp_path, state(4, best_epoch=4))
    assert read_state(tmp_path).state.best.epoch == 4

    save_plain(tmp_path / BEST, {"schema_version": 1, "epoch": 3, "model": {}})
    with pytest.raises(RunError, match=r"best\.pt: holds epoch 3, and epoch 4 is wanted\. "):
        read_state(tmp_path)


def test_a_training_that_does_not_come_to_the_best_epoch_again_says_so(tmp_path):
    keywords = {"validate": lambda _: {"ndcg@10": 0.0}, "on_epoch": None, "progress": False}
    model = models.build("mf", SPLIT.train, dim=2)
    checkpoints = checkpoints_in(tmp_path)
    checkpoints.found = replace(
        state(1), model=model.state_dict(), engine=Adding(model).state(),
        choice={"best_epoch": 1, "best_value": 0.5, "waited": 0},
    )  # fmt: skip
    with pytest.raises(RunError) as error:
        fit_in_epochs(model, Adding(model), EpochsConfig(epochs=2), checkpoints=checkpoints, **keywords)
    assert str(error.value) == (
        "epoch 1 is the best, and the file of the best epoch is from further on: the training did not come there "
        "again. Run the experiment anew, in another folder."
    )


def test_what_a_kill_leaves_of_each_write_is_whole(tmp_path, monkeypatch):
    """The process ends before one of the calls that a write consists of: what is read is the new state or the old."""

    class Killed(BaseException):
        pass

    left = 0

    def watched(function):
        def call(*args, **kwargs):
            nonlocal left
            if function is not opened or any("x" in mode for mode in args[1:]):
                left -= 1
                if left <= 0:
                    raise Killed
            return function(*args, **kwargs)

        return call

    opened = Path.open
    kept(tmp_path, state(1, 1), state(2, 2))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    epochs = []
    for number in itertools.count(1):
        for path in tmp_path.iterdir():
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)
        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "unlink")):
                patch.setattr(owner, name, watched(getattr(owner, name)))
            left = number
            checkpoints = checkpoints_in(tmp_path)
            try:
                checkpoints.save(state(3, 3))
            except Killed:
                pass
            else:
                break
        found = read_state(tmp_path)
        epochs.append(len(found.state.curve))
        assert found.state.best is None or found.state.best.epoch == epochs[-1]
    assert epochs == sorted(epochs) and set(epochs) == {2, 3} and len(epochs) > 30


@pytest.mark.parametrize("lacking", ["fingerprints", "model", "engine", "choice", "curve", "unvalidated", "seconds"])
def test_a_file_of_other_values_is_no_state(tmp_path, lacking):
    whole = {"schema_version": 1, "fingerprints": {}, "model": {}, "engine": {}, "choice": {}, "curve": []}
    whole |= {"unvalidated": None, "seconds": 1.0}
    save_plain(tmp_path / LAST, whole)
    assert read_state(tmp_path) is not None
    save_plain(tmp_path / LAST, {key: value for key, value in whole.items() if key != lacking})
    with pytest.raises(RunError) as error:
        read_state(tmp_path)
    assert str(error.value) == (
        f"the run {tmp_path} cannot be resumed: {tmp_path / LAST}: is no state of a training. "
        "Run the experiment anew, in another folder."
    )


def test_a_file_of_the_best_epoch_that_holds_none(tmp_path):
    whole = {"schema_version": 1, "fingerprints": {}, "model": {}, "engine": {}, "choice": {"best_epoch": 1}}
    save_plain(tmp_path / LAST, {**whole, "curve": [[1, {}]], "unvalidated": None, "seconds": 1.0})
    save_plain(tmp_path / BEST, {"schema_version": 1, "epoch": "first"})
    with pytest.raises(RunError) as error:
        read_state(tmp_path)
    assert f"{tmp_path / BEST}: does not hold the parameters of an epoch." in str(error.value)
