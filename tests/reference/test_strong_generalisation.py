"""The protocol of the variational autoencoders' notebook, written down slowly, against the split of the same name.

Users, catalogue, fold-in and targets must be the same ones; whatever the order of the file, the draw is in the order
of users and items as whole numbers.
"""

import numpy as np
import pandas as pd
import pytest

from recbench import splits
from recbench.data import Interactions

SEED = 98765


def ratings(n_users: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of user and item whose numbers sort otherwise than their texts; rare items and short users among them."""
    draw = np.random.default_rng(seed)
    users = draw.choice(20_000, n_users, replace=False) + 1
    pairs = []
    for user in users.tolist():
        n = int(draw.integers(1, 25))
        # Squares make small numbers frequent and large ones rare, so that some items have no training user.
        items = {int(value) for value in (draw.random(n) ** 3 * 1500).astype(int)}
        pairs += [(user, item) for item in items]
    return pairs


def slowly(pairs: list[tuple[int, int]], n_heldout: int) -> dict[str, dict[int, set[int]]]:
    """The protocol in plain Python: items by user, for training, and known and asked of both kinds of strangers."""
    ordered = sorted(pairs)
    users = sorted({user for user, _ in ordered})
    shuffled = [users[place] for place in np.random.RandomState(SEED).permutation(len(users))]
    train_users = set(shuffled[: len(users) - 2 * n_heldout])
    parts: dict[str, dict[int, set[int]]] = {"train": {user: set() for user in train_users}}
    for user, item in ordered:
        if user in train_users:
            parts["train"][user].add(item)
    catalogue = set().union(*parts["train"].values())
    for name, members in (
        ("valid", shuffled[len(users) - 2 * n_heldout : len(users) - n_heldout]),
        ("test", shuffled[len(users) - n_heldout :]),
    ):
        stream = np.random.RandomState(SEED)
        known, asked = parts.setdefault(f"{name} known", {}), parts.setdefault(f"{name} asked", {})
        for user in sorted(members):
            items = [item for owner, item in ordered if owner == user and item in catalogue]
            if len(items) >= 5:
                chosen = set(stream.choice(len(items), size=int(0.2 * len(items)), replace=False).tolist())
                asked[user] = {item for place, item in enumerate(items) if place in chosen}
                known[user] = {item for place, item in enumerate(items) if place not in chosen}
            else:
                known[user] = set(items)
    return parts


@pytest.mark.parametrize("times", [False, True])
def test_the_same_users_items_and_interactions(times):
    pairs = ratings(1_000, seed=1)
    expected = slowly(pairs, n_heldout=150)
    shuffle = np.random.default_rng(2)
    frame = pd.DataFrame(pairs, columns=["user", "item"])
    if times:
        frame["timestamp"] = shuffle.integers(0, 100, len(frame))
    interactions = Interactions.from_frame(frame.iloc[shuffle.permutation(len(frame))])
    split = splits.build("user_disjoint", test_users=150, valid_users=150, draw="vae_cf", seed=SEED).apply(interactions)
    user_ids = split.train.user_vocabulary.ids.astype(int)
    item_ids = split.train.item_vocabulary.ids.astype(int)

    def by_user(users, histories) -> dict[int, set[int]]:
        rows = zip(users, histories.offsets[:-1].tolist(), histories.offsets[1:].tolist())
        return {
            int(user_ids[user]): set(item_ids[histories.items[start:end].numpy()].tolist()) for user, start, end in rows
        }

    trained = by_user(range(split.train.n_users), split.train.histories)
    assert {user: items for user, items in trained.items() if items} == expected["train"]
    assert set(item_ids.tolist()) == set().union(*expected["train"].values())
    assert len(item_ids) < interactions.n_items
    for name in ("valid", "test"):
        holdout = getattr(split, name)
        asked = by_user(holdout.users.tolist(), holdout.target)
        assert asked == expected[f"{name} asked"]
        known = by_user(holdout.users.tolist(), holdout.history)
        assert known == {user: expected[f"{name} known"][user] for user in asked}
        assert 0 < len(asked) < 150
