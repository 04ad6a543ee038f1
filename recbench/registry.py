"""Names and the parts behind them: one registry a family, filled by one decorator a part."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from recbench.errors import ConfigError
from recbench.options import Config, did_you_mean, one_of
from recbench.paths import checked_name

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered part: its name, what makes it, its options, and where it comes from."""

    kind: str
    name: str
    target: Callable[..., T]
    config: type[Config] | None
    traits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> type[Config]:
        """The type of its options; that without any where it has none."""
        return self.config or Config

    @property
    def summary(self) -> str:
        """The first line of the part's docstring."""
        return (inspect.getdoc(self.target) or "").partition("\n")[0]

    @property
    def module(self) -> str:
        """The dotted name of the module that defines the part."""
        return self.target.__module__

    def configure(self, options: Mapping[str, Any]) -> Config:
        """Return the part's typed options; every mistake is reported at once as a ``ConfigError``."""
        return self.options.from_mapping(options, f"{self.kind} {self.name!r}")


class Registry(Generic[T]):
    """The parts of one family by name.

    The modules of ``package`` are imported at the first look-up, so a new built-in part is one new file.
    """

    def __init__(self, kind: str, package: str, needs: tuple[str, ...] = ()) -> None:
        """Make an empty registry.

        Args:
            kind: What a part is called in errors.
            package: Whose modules are imported at the first look-up.
            needs: Traits that every part must state.
        """
        self.kind = kind
        self.package = package
        self.needs = needs
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = False

    def register(
        self, name: str, *, config: type[Config] | None = None, **traits: Any
    ) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Return the decorator that registers a class or function under ``name``.

        Args:
            name: What users write in a configuration; see ``paths.checked_name``.
            config: The type of its options; none where it has no options. No other part may share it.
            traits: Facts about the part that its family knows how to use.

        Raises:
            ConfigError: The name is not well formed or is taken, the options type is taken, or a trait is missing.
        """
        checked_name(name, self.kind)
        missing = [trait for trait in self.needs if trait not in traits]
        if missing:
            raise ConfigError(f"{self.kind} {name!r}: register it with {missing[0]}=..., as the built-in ones are.")

        def decorate(target: Callable[..., T]) -> Callable[..., T]:
            taken = self._entries.get(name)
            if taken is not None:
                raise ConfigError(
                    f"{self.kind} {name!r} is registered twice: in {taken.module} and in {target.__module__}."
                )
            for other in self._entries.values():
                if config is not None and other.config is config:
                    raise ConfigError(
                        f"{self.kind} {name!r}: {config.__name__} already belongs to {other.name!r}; derive a class."
                    )
            self._entries[name] = Entry(self.kind, name, target, config, traits)
            return target

        return decorate

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def entry(self, name: str) -> Entry[T]:
        """Return what is registered as ``name``.

        Raises:
            ConfigError: There is no such name; the message has the nearest one and the list.
        """
        self._load()
        if name not in self._entries:
            raise ConfigError(f"no {self.kind} {name!r}. {did_you_mean(name, self._entries)}")
        return self._entries[name]

    def entry_of(self, config: Config) -> Entry[T]:
        """Return the part that ``config`` configures.

        Raises:
            ConfigError: No part of this family has options of that type.
        """
        self._load()
        for entry in self._entries.values():
            if entry.config is type(config):
                return entry
        raise ConfigError(f"{type(config).__name__} configures no {self.kind}. Known: {', '.join(self.names())}.")

    def build(self, name: str, /, *arguments: Any, **options: Any) -> T:
        """Return the part made from its options and ``arguments``: ``models.build("mf", train, dim=64)``."""
        entry = self.entry(name)
        return entry.target(entry.configure(options), *arguments)

    def make(self, config: Config, *arguments: Any) -> T:
        """Return the part that ``config`` configures, made from it and ``arguments``."""
        return self.entry_of(config).target(config, *arguments)

    def _load(self) -> None:
        if self._loaded:
            return
        # Set before: a module may look up the registry that it is imported for.
        self._loaded = True
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                importlib.import_module(f"{self.package}.{module.name}")
        except BaseException:
            self._loaded = False
            raise


class OneOf:
    """Marks an option that names a registered part: ``Annotated[str, OneOf(losses)]``."""

    def __init__(self, registry: Registry[Any], *without: str) -> None:
        """Allow all names of ``registry`` but those in ``without``."""
        self.registry = registry
        self.without = without

    def names(self) -> list[str]:
        """Return the allowed names, sorted."""
        return [name for name in self.registry.names() if name not in self.without]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the name where the options are made."""
        return core_schema.no_info_after_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """List the names where the options are described."""
        return {**handler(schema), "enum": self.names()}

    def __call__(self, name: str) -> str:
        """Return ``name``, or raise a ``ValueError`` that lists the allowed ones."""
        if name not in self.names():
            raise ValueError(f"should be {one_of(self.names())}.")
        return name
