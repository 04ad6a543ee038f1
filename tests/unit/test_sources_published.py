"""Readers of published data sets, on small files of the same formats."""

import gzip
import json
import logging
import zipfile
from dataclasses import replace

import pandas as pd
import pytest

from recbench import datasets
from recbench.configuration import resolve
from recbench.data import TEST, TRAIN, Counts, Stage
from recbench.data.places import File
from recbench.datasets.lightgcn import AmazonBook, Gowalla, Yelp2018
from recbench.datasets.mcrec import ML100KMCRec
from recbench.datasets.movielens import ML1M, ML20M, ML32M, MLLatestSmall
from recbench.datasets.ncf import NCFML1M, NCFPinterest
from recbench.errors import DataError
from recbench.experiment import prepare

PUBLISHED = ("amazon-book", "gowalla", "ml-100k-mcrec", "ml-1m", "ml-20m", "ml-32m", "ml-latest-small") + (
    "ncf-ml-1m",
    "ncf-pinterest",
    "yelp2018",
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Write files, and return what reads them as the data set ``name``: ``small("ml-1m", ML1M, 2, files)``."""
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))

    def read(name, kind, counts, files):
        # The same places, with the same marks, for files of any content.
        places = tuple(
            replace(place, files=tuple(File(file.name) for file in place.files)) for place in kind.card.places
        )
        n_users, n_items, n_interactions = counts
        card = replace(kind.card, places=places, n_users=n_users, n_items=n_items, n_interactions=n_interactions)
        monkeypatch.setattr(kind, "card", card)
        folder = tmp_path / "files"
        folder.mkdir(exist_ok=True)
        for file, content in files.items():
            data = content.encode("latin-1" if file == "movies.dat" else "utf-8")
            (folder / file).write_bytes(gzip.compress(data) if file.endswith(".gz") else data)
        return datasets.build(name, path=str(folder))

    return read


def rows(frame):
    return list(frame.astype(object).itertuples(index=False, name=None))


MOVIES = "1::Toy Story (1995)::Animation|Comedy\n2::Été (1996)::Drama\n9::Nobody's (2000)::Drama\n"
USERS = "1::F::1::10::48067\n7::M::56::16::70072-12\n"


def test_ml_1m_with_seconds(small):
    ratings = "1::1::5::978300760\n1::2::3::978302109\n7::2::4::978301968\n"
    tables = small("ml-1m", ML1M, (2, 2, 3), {"ratings.dat": ratings, "movies.dat": MOVIES, "users.dat": USERS}).read()
    assert rows(tables.interactions) == [
        ("1", "1", 5.0, 978300760),
        ("1", "2", 3.0, 978302109),
        ("7", "2", 4.0, 978301968),
    ]
    assert tables.time == "seconds"
    assert rows(tables.items) == [
        ("1", "Toy Story (1995)", 1995, "Animation|Comedy"),
        ("2", "Été (1996)", 1996, "Drama"),
        ("9", "Nobody's (2000)", 2000, "Drama"),
    ]
    assert rows(tables.users) == [("1", "F", 1, "10", "48067"), ("7", "M", 56, "16", "70072-12")]
    assert tables.provenance == (Stage("read ratings.dat", Counts(3), Counts(3)),)


def test_ml_1m_with_time_ranks(small):
    ratings = "user_id,movie_id,rating,time_rank\n1,1,5,1\n1,2,3,0\n7,2,4,0\n"
    dataset = small(
        "ml-1m", ML1M, (2, 2, 3), {"ratings_time_rank.csv.gz": ratings, "movies.dat": MOVIES, "users.dat": USERS}
    )
    interactions = dataset.load()
    assert interactions.time == "rank"
    assert interactions.timestamps.tolist() == [0, 1, 0]
    assert interactions.items.tolist() == [1, 0, 1]
    assert interactions.features.items.text("title").tolist() == ["Toy Story (1995)", "Été (1996)"]
    assert [interactions.features.users.kind(name) for name in ("gender", "age", "occupation", "zip")] == [
        "categorical",
        "numeric",
        "categorical",
        "text",
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ml-20m", ML20M), ("ml-32m", ML32M), ("ml-latest-small", MLLatestSmall)],
    ids=lambda value: value,
)
def test_later_movielens(small, name, kind):
    files = {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n2,1,0.5,1112484676\n",
        "movies.csv": 'movieId,title,genres\n1,"American President, The (1995)",Comedy|Drama\n2,Babylon 5,'
        "(no genres listed)\n",
    }
    tables = small(name, kind, (2, None, 2), files).read()
    assert rows(tables.interactions) == [("1", "2", 3.5, 1112486027), ("2", "1", 0.5, 1112484676)]
    assert rows(tables.items.fillna(-1)) == [
        ("1", "American President, The (1995)", 1995, "Comedy|Drama"),
        ("2", "Babylon 5", -1, ""),
    ]


def test_movielens_from_an_archive(small, tmp_path):
    files = {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n",
        "movies.csv": "movieId,title,genres\n2,B (2001),Drama\n",
    }
    small("ml-20m", ML20M, (1, 1, 1), files)
    with zipfile.ZipFile(tmp_path / "ml-20m.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"ml-20m/{name}", content)
    loaded = datasets.build("ml-20m", path=str(tmp_path / "ml-20m.zip")).load()
    assert loaded.item_vocabulary.ids.tolist() == ["2"]
    assert loaded.features.items.text("title").tolist() == ["B (2001)"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gowalla", Gowalla), ("yelp2018", Yelp2018), ("amazon-book", AmazonBook)],
    ids=lambda value: value,
)
def test_lightgcn(small, name, kind):
    tables = small(name, kind, (2, 4, 5), {"train.txt": "0 10 11\n1 12\n", "test.txt": "0 12\n1 13\n"}).read()
    assert rows(tables.interactions) == [
        ("0", "10", TRAIN),
        ("0", "11", TRAIN),
        ("1", "12", TRAIN),
        ("0", "12", TEST),
        ("1", "13", TEST),
    ]
    assert [(stage.name, stage.after.n_interactions) for stage in tables.provenance] == [
        ("read train.txt", 3),
        ("read test.txt", 2),
    ]


def test_mcrec_leaves_out_ratings_that_half_of_it_has(small):
    files = {"ml-100k.train.rating": "1\t5\t4\n2\t5\t1\n", "ml-100k.test.rating": "1 6 7 \n"}
    tables = small("ml-100k-mcrec", ML100KMCRec, (2, 3, 4), files).read()
    assert rows(tables.interactions) == [("1", "5", TRAIN), ("2", "5", TRAIN), ("1", "6", TEST), ("1", "7", TEST)]


NEGATIVES = "(0,25)\t7\t25\t7\n(1,4)\t5\t6\t8\n"


def test_ncf_with_seconds(small):
    files = {
        "ml-1m.train.rating": "0\t3\t5\t978300000\n1\t25\t4\t978300001\n1\t3\t2\t978300002\n",
        "ml-1m.test.rating": "0\t25\t5\t978824351\n1\t4\t3\t978300174\n",
        "ml-1m.test.negative": NEGATIVES,
    }
    tables = small("ncf-ml-1m", NCFML1M, (2, 3, 5), files).read()
    assert tables.time == "seconds"
    assert rows(tables.interactions) == [
        ("0", "3", 5.0, 978300000, TRAIN),
        ("1", "25", 4.0, 978300001, TRAIN),
        ("1", "3", 2.0, 978300002, TRAIN),
        ("0", "25", 5.0, 978824351, TEST),
        ("1", "4", 3.0, 978300174, TEST),
    ]
    assert rows(tables.candidates) == [("0", "7"), ("0", "25"), ("0", "7"), ("1", "5"), ("1", "6"), ("1", "8")]
    assert [str(stage) for stage in tables.provenance] == [
        "read ml-1m.train.rating: keeps all 3 interactions",
        "read ml-1m.test.rating: keeps all 2 interactions",
        "read ml-1m.test.negative: keeps all 6 negatives",
    ]


def test_ncf_with_time_ranks_puts_the_test_interaction_behind_all_others(small):
    files = {
        "ml-1m.train.rating.gz": "0\t3\t5\t1\n1\t25\t4\t1\n1\t3\t2\t0\n",
        "ml-1m.test.rating": "2\t25\t5\t978824351\n1\t4\t3\t978300174\n0\t25\t1\t978300170\n",
        "ml-1m.test.negative": NEGATIVES,
    }
    tables = small("ncf-ml-1m", NCFML1M, (3, 3, 6), files).read()
    assert tables.time == "rank"
    test = tables.interactions[tables.interactions["part"] == TEST]
    assert rows(test[["user", "timestamp"]]) == [("2", 0), ("1", 2), ("0", 2)]


def test_pinterest_is_pins_alone(small):
    files = {
        "pinterest-20.train.rating": "0\t3\t1\n1\t25\t1\n",
        "pinterest-20.test.rating": "0\t25\t1\n1\t3\t1\n",
        "pinterest-20.test.negative": "(0,25)\t3\n(1,3)\t25\n",
    }
    tables = small("ncf-pinterest", NCFPinterest, (2, 2, 4), files).read()
    assert rows(tables.interactions) == [("0", "3", TRAIN), ("1", "25", TRAIN), ("0", "25", TEST), ("1", "3", TEST)]
    assert rows(tables.candidates) == [("0", "3"), ("1", "25")]


def test_counts_that_differ_from_the_card_are_an_error(small):
    files = {"train.txt": "0 10 11\n1 12\n", "test.txt": "0 12\n"}
    for counts in ((3, 3, 4), (2, 4, 4), (2, 3, 5)):
        with pytest.raises(DataError) as error:
            small("gowalla", Gowalla, counts, files).read()
        assert str(error.value) == (
            f"gowalla: read (users, items, interactions) = (2, 3, 4), published are {counts}. Either the files are "
            "another edition, which dataset=files reads, or the reader is at fault; please report it."
        )


def test_a_mark_of_what_nobody_has_checked_is_seen_once(small, caplog):
    caplog.set_level(logging.WARNING, "recbench")
    files = {"train.txt": "0 10 11\n1 12\n", "test.txt": "0 12\n"}
    dataset = small("gowalla", Gowalla, (2, 3, 4), files)
    dataset.load()
    assert dataset.verified is True
    assert caplog.messages == []
    dataset = small("yelp2018", Yelp2018, (2, 3, 4), files)
    dataset.load()
    dataset.load()
    assert dataset.verified is False
    assert caplog.messages == [
        "data set yelp2018: not verified, nobody has checked its reader against the published train.txt, test.txt yet; "
        "look at its numbers."
    ]


def test_the_mark_is_that_of_the_files_that_are_read(small, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "recbench.datasets.published")
    tables = {"movies.dat": MOVIES, "users.dat": USERS}
    ranks = tables | {"ratings_time_rank.csv.gz": "user_id,movie_id,rating,time_rank\n1,1,5,1\n1,2,3,0\n7,2,4,0\n"}
    assert small("ml-1m", ML1M, (2, 2, 3), ranks).verified is True
    seconds = tables | {"ratings.dat": "1::1::5::978300760\n1::2::3::978302109\n7::2::4::978301968\n"}
    assert small("ml-1m", ML1M, (2, 2, 3), seconds).verified is False
    assert caplog.messages == [
        "data set ml-1m: verified, its reader was checked against these very ratings_time_rank.csv.gz, movies.dat, "
        "users.dat.",
        "data set ml-1m: not verified, nobody has checked its reader against the published ratings.dat, movies.dat, "
        "users.dat yet; look at its numbers.",
    ]


@pytest.mark.parametrize(("name", "kind", "mark"), [("gowalla", Gowalla, True), ("yelp2018", Yelp2018, False)])
def test_a_run_and_a_description_carry_the_mark(small, command, tmp_path, name, kind, mark):
    small(name, kind, (2, 3, 4), {"train.txt": "0 10 11\n1 12\n", "test.txt": "0 12\n"})
    options = {"name": name, "path": str(tmp_path / "files")}
    config = resolve({"dataset": options, "split": "fixed", "model": "popularity"}).config
    assert prepare(config).verified is mark
    told = command("data", "describe", name, f"dataset.path={tmp_path / 'files'}", "--format", "json")
    assert json.loads(told.out)["verified"] is mark
    assert ("not verified" in told.err) is not mark


def test_what_was_not_published_has_no_mark():
    assert datasets.build("planted").verified is None


def test_contents_are_those_of_the_files(small):
    files = {"train.txt": "0 10\n", "test.txt": "0 12\n"}
    first = small("gowalla", Gowalla, (1, 2, 2), files).contents()
    assert small("gowalla", Gowalla, (1, 2, 2), files).contents() == first
    second = small("gowalla", Gowalla, (1, 2, 2), files | {"test.txt": "0 13\n"}).contents()
    assert first[0] == second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_cards_say_everything(name):
    card = datasets.registry.entry(name).target.card
    assert all((card.description, card.homepage, card.licence, card.citation, card.n_users, card.n_interactions))
    assert card.places
    for place in card.places:
        assert place.verified == all(file.sha256 for file in place.files), "who reads a file knows its checksum"
    assert pd.Series([place.key for place in card.places]).nunique() == len({p.key for p in card.places})
