"""Names that become part of a path: well formed, and never a way out of the folder that they belong in."""

from __future__ import annotations

import re
from pathlib import Path

from recbench.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,127}")
# Not files but devices where the system is Windows, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def checked_name(name: str, what: str) -> str:
    """Return ``name``, which is safe as one step of a path on every system.

    Args:
        name: Of a data set, a run, a model, a file of a data set.
        what: How it is called in the error, e.g. ``"data set"``.

    Raises:
        ConfigError: It is empty, too long, the name of a device, or has other letters than allowed.
    """
    if not _NAME.fullmatch(name) or _DEVICE.fullmatch(name):
        raise ConfigError(
            f"{what} name {name!r}: use 1 to 128 letters, digits, '.', '_', '=', ',', '+' and '-' only, a letter or "
            "digit first, and no name of a device."
        )
    return name


def below(root: Path, name: str, what: str) -> Path:
    """Return the path of ``name`` in ``root``, which it does not leave, by a link neither.

    Raises:
        ConfigError: The name is not well formed, or leads elsewhere.
    """
    path = root / checked_name(name, what)
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{path}: is a link that leads out of {root}; take it away.")
    return path
