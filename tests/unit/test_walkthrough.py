"""docs/your-own-data.md, typed as it stands, answers as it says."""

import json
import re
import shlex
from pathlib import Path

import pytest

from recbench.cli import task

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:`(\S+)`:\n\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def typed(command, monkeypatch, tmp_path):
    """Return the command as a shell runs it: each in a process of its own, all with one cache."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))

    def run(line):
        monkeypatch.setattr(task, "_prepared", {})
        return command(*shlex.split(line)[1:])

    return run


def commands(block):
    """Yield each command of a console and the lines that it answers."""
    for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        line, _, answer = part.partition("\n")
        yield line, answer


def pattern(answer):
    """Return the expression for an answer: three dots are any part of a line, alone in it any lines."""
    lines = answer.splitlines(keepends=True)
    return "".join(r"(?:.*\n)*" if line == "...\n" else re.escape(line).replace(r"\.\.\.", ".*") for line in lines)


def test_the_page_is_right(typed):
    names, n_commands = {}, 0
    for path, language, block in BLOCKS:
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, "your-own-data.md", "exec"), names)
        for line, answer in commands(block) if language == "console" else ():
            ended = typed(line)
            said = ended.err + ended.out
            print(f"\n$ {line}  # {ended.code}\n{said}", end="")
            assert re.fullmatch(pattern(answer), said), f"{line}\n\nshould answer\n{answer}\nand answers\n{said}"
            mistaken = "\nerror: " in f"\n{answer}" or " data check " in line
            assert ended.code == (2 if mistaken else 0), f"{line}\n{said}"
            n_commands += 1
    assert n_commands == len(re.findall(r"^\$ recbench ", PAGE, re.MULTILINE)) > 0
    kept = [json.loads(path.read_text())["data"]["steps"] for path in Path("outputs/shop").glob("*/result.json")]
    assert [[step["after"]["n_interactions"] for step in steps] for steps in kept] == 6 * [[357, 356, 247, 247]]
