"""The same table, however it is written down, is one data set: one fingerprint, one set of metrics."""

import gzip
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from recbench import datasets, evaluation, models, splits

N_USERS, N_ITEMS = 40, 25


def table() -> pd.DataFrame:
    """Return interactions with awkward ids, half stars, and a time of its own for each."""
    generator = np.random.default_rng(7)
    users = ["NA", "007", "7", "null", *(f"u {n}" for n in range(N_USERS - 4))]
    items = ["1", "1.0", "1e5", "é", *(f"i{n}" for n in range(N_ITEMS - 4))]
    rows = [(user, item) for user in users for item in items if generator.random() < 0.5]
    return pd.DataFrame(
        {
            "user": [user for user, _ in rows],
            "item": [item for _, item in rows],
            "rating": generator.integers(1, 11, len(rows)) / 2,
            "timestamp": generator.permutation(len(rows)) + 978_300_000,
        }
    )


def write_csv(folder, frame, name="data.csv", **options):
    path = folder / name
    frame.to_csv(path, index=False, **options)
    return path


def write_text(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def csv_text(frame, end="\n"):
    return frame.to_csv(index=False, lineterminator=end)


def write_gzip(folder, frame):
    path = folder / "data.csv.gz"
    path.write_bytes(gzip.compress(csv_text(frame).encode()))
    return path


def write_zip(folder, frame):
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside/ratings.csv", csv_text(frame))
    return f"{path}/inside/ratings.csv"


def write_json_lines(folder, frame):
    return write_text(folder, "data.jsonl", "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))


def write_parquet(folder, frame):
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow: pip install pyarrow")
    path = folder / "data.parquet"
    frame.to_parquet(path, index=False)
    return path


def write_recbole(folder, frame):
    names = {"user": "user_id:token", "item": "item_id:token", "rating": "rating:float", "timestamp": "timestamp:float"}
    return write_csv(folder, frame.rename(columns=names), "data.inter", sep="\t")


WRITTEN = {
    "tsv": lambda folder, frame: write_csv(folder, frame, "data.tsv", sep="\t"),
    "parquet": write_parquet,
    "gzip": write_gzip,
    "zip": write_zip,
    "json lines": write_json_lines,
    "recbole": write_recbole,
    "byte order mark": lambda folder, frame: write_text(folder, "bom.csv", "\ufeff" + csv_text(frame)),
    "crlf": lambda folder, frame: write_text(folder, "crlf.csv", csv_text(frame, "\r\n")),
    "no line end at the end": lambda folder, frame: write_text(folder, "end.csv", csv_text(frame).removesuffix("\n")),
    "shuffled": lambda folder, frame: write_csv(folder, frame.sample(frac=1, random_state=3)),
    "columns in another order": lambda folder, frame: write_csv(folder, frame[frame.columns[::-1]]),
}


def load(path):
    return datasets.build("files", interactions=str(path)).load()


def metrics_of(interactions):
    split = splits.build("leave_one_out", valid=False).apply(interactions)
    model = models.build("item_knn", split.train)
    model.fit(split.train)
    return evaluation.evaluate(model, split, "test", evaluation.EvaluationConfig()).values


@pytest.mark.parametrize("way", WRITTEN)
def test_one_fingerprint_and_one_set_of_metrics(way, tmp_path):
    frame = table()
    plain, other = load(write_csv(tmp_path, frame, "plain.csv")), load(WRITTEN[way](tmp_path, frame))
    assert len(plain) == len(frame) and plain.n_users == N_USERS
    assert other.fingerprint == plain.fingerprint
    assert metrics_of(other) == metrics_of(plain)


def test_another_table_has_another_fingerprint(tmp_path):
    frame = table()
    other = frame.assign(rating=frame["rating"].where(frame.index != 5, 0.5 + frame["rating"]))
    assert load(write_csv(tmp_path, other, "b.csv")).fingerprint != load(write_csv(tmp_path, frame)).fingerprint
