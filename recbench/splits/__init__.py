"""Splitting protocols, one file each; the file's name is the registered name."""

from recbench.registry import Registry
from recbench.splits.base import Splitter

registry: Registry[Splitter] = Registry("split", "recbench.splits")
register = registry.register
build = registry.build

__all__ = ["Splitter", "build", "register", "registry"]
