"""What became of the rows of the input: one stage after the other, with counts before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Counts:
    """How much a table holds, one interaction a row unless the stage counts something else.

    Users and items are None where they are not known, as of a file before it is read.
    """

    n_interactions: int
    n_users: int | None = None
    n_items: int | None = None


@dataclass(frozen=True)
class Stage:
    """One stage on the way from the files to the interactions.

    Attributes:
        name: What was done, as it was configured: ``"read ratings.csv"``, ``"k_core(k=10)"``.
        before: What there was; of a file its rows.
        after: What was left.
        details: Further numbers by a short phrase, e.g. ``{"rating is no finite number": 3}``.
        counted: What the rows are, in the plural: of a table of users they are users.
        asked: Whether the configuration asks for it, so that a run tells what it did.
    """

    name: str
    before: Counts
    after: Counts
    details: Mapping[str, int | float] = field(default_factory=dict)
    counted: str = "interactions"
    asked: bool = False

    def __str__(self) -> str:
        lost = self.before.n_interactions - self.after.n_interactions
        told = "keeps all" if lost == 0 else f"leaves out {lost:,} of" if lost > 0 else f"adds {-lost:,} to"
        text = f"{self.name}: {told} {self.before.n_interactions:,} {self.counted}"
        if self.after.n_users is not None:
            text += f"; {self.after.n_users:,} users and {self.after.n_items:,} items are left"
        if self.details:
            text += f" ({', '.join(f'{what}: {value:,}' for what, value in self.details.items())})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain values."""
        return {**asdict(self), "details": dict(self.details)}
