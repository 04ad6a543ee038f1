"""Text of others that is shown to people."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


_MOST = 80


def shortened(text: str) -> str:
    """Return ``text``, cut to 80 characters where it is longer, the last three of them dots."""
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


def printable(text: str) -> str:
    """Return ``text`` without what moves the cursor, breaks the line, or turns the direction of writing."""
    return _CONTROL.sub("", text)
