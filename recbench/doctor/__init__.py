"""What is wrong with an installation, or with a folder of runs, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from recbench.text import printable

Level = Literal["ok", "note", "wrong"]
Format = Literal["table", "json"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``note`` is worth knowing, ``wrong`` has to be mended.
        subject: What was looked at: a package, a folder, a file of a run.
        text: What was found.
        remedy: What to do; None where there is nothing.
    """

    level: Level
    subject: str
    text: str
    remedy: str | None = None


def render(findings: Sequence[Finding], format: Format = "table") -> str:
    """Return the findings as text: a line each and a last one that counts them, or as JSON with everything."""
    if format == "json":
        return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)
    lines = [
        printable(
            f"{finding.level:5}  {finding.subject}: {finding.text}" + (f" {finding.remedy}" if finding.remedy else "")
        )
        for finding in findings
    ]
    counts = {level: sum(finding.level == level for finding in findings) for level in ("wrong", "note", "ok")}
    return "\n".join([*lines, f"{counts['wrong']} wrong, {counts['note']} to note, {counts['ok']} ok."])
