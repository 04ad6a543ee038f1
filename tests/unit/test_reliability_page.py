"""docs/reliability.md is what its script makes of the tests, and hides no case that is missing."""

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAID = '    """This. -> That."""\n'


@pytest.fixture(scope="module")
def script():
    """Give scripts/reliability_page as a module."""
    loader = importlib.machinery.SourceFileLoader("reliability_page", str(ROOT / "scripts" / "reliability_page"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("reliability_page", loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules["reliability_page"] = module
    try:
        loader.exec_module(module)
        yield module
    finally:
        del sys.modules["reliability_page"]
        sys.dont_write_bytecode = written


def test_the_page_is_current(script):
    assert script.PAGE.read_text(encoding="utf-8") == script.page(script.cases(ROOT / "tests")), (
        "run scripts/reliability_page"
    )


def test_every_case_has_a_test_and_a_row():
    """Looked up in another way than the script does."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tested = {int(number) for number in re.findall(r"^def test_case_(\d\d)_", sources, re.MULTILINE)}
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == sorted(tested) == list(range(1, 53))
    assert all(cell for row in rows for cell in row)


def test_a_page_tells_exactly_which_cases_have_no_test(script, tmp_path):
    source = "".join(f"def test_case_{n:02d}_it():\n{SAID}\n\n" for n in range(1, 53) if n not in (9, 50))
    text = script.page(script.cases(written(tmp_path, source)))
    assert "\nOf 52 cases 2 have no test yet: 9, 50.\n" in text
    assert re.findall(r"^\| (\d+) \| \*missing\* \| \| \|$", text, re.MULTILINE) == ["9", "50"]


def written(folder, source, name="test_some.py"):
    """Return the folder of tests that holds one file."""
    tests = folder / "tests" / "unit"
    tests.mkdir(parents=True, exist_ok=True)
    (tests / name).write_text(source)
    return folder / "tests"


def test_several_tests_in_two_files_make_one_row(script, tmp_path):
    tests = written(
        tmp_path, 'def test_case_07_ends():\n    """It ends\n    oddly. -> It is read.\n\n    As -> here.\n    """\n'
    )
    written(tmp_path, 'def test_case_07_more():\n    """More of it."""\n\n\ndef test_other():\n    pass\n', "test_z.py")
    (row,) = [line for line in script.page(script.cases(tests)).splitlines() if line.startswith("| 7 |")]
    assert row == (
        "| 7 | It ends oddly. | It is read. | [test_some.py](../tests/unit/test_some.py): `test_case_07_ends`; "
        "[test_z.py](../tests/unit/test_z.py): `test_case_07_more` |"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def test_case_7_ends():\n" + SAID,
            "tests/unit/test_some.py: test_case_7_ends should be test_case_NN_words, NN from 01 to 52.",
        ),
        (
            "def test_case_53_more():\n" + SAID,
            "tests/unit/test_some.py: test_case_53_more should be test_case_NN_words, NN from 01 to 52.",
        ),
        (
            'def test_case_07_ends():\n    """It ends."""\n',
            "case 7: none of its tests has a docstring 'TRIGGER -> WHAT RECBENCH DOES'.",
        ),
        (
            f"def test_case_07_ends():\n{SAID}\n\ndef test_case_07_more():\n{SAID}",
            "tests/unit/test_some.py: test_case_07_more describes case 7, which another test does already.",
        ),
        (
            'def test_case_07_ends():\n    """This. -> That | that."""\n',
            "tests/unit/test_some.py: the docstring of test_case_07_ends should hold one '->' and no '|'.",
        ),
        (
            'def test_case_07_ends():\n    """This. -> That. -> Those."""\n',
            "tests/unit/test_some.py: the docstring of test_case_07_ends should hold one '->' and no '|'.",
        ),
    ],
)
def test_what_is_not_by_the_rule_is_refused(script, tmp_path, source, message):
    with pytest.raises(script.RuleError) as error:
        script.cases(written(tmp_path, source))
    assert str(error.value) == message
