"""Two threads, and data large enough for both to work: the same bits twice, and the metrics of one thread."""

import pytest
import torch

from recbench import models, resolve, run

PLANTED = {"name": "planted", "n_users": 1000, "n_items": 600}


@pytest.mark.parametrize("name", models.registry.names())
def test_the_same_seed_gives_the_same_bits_on_two_threads(name):
    given = {"dataset": PLANTED, "model": name, "threads": 2}
    if issubclass(models.registry.entry(name).target, models.GradientModel):
        given["trainer"] = {"epochs": 2, "batch_size": 8192}
    first, again = run(resolve(given).config), run(resolve(given).config)
    assert first.reports["test"].values == again.reports["test"].values
    assert torch.equal(first.reports["test"].ranking.items, again.reports["test"].ranking.items)
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


TOLERANCE = 1e-3
"""By which a metric may differ between numbers of threads and between machines, as the README says."""


@pytest.mark.parametrize("name", ["ials", "mf", "neumf"])
def test_another_number_of_threads_gives_the_same_metrics_within_the_tolerance(name):
    given = {"dataset": PLANTED, "model": name, "evaluation": {"metrics": ["ndcg@10", "recall@20", "map@10", "auc"]}}
    if issubclass(models.registry.entry(name).target, models.GradientModel):
        given["trainer"] = {"epochs": 3, "batch_size": 4096, "lr": 0.02}
    one, two = (run(resolve(given | {"threads": n}).config).reports["test"].values for n in (1, 2))
    assert two == pytest.approx(one, abs=TOLERANCE)
    assert one["ndcg@10"] > 0.05, "it has learnt something"
