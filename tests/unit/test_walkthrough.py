"""docs/your-own-data.md, typed as it stands, answers as it says."""

import io
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml

from recbench.configuration import resolve

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def typed(block):
    """Yield each command and the lines that it should answer among others."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, *answers = part.rstrip("\n").split("\n")
        yield line, answers


def is_said(expected, lines):
    """Return whether a line is as expected, or begins so where the page ends in three dots."""
    start = expected.removesuffix("...")
    return any(line == expected or (start != expected and line.startswith(start)) for line in lines)


def test_the_walk_from_a_messy_file_to_a_comparison(command, tmp_path):
    n_commands = 0
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "page", "exec"), {})
        for line, answers in typed(block) if language == "console" else ():
            ended = command(*shlex.split(line)[1:])
            wrong = any(answer.startswith("error:") for answer in answers) or "data check" in line
            assert ended.code == (2 if wrong else 0), f"{line}\n{ended.err}"
            for answer in answers:
                assert is_said(answer, (ended.out + ended.err).split("\n")), f"{line}\n{answer}\n{ended.out}{ended.err}"
            n_commands += 1
    assert n_commands == 7
    compared = pd.read_csv(io.StringIO(command("compare", "outputs/shop", "--format", "csv").out))
    assert sorted(compared["model"]) == ["item_knn", "mf", "popularity"]
    assert compared["n_seeds"].tolist() == [2, 2, 2]
    result = next(Path("outputs/shop").glob("*/result.json")).read_text()
    assert '"n_interactions": 247' in result


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "yaml"])
def test_the_files_of_the_page_are_understood(block):
    dataset = {"name": "files", "interactions": "behaviour.csv", **yaml.safe_load(block)["dataset"]}
    assert resolve({"dataset": dataset, "model": "popularity"}).config.dataset.steps
