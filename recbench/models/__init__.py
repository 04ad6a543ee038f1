"""Models, one file each; the file's name is the registered name."""

from recbench.models.base import AlternatingModel, GradientModel, Model
from recbench.registry import Registry

registry: Registry[Model] = Registry("model", "recbench.models")
register = registry.register
build = registry.build

__all__ = ["AlternatingModel", "GradientModel", "Model", "build", "register", "registry"]
