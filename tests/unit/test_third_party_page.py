"""docs/third-party-models.md, typed as it stands, does what it says, and tells of every check."""

import re
import shlex
from pathlib import Path

import pytest

from recbench.testing import checks, describe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "third-party-models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:`(\S+)`:\n\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_is_right(command, monkeypatch, tmp_path):
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    names, typed = {}, []
    for path, language, block in BLOCKS:
        if path:
            Path(path).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, "third-party-models.md", "exec"), names)
        elif language == "console":
            line, _, answer = block.removeprefix("$ ").partition("\n")
            ended = command(*shlex.split(line)[1:])
            assert ended.code == 0, ended.err
            assert re.match(re.escape(answer).replace(re.escape("...\n"), "(?s:.*)"), ended.err + ended.out)
            typed.append(line)
    assert len(typed) == len(re.findall(r"^\$ recbench ", PAGE, re.MULTILINE)) == 2
    assert callable(names["test_contract"])
    names["test_contract"]("candidates")
    assert len(list(Path("outputs").rglob("result.json"))) == 1


def test_the_example_is_that_of_the_package():
    ((_, _, code),) = [block for block in BLOCKS if block[0] == "truncated_svd.py"]
    assert code == (ROOT / "examples" / "plugin" / "recbench_example" / "truncated_svd.py").read_text(encoding="utf-8")


def test_every_check_is_told_of():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", PAGE.partition("## The checks")[2], re.MULTILINE)
    assert [(name, asks) for name, asks, _ in rows] == [(name, describe(name)) for name in checks()]


@pytest.mark.parametrize("page", ["README.md"])
def test_the_page_is_linked(page):
    assert "(docs/third-party-models.md)" in (ROOT / page).read_text(encoding="utf-8")
