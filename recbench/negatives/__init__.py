"""Negative samplers, one file each; the file's name is the registered name."""

from recbench.negatives.base import Negatives, Sampler, SeenItems
from recbench.registry import Registry

registry: Registry[Sampler] = Registry("negatives", "recbench.negatives")
register = registry.register
build = registry.build

__all__ = ["Negatives", "Sampler", "SeenItems", "build", "register", "registry"]
