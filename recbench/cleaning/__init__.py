"""Steps that decide which rows of the data count, one file each; the file's name is the registered name."""

from recbench.cleaning.base import Applied, Step, StepConfig
from recbench.registry import Registry

registry: Registry[Step] = Registry("cleaning step", "recbench.cleaning")
register = registry.register
build = registry.build

__all__ = ["Applied", "Step", "StepConfig", "build", "register", "registry"]
