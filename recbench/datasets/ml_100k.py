"""MovieLens 100K: 100,000 ratings of films, collected from 1997 to 1998.

Source: F. Maxwell Harper and Joseph A. Konstan: The MovieLens Datasets: History and Context. ACM Transactions
on Interactive Intelligent Systems 5 (4), article 19, 2015. https://doi.org/10.1145/2827872
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbench.data.cache import File, Url, Wheel, obtain
from recbench.data.reader import Layout, read_delimited
from recbench.datasets import Card, Dataset, DatasetConfig, Tables, register
from recbench.errors import DataError

_GROUPLENS = (
    File("u.data", "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490", 1_979_173),
    File("u.item", "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701", 236_344),
    File("u.user", "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c", 22_628),
)
_RECBOLE = (
    File("ml-100k.inter", "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff", 1_979_230),
    File("ml-100k.item", "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532", 66_632),
    File("ml-100k.user", "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972", 22_697),
)
_GENRE_COLUMNS = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|"
    "Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)


class ML100KConfig(DatasetConfig):
    """Options of MovieLens 100K."""

    path: str | None = None
    """A folder or zip archive that holds the files; null looks in the cache, the mirror and the network."""


@register("ml-100k", config=ML100KConfig)
class ML100K(Dataset):
    """MovieLens 100K: 943 users, 1,682 films, 100,000 ratings from 1 to 5 with their time.

    Features of films: ``title`` (with the year), ``year`` (missing where unknown), ``genres`` (joined by
    ``|``). Features of users: ``age`` in years, ``gender``, ``occupation``, ``zip``.
    """

    config: ML100KConfig
    card = Card(
        description="100,000 ratings of 1,682 films by 943 users of MovieLens, 1997 to 1998.",
        homepage="https://grouplens.org/datasets/movielens/100k/",
        licence="research use only, no redistribution, no commercial use, acknowledge it in publications",
        citation="Harper and Konstan: The MovieLens Datasets: History and Context. ACM TiiS 5 (4), 2015",
        n_users=943,
        n_items=1_682,
        n_interactions=100_000,
        places=(
            Url(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                max_bytes=20_000_000,
                folder="ml-100k",
                files=_GROUPLENS,
            ),
            Wheel("recbole==1.2.1", folder="recbole/dataset_example/ml-100k", files=_RECBOLE),
        ),
    )

    def read(self) -> Tables:
        """Return the ratings and the tables of films and users; every place gives the same ones."""
        found = obtain(
            "ml-100k",
            self.card.places,
            licence=self.card.licence,
            homepage=self.card.homepage,
            path=self.config.path,
        )
        tables = read_grouplens(found.folder) if found.files == _GROUPLENS else read_recbole(found.folder)
        self.check_counts(tables.interactions)
        return tables

    @classmethod
    def check_counts(cls, ratings: pd.DataFrame) -> None:
        """Raise ``DataError`` where the ratings are not as many as published."""
        counts = (ratings["user"].nunique(), ratings["item"].nunique(), len(ratings))
        published = (cls.card.n_users, cls.card.n_items, cls.card.n_interactions)
        if counts != published:
            raise DataError(
                f"ml-100k: read (users, items, interactions) = {counts}, published are {published}. "
                "This is a fault of the reader; please report it."
            )


def read_grouplens(folder: Path) -> Tables:
    """Return the tables of ``u.data``, ``u.item`` and ``u.user`` as GroupLens publishes them."""
    ratings = read_delimited(
        folder / "u.data", Layout(header=False), {"user": 0, "item": 1, "rating": 2, "timestamp": 3}
    )
    genres = np.array(_GENRE_COLUMNS.split("|"))
    first_genre = 5
    films = read_delimited(
        folder / "u.item",
        Layout("|", header=False, encoding="latin-1"),
        {"item": 0, "title": 1} | {name: first_genre + place for place, name in enumerate(genres.tolist())},
    )
    film, genre = np.nonzero((films[genres] == "1").to_numpy())
    films["genres"] = pd.Series(genres[genre]).groupby(film).agg("|".join)
    users = read_delimited(
        folder / "u.user",
        Layout("|", header=False),
        {"user": 0, "age": 1, "gender": 2, "occupation": 3, "zip": 4},
    )
    return _tables(ratings, users, films)


def read_recbole(folder: Path) -> Tables:
    """Return the tables of ``ml-100k.inter``, ``.item`` and ``.user`` as the RecBole wheel carries them."""
    ratings = read_delimited(
        folder / "ml-100k.inter",
        Layout(),
        {
            "user": "user_id:token",
            "item": "item_id:token",
            "rating": "rating:float",
            "timestamp": "timestamp:float",
        },
    )
    films = read_delimited(
        folder / "ml-100k.item",
        Layout(),
        {
            "item": "item_id:token",
            "title": "movie_title:token_seq",
            "year": "release_year:token",
            "genres": "class:token_seq",
        },
    )
    # What stood last in brackets is a column of its own there: the year, once "V" for video, once misspelt.
    films["title"] = (films["title"] + " (" + films["year"] + ")").replace("unkonwn (unkonwn)", "unknown")
    films["genres"] = films["genres"].str.replace(" ", "|", regex=False)
    users = read_delimited(
        folder / "ml-100k.user",
        Layout(),
        {
            "user": "user_id:token",
            "age": "age:token",
            "gender": "gender:token",
            "occupation": "occupation:token",
            "zip": "zip_code:token",
        },
    )
    return _tables(ratings, users, films)


def _tables(ratings: pd.DataFrame, users: pd.DataFrame, films: pd.DataFrame) -> Tables:
    titles = films["title"].str.strip()
    years = titles.str.extract(r"\((\d{4})\)", expand=False).astype("Int64")
    return Tables(
        interactions=ratings,
        users=users.astype({"age": "int64"}),
        items=pd.DataFrame({"item": films["item"], "title": titles, "year": years, "genres": films["genres"]}),
    )
