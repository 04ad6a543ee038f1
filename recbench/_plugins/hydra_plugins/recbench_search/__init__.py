"""The sweeper ``search``, where Hydra looks for plugins: goes on with the searches that the sweep's folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Hands the trials of searches to whatever launcher was chosen; which ones they are, ``recbench.search`` knows."""

    def __init__(self, params: Any = None) -> None:
        """Take the ranges that files may set as ``hydra.sweeper.params``; by now they are among the searches."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration of the sweep, and the launcher that it names."""
        self.composed = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run what is left of the searches, and return what came of the jobs, batch by batch."""
        from recbench.cli.searching import run_searches

        return run_searches(Path(self.composed.hydra.sweep.dir), self.composed, self.launcher)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="search",
    node={"_target_": f"{__name__}.SearchSweeper", "params": None},
    provider="recbench",
)
