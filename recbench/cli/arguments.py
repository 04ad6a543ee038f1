"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from recbench.errors import ConfigError
from recbench.options import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ``ConfigError``s with the nearest flag, and which guesses no abbreviation."""

    def __init__(self, command: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"recbench {command}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of ending the process.

        Raises:
            ConfigError: Always.
        """
        unknown = re.match(r"unrecognized arguments: (-[\w-]+)", message)
        if unknown is not None:
            message = f"no flag {unknown[1]!r}. {did_you_mean(unknown[1], self._option_string_actions)}"
        else:
            message = message.rstrip(".") + "."
        raise ConfigError(f"{message} See '{self.prog} --help'.")

    def add_plugin(self) -> None:
        """Add ``--plugin MODULE``, which may be given several times."""
        self.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="MODULE",
            help="import a module that registers further models, data sets, ... (repeatable)",
        )

    def add_excel_safe(self) -> None:
        """Add ``--excel-safe``."""
        self.add_argument(
            "--excel-safe",
            action="store_true",
            help="in CSV, put ' before texts that a spreadsheet would take for formulas",
        )

    def add_overrides(self) -> None:
        """Add the KEY=VALUE words and the flags that say where they are looked up."""
        self.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. model=mf model.dim=64 seed=1")
        self.add_argument("--config-dir", "-cd", metavar="DIR", help="a folder with further configuration files")
        self.add_plugin()
