"""What ``recbench board`` says before it becomes TensorBoard."""

import os
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from recbench.cli import board


class BecomesAnother(BaseException):
    """What this process does where it would have become another one; its arguments are the command."""


@pytest.fixture
def says(monkeypatch, tmp_path, capsys):
    """Return what the command prints, in a folder with the events of the run ``a b/mf``, and what it becomes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b" / "mf").mkdir(parents=True)
    (tmp_path / "a b" / "mf" / "events.out.tfevents.1").touch()

    def become(program, words):
        raise BecomesAnother(*words)

    monkeypatch.setattr(os, "execv", become)

    def run(*arguments):
        with pytest.raises(BecomesAnother) as other:
            board.main(arguments)
        return capsys.readouterr(), other.value.args

    return run


def test_the_address_draws_curves_as_they_are_in_one_colour_a_model(says):
    printed, words = says("a b")
    address, _, rest = printed.out.partition("  ")
    assert (rest, printed.err) == ("(a b; stop with Ctrl-C)\n", "")
    assert address.startswith(f"http://localhost:{words[-1]}/?")
    view = parse_qs(urlsplit(address).query, strict_parsing=True)
    assert view["smoothing"] == ["0"]
    kind, _, pattern = view["runColorGroup"][0].partition(":")
    assert kind == "regex"
    for run in ("item_knn-planted-d7d5d42e", "sweeps/0a1b2c3d/item_knn-seed1-planted-b00d64d1", "08-01-59-item_knn-x"):
        assert re.search(pattern, run)[1] == "item_knn"


def test_of_a_run_alone_it_says_where_its_metrics_are(says, tmp_path):
    """TensorBoard gives such a run the name '.', and finds no metrics of it."""
    assert says("a b/mf")[0].err == (
        "note: of a b/mf, which is itself a run, HPARAMS shows no metrics; it does with: "
        f"recbench board '{tmp_path}/a b'\n"
    )
