"""Text of others that is shown to people."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return ``text`` without what moves the cursor, breaks the line, or turns the direction of writing."""
    return _CONTROL.sub("", text)
