"""Progress bars: only on terminals, only after a second, never where they are not wanted."""

from recbench.progress import bar, bars


def test_a_bar_changes_nothing_and_is_quiet_in_pipes(capsys):
    assert list(bar(range(3), "count")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_bars_are_drawn_on_terminals_unless_they_are_not_wanted(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert not bar(range(3), "count").disable
    with bars(False):
        assert bar(range(3), "count").disable
    assert not bar(range(3), "count").disable
