"""Sources of interactions, one file each; the file's name is the registered name."""

from recbench.datasets.base import Card, Dataset, DatasetConfig, Tables
from recbench.registry import Registry

registry: Registry[Dataset] = Registry("dataset", "recbench.datasets")
register = registry.register
build = registry.build

__all__ = ["Card", "Dataset", "DatasetConfig", "Tables", "build", "register", "registry"]
