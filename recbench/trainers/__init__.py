"""What fits models, one file each; the file's name is the registered name."""

from recbench.registry import Registry
from recbench.trainers.base import EpochRecord, FitResult, Trainer

registry: Registry[Trainer] = Registry("trainer", "recbench.trainers")
register = registry.register
build = registry.build

__all__ = ["EpochRecord", "FitResult", "Trainer", "build", "register", "registry"]
