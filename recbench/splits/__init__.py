"""Splitting protocols, one file each, named as they are registered; beside them what protocols share."""

from recbench.registry import Registry
from recbench.splits.base import Splitter

registry: Registry[Splitter] = Registry("split", "recbench.splits")
register = registry.register
build = registry.build

__all__ = ["Splitter", "build", "register", "registry"]
