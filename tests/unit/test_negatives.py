"""Negative samplers: never a seen item, the right distribution, the same stream."""

import math

import pandas as pd
import pytest
import torch

from recbench import negatives
from recbench.data import Interactions
from recbench.errors import ConfigError
from recbench.negatives import SeenItems
from recbench.negatives.uniform import Uniform
from recbench.randomness import generator

PAIRS = [("a", "0"), ("a", "2"), ("a", "3"), ("b", "1"), ("b", "0"), ("c", "4")]


def interactions(pairs=PAIRS, extra_items=()):
    frame = pd.DataFrame([*pairs, *[("z", item) for item in extra_items]], columns=["user", "item"])
    return Interactions.from_frame(frame)


def test_seen_items_are_found_and_others_are_not():
    data = interactions()
    seen = SeenItems(data)
    grid = seen.contains(torch.arange(data.n_users)[:, None], torch.arange(data.n_items)[None, :])
    assert torch.equal(grid, data.histories.mask(data.n_items))


def test_seen_items_refuse_a_key_that_does_not_fit():
    data = interactions()
    object.__setattr__(data, "user_vocabulary", range(2**40))
    object.__setattr__(data, "item_vocabulary", range(2**23))
    with pytest.raises(OverflowError, match="do not fit 63 bits"):
        SeenItems(data)


def test_uniform_draws_every_unseen_item_equally_often_and_no_other():
    data = interactions()
    sampler = negatives.build("uniform", data, n_negatives=1)
    users = torch.zeros(30_000, dtype=torch.int64)
    drawn = sampler.sample(users, users, generator(0, "test")).items
    counts = torch.bincount(drawn.flatten(), minlength=data.n_items)
    assert counts[[0, 2, 3]].tolist() == [0, 0, 0]
    # Items 1 and 4 are left for user a: each is drawn with probability 1/2.
    assert abs(int(counts[1]) - 15_000) < 5 * math.sqrt(30_000 / 4)
    assert int(counts.sum()) == 30_000


def test_the_tables_of_uniform_are_made_when_they_are_needed_and_move_with_it():
    """They go where the sampler has been moved to, whether it is moved before or after the first draw."""
    data, users = interactions(), torch.tensor([0, 1, 2])
    before, after = negatives.build("uniform", data, n_negatives=2), negatives.build("uniform", data, n_negatives=2)
    assert "keys" not in vars(after)
    after.to(torch.device("meta"))
    before.sample(users, users, generator(0, "test"))
    before.to(torch.device("meta"))
    assert {before.keys.device.type, after.keys.device.type} == {"meta"}


@pytest.mark.parametrize("name, options", [("uniform", {}), ("uniform", {"reject_seen": False}), ("popularity", {})])
@pytest.mark.parametrize("parts", [(10, 20, 6), (35, 1), (1, 16, 19)])
def test_pairs_drawn_together_have_the_negatives_that_they_have_apart(monkeypatch, name, options, parts):
    monkeypatch.setattr("recbench.negatives.uniform.WORTH_SORTING", 30)
    data = interactions()
    sampler = negatives.build(name, data, n_negatives=2, **options)
    assert sampler.pair_by_pair
    users = torch.tensor([2, 0, 1] * 12)
    whole, stream = sampler.sample(users, users, generator(0, "test")), generator(0, "test")
    begin = 0
    for n in parts:
        some = slice(begin, begin + n)
        part, expected = sampler.sample(users[some], users[some], stream), whole.rows(some)
        assert part.items.equal(expected.items)
        for one, other in ((part.keep, expected.keep), (part.log_q, expected.log_q)):
            assert (one is None and other is None) or one.equal(other)
        begin += n


def test_a_sampler_that_draws_in_a_way_of_its_own_is_asked_batch_by_batch():
    class Other(Uniform):
        def sample(self, users, positives, generator):
            return super().sample(users, positives, generator)

    class Named(Uniform):
        """Draws as Uniform does."""

    assert (Uniform.pair_by_pair, Named.pair_by_pair, Other.pair_by_pair) == (True, True, False)


@pytest.mark.parametrize("n_negatives, batches", [(1, 1024), (4, 256), (1000, 1), (10**6, 1)])
def test_many_negatives_of_a_pair_are_drawn_for_fewer_batches_together(n_negatives, batches):
    assert negatives.build("uniform", interactions(), n_negatives=n_negatives).n_together(256) == batches
    assert negatives.build("in_batch", interactions()).n_together(256) == 1


def test_uniform_without_rejection_draws_seen_items_at_their_share():
    data = interactions()
    sampler = negatives.build("uniform", data, n_negatives=1, reject_seen=False)
    users = torch.zeros(30_000, dtype=torch.int64)
    drawn = sampler.sample(users, users, generator(0, "test")).items
    seen = SeenItems(data).contains(users[:, None], drawn).double().mean()
    # |I_u| / |I| = 3 / 5.
    assert float(seen) == pytest.approx(3 / 5, abs=5 * math.sqrt(0.24 / 30_000))


def test_uniform_names_the_user_who_has_everything():
    data = interactions([("all", "x"), ("all", "y"), ("some", "x")])
    with pytest.raises(ConfigError) as error:
        negatives.build("uniform", data)
    assert str(error.value) == (
        "user 'all' has taken all 2 items, so there is no negative for them; set negatives.reject_seen=false."
    )


def test_popularity_draws_in_proportion_to_the_power_and_drops_what_is_seen():
    data = interactions([("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("a", "y")])
    sampler = negatives.build("popularity", data, n_negatives=1, alpha=0.5)
    users = torch.full((20_000,), 1)
    drawn = sampler.sample(users, users, generator(0, "test"))
    share_of_x = float((drawn.items == 0).double().mean())
    assert share_of_x == pytest.approx(2 / 3, abs=5 * math.sqrt(2 / 9 / 20_000))
    assert drawn.keep is not None and torch.equal(drawn.keep, drawn.items == 1)
    # log of q(x) = 2/3 and q(y) = 1/3, less the log of 1/2.
    assert sampler.log_q.tolist() == pytest.approx([math.log(4 / 3), math.log(2 / 3)])


def test_in_batch_uses_the_positives_and_keeps_none_that_the_user_has_seen():
    data = interactions()
    users, positives = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 4])
    drawn = negatives.build("in_batch", data).sample(users, positives, generator(0, "test"))
    assert drawn.items.tolist() == [0, 1, 4]
    # User a has items 0, 2, 3; b has 0 and 1; c has 4.
    assert drawn.keep is not None
    assert drawn.keep.tolist() == [[False, True, True], [False, False, True], [True, True, False]]
    assert drawn.log_q is not None
    assert drawn.log_q.tolist() == pytest.approx([math.log(n / 6 * 5) for n in (2, 1, 1)])


@pytest.mark.parametrize("name", ["uniform", "popularity", "in_batch"])
def test_the_same_stream_gives_the_same_negatives(name):
    data = interactions()
    sampler = negatives.build(name, data)
    users, positives = data.users, data.items
    first = sampler.sample(users, positives, generator(1, "negatives", 3))
    again = sampler.sample(users, positives, generator(1, "negatives", 3))
    assert torch.equal(first.items, again.items)
