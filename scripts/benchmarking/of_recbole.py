"""What RecBole does in the comparison."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

# Its own files of state are no plain tensors.
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR, NeuMF
from recbole.trainer import Trainer
from recbole.utils import init_seed
from recbole.utils.case_study import full_sort_topk

MODELS = {"BPR": BPR, "NeuMF": NeuMF}


@dataclass
class Held:
    """The data and the folder of its files in RecBole's format."""

    data: object
    folder: TemporaryDirectory


def begin(data, threads):
    """Return what the tasks take."""
    torch.set_num_threads(threads)
    folder = TemporaryDirectory()
    place = Path(folder.name) / "data"
    place.mkdir()
    # RecBole wants a validation part. It is of the test part: what is in both is ranked, and no model is chosen.
    parts = {
        "train": (data.users, data.items),
        "valid": (data.test_users[:1000], data.test_items[:1000]),
        "test": (data.test_users, data.test_items),
    }
    for part, (users, items) in parts.items():
        with (place / f"data.{part}.inter").open("w") as file:
            file.write("user_id:token\titem_id:token\n")
            file.writelines(f"{user}\t{item}\n" for user, item in zip(users.tolist(), items.tolist()))
    return Held(data, folder)


def _prepared(held, name, seed, **options):
    """Return a model with its trainer and the loaders of its data."""
    config = Config(
        model=name,
        dataset="data",
        config_dict={
            "data_path": held.folder.name,
            "benchmark_filename": ["train", "valid", "test"],
            "load_col": {"inter": ["user_id", "item_id"]},
            "use_gpu": False,
            "seed": seed,
            "show_progress": False,
            "state": "ERROR",
            "checkpoint_dir": held.folder.name,
            "metrics": ["Recall", "NDCG"],
            "topk": [10, 20],
            "valid_metric": "NDCG@10",
            "eval_batch_size": 4_000_000,
            **options,
        },
    )
    init_seed(seed, True)
    train, _, test = data_preparation(config, create_dataset(config))
    model = MODELS[name](config, train.dataset)
    return model, Trainer(config, model), train, test


def _lists(held, model, train, test, k=20):
    tokens = [str(user) for user in range(held.data.n_users)]
    dataset = test.dataset
    users = dataset.token2id("user_id", tokens)
    asked = {int(user) for user in test.uid_list}
    lists = torch.full((held.data.n_users, k), -1)
    names = torch.tensor([-1, *(int(token) for token in dataset.field2id_token["item_id"][1:])])
    rows = [row for row, user in enumerate(users) if int(user) in asked]
    for begun in range(0, len(rows), 500):
        chosen = rows[begun : begun + 500]
        _, items = full_sort_topk(users[chosen], model, test, k=k)
        lists[chosen] = names[items]
    return lists.numpy()


def bpr(held, *, seed, epochs, dim, lr, batch_size):
    """Return seconds an epoch with Adam, and lists."""
    return _epochs(held, "BPR", seed, epochs, 1, embedding_size=dim, learning_rate=lr, train_batch_size=batch_size)


def neumf(held, *, seed, epochs, lr, batch_size, negatives):
    """Return seconds an epoch, and lists."""
    return _epochs(
        held,
        "NeuMF",
        seed,
        epochs,
        negatives,
        mf_embedding_size=8,
        mlp_embedding_size=32,
        mlp_hidden_size=[32, 16, 8],
        dropout_prob=0.0,
        learning_rate=lr,
        train_batch_size=batch_size,
    )


def _epochs(held, name, seed, epochs, negatives, **options):
    drawn = {"distribution": "uniform", "sample_num": negatives, "dynamic": False, "candidate_num": 0}
    model, trainer, train, test = _prepared(held, name, seed, train_neg_sample_args=drawn, **options)
    begun = time.perf_counter()
    for epoch in range(epochs):
        trainer._train_epoch(train, epoch)
    seconds = (time.perf_counter() - begun) / epochs
    model.eval()
    return seconds, _lists(held, model, train, test)


def evaluation(held, *, seed, dim):
    """Return seconds of Recall and NDCG at 10 and 20 of all test users by a model at its first values."""
    model, trainer, _, test = _prepared(held, "BPR", seed, embedding_size=dim)
    begun = time.perf_counter()
    trainer.evaluate(test, load_best_model=False)
    return time.perf_counter() - begun, None


TASKS = {"bpr": bpr, "neumf": neumf, "evaluation": evaluation}
