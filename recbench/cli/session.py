"""Hydra with our files and parts, what it makes of words, and its errors as ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import recbench
from recbench.cli.hydra_lines import set_version_base
from recbench.cli.overrides import CONFIG
from recbench.cli.trust import refuse_code
from recbench.configuration import AUTO, PARTS, PLAIN, Settings
from recbench.errors import ConfigError
from recbench.options import Config
from recbench.sweep import SweepConfig

MAX_REMEMBERED = 256
"""Compositions, of some hundred kilobytes each."""
_DEFAULTS_DEPEND_ON_MODEL = ("trainer", "negatives")


@contextmanager
def hydra_session(config_dir: str | None = None, *, complete: bool = False) -> Iterator[Hydra]:
    """Give Hydra with our files and every registered part as a choice of its group.

    Args:
        config_dir: A folder with further files.
        complete: Whether trainers and samplers are to have their defaults too, for shell completion. Otherwise
            they have none, since a model may have its own.

    Raises:
        ConfigError: ``config_dir`` is no folder.
    """
    _store_parts(complete)
    set_version_base()
    search_path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir {config_dir!r}: is no folder.")
        search_path.prepend(
            provider="command-line", path=f"file://{Path(config_dir).resolve()}", anchor=SearchPathQuery("schema")
        )
    GlobalHydra.instance().clear()
    try:
        hydra = Hydra.create_main_hydra2("recbench", search_path)
        hydra.config_loader = RemembersCompositions(search_path)
        yield hydra
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None


class RemembersCompositions(ConfigLoaderImpl):
    """Hydra's loader, which composes the same words once: each job of a sweep is asked for three times.

    We ask in order to check it, Hydra's sweeper in order to check it again, and its launcher in order to run it; a
    composition takes a tenth of a second, more than a small run.
    """

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self._composed: dict[tuple[Any, ...], DictConfig] = {}

    def _load_configuration_impl(
        self, config_name: str | None, overrides: list[str], run_mode: RunMode, *flags: Any, **named_flags: Any
    ) -> DictConfig:
        key = (config_name, *overrides, run_mode, flags, *named_flags.items())
        if key not in self._composed:
            if len(self._composed) >= MAX_REMEMBERED:
                del self._composed[next(iter(self._composed))]
            self._composed[key] = super()._load_configuration_impl(
                config_name, overrides, run_mode, *flags, **named_flags
            )
        return copy.deepcopy(self._composed[key])

    def __getstate__(self) -> dict[str, Any]:
        """Return what workers are sent: without what was composed here."""
        return {**self.__dict__, "_composed": {}}


@cache
def conf_dir() -> Path:
    """Return our folder of configuration files, in a wheel or a checkout."""
    package = Path(recbench.__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if (path / "config.yaml").exists())


def _store_parts(complete: bool) -> None:
    """Put a node into Hydra's store for each registered part, and one for what is at the top level."""
    store = ConfigStore.instance()
    for group, registry in PARTS.items():
        shown = complete or group not in _DEFAULTS_DEPEND_ON_MODEL
        every: dict[str, Any] = {}
        for name in registry.names():
            options = _defaults(registry.entry(name).config or Config) if shown else {}
            store.store(name=name, group=group, node={"name": name, **options}, provider="recbench")
            every |= options
        if group in _DEFAULTS_DEPEND_ON_MODEL:
            store.store(name=AUTO, group=group, node={"name": AUTO, **every}, provider="recbench")
    plain: dict[str, type[Config]] = {**PLAIN, "sweep": SweepConfig}
    top = {**_defaults(Settings), **{name: _defaults(config) for name, config in plain.items()}}
    # experiment=NAME is a group; what was chosen is filled in when the values are read.
    del top["experiment"]
    store.store(name="settings", node=top, provider="recbench")


def _defaults(config: type[Config]) -> dict[str, Any]:
    """Return the plain defaults of the options that have one."""
    return config.model_construct().model_dump(mode="json")


def composed_config(hydra: Hydra, words: Sequence[str], mode: RunMode) -> DictConfig:
    """Return what Hydra makes of ``words``; what would run code is refused."""
    # Of what is swept over in a sweep we tell more than Hydra does. A single run is asked for as Hydra asks for it.
    told = mode == RunMode.RUN
    composed = hydra.compose_config(CONFIG, list(words), run_mode=mode, validate_sweep_overrides=told)
    refuse_code(composed)
    return composed


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Turn what Hydra, OmegaConf and YAML refuse into a ``ConfigError``."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        causes = [str(error), *([str(error.__cause__)] if error.__cause__ is not None else [])]
        text = "\n".join(filter(None, dict.fromkeys(causes)))
        raise ConfigError("\n  ".join(line for line in text.splitlines() if line.strip())) from None
