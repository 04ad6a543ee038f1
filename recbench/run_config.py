"""The configuration that a run keeps in its folder, read back as data and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recbench.errors import RunError
from recbench.files import read_yaml

CONFIG = "config.yaml"


def read_config(folder: Path) -> dict[str, Any]:
    """Return the plain values of the configuration of the run in ``folder``, which come to nothing but options.

    Raises:
        RunError: It cannot be read, or asks for more than an option: names code, talks to Hydra, or refers to something
            outside the file.
    """
    path = folder / CONFIG
    values = read_yaml(path)
    asks = next(_more_than_options(values), None)
    if asks is not None:
        raise RunError(
            f"{path}: is refused: {asks}, and the configuration of a run is plain values and nothing else. If the run "
            "is not yours, do not trust its other files either."
        )
    return values


def _more_than_options(values: Any, key: str = "") -> Iterator[str]:
    """Yield what in plain nested ``values`` would make a program do something if it were taken for more than data."""
    if isinstance(values, Mapping):
        for name, inner in values.items():
            dotted = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                yield f"{dotted} = {inner!r} names code to run"
            if dotted == "hydra":
                yield f"{dotted!r} holds settings of Hydra"
            yield from _more_than_options(inner, dotted)
    elif isinstance(values, list | tuple):
        for place, inner in enumerate(values):
            yield from _more_than_options(inner, f"{key}[{place}]")
    elif isinstance(values, str) and "${" in values:
        yield f"{key} = {values!r} refers to something outside the file"
