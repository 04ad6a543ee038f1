"""Lines name their run, and go where the program says."""

import logging

import pytest

from recbench.logs import ROOT, configure_console, run_name
from recbench.text import printable


@pytest.fixture(autouse=True)
def untouched_loggers():
    before = ROOT.handlers[:], ROOT.level, ROOT.propagate
    yield
    ROOT.handlers, ROOT.level, ROOT.propagate = before


def test_lines_go_to_standard_error_with_the_name_of_the_run(capsys):
    root_before = logging.getLogger().handlers[:], logging.getLogger().level
    configure_console(quiet=False)
    logger = logging.getLogger("recbench.somewhere")
    logger.info("loaded")
    token = run_name.set("mf-3f2a91c0")
    logger.info("epoch 3")
    logger.warning("ties")
    run_name.reset(token)
    out, err = capsys.readouterr()
    assert err == "loaded\n[mf-3f2a91c0] epoch 3\nwarning: [mf-3f2a91c0] ties\n"
    assert out == ""
    assert (logging.getLogger().handlers, logging.getLogger().level) == root_before


def test_quiet_leaves_warnings_and_errors(capsys):
    configure_console(quiet=True)
    logging.getLogger("recbench.somewhere").info("epoch 3")
    logging.getLogger("recbench.somewhere").error("gone")
    assert capsys.readouterr().err == "error: gone\n"


def test_lines_on_the_console_go_nowhere_else(caplog):
    configure_console(quiet=False)
    logging.getLogger("recbench.somewhere").warning("ties")
    assert caplog.text == ""


def test_configuring_twice_shows_lines_once(capsys):
    configure_console(quiet=True)
    configure_console(quiet=False)
    logging.getLogger("recbench").info("once")
    assert capsys.readouterr().err == "once\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amélie (2001)", "Amélie (2001)"),
        ("red \x1b[31mtext\x1b[0m", "red [31mtext[0m"),
        ("two\r\nlines\tand\u2028more", "twolinesandmore"),
        ("\x9b31m", "31m"),
        ("abc\u202edcba", "abcdcba"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_what_people_see_moves_no_cursor(text, expected):
    assert printable(text) == expected
