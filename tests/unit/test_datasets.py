"""Cleaning, MovieLens 100K from both places, generated data, the user's own files."""

import gzip
import logging
import math
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbench import datasets
from recbench.data import TEST, TRAIN, VALID, Interactions
from recbench.datasets import Card, Dataset, DatasetConfig, Tables
from recbench.datasets.ml_100k import read_grouplens, read_recbole
from recbench.errors import ConfigError, DataError, EmptyDatasetError
from recbench.splits import build as build_split

REAL = Path(os.environ.get("RECBENCH_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def refuses(message: str, make, kind=DataError):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        make()


# What all data sets share


class Toy(Dataset):
    """A data set from a table in memory."""

    card = Card(description="toy", homepage="", licence="", citation="")

    def __init__(self, config: DatasetConfig, tables: Tables) -> None:
        super().__init__(config)
        self.tables = tables

    def read(self) -> Tables:
        return self.tables


RATED = pd.DataFrame({"user": ["b", "a", "a"], "item": ["x", "z", "y"], "rating": [2.0, 4.0, 5.0]})


def toy(min_rating: float | None = None, interactions: pd.DataFrame = RATED, **tables) -> Interactions:
    return Toy(DatasetConfig(min_rating=min_rating), Tables(interactions, **tables)).load()


def test_min_rating_is_applied_before_the_vocabularies_are_made(caplog):
    caplog.set_level(logging.INFO, "recbench")
    assert toy().user_vocabulary.ids.tolist() == ["a", "b"]
    kept = toy(4)
    assert (kept.user_vocabulary.ids.tolist(), kept.item_vocabulary.ids.tolist()) == (["a"], ["y", "z"])
    assert caplog.messages[-1] == (
        "rating(min=4.0): leaves out 1 of 3 interactions; 1 users and 2 items are left (lowest rating: 2.0, "
        "highest rating: 5.0)"
    )


def test_min_rating_that_leaves_nothing_or_has_nothing_to_judge():
    refuses(
        "rating(min=5.5) leaves no interaction. What each step left:\n"
        "  duplicates(keep=last): keeps all 3 interactions; 2 users and 3 items are left\n"
        "  rating(min=5.5): leaves out 3 of 3 interactions; 0 users and 0 items are left (lowest rating: 2.0, "
        "highest rating: 5.0)",
        lambda: toy(5.5),
        EmptyDatasetError,
    )
    refuses(
        "the cleaning step rating(min=4.0) needs ratings, and the data has none. Leave it out.",
        lambda: toy(4, RATED[["user", "item"]]),
        ConfigError,
    )


def test_features_are_aligned_with_the_vocabularies():
    items = pd.DataFrame({"item": ["z", "y", "x", "w"], "title": ["Z", "Y", "X", "W"]})
    users = pd.DataFrame({"user": ["a", "b"], "age": [1, 2]})
    features = toy(users=users, items=items).features
    assert features.items.text("title").tolist() == ["X", "Y", "Z"]
    assert features.users.columns_by_name["age"].values.tolist() == [[1], [2]]
    assert toy(4, users=users, items=items).features.items.text("title").tolist() == ["Y", "Z"]
    assert toy().features.items is None


def test_feature_tables_that_do_not_fit():
    items = pd.DataFrame({"item": ["z", "x"], "title": ["Z", "X"]})
    refuses(
        "the item feature 'title' is missing for 1 of 3 items, for example 'y'. Say what becomes of them: declare "
        "{name: title, kind: text, missing: ...} with 'constant'.",
        lambda: toy(items=items),
    )
    users = pd.DataFrame({"user": ["a", "b", "a"]})
    refuses(
        "the user table describes 'a' more than once (1 rows too many). Keep one row for each user.",
        lambda: toy(users=users),
    )


@pytest.mark.parametrize("name", datasets.registry.names())
def test_every_card_is_complete(name):
    card = datasets.registry.entry(name).target.card
    assert card.description.endswith(".")
    assert card.licence
    assert card.citation
    assert all(place.files and str(place) for place in card.places)


# MovieLens 100K

USERS = [("1", 24, "M", "technician", "85711"), ("2", 53, "F", "other", "00501")]
FILMS = [
    ("1", "Toy Story (1995)", ["Animation", "Children's", "Comedy"]),
    ("2", "Misérables, Les (1995)", ["Drama", "Musical"]),
    ("3", "unknown", ["unknown"]),
    ("4", "Time of the Great Giving, The (1995) (V)", ["Animation"]),
    ("10", "Cold Fever (Á köldum klaka) (1994)", ["Sci-Fi", "Western"]),
]
RATINGS = [("1", "2", 3, 30), ("1", "10", 4, 10), ("2", "1", 5, 20), ("2", "3", 1, 21), ("1", "4", 2, 10)]
GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror "
    "Musical Mystery Romance Sci-Fi Thriller War Western"
)


def write_grouplens(folder: Path) -> Path:
    """Our few ratings as GroupLens writes them: no headers, films in Latin-1 with one flag a genre."""
    genres = GENRES.split()
    films = [
        "|".join([film, title, "01-Jan-1995", "", "http://x", *(str(int(genre in its)) for genre in genres)])
        for film, title, its in FILMS
    ]
    (folder / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in RATINGS))
    (folder / "u.item").write_bytes("".join(film + "\n" for film in films).encode("latin-1"))
    (folder / "u.user").write_text("".join("|".join(map(str, row)) + "\n" for row in USERS))
    return folder


def write_recbole(folder: Path) -> Path:
    """The same as the wheel writes it: typed headers, what stands last in brackets cut off the title."""
    films = []
    for film, title, genres in FILMS:
        name, _, year = title.removesuffix(")").rpartition(" (")
        name, year = (name, year) if name else ("unkonwn", "unkonwn")
        films.append(f"{film}\t{name}\t{year}\t{' '.join(genres)}\n")
    ratings = ["\t".join(map(str, row)) + "\n" for row in RATINGS[::-1]]
    users = ["\t".join(map(str, row)) + "\n" for row in USERS]
    heads = {
        "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
        "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n",
        "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n",
    }
    for suffix, rows in (("inter", ratings), ("item", films), ("user", users)):
        (folder / f"ml-100k.{suffix}").write_text(heads[suffix] + "".join(rows), encoding="utf-8")
    return folder


def test_both_places_of_ml_100k_give_the_same_tables(tmp_path):
    one, other = read_grouplens(write_grouplens(tmp_path)), read_recbole(write_recbole(tmp_path))
    loaded = [Toy(DatasetConfig(), tables).load() for tables in (one, other)]
    assert loaded[0].fingerprint == loaded[1].fingerprint
    assert loaded[0].features.users.fingerprint == loaded[1].features.users.fingerprint
    assert loaded[0].features.items.fingerprint == loaded[1].features.items.fingerprint
    users = loaded[0].features.users
    assert users.names == ("age", "gender", "occupation", "zip")
    assert (users.columns_by_name["age"].values[1], users.text("zip")[1]) == (53, "00501")
    items = loaded[0].features.items
    assert items.text("title").tolist() == [title for _, title, _ in sorted(FILMS)]
    years = items.columns_by_name["year"]
    assert np.where(years.missing, None, years.values[:, 0]).tolist() == [1995, 1994, 1995, None, 1995]
    of_training = items.fitted(torch.arange(5))
    labels = np.array(of_training.columns(["genres"]))
    found = [set(labels[row > 0]) for row in of_training.matrix(["genres"]).numpy()]
    assert found == [{f"genres={genre}" for genre in genres} for _, _, genres in sorted(FILMS)]


def test_ml_100k_accepts_published_bytes_only(tmp_path):
    with pytest.raises(
        DataError, match=r"does not hold the data set 'ml-100k': u\.data has \d+ bytes instead of 1,979,173"
    ):
        datasets.build("ml-100k", path=str(write_grouplens(tmp_path))).load()


@pytest.mark.skipif(not (REAL / "ml-100k").is_dir(), reason=f"needs MovieLens 100K in {REAL / 'ml-100k'}")
def test_ml_100k_as_published(monkeypatch):
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    interactions = datasets.build("ml-100k", path=str(REAL / "ml-100k")).load()
    assert (interactions.n_users, interactions.n_items, len(interactions)) == (943, 1682, 100_000)
    assert interactions.fingerprint == "ccfefcc036dc3c168f00ce3cd05178a916a0f67375a2ba3681bce14e38384044"
    films, users = interactions.features.items, interactions.features.users
    toy_story, miserables = interactions.item_vocabulary.indices(["1", "543"])
    assert films.text("title")[toy_story] == "Toy Story (1995)"
    assert films.text("title")[miserables] == "Misérables, Les (1995)"
    assert films.columns_by_name["year"].values[toy_story] == 1995
    assert films.n_missing("year") == 1
    assert films.fitted(torch.arange(1682)).dim(["genres"]) == 19
    ages = users.columns_by_name["age"].values
    assert (ages.min(), ages.max()) == (7, 73)
    assert torch.bincount(interactions.ratings.long()).tolist() == [0, 6110, 11370, 27145, 34174, 21201]


# Generated data


def planted(**options) -> Interactions:
    return datasets.build("planted", **options).load()


def test_planted_has_the_asked_size_and_form():
    interactions = planted()
    assert (interactions.n_users, len(interactions)) == (200, 6_000)
    assert 290 <= interactions.n_items <= 300
    assert interactions.user_vocabulary.ids[[0, -1]].tolist() == ["u0001", "u0200"]
    assert interactions.item_vocabulary.ids[0] == "i0001"
    assert sorted(interactions.ratings.unique().tolist()) == [1, 2, 3, 4, 5]
    counts = interactions.histories.counts
    assert int(counts.max()) <= 4 * int(counts.min())
    again = (interactions.users.diff() == 0) & (interactions.timestamps.diff() == 0)
    assert not bool(again.any())
    assert interactions.features.items.names == ("title", "cluster")
    assert interactions.features.users.names == ("cluster",)


@pytest.mark.parametrize(
    ("n_users", "n_items", "n_interactions"), [(1, 8, 1), (1, 8, 2), (7, 9, 7), (7, 9, 15), (30, 8, 60), (3, 200, 150)]
)
def test_planted_keeps_exact_counts_at_the_edges(n_users, n_items, n_interactions):
    interactions = planted(n_users=n_users, n_items=n_items, n_interactions=n_interactions)
    assert (interactions.n_users, len(interactions)) == (n_users, n_interactions)


def test_planted_is_decided_by_its_seed_alone():
    fingerprint = planted().fingerprint
    torch.manual_seed(99)
    assert planted().fingerprint == fingerprint
    assert planted(seed=1).fingerprint != fingerprint


def test_planted_affinities_have_mean_square_one_and_decide_the_ratings():
    dataset = datasets.build("planted", n_users=500, n_items=500, n_interactions=20_000, n_clusters=20)
    truth = dataset.truth()
    assert float((truth.users @ truth.items.T).square().mean()) == pytest.approx(1, abs=1e-12)
    interactions = dataset.load()
    users = np.char.lstrip(interactions.user_vocabulary.ids.astype(str), "u").astype(int) - 1
    items = np.char.lstrip(interactions.item_vocabulary.ids.astype(str), "i").astype(int) - 1
    affinity = (truth.users[users][interactions.users] * truth.items[items][interactions.items]).sum(1)
    assert torch.equal(interactions.ratings.double(), (affinity + 2).round().clamp(1, 5))


def test_planted_truth_beats_popularity_and_popularity_beats_chance():
    dataset = datasets.build("planted", n_users=300, n_items=200, n_interactions=9_000)
    interactions, truth = dataset.load(), dataset.truth()
    assert interactions.n_items == 200
    split = build_split("random").apply(interactions)
    oracle = truth.users @ truth.items.T / dataset.config.noise + truth.log_popularity
    popularity = split.train.popularity.double().expand(300, -1)

    def mean_hits(scores: torch.Tensor) -> float:
        """Mean number of test items among ten recommended ones."""
        known = split.test.history.mask(200)
        best = scores[split.test.users].masked_fill(known, -math.inf).topk(10).indices
        return float(split.test.target.mask(200).gather(1, best).sum(1).double().mean())

    n_asked = 200 - split.test.history.counts.double()
    chance = float((10 * split.test.target.counts / n_asked).mean())
    assert mean_hits(popularity) > 2 * chance
    assert mean_hits(oracle) > 2 * mean_hits(popularity)


def test_planted_slope_and_noise_do_what_they_say():
    def share_of_top_ten(**options) -> float:
        counts = planted(n_users=300, n_items=200, n_interactions=9_000, **options).popularity
        return float(counts.sort(descending=True).values[:10].sum() / counts.sum())

    assert share_of_top_ten(popularity_slope=1.5, noise=5.0) > 2 * share_of_top_ten(popularity_slope=0.0, noise=5.0)
    # Without a slope and with tastes drowned in noise, the ten most taken of 200 items have little more than 10 / 200.
    assert share_of_top_ten(popularity_slope=0.0, noise=100.0) < 1.6 * 10 / 200


def test_planted_sizes_that_cannot_be():
    refuses(
        "dataset 'planted' cannot be configured:\n"
        "  n_interactions = 20000: should be from n_users = 200 to n_users * n_items / 4 = 15000.",
        lambda: planted(n_interactions=20_000),
        ConfigError,
    )


# The user's own files


def written(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return str(path)


def named(interactions: Interactions) -> list[tuple[str, str]]:
    users = interactions.user_vocabulary.names(interactions.users.numpy())
    return list(zip(users.tolist(), interactions.item_vocabulary.names(interactions.items.numpy()).tolist()))


def test_one_file_of_interactions(tmp_path):
    path = written(tmp_path, "r.csv", 'user,item,rating,timestamp\na,"x, y",4,2\na,z,5,1\n')
    interactions = datasets.build("files", interactions=path).load()
    assert named(interactions) == [("a", "z"), ("a", "x, y")]
    assert interactions.ratings.tolist() == [5.0, 4.0]
    assert interactions.timestamps.tolist() == [1, 2]
    assert interactions.parts is None


def test_names_positions_delimiter_encoding_and_gzip(tmp_path):
    tsv = datasets.build("files", interactions=written(tmp_path, "r.tsv", 'user\titem\na\t"x\nb\ty\n')).load()
    assert named(tsv) == [("a", '"x'), ("b", "y")]
    mapped = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when"}
    path = written(tmp_path, "m.csv.gz", "when,what,who,stars\n7,x,a,3\n")
    interactions = datasets.build("files", interactions=path, **mapped).load()
    assert (named(interactions), interactions.timestamps.tolist()) == ([("a", "x")], [7])
    path = written(tmp_path, "m.dat", "x::a::3\n")
    positions = {"header": False, "delimiter": "::", "user": 1, "item": 0}
    assert named(datasets.build("files", interactions=path, **positions).load()) == [("a", "x")]
    path = written(tmp_path, "p.txt", "a|x|4|9\n")
    plain = datasets.build("files", interactions=path, header=False, delimiter="pipe").load()
    assert (plain.ratings.tolist(), plain.timestamps.tolist()) == ([4.0], [9])
    (tmp_path / "l.csv").write_bytes("user,item\na,caf\xe9\n".encode("latin-1"))
    latin = datasets.build("files", interactions=str(tmp_path / "l.csv"), encoding="latin-1").load()
    assert named(latin) == [("a", "caf\xe9")]


def test_an_optional_column_is_required_once_it_is_named(tmp_path):
    path = written(tmp_path, "r.csv", "user,item\na,x\n")
    assert datasets.build("files", interactions=path).load().ratings is None
    refuses(
        f"{path}: no column 'rating' for the rating; the file has: user, item. "
        "Set dataset.rating=NAME, or dataset.header=false where the first line is data.",
        lambda: datasets.build("files", interactions=path, rating="rating").load(),
    )


def test_a_split_that_is_taken_as_it_is(tmp_path):
    train = written(tmp_path, "train.csv", "user,item\na,x\nb,y\n")
    valid = written(tmp_path, "valid.csv", "user,item\na,y\n")
    test = written(tmp_path, "test.csv", "user,item\na,z\nc,x\n")
    interactions = datasets.build("files", train=train, valid=valid, test=test).load()
    assert named(interactions) == [("a", "x"), ("a", "y"), ("a", "z"), ("b", "y"), ("c", "x")]
    assert interactions.parts.tolist() == [TRAIN, VALID, TEST, TRAIN, TEST]
    split = build_split("fixed").apply(interactions)
    assert (named(split.train), split.train.n_users, split.train.n_items) == ([("a", "x"), ("b", "y")], 3, 3)
    assert split.test.users.tolist() == [0, 2]
    without = datasets.build("files", train=train, test=test).load()
    assert without.parts.tolist() == [TRAIN, TEST, TRAIN, TEST]


REPEATED = "user,item,rating,timestamp\na,x,1,20\na,y,2,10\na,x,3,10\na,x,4,20\n"


@pytest.mark.parametrize(("duplicates", "rating"), [("last", 4.0), ("first", 3.0)])
def test_repeated_pairs_are_cut_to_one_by_time_and_counted(tmp_path, caplog, duplicates, rating):
    path = written(tmp_path, "r.csv", REPEATED)
    interactions = datasets.build("files", interactions=path, duplicates=duplicates).load()
    ratings = dict(zip(named(interactions), interactions.ratings.tolist()))
    assert ratings == {("a", "x"): rating, ("a", "y"): 2.0}
    assert caplog.messages == [
        f"duplicates(keep={duplicates}): leaves out 2 of 4 interactions; 1 users and 2 items are left"
    ]


@pytest.mark.parametrize(("duplicates", "order"), [("last", ["y", "x"]), ("first", ["x", "y"])])
def test_repeated_pairs_without_time_go_by_the_file(tmp_path, duplicates, order):
    path = written(tmp_path, "r.csv", "user,item\na,x\na,y\na,x\n")
    interactions = datasets.build("files", interactions=path, duplicates=duplicates).load()
    assert [item for _, item in named(interactions)] == order


def test_repeated_pairs_as_an_error(tmp_path):
    path = written(tmp_path, "r.csv", REPEATED)
    refuses(
        "user 'a' and item 'x' occur together more than once (2 rows too many). Say what becomes of repeats: "
        "dataset.duplicates=last, first, sum or keep.",
        lambda: datasets.build("files", interactions=path, duplicates="error").load(),
    )


def test_parts_that_share_pairs_or_differ_in_columns(tmp_path):
    train = written(tmp_path, "train.csv", "user,item\na,x\nb,y\nb,z\n")
    test = written(tmp_path, "test.csv", "user,item\na,y\nb,y\nb,z\n")
    refuses(
        f"user 'b' and item 'y' occur in {train} and in {test} (2 such pairs): parts of a split should not share "
        "interactions. Remove them from one of the files, or keep them with dataset.duplicates=keep.",
        lambda: datasets.build("files", train=train, test=test).load(),
    )
    rated = written(tmp_path, "rated.csv", "user,item,rating\na,y,3\n")
    refuses(
        f"{train}: has no column for the rating, but {rated} has one. "
        "All files of a split should have the same columns.",
        lambda: datasets.build("files", train=train, test=rated).load(),
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {},
            "needs dataset.interactions=PATH, or a split: dataset.train=PATH dataset.test=PATH [dataset.valid=PATH] "
            "with split=fixed.",
        ),
        (
            {"train": "t.csv"},
            "needs dataset.interactions=PATH, or a split: dataset.train=PATH dataset.test=PATH [dataset.valid=PATH] "
            "with split=fixed.",
        ),
        (
            {"interactions": "r.csv", "train": "t.csv", "test": "u.csv"},
            "interactions and train and test are given together. Name either one file, dataset.interactions=PATH, or "
            "a split, dataset.train=PATH dataset.test=PATH.",
        ),
        (
            {"interactions": "r.txt"},
            "delimiter: is not known from the name 'r.txt'. Set dataset.delimiter to one of comma, tab, semicolon, "
            "pipe, space, or to the characters themselves; or set dataset.format, e.g. to jsonl.",
        ),
        (
            {"interactions": "r.csv", "header": False, "user": "who"},
            "user = 'who': without a header columns have no names. Give the position, 0 is the first; or set "
            "dataset.header=true where the first line names the columns.",
        ),
        (
            {"interactions": "r.csv", "encoding": "utf-7000"},
            "encoding = 'utf-7000': is no encoding that Python knows. Write e.g. utf-8, latin-1 or cp1252.",
        ),
        ({"interactions": "r.csv", "user": -1}, "user = -1: positions count from 0."),
        (
            {"interactions": "r.jsonl", "delimiter": "tab"},
            "delimiter = 'tab': has no effect on jsonl files; leave it out.",
        ),
        (
            {"interactions": "r.txt", "format": "user_lists", "user": 1},
            "user = 1: user_lists have no columns; leave it out.",
        ),
        (
            {"interactions": "r.csv", "items": "i.csv"},
            "items = 'i.csv': say which of its columns are wanted and what they hold, e.g. "
            "dataset.item_columns='[{name: title, kind: text}]'.",
        ),
        (
            {"interactions": "r.csv", "user_columns": [{"name": "age", "kind": "numeric"}]},
            "user_columns: declares 'age', and there is no table: dataset.users=PATH.",
        ),
        (
            {"interactions": "r.csv", "items": "i.txt", "item_columns": [{"name": "title", "kind": "text"}]},
            "items = 'i.txt': the name does not tell the format. End it in .csv, .tsv or .parquet.",
        ),
        (
            {"interactions": "r.csv", "duplicates": "all"},
            "duplicates = 'all': should be 'last', 'first', 'sum', 'keep' or 'error'.",
        ),
    ],
)
def test_wrong_options_of_files(options, line):
    refuses(f"dataset 'files' cannot be configured:\n  {line}", lambda: datasets.build("files", **options), ConfigError)


# Further formats, tables beside the interactions, and rows that are left out


def test_bad_rows_are_refused_with_the_remedy_or_left_out_and_accounted_for(tmp_path):
    path = written(tmp_path, "r.csv", "user,item,rating\na,x,5\n,y,4\nb,y,good\nb,x\nc,x,3\n")
    refuses(
        f"{path}, line 3: the user id is empty. Mend it, or leave such rows out, counted, with dataset.bad_rows=drop. "
        f"All that is wrong with the file shows: recbench data check {path}.",
        lambda: datasets.build("files", interactions=path).load(),
    )
    kept = datasets.build("files", interactions=path, bad_rows="drop").load()
    assert named(kept) == [("a", "x"), ("c", "x")]
    (stage, *_) = kept.provenance
    assert (stage.name, stage.before.n_interactions, stage.after.n_interactions) == (f"read {path}", 5, 2)
    assert sum(stage.details.values()) == 3


def test_user_lists_and_published_negatives(tmp_path):
    train = written(tmp_path, "train.txt", "a x y\nb y z\n")
    test = written(tmp_path, "test.txt", "a z\nb x\n")
    negatives = written(tmp_path, "n.negative", "(a,z)\tx\ty\tx\n(b,x)\tz\tq\n")
    options = {"train": train, "test": test, "format": "user_lists"}
    interactions = datasets.build("files", **options, negatives=negatives).load()
    assert named(interactions) == [("a", "x"), ("a", "y"), ("a", "z"), ("b", "y"), ("b", "z"), ("b", "x")]
    assert interactions.parts.tolist() == [TRAIN, TRAIN, TEST, TRAIN, TRAIN, TEST]
    assert interactions.candidates.items.tolist() == [0, 1, 0, 2]
    assert interactions.candidates.offsets.tolist() == [0, 3, 4]
    assert interactions.provenance[-1].details == {"the item is not in the data": 1}


def test_tables_of_users_and_items(tmp_path):
    path = written(tmp_path, "r.csv", "user,item\na,x\nb,y\n")
    users = written(tmp_path, "user_data.csv", "age,user,town\n30,a,Ulm\n,b,Bonn\n")
    items = written(tmp_path, "item_data.tsv", "item\tname\tgenres\nx\tX\tNA|new\ny\tY\t\nz\tZ\told\n")
    interactions = datasets.build(
        "files",
        interactions=path,
        users=users,
        items=items,
        user_columns=[{"name": "age", "kind": "numeric", "missing": "mean"}, {"name": "town", "kind": "categorical"}],
        item_columns=[
            {"name": "title", "kind": "text", "column": "name"},
            {"name": "genres", "kind": "multi"},
        ],
    ).load()
    features = build_split("none").apply(interactions).train.features
    assert features.items.text("title").tolist() == ["X", "Y"]
    assert features.items.matrix(["genres"]).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert features.users.matrix(["age"]).tolist() == [[30.0], [30.0]]
    assert features.users.matrix(["town"]).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_repeats_that_are_kept_may_lie_in_two_parts(tmp_path):
    train = written(tmp_path, "train.csv", "user,item\na,x\na,x\nb,y\n")
    test = written(tmp_path, "test.csv", "user,item\na,x\n")
    kept = datasets.build("files", train=train, test=test, duplicates="keep").load()
    assert named(kept) == [("a", "x")] * 3 + [("b", "y")]
    split = build_split("fixed").apply(kept)
    assert split.test.target.items.tolist() == [0]
    assert split.train.popularity.tolist() == [2, 1]


def test_columns_that_are_not_read_are_told_where_an_optional_one_is_missing(tmp_path, caplog):
    caplog.set_level(logging.INFO, "recbench")
    path = written(tmp_path, "r.csv", "user,item,stars\na,x,5\n")
    datasets.build("files", interactions=path).load()
    assert caplog.messages == [
        f"{path}: is read without rating and timestamp, and without what it has as 'stars'. "
        "Set dataset.rating=NAME where it is one of these."
    ]
    caplog.clear()
    datasets.build("files", interactions=written(tmp_path, "s.csv", "user,item\na,x\n")).load()
    assert caplog.messages == []


def test_ranks_are_no_times(tmp_path):
    path = written(tmp_path, "r.csv", "user,item,timestamp\na,x,0\na,y,1\nb,x,0\nb,z,1\n")
    ranked = datasets.build("files", interactions=path, time="rank").load()
    assert ranked.time == "rank"
    with pytest.raises(ConfigError, match="ranks within each user"):
        build_split("global_time").apply(ranked)
