"""The format of a file, as its name tells it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from recbench.formats.delimited import Layout

LAYOUTS: Mapping[str, Layout] = {
    "csv": Layout(",", quotes=True),
    "tsv": Layout("\t"),
    "dat": Layout("::", header=False),
    "rating": Layout("\t", header=False),
    "recbole": Layout("\t", typed_header=True),
}
"""How the delimited formats are usually written."""

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".dat": "dat",
    ".rating": "rating",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def format_of(path: str) -> str | None:
    """Return the format's name, a key of ``LAYOUTS``, ``jsonl`` or ``parquet``; None where the name does not tell.

    ``.gz`` and ``.zip`` behind the suffix are looked through: ``ratings.csv.gz`` is ``csv``.
    """
    name = PurePath(path.lower())
    while name.suffix in (".gz", ".zip"):
        name = name.with_suffix("")
    return _FORMATS.get(name.suffix)
