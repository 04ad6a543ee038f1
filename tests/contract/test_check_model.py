"""The battery itself: each check finds the model that breaks it, and says so."""

from fnmatch import fnmatchcase

import pytest
import torch

from recbench import splits, trainers
from recbench.data import TEST, TRAIN
from recbench.errors import ConfigError
from recbench.models.ials import IALS, IALSConfig
from recbench.models.item_knn import ItemKNN, ItemKNNConfig
from recbench.models.mf import MF, MFConfig
from recbench.models.neumf import NeuMFConfig
from recbench.models.popularity import Popularity, PopularityConfig
from recbench.models.random import Random, RandomConfig
from recbench.splits.k_fold import KFold
from recbench.testing import check_model, checks, describe
from recbench.testing.unseen import _canaries
from recbench.trainers import FitResult, Trainer
from recbench.trainers.epochs import EpochsConfig
from recbench.trainers.gradient import _Steps
from recbench.trainers.optimizers import build_optimizer


class NoDocstring(ItemKNN):
    pass


class ForgetsUsers(ItemKNN):
    """Scores by popularity."""

    def score(self, batch, items=None):
        scores = self.near.weights.sum(1).repeat(len(batch), 1)
        return scores if items is None else scores.gather(1, items)


class NotFinite(Popularity):
    """Gives items without interactions minus infinity."""

    def score(self, batch, items=None):
        return super().score(batch, items).log()


class TwiceAsWide(Popularity):
    """Gives float64."""

    def score(self, batch, items=None):
        return super().score(batch, items).double()


class LooksAtTheBatch(ItemKNN):
    """Divides by the largest score of the batch."""

    def score(self, batch, items=None):
        scores = super().score(batch)
        scores = scores / scores.max().clamp(min=1e-9)
        return scores if items is None else scores.gather(1, items)


class SortsCandidates(ItemKNN):
    """Gives the candidates' scores in the order of their indices."""

    def score(self, batch, items=None):
        return super().score(batch, None if items is None else items.sort(1).values)


class CountsFromTheStart(Popularity):
    """Gives the first items in place of a range."""

    def score_range(self, batch, first, last):
        return super().score_range(batch, 0, last - first)


class RoundsRanges(Popularity):
    """Computes ranges by another formula than all items."""

    def score(self, batch, items=None):
        scores = super().score_range(batch, 0, self.n_items) * (1 + 2**-22)
        return scores if items is None else scores.gather(1, items)


class GivesTooMuch(Popularity):
    """Gives all items in place of a range."""

    def score_range(self, batch, first, last):
        return super().score_range(batch, 0, self.n_items)


class TakesTheLastUser(Popularity):
    """Indexes a table with -1."""

    folds_in = False


class RefusesUnknown(Popularity):
    """Refuses whom it could score."""

    def score(self, batch, items=None):
        self.refuse_unknown(batch.users)
        return super().score(batch, items)


class DividesByTheHistory(ItemKNN):
    """Gives NaN without a history."""

    def score(self, batch, items=None):
        return super().score(batch, items) / batch.history.counts[:, None]


class HidesState(Popularity):
    """Keeps what it learns outside its buffers."""

    def fit(self, train):
        self.hidden = train.popularity.float()

    def score(self, batch, items=None):
        hidden = getattr(self, "hidden", self.counts)
        return hidden.repeat(len(batch), 1) if items is None else hidden[items]


class GlobalNoise(Popularity):
    """Draws from the global generator."""

    stochastic = True

    def fit(self, train):
        self.counts.copy_(torch.rand(self.n_items))


class SecretlyStochastic(Popularity):
    """Depends on the seed and does not say so."""

    def fit(self, train):
        self.counts.copy_(train.popularity + self.seed)


class DeclaresChance(Popularity):
    """Says that it depends on the seed."""

    stochastic = True


class LikesLowIndices(Popularity):
    """Orders items by index."""

    def fit(self, train):
        self.counts.copy_(torch.arange(self.n_items))


class ChangesHistories(Popularity):
    """Works in place on what it is given."""

    def score(self, batch, items=None):
        batch.history.items.zero_()
        return super().score(batch, items)


class ChangesTraining(Popularity):
    """Centres the ratings in place."""

    def fit(self, train):
        super().fit(train)
        train.ratings.sub_(3.0)


class LearnsWhileScoring(Popularity):
    """Counts whom it has scored."""

    def score(self, batch, items=None):
        scores = super().score(batch, items)
        self.counts += 1
        return scores


class ReusesItsScores(Popularity):
    """Gives a part of itself away, and writes there again."""

    def score(self, batch, items=None):
        scores = super().score(batch, items)
        if not hasattr(self, "buffer"):
            self.buffer = scores
        self.buffer.add_(1.0)
        return self.buffer if items is None else scores


class ForgetsTheBias(MF):
    """Leaves the biases out of the vectors."""

    def user_vectors(self):
        return self.user.weight.detach()

    def item_vectors(self):
        return self.item.weight.detach()


class PredictsAColumn(MF):
    """Gives one rating too many dimensions."""

    @classmethod
    def predicts_ratings(cls, config):
        return True

    def predict(self, users, items):
        return super().predict(users, items)[:, None]


class HoldsAnObject(Popularity):
    """Keeps something else than tensors, which pickle would restore by running code."""

    def get_extra_state(self):
        return {"made by": PopularityConfig()}

    def set_extra_state(self, state):
        pass


class KeepsATypeOfItsOwn(Popularity):
    """Keeps a tensor of a type of its own."""

    def __init__(self, config, train, seed=0):
        super().__init__(config, train, seed)
        self.register_buffer("own", torch.zeros(3).as_subclass(OwnTensor))


class OwnTensor(torch.Tensor):
    pass


class GoesUphill(MF):
    """Has its gradient the wrong way round."""

    def forward(self, users, items):
        scores = super().forward(users, items)
        return 2 * scores.detach() - scores


class LikesWhatIsRare(ItemKNN):
    """Divides by the popularity once too often."""

    def fit(self, train):
        super().fit(train)
        self.bias.sub_(100 * train.popularity)


class NeedsTwoUsers(Popularity):
    """Divides by how much the users differ."""

    def fit(self, train):
        self.counts.copy_(train.popularity / train.histories.counts.float().std())


class NeedsTwoItems(Popularity):
    """Divides by how much the items differ."""

    def fit(self, train):
        self.counts.copy_(train.popularity / train.popularity.float().std())


class CountsOnTheSide(IALS):
    """Hands over from sweep to sweep what is in no buffer."""

    def sweeps(self, train):
        for number, loss in enumerate(super().sweeps(train), 1):
            self.item.mul_(1 + 1 / number)
            yield loss


class MasksItself(ItemKNN):
    """Leaves out itself what the user has."""

    def score(self, batch, items=None):
        scores = super().score(batch).masked_fill(batch.history.mask(self.n_items), -1e9)
        return scores if items is None else scores.gather(1, items)


class HalvesThePopularity(Popularity):
    """Works in place on a count that others use."""

    def fit(self, train):
        super().fit(train)
        train.popularity.div_(2, rounding_mode="floor")


POPULARITY, KNN = PopularityConfig(), ItemKNNConfig(weighting="none")
BROKEN = {
    NoDocstring: (KNN, "builds", "its class has no docstring."),
    ForgetsUsers: (
        KNN,
        "learns_checkerboard",
        "for 40 of 40 users another unseen item comes before the withheld one.",
    ),
    GoesUphill: (MFConfig(), "lowers_the_loss", "the loss is * in the first epoch and * in the second."),
    LikesWhatIsRare: (KNN, "beats_popularity", "its ndcg@10 is *, and that of popularity *."),
    NeedsTwoUsers: (POPULARITY, "one_user", "the scores are not finite."),
    NeedsTwoItems: (POPULARITY, "one_item", "the scores are not finite."),
    HoldsAnObject: (POPULARITY, "plain_state", "its state_dict() holds _extra_state, which is no tensor."),
    KeepsATypeOfItsOwn: (POPULARITY, "plain_state", "its state_dict() does not load with weights_only=True: *"),
    CountsOnTheSide: (
        IALSConfig(dim=2),
        "resume",
        "a training that was stopped at state 1 of 3, and one that was not: * differ.",
    ),
    MasksItself: (
        KNN,
        "masked_items",
        "all items of a history have the same score, below that of every other item; leave masking to the ranking.",
    ),
    NotFinite: (POPULARITY, "scores_are_finite", "48 of 1920 scores are not finite."),
    TwiceAsWide: (POPULARITY, "scores_are_finite", "the scores are torch.float64, not torch.float32."),
    LooksAtTheBatch: (KNN, "batches_of_one", "scores of batches of one and of all users at once: they differ by *."),
    SortsCandidates: (KNN, "candidates", "scores of 7 candidates and of all items: they differ by *."),
    CountsFromTheStart: (
        POPULARITY,
        "ranges",
        "scores of the items 5 to * by themselves and among all: they differ by *.",
    ),
    RoundsRanges: (POPULARITY, "ranges", "score_range of all items differs from score in some bits."),
    GivesTooMuch: (POPULARITY, "ranges", "score_range gives the shape * for scores of the items 0 to 0 by *."),
    TakesTheLastUser: (
        POPULARITY,
        "unknown_users",
        "it declares folds_in = False and scores unknown users; call refuse_unknown().",
    ),
    RefusesUnknown: (
        POPULARITY,
        "unknown_users",
        "it declares folds_in = True and refuses unknown users: RefusesUnknown cannot score *.",
    ),
    DividesByTheHistory: (
        KNN,
        "empty_histories",
        "the scores of a known user without a history are not finite.",
    ),
    HidesState: (POPULARITY, "save_and_load", "the scores after saving and loading are others."),
    GlobalNoise: (POPULARITY, "same_seed", "two fits with the same seed: counts differ."),
    SecretlyStochastic: (
        POPULARITY,
        "other_seed",
        "it declares stochastic = False, and another seed gives other scores.",
    ),
    DeclaresChance: (
        POPULARITY,
        "other_seed",
        "it declares stochastic = True, and another seed gives the same scores.",
    ),
    LikesLowIndices: (POPULARITY, "relabelling", "scores before and after relabelling: they differ by *."),
    ChangesHistories: (POPULARITY, "inputs_unchanged", "scoring changes the items of the histories."),
    ChangesTraining: (
        POPULARITY,
        "inputs_unchanged",
        "fitting changes the ratings of the training interactions.",
    ),
    HalvesThePopularity: (
        POPULARITY,
        "inputs_unchanged",
        "fitting changes the popularity of the training interactions.",
    ),
    LearnsWhileScoring: (POPULARITY, "inputs_unchanged", "scores of the same users, asked twice: they differ by *."),
    ReusesItsScores: (POPULARITY, "inputs_unchanged", "scoring changes the scores that it gave before."),
    ForgetsTheBias: (MFConfig(biases=True), "vectors", "dot products of the vectors and scores: they differ by *."),
    PredictsAColumn: (MFConfig(), "predictions", "the predictions have shape (*, 1), not one a pair."),
}


@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_a_broken_model_fails_by_name(model):
    config, check, why = BROKEN[model]
    with pytest.raises(AssertionError) as error:
        check_model(model, config, only=[check])
    assert fnmatchcase(str(error.value), f"model '{model.__name__}' fails the check '{check}': {why}")


def test_a_model_that_looks_at_test_rows_fails(monkeypatch):
    """The canary: a trainer that hands over more than the training part."""

    def fit(self, model, split, **_):
        model.counts.copy_(split.train.popularity + torch.bincount(split.test.target.items, minlength=model.n_items))

    monkeypatch.setattr("recbench.trainers.closed_form.ClosedForm.fit", fit)
    with pytest.raises(AssertionError, match=r"'popularity' fails the check 'test_rows': .* counts differ\."):
        check_model("popularity", only=["test_rows"])


class InOneGo(Trainer):
    """Goes in epochs, and keeps nothing of them."""

    def fit(self, model, split, **_):
        model.fit(split.train)
        return FitResult(best_epoch=None, curve=(), seconds=0.0)


def test_a_trainer_in_epochs_that_keeps_no_state_fails_unless_the_model_says_why(monkeypatch):
    monkeypatch.setattr(trainers.registry, "_entries", dict(trainers.registry._entries))
    trainers.register("in_one_go", config=EpochsConfig)(InOneGo)

    class Short(Popularity):
        """Is trained by somebody else's trainer."""

        trainer = "in_one_go"

    why = "its trainer goes in epochs and offers no state to go on from; let it call fit_in_epochs()."
    with pytest.raises(AssertionError) as error:
        check_model(Short, POPULARITY, only=["resume"])
    assert str(error.value) == f"model 'Short' fails the check 'resume': {why}"
    check_model(Short, POPULARITY, only=["resume"], expected_failures={"resume": "it takes a second"})


def test_a_state_that_could_not_be_read_back_is_told(monkeypatch):
    state = _Steps.state
    monkeypatch.setattr(_Steps, "state", lambda self: state(self) | {"seen": {1, 2}})
    with pytest.raises(AssertionError, match="tensors, numbers and texts alone, and no set"):
        check_model("mf", only=["resume"])


@pytest.mark.parametrize("part", ["optimizer", "negatives", "dropout", "step"])
def test_all_of_a_state_is_needed(monkeypatch, part):
    """A model with dropout, momentum and negatives, of whose state something is left out where it goes on."""
    restore = _Steps.restore

    def forgetful(self, state):
        model = build_optimizer(self.config.optimizer, self.model, self.config.weight_decay)
        if part == "optimizer":
            state = state | {"optimizer": model.state()}
        elif state["within"] is not None:
            other = {"step": 0, "negatives": torch.Generator().get_state(), "dropout": {"cpu": torch.get_rng_state()}}
            state = state | {"within": state["within"] | {part: other[part]}}
        restore(self, state)

    config = NeuMFConfig(dim=2, layers=(8, 4), dropout=0.5)
    check_model("neumf", config, only=["resume"])
    monkeypatch.setattr(_Steps, "restore", forgetful)
    with pytest.raises(AssertionError, match=r"'resume': a training that was stopped at state \d+ of \d+, and one"):
        check_model("neumf", config, only=["resume"])


def test_the_canary_sings_for_each_split_that_hands_test_rows_over(monkeypatch):
    """A split whose training part depends on the test part is told by its name."""
    before = KFold.cut

    def cut(self, interactions, parts):
        parts = parts.clone()
        parts[torch.nonzero(parts == TEST)[0]] = TRAIN
        return before(self, interactions, parts)

    monkeypatch.setattr(KFold, "cut", cut)
    with pytest.raises(AssertionError, match="fits beside different test rows of split 'k_fold': counts differ"):
        check_model("popularity", only=["test_rows"])


def test_the_canary_is_in_every_split_that_has_a_test_part():
    assert [name for name, _, _ in _canaries()] == [name for name in splits.registry.names() if name != "none"]
    for name, split, other in _canaries():
        assert torch.equal(split.train.items, other.train.items)
        assert not torch.equal(split.test.target.items, other.test.target.items), name
        assert (split.test.target.items != other.test.target.items).float().mean() > 0.5, name


def test_every_check_has_a_model_that_breaks_it():
    assert {check for _, check, _ in BROKEN.values()} | {"test_rows"} == set(checks())


def test_a_check_that_is_expected_to_fail_and_passes_is_an_error():
    with pytest.raises(AssertionError) as error:
        check_model("item_knn", expected_failures={"candidates": "they are not ready"})
    assert str(error.value) == (
        "model 'item_knn' passes the check 'candidates', which it is expected to fail since they are not ready; "
        "take it out of expected_failures."
    )


def test_declared_failures_hold_unless_others_are_given():
    check_model("popularity")
    with pytest.raises(AssertionError, match="^model 'popularity' fails the check 'learns_checkerboard'"):
        check_model("popularity", expected_failures={})


def test_a_registered_class_is_known_by_its_name_and_defaults():
    with pytest.raises(AssertionError, match="^model 'random' fails the check 'learns_checkerboard'"):
        check_model(Random, expected_failures={})
    check_model(Random, RandomConfig())


def test_options_reach_the_model():
    check_model("item_knn", ItemKNNConfig(neighbours=3, weighting="bm25", shrink=5.0), only=["save_and_load"])
    with pytest.raises(AssertionError, match="fails the check 'learns_checkerboard'"):
        check_model("mf", MFConfig(dim=1, reg=100.0), only=["learns_checkerboard"])


def test_a_class_that_is_not_registered_needs_options():
    with pytest.raises(ConfigError) as error:
        check_model(ForgetsUsers)
    assert str(error.value) == (
        "ForgetsUsers is not registered, so its options are not known; write check_model(ForgetsUsers, config)."
    )


@pytest.mark.parametrize("arguments", [{"only": ["candidate"]}, {"expected_failures": {"candidate": "?"}}])
def test_an_unknown_check_is_named(arguments):
    with pytest.raises(ConfigError) as error:
        check_model("popularity", **arguments)
    assert str(error.value) == f"no check 'candidate'. Did you mean 'candidates'? Known: {', '.join(sorted(checks()))}."


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigError, match="^no model 'populrity'. Did you mean 'popularity'?"):
        check_model("populrity")


def test_each_check_says_what_it_asks():
    assert describe("same_seed") == "Fitted again with the same seed it is the same to the last bit."
    assert all(describe(name).endswith(".") for name in checks())
    with pytest.raises(ConfigError, match="^no check 'same_sed'. Did you mean 'same_seed'?"):
        describe("same_sed")
