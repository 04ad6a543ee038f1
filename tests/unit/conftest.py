"""What several unit tests need: the command line, called in this process and leaving nothing behind."""

import copy
import logging
import signal
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def interrupts_are_answered():
    """Let tests that send this process SIGINT mean the same where it was started in the background, ignoring it."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def untouched_registries(monkeypatch):
    """Forget what a test registers, here and with Hydra."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from recbench import plugins

    for registry in plugins.FAMILIES.values():
        registry.names()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    Plugins.instance()
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))


@pytest.fixture
def command(untouched_registries, capsys, monkeypatch, tmp_path):
    """Return the command, run in an empty folder: ``command("run", "model=mf").code``."""
    from recbench.cli import main

    monkeypatch.chdir(tmp_path)
    # Hydra's own flags end the process, and leave its log set up on the standard output of that moment.
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(logging.root, "level", logging.root.level)

    def run(*arguments):
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run
