"""What files may not ask Hydra for: a configuration chooses by names, and runs nothing that it names itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recbench.errors import ConfigError

_OF_HYDRA = ("hydra._internal.core_plugins.", "hydra_plugins.")
_PLUGINS = ("launcher", "sweeper")
_LOGS = ("job_logging", "hydra_logging")
_OF_NO_LOG = {"version", "root", "disable_existing_loggers"}


def refuse_code(composed: DictConfig) -> None:
    """Refuse what Hydra would run, import, or set for the programs that a run starts.

    A file from somebody else can hold such settings like any others, and after composition nobody sees where a
    setting came from; so they are refused wherever they stand.

    Args:
        composed: With the node ``hydra``.

    Raises:
        ConfigError: With all of them.
    """
    node = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(node, dict)
    mistakes = [
        f"hydra.{key}._target_ = {target!r}: names code to run, and only hydra/launcher=NAME and hydra/sweeper=NAME "
        "may choose some, among the installed ones; leave it out."
        for key, target in _targets(node)
        if not (key.partition(".")[0] in _PLUGINS and str(target).startswith(_OF_HYDRA))
    ]
    for name in _LOGS:
        if node[name] is not None and _writes(node[name]):
            mistakes.append(
                f"hydra.{name}: names code to run, and log lines are recbench's own; leave hydra/{name}=none alone."
            )
    if node["job"]["env_set"]:
        mistakes.append(
            "hydra.job.env_set: would change what programs and modules a run finds; set environment variables in the "
            "shell that the command is typed in."
        )
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _targets(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what names code, with the dotted key of where it stands."""
    if isinstance(node, Mapping):
        for name, inner in node.items():
            if name == "_target_":
                yield key, inner
            yield from _targets(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _targets(inner, f"{key}[{place}]")


def _writes(log: Mapping[str, Any]) -> bool:
    """Return whether a configuration of Python's logging has more than a level."""
    return bool(log.keys() - _OF_NO_LOG) or bool((log.get("root") or {}).keys() - {"level"})
