"""Numbers from their decimal notation, and from no other: no ``nan``, ``1_000``, ``0x1`` or digits of other scripts."""

from __future__ import annotations

import re

import numpy as np

_NO_WHOLE, _NO_DECIMAL = re.compile("[^-+0-9]"), re.compile("[^-+0-9.eE]")


def floats(texts: np.ndarray) -> np.ndarray:
    """Return the numbers that ``texts``, (N,) of str, denote as (N,) float64; NaN for what denotes none."""
    if not _NO_DECIMAL.search("".join(texts)):
        try:
            return texts.astype(np.float64)
        except ValueError:
            pass  # Some are '' or '+-'; below each is looked at.
    return np.array([_float(text) for text in texts], dtype=np.float64)


def wholes(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole numbers that ``texts``, (N,) of str, denote as (N,) int64, and which denote none."""
    if not _NO_WHOLE.search("".join(texts)):
        try:
            return texts.astype(np.int64), np.zeros(len(texts), dtype=bool)
        except (ValueError, OverflowError):
            pass  # Some are '' or '+-' or beyond int64; below each is looked at.
    values = [_whole(text) for text in texts]
    wrong = np.array([value is None for value in values], dtype=bool)
    return np.array([value or 0 for value in values], dtype=np.int64), wrong


def _float(text: str) -> float:
    if _NO_DECIMAL.search(text):
        return np.nan
    try:
        return float(text)
    except ValueError:
        return np.nan


def _whole(text: str) -> int | None:
    if not _NO_WHOLE.search(text):
        try:
            value = int(text)
        except ValueError:
            return None
        return value if -(2**63) <= value < 2**63 else None
    number = _float(text)
    # From 2**53 on a float no longer tells one whole number from the next.
    return int(number) if abs(number) < 2**53 and number == np.floor(number) else None
