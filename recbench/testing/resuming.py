"""A check of whether a training that was stopped goes on as if it had not been."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress

import torch

from recbench.checkpoints import Checkpoints, TrainingState, from_plain, to_plain
from recbench.testing.battery import Subject, check
from recbench.testing.requirements import require, require_equal_models

_EPOCHS = 3
_BUDGET = {"epochs": _EPOCHS, "batch_size": 256}
"""Several steps an epoch."""


@check
def resume(subject: Subject) -> None:
    """Where its trainer goes in epochs, a training that is stopped at a state and goes on ends with the same bits."""
    if "epochs" not in subject.trainer_options:
        return
    offers = _StopsAt(0)
    model, result = subject.fit(subject.split, budget=_BUDGET, checkpoints=offers)
    n = offers.passed
    require(n > 0, "its trainer goes in epochs and offers no state to go on from; let it call fit_in_epochs().")
    # After the first step, the last one of an epoch, the epoch, and half of all.
    for place in sorted({1, n // _EPOCHS - 1, n // _EPOCHS, n // 2} - {0}):
        found = _kept(subject, place)
        again, resumed = subject.fit(subject.split, budget=_BUDGET, checkpoints=_GoesOn(found))
        told = f"a training that was stopped at state {place} of {n}, and one that was not"
        require_equal_models(again, model, told)
        require(resumed.curve == result.curve, f"{told}: their curves differ.")


def _kept(subject: Subject, place: int) -> TrainingState:
    """Return the state with which the training is stopped at the ``place``-th one, written and read back."""
    stop = _StopsAt(place)
    with suppress(_Stopped):
        subject.fit(subject.split, budget=_BUDGET, checkpoints=stop)
    assert stop.state is not None
    file = io.BytesIO()
    try:
        torch.save(to_plain(stop.state), file)
    except TypeError as error:
        raise AssertionError(str(error)) from error
    file.seek(0)
    return from_plain(torch.load(file, weights_only=True), stop.state.best)


class _Stopped(Exception):
    """The training is where it was to be stopped."""


class _StopsAt(Checkpoints):
    """Stops a training at one of the states that it offers, counted from 1; at 0 it only counts."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.passed = 0
        self.state: TrainingState | None = None

    def offer(self, state: Callable[[], TrainingState]) -> None:
        self.passed += 1
        if self.passed == self.place:
            self.state = state()
            raise _Stopped


class _GoesOn(Checkpoints):
    """Has a state to go on from."""

    def __init__(self, state: TrainingState) -> None:
        self.found = state
