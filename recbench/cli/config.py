"""``recbench config``: what a run would be configured as, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.cli.composition import make_plan
from recbench.cli.overrides import CONFIG, GROUPS, Overrides
from recbench.cli.session import conf_dir, hydra_session
from recbench.configuration import PARTS
from recbench.repeat import written

IN_CODE = "default in the code"
TYPED = "command line"


def main(arguments: Sequence[str]) -> int:
    """Print a line for each option: key, value, origin.

    Raises:
        ConfigError: With all mistakes.
    """
    parser = Parser("config", "Show what 'recbench run' with the same words would be configured as, and from where.")
    parser.add_overrides()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    with hydra_session(given.config_dir) as session:
        plan = make_plan(session, given.overrides, multirun=False)
        origins = _origins(session, plan.overrides)
    (job,) = plan.jobs
    values = dict(_flat(job.resolved.config.to_dict()))
    lines = [(f"{key} = {written(value)}", origins.get(key, IN_CODE)) for key, value in values.items()]
    width = min(60, max(len(setting) for setting, _ in lines))
    for setting, origin in lines:
        print(f"{setting:{width}}  # {origin}")
    return 0


def _origins(session: Hydra, words: Sequence[str]) -> dict[str, str]:
    """Return the keys that a file or the command line sets, each with the one that counts."""
    reader = Overrides(session.config_loader, words)
    overrides, _ = reader.read(words)
    repository = reader.repository
    defaults = session.config_loader.compute_defaults_list(CONFIG, list(words), RunMode.RUN)

    def file(path: str) -> str:
        found = repository.load_config(path)
        assert found is not None
        return f"{found.path.removeprefix('file://')}/{path}.yaml".replace(str(conf_dir()), "conf")

    origins: dict[str, str] = {}
    for group, choice in defaults.overrides.known_choices.items():
        if choice is not None and group in GROUPS:
            chosen = defaults.overrides.override_metadata.get(group)
            by = CONFIG if chosen is None else chosen.containing_config_path
            origins[f"{group}.name" if group in PARTS else group] = TYPED if by is None else file(by)
    for default in defaults.defaults:
        path = default.config_path
        if path is None or path.startswith("hydra/") or (found := repository.load_config(path)) is None:
            continue
        if found.path.startswith("structured://"):
            continue
        values = OmegaConf.to_container(found.config)
        assert isinstance(values, dict)
        own = {key: value for key, value in values.items() if key not in ("defaults", "hydra")}
        origins |= dict.fromkeys(dict(_flat(own, default.package or "")), file(path))
    for override in overrides:
        if not override.is_hydra_override() and override.key_or_group not in GROUPS:
            key = override.key_or_group
            value = override.value()
            origins |= dict.fromkeys(dict(_flat(value, key)) if isinstance(value, dict) else [key], TYPED)
    return origins


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the innermost values with their dotted keys."""
    for key, value in values.items():
        dotted = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, dotted)
        else:
            yield dotted, value
