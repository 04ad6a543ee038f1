"""The canary: what a model must not see."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from recbench import splits
from recbench.data import TEST, TRAIN, Split
from recbench.errors import ConfigError
from recbench.testing.battery import Subject, check, score
from recbench.testing.data import everyone, rated, rewired
from recbench.testing.requirements import require, require_equal_models


@check
def test_rows(subject: Subject) -> None:
    """Whatever the split, other items and ratings in the test rows change no bit of what is learnt."""
    for name, split, canary in _canaries():
        fitted, again = subject.fitted(split), subject.fitted(canary)
        require_equal_models(again, fitted, f"fits beside different test rows of split {name!r}")
        scores, scores_again = (score(model, everyone(split)) for model in (fitted, again))
        require(torch.equal(scores_again, scores), f"the scores of fits beside other test rows of {name!r} differ.")


def _canaries() -> Iterator[tuple[str, Split, Split]]:
    """Yield the name of each protocol that has a test part, a split by it, and the same with other test rows."""
    interactions = rated()
    for name in splits.registry.names():
        splitter = splits.build(name)
        try:
            parts = splitter.assign(interactions)
        except ConfigError:
            continue  # One of somebody else's plugin, which wants other data.
        tested = parts == TEST
        if bool(tested.any()):
            other = rewired(interactions, tested, interactions.items[parts == TRAIN].unique())
            yield name, splitter.cut(interactions, parts), splitter.cut(other, parts)
