"""The command line that runs a configuration again."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from recbench.configuration import ExperimentConfig, resolve
from recbench.options import Config
from recbench.plugins import VARIABLE

CONFIG_DIR = "RECBENCH_CONFIG_DIR"
"""Environment variable by which the jobs of a command are told its --config-dir, so that they can repeat it."""

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
_MEANS_SOMETHING = frozenset({"null", "true", "false", "nan", "inf"})


def command_line(config: ExperimentConfig) -> str:
    """Return the one line that runs ``config`` again, quoted for the shell."""
    flags = [f"--plugin={module}" for module in os.environ.get(VARIABLE, "").split(",") if module]
    if CONFIG_DIR in os.environ:
        flags.append(f"--config-dir={os.environ[CONFIG_DIR]}")
    return shlex.join(["recbench", "run", *flags, *overrides(config)])


def overrides(config: ExperimentConfig) -> list[str]:
    """Return ``config`` as the few ``KEY=VALUE`` that differ from the defaults.

    Model and data set are always named. What belongs to ``experiment=NAME`` is listed in full, since there the
    defaults are those of a file.
    """
    plain = config.to_dict()
    plain = {"model": plain["model"], **plain}
    usual = _usual(config, plain) if config.settings.experiment is None else {}
    words = []
    del plain["published"]  # The experiment's file has it.
    for key, value in plain.items():
        before = usual.get(key)
        if isinstance(value, Mapping):
            before = before or {}
            if "name" in value and value["name"] != before.get("name"):
                words.append(f"{key}={written(value['name'])}")
            words += [
                f"{key}.{option}={written(inner)}"
                for option, inner in value.items()
                if option != "name" and (option not in before or before[option] != inner)
            ]
        elif value != before:
            words.append(f"{key}={written(value)}")
    return words


def written(value: Any) -> str:
    """Return plain ``value`` in Hydra's grammar of overrides, so that it is read back as the same."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{written(key)}:{written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if _BARE.fullmatch(value) and value.lower() not in _MEANS_SOMETHING:
        return value
    # A backslash counts only before ${, which OmegaConf would resolve, before a quote, and at the end.
    quoted = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", quoted)
    quoted = re.sub(r"(\\+)\Z", r"\1\1", quoted)
    return f"'{quoted}'"


def _usual(config: ExperimentConfig, plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``plain`` would be if only its parts were named; a name that has to be given is left out."""
    chosen = {name: plain[name] for name in ("model", "dataset")}
    usual = resolve(chosen).config.to_dict()
    for name in chosen:
        usual[name] = _defaults(getattr(config, name))
    if usual["split"]["name"] != plain["split"]["name"]:
        usual["split"] = _defaults(config.split)
    sampler, usually = plain["negatives"], usual["negatives"]
    if sampler is not None and (usually is None or sampler["name"] != usually["name"]):
        named = resolve({**chosen, "negatives": sampler["name"]}).config.to_dict()["negatives"]
        usual["negatives"] = {option: value for option, value in named.items() if option != "name"}
    return usual


def _defaults(config: Config) -> dict[str, Any]:
    """Return the plain defaults of the options that have one."""
    return type(config).model_construct().model_dump(mode="json")
