"""How loops are compiled, kept and dealt to threads.

Code is kept by the file that a loop stands in: loops that call one another stand in one file, or a change of one would
leave the old code of the other in use. Where they do not (``vectors``, and what is ``compiled_as_written``), the
``__pycache__`` of those that call goes with each change of what they call.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LINE = 16
"""Float32 numbers in a cache line."""

Float32: TypeAlias = Any
"""One number, a float32; Python's own types have none."""

in_llvm: Callable[[Callable[..., Any]], Any] = intrinsic
"""Decorates what writes the compiler's own code.

By numba's types it takes what the compiler hands over; a loop calls it with what stands in its signature.
"""

# All that fast maths allows but that no number is infinite or not a number: what diverges has to be seen.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "nsz", "arcp", "contract"}}

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")


def compiled(function: _F) -> _F:
    """Compile ``function`` when it is first called, and keep the code for other processes where a folder allows."""
    return _kept(function, _OPTIONS)


def compiled_as_written(function: _F) -> _F:
    """Compile as ``compiled`` does, with each operation rounded as it stands there.

    For functions that are called from other files: the process that compiles such a one has two copies of it, its own
    and that in its caller, and another process, which finds the caller's code, has one. A product and a sum that are
    joined in one copy and not in the other would give them other last bits.
    """
    return _kept(function, {"nogil": True, "error_model": "numpy"})


def _kept(function: _F, options: dict[str, Any]) -> _F:
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        logger.warning("compiled anew in each process, since no folder for it can be written to (%s)", error)
        return numba.njit(**options)(function)


def inlined(function: _F) -> _F:
    """Compile ``function`` into each compiled one that calls it: for a few lines that are run for every pair.

    Arrays are handed over as their pointers, lengths and strides: for a function that takes several, a call costs more
    than such lines do. An array in a tuple costs that much each time it is taken out.
    """
    return numba.njit(inline="always", **_OPTIONS)(function)


def dealt(work: Callable[[NDArray[np.int64]], _T], costs: NDArray[np.int64], threads: int) -> list[_T]:
    """Return what ``work`` makes of the rows that each of ``threads`` is dealt, the dearest first, in turn.

    Args:
        work: Takes indices of rows; lets go of Python's lock, deals nothing itself, and no row's result depends on the
            other rows.
        costs: (R,) what each row costs, such as its length.
        threads: At least 1.
    """
    order = np.argsort(-costs, kind="stable")
    return side_by_side([functools.partial(work, order[thread::threads]) for thread in range(threads)])


def side_by_side(works: Sequence[Callable[[], _T]], stop: Callable[[], object] | None = None) -> list[_T]:
    """Return what each of ``works`` returns: this thread does the first, and others one each.

    Args:
        works: At least one.
        stop: Lets the others end soon; called where this thread is interrupted, or its work raises.
    """
    others: list[Future[_T]] = []
    try:
        for work in works[1:]:
            other: Future[_T] = Future()
            _helpers(len(works) - 1).put((other, work))
            others.append(other)
        # This thread does its share: to wake one more costs as much as a small block.
        own = works[0]()
        wait(others)
    except BaseException:
        if stop is not None:
            stop()
        raise
    finally:
        # Also where somebody interrupts, while this thread works or waits: nobody else sees what is half done.
        wait(others)
    return [own, *(other.result() for other in others)]


@functools.cache
def _helpers(n: int) -> SimpleQueue[Any]:
    """Return the queue of ``n`` threads, which live as long as the process, and for which it does not wait.

    To start a thread takes longer than many a block does.
    """
    tasks: SimpleQueue[Any] = SimpleQueue()
    for _ in range(n):
        threading.Thread(target=_help, args=(tasks,), daemon=True).start()
    return tasks


if hasattr(os, "register_at_fork"):
    # A process made by a fork has none of the threads.
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def _help(tasks: SimpleQueue[Any]) -> None:
    while True:
        result, work = tasks.get()
        try:
            result.set_result(work())
        except BaseException as error:  # Whatever it is, it is raised where the work was dealt.
            result.set_exception(error)
        # What it refers to may be large, and the next task may be long in coming.
        del result, work
