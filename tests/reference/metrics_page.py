"""Writes the generated parts of ``docs/metrics.md``: ``python tests/reference/metrics_page.py``.

They stand between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; what is around them is written by people.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from library_conventions import RULES, VERSIONS

from recbench import metrics
from recbench.evaluation import METRIC_DEFINITIONS_VERSION

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

FAMILIES = {
    "ranking": "Relevance",
    "beyond_accuracy": "Beyond accuracy",
    "rating": "Predicted ratings",
}


def definitions() -> str:
    """Return what the docstring of each metric says, by family, and who else has it."""
    lines = []
    for module, title in FAMILIES.items():
        lines += [f"### {title}", ""]
        for name in metrics.registry.names():
            entry = metrics.registry.entry(name)
            if entry.target.__module__ == f"recbench.metrics.{module}":
                lines += [f"#### `{name}{'@k' if entry.traits['cut'] else ''}`", "", *told(entry.target), *also(name)]
    return "\n".join(lines).rstrip()


def told(function) -> list[str]:
    """Return the docstring as paragraphs, without what only callers of the function want to know."""
    paragraphs = []
    for paragraph in inspect.getdoc(function).split("\n\n"):
        if not paragraph.startswith("Raises:"):
            text = re.sub(r",? \((U|N)?,?\)", "", " ".join(paragraph.split())).replace("``", "`")
            text = re.sub(r"^Return (.)", lambda match: match[1].upper(), text)
            paragraphs += [text.replace(" Differs:", "  \nDiffers:"), ""]
    return paragraphs


def also(name: str) -> list[str]:
    found = [rule for rule in RULES if rule.here == name and rule.elsewhere]
    return [f"Also: {named(rule)}.", ""] if (rule := next(iter(found), None)) else []


def named(rule) -> str:
    return ", ".join(f"{library} `{name}`" for library, name in rule.elsewhere.items())


def disagreements() -> str:
    """Return one row a rule: its name here and elsewhere, and its values of the example."""
    head = ["measure", "rule", "here", "a", "b", "c", "together", "elsewhere"]
    lines = [head, ["---"] * 3 + ["---:"] * 4 + ["---"]]
    for rule in RULES:
        here = "" if rule.here is None else re.sub(r"^\w+", lambda match: f"`{match[0]}`", rule.here)
        values = [""] * 3 if rule.per_user is None else [number(value) for value in rule.per_user]
        lines.append([rule.measure, rule.words, here, *values, number(rule.mean), named(rule)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    return f"{value:.4f}"


def generated() -> dict[str, str]:
    """Return each generated part by its name."""
    return {
        "version": f"The version of these definitions is **{METRIC_DEFINITIONS_VERSION}**.",
        "definitions": definitions(),
        "disagreements": disagreements(),
        "versions": ", ".join(VERSIONS.values()) + ".",
    }


def filled(page: str) -> str:
    """Return the page with its generated parts anew."""
    for name, text in generated().items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, rest = page.split(begin)
        page = before + begin + text + "\n" + end + rest.split(end)[1]
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
