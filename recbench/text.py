"""Text that is shown to people: that of others, and tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MOST = 80


def shortened(text: str) -> str:
    """Return ``text``, cut to 80 characters where it is longer, the last three of them dots."""
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


def printable(text: str) -> str:
    """Return ``text`` without what moves the cursor, breaks the line, or turns the direction of writing."""
    return _CONTROL.sub("", text)


def printable_lines(text: str) -> str:
    """Return ``text`` line by line as ``printable``."""
    return "\n".join(map(printable, text.split("\n")))


def markdown_cell(text: str) -> str:
    """Return ``text`` as it can stand in a cell of a table in Markdown, where a page may show HTML."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def excel_safe(text: str) -> str:
    """Return ``text`` as a spreadsheet shows it and does not compute it: with ``'`` before what begins a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def aligned(lines: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Return the lines of a table whose columns stand below each other, with a rule under the head.

    Args:
        lines: Cells, those of the head first; as many in each.
        right: Places of the columns that are flushed right.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    return [text[0], "  ".join("-" * width for width in widths), *text[1:]]
