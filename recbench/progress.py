"""Progress bars on what takes longer than a second, drawn only where the output is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")

_wanted: ContextVar[bool] = ContextVar("wanted", default=True)


@contextmanager
def bars(wanted: bool) -> Iterator[None]:
    """Draw bars while inside, or none at all."""
    before = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(before)


def bar(steps: Iterable[T], label: str) -> Iterable[T]:
    """Return ``steps`` with a bar that shows how many of them are behind us."""
    return tqdm(steps, desc=label, delay=1, leave=False, disable=None if _wanted.get() else True)


def bytes_bar(n_bytes: int | None, label: str, *, wanted: bool = True) -> tqdm:
    """Return a bar to be updated by bytes; ``n_bytes`` are all of them, None where that is not known."""
    disable = None if wanted and _wanted.get() else True
    return tqdm(total=n_bytes, desc=label, unit="B", unit_scale=True, delay=1, leave=False, disable=disable)
