"""Candidates that a file names."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from recbench.candidates import candidates_from_file
from recbench.data import TEST, Interactions, Split
from recbench.errors import DataError

# A next-line character and a line separator are characters of an id like any others.
ITEMS = ["a", "b\x85", "c\u2028", "d"]
TABLE = pd.DataFrame({"user": ["u"] * 2 + ["v"] * 2, "item": [ITEMS[0], ITEMS[1], ITEMS[2], ITEMS[3]]})
SPLIT = Split.from_parts(Interactions.from_frame(TABLE), torch.tensor([0, TEST, 0, TEST], dtype=torch.int8))
LINES = f"u\t{ITEMS[2]}\t{ITEMS[3]}\t{ITEMS[2]}\nv\t{ITEMS[0]}\t{ITEMS[3]}\n"


def read(folder, content):
    path = folder / "candidates.tsv"
    path.write_bytes(content.encode())
    return candidates_from_file(str(path), SPLIT.test, SPLIT.train)


@pytest.mark.parametrize("content", [LINES, LINES.replace("\n", "\r\n"), "\ufeff" + LINES, LINES[:-1]])
def test_the_named_and_the_relevant_items_each_once(tmp_path, content):
    assert read(tmp_path, content).tolist() == [[1, 2, 3], [0, 3, -1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "PATH, line 1: expected 'user TAB item TAB item ...', found ''."),
        (LINES + "\n", "PATH, line 3: expected 'user TAB item TAB item ...', found ''."),
        (LINES + "u\ta\n", "PATH: user 'u' has more than one line."),
        ("u\ta\n", "PATH: no line for user 'v' (1 users of the test part lack one)."),
        (LINES + "w\ta\n", "no user 'w' among the 2 users. Ids look like 'u'."),
        ("u\te\nv\ta\n", "no item 'e' among the 4 items. Ids look like 'a'."),
    ],
)
def test_files_that_are_refused(tmp_path, content, message):
    with pytest.raises(DataError) as error:
        read(tmp_path, content)
    assert str(error.value) == message.replace("PATH", str(tmp_path / "candidates.tsv"))
