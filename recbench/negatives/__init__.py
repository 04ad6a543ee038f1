"""Negative samplers, one file each; the file's name is the registered name."""

from recbench.negatives.base import DRAWN_TOGETHER, Negatives, Sampler, SeenItems
from recbench.registry import Registry

registry: Registry[Sampler] = Registry("negatives", "recbench.negatives")
register = registry.register
build = registry.build

__all__ = ["DRAWN_TOGETHER", "Negatives", "Sampler", "SeenItems", "build", "register", "registry"]
