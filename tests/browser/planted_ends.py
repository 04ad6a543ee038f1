"""A plugin whose models do not end well: what a board must show beside those that do."""

import os
import signal

from recbench import models
from recbench.errors import DivergedError
from recbench.models.mf import MF, MFConfig


class BrokenConfig(MFConfig):
    """Options of ``broken``."""


@models.register("broken", config=BrokenConfig)
class Broken(MF):
    """Fails before it is trained."""

    def __init__(self, config, train, seed=0):
        raise ArithmeticError("planted failure")


class ExplodingConfig(MFConfig):
    """Options of ``exploding``."""


@models.register("exploding", config=ExplodingConfig)
class Exploding(MF):
    """Has a loss that is no number in its third epoch."""

    n_evaluations = 0

    def score(self, batch, items=None):
        self.n_evaluations += 1
        if self.n_evaluations == 3:
            raise DivergedError("planted divergence")
        return super().score(batch, items)


class StoppedConfig(MFConfig):
    """Options of ``stopped``."""


@models.register("stopped", config=StoppedConfig)
class Stopped(MF):
    """Is interrupted in its third epoch where the environment names its seed."""

    n_evaluations = 0

    def __init__(self, config, train, seed=0):
        super().__init__(config, train, seed)
        self.is_to_stop = os.environ.get("PLANTED_INTERRUPTION") == str(seed)

    def score(self, batch, items=None):
        self.n_evaluations += 1
        if self.n_evaluations == 3 and self.is_to_stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().score(batch, items)
