"""Every known case of scores and lists that make a metric lie: what is refused, what is told, what stays exact.

One test or more a case, numbered as in the project's list of cases, 30 to 40; ``test_input_cases.py`` has those before.
Most go the whole way from a third party's model through ``recbench run --plugin`` to the files of the run.
"""

import csv
import gzip
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from given_scores import case

from recbench import models, resolve, run
from recbench.data import Ranking
from recbench.errors import ConfigError, DataError, NonFiniteScoresError, ScoringMemoryError
from recbench.evaluation import EvaluationConfig, evaluate
from recbench.ranking import rank
from recbench.trainers.epochs import Engine, EpochsConfig, fit_in_epochs

# A world whose answer is known: user u takes the items i of which (u + i) is a multiple of 3, the last ten in test, so
# that no order of the items by their ids is chance.
N_USERS, N_ITEMS, K = 600, 60, 10
N_UNSEEN, N_RELEVANT = 50, 10

SCORERS = '''
"""Models that know nothing, or everything, of a world in which a user takes every third item."""

from typing import Literal

import torch

from recbench.models import Model, register
from recbench.options import Config


class ScorerConfig(Config):
    """Options of ``scorer``."""

    kind: Literal["perfect", "reversed", "constant", "coarse", "all_nan", "one_nan", "infinite", "bfloat16", "float64"]
    """How it scores."""


@register("scorer", config=ScorerConfig)
class Scorer(Model):
    """Scores as it is told."""

    def __init__(self, config, train, seed=0):
        super().__init__(config, train, seed)
        numbers = [int(name[1:]) for name in train.user_vocabulary.ids]
        items = [int(name[1:]) for name in train.item_vocabulary.ids]
        self.register_buffer("user_numbers", torch.tensor(numbers))
        self.register_buffer("item_numbers", torch.tensor(items))

    def fit(self, train):
        pass

    def score(self, batch, items=None):
        takes = (self.user_numbers[batch.users][:, None] + self.item_numbers) % 3 == 0
        perfect = takes.float() + self.item_numbers / 1000
        kinds = {
            "perfect": lambda: perfect,
            "reversed": lambda: -perfect,
            "constant": lambda: torch.full_like(perfect, 0.5),
            "coarse": lambda: (self.item_numbers % 12).float().expand_as(perfect),
            "all_nan": lambda: perfect * torch.nan,
            "one_nan": lambda: perfect.index_put((torch.tensor(3), torch.tensor(7)), torch.tensor(torch.nan)),
            "infinite": lambda: torch.where(takes, torch.inf, perfect),
            "bfloat16": lambda: perfect.bfloat16(),
            "float64": lambda: perfect.double(),
        }
        scores = kinds[self.config.kind]()
        return scores if items is None else scores.gather(1, items)
'''


def write_world():
    """Write the interactions and the plugin into the working folder; return the plugin's name, which is a new one."""
    lines = {"train": ["user,item"], "test": ["user,item"]}
    for user in range(N_USERS):
        for place, item in enumerate(item for item in range(N_ITEMS) if (user + item) % 3 == 0):
            lines["test" if place >= 10 else "train"].append(f"u{user:03d},i{item:02d}")
    for part, text in lines.items():
        Path(f"{part}.csv").write_text("\n".join(text) + "\n")
    plugin = f"case_scorers_{next(NUMBERS)}"
    Path(f"{plugin}.py").write_text(SCORERS)
    return plugin


NUMBERS = itertools.count()
WORLD = ("dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", "split=fixed", "model=scorer")


@pytest.fixture
def scored_by(command):
    """Return a function that runs a scorer of the world from the command line and gives how it ended and its result."""
    plugin = write_world()

    def call(kind, *options):
        folder = f"{kind.replace(' ', '-')}-{len(list(Path().glob('*/result.json')))}"
        words = (
            "-q",
            "tracking.tensorboard=false",
            "--plugin",
            plugin,
            *WORLD,
            f"model.kind={kind}",
            f"hydra.run.dir={folder}",
        )
        ended = command("run", *words, *options)
        assert Path(folder, "result.json").exists(), ended.err
        return ended, json.loads(Path(folder, "result.json").read_text())

    return call


def per_user(folder):
    """Return the rows of ``per_user.csv.gz``."""
    with gzip.open(Path(folder, "per_user.csv.gz"), "rt") as file:
        return list(csv.DictReader(file))


def metrics_option(*names):
    return f"evaluation.metrics=[{','.join(names)}]"


def told_of_ties(*shares):
    told = ", ".join(f"@{k} for {share} %" for k, share in shares)
    return f"warning: [constant-0] test: lists are cut between equal scores, and so by lot, {told} of the users.\n"


EVERYTHING = metrics_option(
    *(f"{name}@{K}" for name in ("ndcg", "recall", "precision", "hr", "mrr", "map", "ndcg_uncut", "map_k")), "auc"
)


# 30: ties at the cut


def test_case_30_lists_cut_between_equal_scores_are_the_same_in_any_block_and_told(scored_by):
    """A list is cut between items of equal scores. -> The cut goes by a rule of the tie seed and the ids, the same in
    blocks of any size; the share of such lists is in `tie_rate`, and much of it is a warning."""
    first, result = scored_by("coarse", "evaluation.user_block=64")
    second, other = scored_by("coarse", "evaluation.user_block=512")
    assert (first.code, second.code) == (0, 0)
    assert result["metrics"] == other["metrics"]
    assert per_user("coarse-0") == per_user("coarse-1")
    # By hand: the list is cut where the tenth and the eleventh best of the unseen have the same score.
    cut = 0
    for user in range(N_USERS):
        taken = [item for item in range(N_ITEMS) if (user + item) % 3 == 0][:10]
        scores = sorted((item % 12 for item in range(N_ITEMS) if item not in taken), reverse=True)
        cut += scores[9] == scores[10]
    assert 0.01 < cut / N_USERS < 1
    assert result["tie_rate"]["test"]["@10"] == cut / N_USERS
    assert f"@10 for {100 * cut / N_USERS:.1f} %" in first.err


def test_case_30_lists_cut_between_different_scores_are_not_told(scored_by):
    ended, result = scored_by("perfect", EVERYTHING)
    assert result["tie_rate"] == {"test": {"@10": 0.0}}
    assert (ended.code, ended.err) == (0, "")


# 31: a constant scorer, and its opposites


def chance():
    """Return mean and deviation over all orders of a user's precision and NDCG, with ten relevant of fifty."""
    p, n = N_RELEVANT / N_UNSEEN, N_UNSEEN
    moments = {}
    for name, weights in {
        "precision": [1 / K] * K,
        "ndcg": [1 / math.log2(place + 1) for place in range(1, K + 1)],
    }.items():
        ideal = sum(weights)
        squares = sum(weight**2 for weight in weights)
        # Places without replacement: the covariance of two hits is - p (1 - p) / (n - 1).
        variance = p * (1 - p) * (squares - (ideal**2 - squares) / (n - 1)) / ideal**2
        moments[name] = (p, math.sqrt(variance))
    return moments


def test_case_31_a_constant_scorer_gets_chance_with_a_warning(scored_by):
    """A model gives every item the same score. -> It gets chance, with a warning; the perfect one gets 1 and the
    reversed one the worst value."""
    ended, result = scored_by("constant", EVERYTHING)
    assert ended.code == 0
    assert ended.err == told_of_ties((10, "100.0"))
    values = result["metrics"]["test"]
    for name, (mean, deviation) in chance().items():
        assert values[f"{name}@10"] == pytest.approx(mean, abs=5 * deviation / math.sqrt(N_USERS)), name
    # Ten relevant items and ten places: recall and precision are the same number. Equal scores count one half.
    assert values["recall@10"] == pytest.approx(values["precision@10"], abs=1e-15)
    assert values["auc"] == 0.5
    assert result["tie_rate"]["test"]["@10"] == 1.0


def test_case_31_a_perfect_scorer_gets_one_and_a_reversed_one_the_worst_value(scored_by):
    _, perfect = scored_by("perfect", EVERYTHING)
    ended, reversed_ = scored_by("reversed", EVERYTHING)
    assert (ended.code, ended.err) == (0, "")
    assert set(perfect["metrics"]["test"].values()) == {1.0}
    assert set(reversed_["metrics"]["test"].values()) == {0.0}
    assert len(reversed_["metrics"]["test"]) == 9


# 32: scores that are not finite


@pytest.mark.parametrize(
    ("kind", "n_scores", "n_users", "first"),
    [("all_nan", 60 * 512, 512, "u000"), ("one_nan", 1, 1, "u003"), ("infinite", 20 * 512, 512, "u000")],
)
def test_case_32_a_score_that_is_not_finite_ends_the_run_without_a_number(scored_by, kind, n_scores, n_users, first):
    """A score is NaN or infinite. -> `NonFiniteScoresError` names the model and counts scores and users; no number is
    written."""
    ended, result = scored_by(kind)
    message = (
        f"Scorer gave {n_scores:,} scores that are NaN or infinite, for {n_users} of 512 users in this block, first "
        f"for user '{first}'. Its parameters are not finite: lower the learning rate, or clip the gradient."
    )
    assert ended.code == 1
    assert f"error: failed: NonFiniteScoresError: {message}" in ended.err
    assert (result["status"], result["error"]) == ("failed", {"type": "NonFiniteScoresError", "message": message})
    assert result["metrics"] == {"test": {}, "valid": {}}
    assert not list(Path().glob("*/per_user.csv.gz"))


def test_case_32_the_python_interface_raises(monkeypatch, tmp_path, untouched_registries):
    monkeypatch.chdir(tmp_path)
    write_world()
    exec(SCORERS, {"__name__": "scorers_in_python"})
    given = {"dataset": {"name": "files", "train": "train.csv", "test": "test.csv"}, "split": "fixed"}
    config = resolve({**given, "model": {"name": "scorer", "kind": "all_nan"}}).config
    with pytest.raises(NonFiniteScoresError, match=r"^Scorer gave 30,720 scores that are NaN or infinite, "):
        run(config, progress=False)


# 33: lists longer than what there is


def test_case_33_every_length_of_the_list_up_to_beyond_the_catalogue(scored_by):
    """Lists are longer than the catalogue or the candidates. -> Short lists stay short: precision divides by k all the
    same, and nothing breaks for any k."""
    lengths = range(1, N_ITEMS + 6)
    names = [f"{name}@{k}" for k in lengths for name in ("precision", "recall", "ndcg", "coverage")]
    ended, result = scored_by("perfect", metrics_option(*names))
    values = result["metrics"]["test"]
    assert ended.code == 0
    for k in lengths:
        # The hits come first, and precision divides by k whatever there is to list.
        assert values[f"precision@{k}"] == pytest.approx(min(k, N_RELEVANT) / k, abs=1e-15)
        assert values[f"recall@{k}"] == pytest.approx(min(k, N_RELEVANT) / N_RELEVANT, abs=1e-15)
        assert values[f"ndcg@{k}"] == 1
    assert values["coverage@65"] == 1


def test_case_33_lists_longer_than_the_candidates(scored_by):
    sampled = ("evaluation.candidates=sampled", "evaluation.n_candidates=2")
    _, result = scored_by("perfect", *sampled, metrics_option("precision@20", "recall@20"))
    assert result["metrics"]["test"] == {"precision@20[sampled2]": 10 / 20, "recall@20[sampled2]": 1.0}


# 34: an item twice in a list


def ranking_of(items):
    items = torch.tensor(items)
    nothing = torch.zeros_like(items, dtype=torch.bool)
    one = torch.ones(len(items), dtype=torch.int64)
    return Ranking(torch.arange(len(items)) + 5, items, nothing, one, nothing, torch.ones(9), 9)


def test_case_34_a_list_that_names_an_item_twice_is_refused():
    """A list names an item twice. -> It is refused; candidates that are named twice count once or are refused."""
    with pytest.raises(DataError) as error:
        ranking_of([[1, 2, 3], [4, 3, 4], [7, 7, 7], [1, -1, -1]])
    assert str(error.value) == (
        "item 4 stands more than once in the list of user 6 (indices); 2 of 4 lists are so. List each item once: its "
        "hits would count twice."
    )
    assert ranking_of([[1, 2, 3], [1, -1, -1]]).k == 3, "behind the end of a list there is nothing to repeat"


def test_case_34_candidates_that_name_an_item_twice_cannot_count_twice():
    problem = case(torch.tensor([[3.0, 2.0, 1.0]]), relevant=[[0]], candidates=torch.tensor([[0, 0, 1]]))
    with pytest.raises(DataError, match="^item 0 stands more than once in the list of user 0 "):
        problem.rank(3)


# 35 and 36: users without relevant items, and users without a list


def test_case_35_users_with_nothing_to_find_are_left_out_and_counted(scored_by):
    """A user has nothing to find. -> The user is left out of the means and counted."""
    with Path("train.csv").open("a") as file:
        file.writelines(f"u{user:03d},i{item:02d}\n" for user in (700, 701, 702) for item in range(12))
    ended, result = scored_by("perfect", metrics_option("recall@5"))
    assert ended.code == 0
    assert result["n_users"]["test"] == N_USERS
    assert result["n_users_without_target"] == {"test": 3}
    assert result["metrics"]["test"] == {"recall@5": 0.5}, "the mean is over the users who have something to find"
    assert len(per_user("perfect-0")) == N_USERS


def test_case_36_a_user_without_a_list_counts_as_zero(scored_by):
    """A user who is asked gets an empty list. -> Counts as 0 in every metric that is defined for it."""
    # Another user has taken everything, and is asked for an item again: nothing is left to be listed.
    with Path("train.csv").open("a") as file:
        file.writelines(f"u900,i{item:02d}\n" for item in range(N_ITEMS))
    with Path("test.csv").open("a") as file:
        file.write("u900,i03\n")
    names = ["ndcg@10", "recall@10", "precision@10", "hr@10", "mrr@10", "map@10", "novelty@10"]
    ended, result = scored_by("perfect", metrics_option(*names), "dataset.duplicates=keep")
    assert ended.code == 0
    assert result["n_users"]["test"] == N_USERS + 1
    last = per_user("perfect-0")[-1]
    assert last == {"user": "u900", **dict.fromkeys(names[:-1], "0.0"), "novelty@10": ""}
    for name in names[:-1]:
        assert result["metrics"]["test"][name] == pytest.approx(N_USERS / (N_USERS + 1), abs=1e-12), name
    # What is not defined for an empty list is left out of the mean, as it is in the file.
    shown = [float(row["novelty@10"]) for row in per_user("perfect-0")[:-1]]
    assert result["metrics"]["test"]["novelty@10"] == pytest.approx(math.fsum(shown) / N_USERS, abs=1e-12)


# 37: scores of another width


@pytest.mark.parametrize("kind", ["bfloat16", "float64"])
def test_case_37_scores_that_are_not_float32_are_refused(scored_by, kind):
    """Scores are not float32. -> They are refused, since another width makes other ties; masked items are below any
    score."""
    ended, result = scored_by(kind)
    message = (
        f"Scorer gave scores of type torch.{kind}, expected torch.float32: rounding them would make different scores "
        "equal. Let score() compute in float32."
    )
    assert ended.code == 1
    assert f"error: failed: ValueError: {message}" in ended.err
    assert (result["status"], result["metrics"]["test"]) == ("failed", {})


def test_case_37_half_the_width_would_tie_what_float32_tells_apart():
    scores = 1 + torch.arange(60).float() / 1000
    assert len(scores.unique()) == 60 and len(scores.bfloat16().unique()) < 15


def test_case_37_masked_items_are_below_any_score():
    lowest = torch.finfo(torch.float32).min
    ranking = case(torch.tensor([[9.0, lowest, 2.0, lowest]]), relevant=[[1]], seen=[[0, 3]]).rank(4)
    assert ranking.items.tolist() == [[2, 1, -1, -1]]


# 38: the block of users


@pytest.mark.parametrize("model", ["mf", "neumf", "item_knn", "ease", "ials"])
def test_case_38_metrics_and_lists_are_the_same_in_blocks_of_any_size(model):
    """Users are scored in blocks of another size. -> Metrics agree to 1e-6, lists but for near ties; the block is part
    of the configuration and in the result."""
    trainer = {"epochs": 1} if model in ("mf", "neumf", "ials") else {}
    dataset = {"name": "planted", "n_users": 700, "n_items": 150, "n_interactions": 7000}
    outcome = run(
        resolve({"dataset": dataset, "model": model, "threads": 1, "trainer": trainer}).config, progress=False
    )
    names = ("ndcg@10", "recall@20", "map@20", "auc")
    reports = {
        block: evaluate(outcome.model, outcome.split, "test", EvaluationConfig(metrics=names, user_block=block))
        for block in (64, 100, 512, 700)
    }
    for block, report in reports.items():
        assert report.ranking.user_block == block
        assert report.values == pytest.approx(reports[700].values, abs=1e-6), block
        differ = (report.ranking.items != reports[700].ranking.items).any(1)
        assert not bool((differ & ~reports[700].ranking.tied.any(1)).any()), block


def test_case_38_the_block_is_part_of_the_configuration_and_recorded(scored_by):
    _, result = scored_by("perfect", "evaluation.user_block=128")
    assert result["config"]["evaluation"]["user_block"] == 128
    assert result["user_block"] == {"test": 128}
    with pytest.raises(ConfigError) as error:
        resolve({"evaluation": {"user_block": 63}})
    assert "user_block = 63: should be at least 64" in str(error.value)


# 39: the memory of evaluation

WITHIN = """
import logging, resource, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {reference!r})
from given_scores import GivenScores, case
from recbench import metrics, ranking
from recbench.ranking import rank

logging.basicConfig(format="%(message)s", stream=sys.stdout)
n_users, n_items = 3_000, 4_000
vectors = torch.randn(n_users, 8, generator=torch.Generator().manual_seed(0))
items = torch.randn(8, n_items, generator=torch.Generator().manual_seed(1))

class Product(GivenScores):
    def score(self, batch, items_=None):
        return self.scores[batch.users] @ items

problem = case(vectors.new_zeros(1).expand(n_users, n_items), [[user % n_items] for user in range(n_users)])
model = Product(problem.train, vectors)

def evaluate(user_block):
    found = rank(model, problem.holdout, problem.train, 10, user_block=user_block, with_auc=True)
    names = {{"ndcg": 10, "recall": 10, "auc": None}}
    values = [float(metrics.registry.entry(name).target(found, k).mean()) for name, k in names.items()]
    return found.user_block, values, int(found.items.sum())

# What torch and its libraries set up at the first use is not what is measured.
rank(model, case(vectors.new_zeros(64, n_items), [[0]] * 64).holdout, problem.train, 10, with_auc=True)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 30 * 2**20, -1))
for user_block in (128, n_users):
    print(*evaluate(user_block))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
def test_case_39_memory_is_bounded_by_the_block_and_a_block_that_is_too_large_is_halved():
    """The memory does not suffice while evaluating. -> The block of users is halved and that is told; the results stay
    the same, and memory is bounded by block times items.

    3,000 users and 4,000 items, 48 MB of scores, where 30 MB may be taken.
    """
    script = WITHIN.format(reference=str(Path(__file__).parents[1] / "reference"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    fits, rest = lines[0], lines[1:]
    assert fits.startswith("128 ["), "a table of all scores would not fit"
    halvings = len(rest) - 1
    assert halvings >= 2
    assert rest[:-1] == [told_of_halving(3_000 // 2**n, 3_000 // 2 ** (n + 1)) for n in range(halvings)]
    block, values = rest[-1].split(" ", 1)
    assert int(block) == 3_000 // 2**halvings
    assert values == fits.split(" ", 1)[1], "the results are unchanged"


def told_of_halving(block, half):
    return (
        f"the memory does not suffice to rank 4,000 items for {block:,} users at a time; going on with {half:,}. "
        f"To start so: evaluation.user_block={half}."
    )


class Narrow(models.Model):
    """Has room for so many users at a time."""

    def __init__(self, train, n, error):
        from recbench.options import Config

        super().__init__(Config(), train)
        self.n, self.error, self.asked = n, error, []

    def score(self, batch, items=None):
        self.asked.append(len(batch))
        if len(batch) > self.n:
            raise self.error
        return torch.arange(self.n_items).float().expand(len(batch), -1).clone()


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_case_39_halving_ends_at_64_users_and_goes_on_where_it_stopped(error, caplog):
    problem = case(torch.zeros(1).expand(300, 5_000), [[0]] * 300)
    model = Narrow(problem.train, 100, error)
    ranking = rank(model, problem.holdout, problem.train, 2, user_block=512)
    assert model.asked == [300, 150, 75, 75, 75, 75]
    assert ranking.user_block == 75 and ranking.items.tolist() == [[4_999, 4_998]] * 300
    assert len(caplog.messages) == 2
    model = Narrow(problem.train, 10, error)
    with pytest.raises(ScoringMemoryError) as told:
        rank(model, problem.holdout, problem.train, 2)
    assert model.asked == [300, 150, 75, 64]
    assert str(told.value) == (
        "Narrow: the memory does not suffice to rank 5,000 items for 64 users at a time (1.3 MB of scores, several "
        "times), and no fewer are tried. Free memory, or lower what the model itself takes."
    )


def test_case_39_another_error_of_the_model_is_not_taken_for_it():
    problem = case(torch.zeros(300, 5), [[0]] * 300)
    model = Narrow(problem.train, 10, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="^mat1 and mat2"):
        rank(model, problem.holdout, problem.train, 2)
    assert model.asked == [300]


def test_case_39_ratings_are_predicted_a_block_at_a_time(monkeypatch):
    model = {"name": "mf", "loss": "mse"}
    outcome = run(resolve({"dataset": "planted", "model": model, "trainer": {"epochs": 1}, "threads": 1}).config)
    asked, predict = [], outcome.model.predict
    monkeypatch.setattr(outcome.model, "predict", lambda *pairs: asked.append(len(pairs[0])) or predict(*pairs))
    config = EvaluationConfig(metrics=("rmse", "mae"))
    whole = evaluate(outcome.model, outcome.split, "test", config).values
    n_pairs = len(outcome.split.test.target.items)
    assert asked == [n_pairs]
    monkeypatch.setattr("recbench.evaluation._PAIRS_AT_ONCE", n_pairs - 1)
    assert evaluate(outcome.model, outcome.split, "test", config).values == whole
    assert asked[1:] == [n_pairs - 1, 1]


# 40: rounding


def test_case_40_the_files_have_every_digit(scored_by):
    """Metrics are rounded before they are compared. -> Never: files, comparisons and the choice of the epoch have every
    digit."""
    _, result = scored_by("coarse", metrics_option("ndcg@10", "map@7", "auc"))
    found = per_user("coarse-0")
    for name, value in result["metrics"]["test"].items():
        exact = torch.tensor([float(row[name]) for row in found], dtype=torch.float64)
        assert value == float(torch.nanmean(exact)), name
        assert len(repr(value)) > 12, "none of these numbers is a short one"


def test_case_40_comparing_does_not_round(command, scored_by):
    _, result = scored_by("coarse", metrics_option("ndcg@10"))
    rows = json.loads(command("compare", "coarse-0", "--format", "json").out)
    assert rows[0]["metrics"]["ndcg@10"]["mean"] == result["metrics"]["test"]["ndcg@10"]
    table = command("compare", "coarse-0", "--format", "csv").out
    assert repr(result["metrics"]["test"]["ndcg@10"]) in table


class Idle(Engine):
    """Trains nothing."""

    def epoch(self, number):
        return {"loss": 1.0}

    def state(self):
        return {}

    def restore(self, state):
        pass


def test_case_40_the_epoch_is_chosen_by_every_digit():
    """Epochs that four decimals do not tell apart: the best one is the second."""
    values = iter([0.12344, 0.1234400001, 0.12344])
    problem = case(torch.zeros(1, 2), [[0]])
    config = EpochsConfig(epochs=3, selection="valid")
    fit = fit_in_epochs(
        problem.model,
        Idle(),
        config,
        validate=lambda model: {"ndcg@10": next(values)},
        on_epoch=None,
        progress=False,
        checkpoints=None,
    )
    assert fit.best_epoch == 2
