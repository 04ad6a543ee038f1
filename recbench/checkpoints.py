"""The states of a training that a run keeps while it trains, so that it goes on where it was stopped or killed.

``last.pt`` is the newest, ``previous.pt`` the one before, and ``best.pt`` has the parameters of the best epoch so far.
All hold tensors, numbers and texts alone, and each has its checksum beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from recbench.errors import RunError
from recbench.files import SCHEMA_VERSION, load_plain, move_plain, remove_plain, save_plain
from recbench.interrupts import Interrupts
from recbench.trainers.base import EpochRecord

logger = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"
_KEPT = ("model", "engine", "choice", "unvalidated", "seconds")


@dataclass(frozen=True, eq=False)
class Best:
    """The parameters of the best epoch so far."""

    epoch: int
    model: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that the rest of a training depends on, beside the options, the data and the code.

    Attributes:
        model: Its ``state_dict()``.
        engine: What ``Engine.state`` gives.
        choice: What is known of the best epoch.
        curve: The epochs that are over.
        unvalidated: Values of the epoch after these, where all its steps are taken and it is not yet validated.
        seconds: Of all that led here.
        best: None where there is none, or where its file is from further on (see ``read_state``).
    """

    model: Mapping[str, Tensor]
    engine: Mapping[str, Any]
    choice: Mapping[str, Any]
    curve: tuple[EpochRecord, ...]
    unvalidated: Mapping[str, float] | None
    seconds: float
    best: Best | None


@dataclass(frozen=True, eq=False)
class Found:
    """A training state that a run left behind.

    Attributes:
        fingerprints: Of what it was made with.
        is_last: Whether it is the newest that was written.
    """

    state: TrainingState
    fingerprints: Mapping[str, Any]
    is_last: bool


class Checkpoints:
    """Where a training finds what an earlier attempt left, and keeps its states; this one finds and keeps nothing."""

    found: TrainingState | None = None

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Let a first signal to stop wait, while inside, for the next ``offer``."""
        yield

    def offer(self, state: Callable[[], TrainingState]) -> None:
        """Take the state where it is time to, or where somebody has asked to stop; then stop."""

    def save(self, state: TrainingState) -> None:
        """Keep the state."""


class FolderCheckpoints(Checkpoints):
    """Keeps the states of a training in the folder of its run."""

    def __init__(
        self,
        folder: Path,
        seconds: float,
        fingerprints: Mapping[str, Any],
        interrupts: Interrupts,
        found: Found | None = None,
    ) -> None:
        """Begin.

        Args:
            folder: The run's, held by this process.
            seconds: Between two states; 0 keeps every one that is offered.
            fingerprints: Of what the states are made with.
            interrupts: Whom to ask whether to stop.
            found: What an earlier attempt left.
        """
        self._folder = folder
        self._seconds = seconds
        self._fingerprints = fingerprints
        self._interrupts = interrupts
        self._last_is_whole = found is not None and found.is_last
        self._saved = time.monotonic()
        self.found = None if found is None else found.state
        best = None if self.found is None else self.found.best
        self._best_epoch = None if best is None else best.epoch

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Let a first signal to stop wait, while inside, for the next ``offer``."""
        with self._interrupts.postponed():
            yield

    def offer(self, state: Callable[[], TrainingState]) -> None:
        """Take the state where it is time to, or where somebody has asked to stop; then stop.

        Raises:
            StorageError: It cannot be written; what was there stays.
            KeyboardInterrupt: Somebody has asked to stop.
        """
        if self._interrupts.asked or time.monotonic() - self._saved >= self._seconds:
            self.save(state())
        self._interrupts.stop_if_asked()

    def save(self, state: TrainingState) -> None:
        """Keep the state, and the one before as the previous one.

        Raises:
            StorageError: It cannot be written; what was there stays.
        """
        head = {"schema_version": SCHEMA_VERSION, "fingerprints": dict(self._fingerprints)}
        if state.best is not None and state.best.epoch != self._best_epoch:
            best = {**head, "epoch": state.best.epoch, "model": state.best.model}
            save_plain(self._folder / BEST, _plain(best))
            self._best_epoch = state.best.epoch
        if self._last_is_whole:
            move_plain(self._folder / LAST, self._folder / PREVIOUS)
            self._last_is_whole = False
        save_plain(self._folder / LAST, {**_plain(head), **to_plain(state)})
        self._last_is_whole = True
        self._saved = time.monotonic()


def to_plain(state: TrainingState) -> dict[str, Any]:
    """Return nested tensors, numbers and texts: the state without the parameters of the best epoch.

    Raises:
        TypeError: It holds something that could not be read back as data alone.
    """
    values: dict[str, Any] = _plain({name: getattr(state, name) for name in _KEPT})
    return values | {"curve": [[record.epoch, _plain(record.values)] for record in state.curve]}


def from_plain(plain: Mapping[str, Any], best: Best | None) -> TrainingState:
    """Return the state that ``to_plain`` made ``plain`` of."""
    curve = tuple(EpochRecord(epoch, values) for epoch, values in plain["curve"])
    return TrainingState(**{name: plain[name] for name in _KEPT}, curve=curve, best=best)


def read_state(folder: Path) -> Found | None:
    """Return the newest state in ``folder`` that is whole, or None where there is none at all.

    The file of the best epoch may be from further on than the state, where the process was killed in between: then
    the training comes to that epoch again, and needs no parameters of an earlier one.

    Raises:
        RunError: All that was kept is damaged.
    """
    damages: list[str] = []
    for name in (LAST, PREVIOUS):
        if not (folder / name).exists():
            continue
        try:
            plain = load_plain(folder / name)
            if not _is_state(plain):
                raise RunError(f"{folder / name}: is no state of a training.")
            best = _read_best(folder, plain)
        except RunError as error:
            damages.append(str(error))
            continue
        for damage in damages:
            logger.warning("%s It goes on from the state before, %s.", damage, name)
        return Found(from_plain(plain, best), plain["fingerprints"], is_last=name == LAST)
    if damages:
        raise RunError(
            f"the run {folder} cannot be resumed: {' '.join(damages)} Run the experiment anew, in another folder."
        )
    return None


def remove_states(folder: Path) -> None:
    """Remove what was kept for resuming."""
    for name in (LAST, PREVIOUS, BEST):
        remove_plain(folder / name)


def _read_best(folder: Path, plain: Mapping[str, Any]) -> Best | None:
    """Return the parameters of the best epoch that the state ``plain`` knows of."""
    wanted = plain["choice"].get("best_epoch")
    if wanted is None:
        return None
    best = load_plain(folder / BEST)
    if not (isinstance(best.get("epoch"), int) and isinstance(best.get("model"), dict)):
        raise RunError(f"{folder / BEST}: does not hold the parameters of an epoch.")
    if best["epoch"] == wanted:
        return Best(wanted, best["model"])
    if best["epoch"] > len(plain["curve"]):
        return None
    raise RunError(f"{folder / BEST}: holds epoch {best['epoch']}, and epoch {wanted} is wanted.")


def _is_state(plain: Mapping[str, Any]) -> bool:
    """Return whether there is what ``FolderCheckpoints.save`` writes, whatever the model and the trainer."""
    curve = plain.get("curve")
    return (
        all(isinstance(plain.get(key), dict) for key in ("fingerprints", "model", "engine", "choice"))
        and isinstance(plain["choice"].get("best_epoch"), int | None)
        and isinstance(plain.get("seconds"), int | float)
        and "unvalidated" in plain
        and isinstance(curve, list)
        and all(
            isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int) and isinstance(entry[1], dict)
            for entry in curve
        )
    )


def _plain(value: Any) -> Any:
    """Return nested ``value`` with its tensors on the CPU.

    Raises:
        TypeError: It holds something that could not be read back as data alone.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a training state holds tensors, numbers and texts alone, and no {type(value).__name__}.")
