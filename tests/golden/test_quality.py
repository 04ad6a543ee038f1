"""What the README claims of MovieLens 100K, and where a blind list stands."""

import math

import pytest
import torch

from recbench import resolve, run

EPOCHS = {"trainer": {"epochs": 20, "batch_size": 1024}}


@pytest.fixture(scope="module")
def quality(real_data):
    """Give a function from a model and its settings to its test part's metrics on ML-100K, 80/20 per user."""

    def measure(model, **rest):
        dataset = {"name": "ml-100k", "path": str(real_data / "ml-100k")}
        return run(resolve({"dataset": dataset, "model": model} | rest).config)

    return measure


def test_models_stand_in_the_order_that_the_readme_shows(quality):
    values = {
        model: quality(model, **(EPOCHS if model in ("mf", "neumf") else {})).reports["test"].values["ndcg@10"]
        for model in ("popularity", "item_knn", "mf", "neumf")
    }
    assert values["mf"] > values["item_knn"] > values["neumf"] > values["popularity"]


def test_random_sits_at_its_expectation(quality):
    """A blind list of 10 holds n_relevant / n_unseen of each user's items per place; five seeds, five sigma."""
    outcomes = [quality("random", seed=seed) for seed in range(5)]
    test, n_items = outcomes[0].split.test, outcomes[0].split.train.n_items
    share = test.target.counts.double() / (n_items - test.history.counts)
    found = torch.tensor([outcome.reports["test"].values["precision@10"] for outcome in outcomes]).mean()
    sigma = math.sqrt(float((share * (1 - share)).sum()) / 10 / 5) / len(test.users)
    assert float(found) == pytest.approx(float(share.mean()), abs=5 * sigma)
