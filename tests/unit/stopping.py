"""Trainings that stop at a given step, by a signal as a person or a machine would send it."""

import os
import signal
import traceback
from pathlib import Path

from recbench.checkpoints import FolderCheckpoints, read_state
from recbench.interrupts import Interrupts
from recbench.negatives.uniform import Uniform, UniformConfig

FINGERPRINTS = {"config": "c", "data": "d"}


class Stopping(Uniform):
    """Draws uniformly, and sends its own process a signal while it draws for one of the steps."""

    step = 0
    """The step, counted from 1 over all epochs; 0 for none."""
    number = signal.SIGINT

    def sample(self, users, positives, generator):
        type(self).step -= 1
        if type(self).step == 0:
            os.kill(os.getpid(), self.number)
        return super().sample(users, positives, generator)


def stopping_at(step, train, number=signal.SIGINT, **options):
    """Return a sampler that stops the process at ``step``."""
    sampler = type("StoppingHere", (Stopping,), {"step": step, "number": number})
    return sampler(UniformConfig(**options), train)


def checkpoints_in(folder: Path, interrupts=None, seconds=3600.0):
    """Return checkpoints that go on from what is in ``folder``."""
    return FolderCheckpoints(folder, seconds, FINGERPRINTS, interrupts or Interrupts(), read_state(folder))


def in_a_process(work):
    """Return the exit code of a copy of this process that does ``work``: minus the signal that ended it, if any."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
