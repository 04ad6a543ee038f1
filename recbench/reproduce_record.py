"""What a page of published numbers was made from: kept beside it, for when the runs themselves are no more."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recbench.errors import ConfigError, RunError
from recbench.files import SCHEMA_VERSION, read_json, write_json
from recbench.reproduce import Result
from recbench.reproduce_runs import row_config, row_identity

logger = logging.getLogger(__name__)


class Record:
    """Results by table, row, seed and configuration: those that a file has kept, and those that are entered.

    The configuration is kept, and not its identity, which changes with every option that comes later.
    """

    def __init__(self, path: Path, rows: Mapping[str, Collection[str]]) -> None:
        """Read ``path``, if it is there.

        Args:
            path: The file.
            rows: Those that there are of each table; results of others are left out, with a warning.

        Raises:
            RunError: It cannot be read, or is no such file.
        """
        self.path = path
        self._entries: dict[tuple[str, str, int], dict[str, Any]] = {}
        self._kept: dict[tuple[str, str, int], tuple[str, Result]] = {}
        if not path.exists():
            return
        try:
            for entry in read_json(path)["results"]:
                key = (entry["table"], entry["row"], entry["seed"])
                if entry["row"] not in rows.get(entry["table"], ()):
                    logger.warning("%s: %s %s is no row any more; its result is left out.", path, *key[:2])
                    continue
                self._kept[key] = (row_identity(entry["config"]), Result(**entry["result"]))
        except (KeyError, TypeError, ConfigError):
            raise RunError(
                f"{path}: is not what recbench reproduce --page keeps; name another page, or take the file away."
            ) from None

    def entry(self, table: str, row: str, seed: int, config: Mapping[str, Any], result: Result | None) -> Result | None:
        """Enter ``result``, or where it is None what was kept of this configuration, and return what was entered."""
        key = (table, row, seed)
        if result is None and key in self._kept and self._kept[key][0] == row_identity(config):
            result = self._kept[key][1]
        if result is not None:
            self._entries[key] = {
                "table": table,
                "row": row,
                "seed": seed,
                "config": row_config(config),
                "result": asdict(result),
            }
        return result

    def write(self) -> None:
        """Keep what was entered, in place of what was kept before.

        Raises:
            StorageError: The file cannot be written.
        """
        entries = [self._entries[key] for key in sorted(self._entries)]
        write_json(self.path, {"schema_version": SCHEMA_VERSION, "results": entries})
