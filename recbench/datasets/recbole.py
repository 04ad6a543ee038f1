"""MovieLens 1M as RecBole prepared it for its benchmark of general recommenders.

Source: https://github.com/RUCAIBox/RecBole, folder benchmark/ at commit 6820b0cf: ratings of 3 or more, then users and
items with at least 10 interactions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from recbench.cleaning.k_core import KCoreConfig
from recbench.cleaning.written import Steps
from recbench.datasets import register
from recbench.datasets.movielens import ML1M, ML1MConfig


class ML1MRecBoleConfig(ML1MConfig):
    """Options of MovieLens 1M as in RecBole's benchmark; the steps of cleaning are the benchmark's."""

    min_rating: float | None = 3.0
    """Interactions rated lower are left out, with their number logged; null keeps all."""

    clean: Steps = (KCoreConfig(users=10, items=10),)
    """Further steps of cleaning in their order."""


@register("ml-1m-recbole", config=ML1MRecBoleConfig)
class ML1MRecBole(ML1M):
    """MovieLens 1M, ratings of 3 or more, 10-core: 6,033 users, 3,123 films, 834,449 ratings.

    The features are those of ``ml-1m``, and so are the counts of the card, which are those of the files. (RecBole
    counts one user and one film more, which are its padding.)
    """

    files_of: ClassVar[str | None] = "ml-1m"
    card = replace(
        ML1M.card,
        description="834,449 ratings of at least 3, by 6,033 users of 3,123 films: a 10-core of MovieLens 1M.",
    )
