"""What ``recbench board`` says before it becomes TensorBoard."""

import os
import re
from urllib.parse import parse_qs, urlsplit

import pytest


@pytest.fixture
def becomes(monkeypatch):
    """Return the commands that the process was about to become, which it does not."""
    found = []
    monkeypatch.setattr(os, "execv", lambda program, words: found.append(words))
    return found


def test_the_address_draws_curves_as_they_are_in_one_colour_a_model(command, becomes, tmp_path):
    (tmp_path / "sweep" / "mf").mkdir(parents=True)
    (tmp_path / "sweep" / "mf" / "events.out.tfevents.1").touch()
    command("board", "sweep")
    ((*_, port),) = becomes
    ended = command("board", "sweep", "--port", port)
    address, _, rest = ended.out.partition("  ")
    assert rest == "(sweep; stop with Ctrl-C)\n" and ended.err == ""
    assert address.startswith(f"http://localhost:{port}/?")
    view = parse_qs(urlsplit(address).query, strict_parsing=True)
    assert view["smoothing"] == ["0"]
    kind, _, pattern = view["runColorGroup"][0].partition(":")
    assert kind == "regex"
    for run in ("item_knn-planted-d7d5d42e", "sweeps/0a1b2c3d/item_knn-seed1-planted-b00d64d1", "08-01-59-item_knn-x"):
        assert re.search(pattern, run)[1] == "item_knn"


def test_of_a_run_alone_it_says_where_its_metrics_are(command, becomes, tmp_path):
    """TensorBoard gives such a run the name '.', and finds no metrics of it."""
    (tmp_path / "my runs" / "mf").mkdir(parents=True)
    (tmp_path / "my runs" / "mf" / "events.out.tfevents.1").touch()
    assert command("board", "my runs/mf").err == (
        "note: of my runs/mf, which is itself a run, HPARAMS shows no metrics; it does with: "
        f"recbench board '{tmp_path}/my runs'\n"
    )
    assert command("board", "my runs").err == ""
