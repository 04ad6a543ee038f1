"""MovieLens 100K: 100,000 ratings of films, collected from 1997 to 1998.

Source: F. Maxwell Harper and Joseph A. Konstan: The MovieLens Datasets: History and Context. ACM Transactions
on Interactive Intelligent Systems 5 (4), article 19, 2015. https://doi.org/10.1145/2827872
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recbench.data.cache import Found
from recbench.data.feature_config import CategoricalConfig, MultiConfig, NumericConfig, TextConfig
from recbench.data.places import File, Url, Wheel
from recbench.datasets import Card, Tables, register
from recbench.datasets.published import PublishedConfig, PublishedDataset, read_stage
from recbench.formats import LAYOUTS, Column, Layout, Read, read_delimited

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


class ML100KConfig(PublishedConfig):
    """Options of MovieLens 100K."""


@register("ml-100k", config=ML100KConfig)
class ML100K(PublishedDataset):
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
        time="seconds",
        places=(
            Url(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                max_bytes=20_000_000,
                folder="ml-100k",
                files=_GROUPLENS,
                verified=True,
            ),
            Wheel("recbole==1.2.1", folder="recbole/dataset_example/ml-100k", files=_RECBOLE, verified=True),
        ),
    )

    def tables(self, found: Found) -> Tables:
        """Return the ratings and the tables of films and users; every place gives the same ones."""
        return read_grouplens(found.folder) if "u.data" in found else read_recbole(found.folder)


def read_grouplens(folder: Path) -> Tables:
    """Return the tables of ``u.data``, ``u.item`` and ``u.user`` as GroupLens publishes them."""
    ratings = read_delimited(folder / "u.data", _ratings(0, 1, 2, 3), Layout(header=False))
    genres = np.array(_GENRE_COLUMNS.split("|"))
    first_genre = 5
    films = read_delimited(
        folder / "u.item",
        [
            Column("item", 0, "id"),
            Column("title", 1, "text"),
            *(Column(name, first_genre + place, "text") for place, name in enumerate(genres.tolist())),
        ],
        Layout("|", header=False, encoding="latin-1"),
    ).frame
    film, genre = np.nonzero((films[genres] == "1").to_numpy())
    films["genres"] = pd.Series(genres[genre]).groupby(film).agg("|".join).astype(object)
    users = read_delimited(folder / "u.user", _users(0, 1, 2, 3, 4), Layout("|", header=False)).frame
    return _tables("u.data", ratings, users, films)


def read_recbole(folder: Path) -> Tables:
    """Return the tables of ``ml-100k.inter``, ``.item`` and ``.user`` as the RecBole wheel carries them."""
    layout = LAYOUTS["recbole"]
    ratings = read_delimited(folder / "ml-100k.inter", _ratings("user_id", "item_id", "rating", "timestamp"), layout)
    films = read_delimited(
        folder / "ml-100k.item",
        [
            Column("item", "item_id", "id"),
            Column("title", "movie_title", "text"),
            Column("year", "release_year", "text"),
            Column("genres", "class", "text"),
        ],
        layout,
    ).frame
    # What stood last in brackets is a column of its own there: the year, once "V" for video, once misspelt.
    films["title"] = (films["title"] + " (" + films["year"] + ")").replace("unkonwn (unkonwn)", "unknown")
    films["genres"] = films["genres"].str.replace(" ", "|", regex=False)
    users = read_delimited(
        folder / "ml-100k.user", _users("user_id", "age", "gender", "occupation", "zip_code"), layout
    ).frame
    return _tables("ml-100k.inter", ratings, users, films)


def _ratings(user: str | int, item: str | int, rating: str | int, timestamp: str | int) -> list[Column]:
    return [
        Column("user", user, "id"),
        Column("item", item, "id"),
        Column("rating", rating, "number"),
        Column("timestamp", timestamp, "whole"),
    ]


def _users(user: str | int, age: str | int, gender: str | int, occupation: str | int, code: str | int) -> list[Column]:
    return [
        Column("user", user, "id"),
        Column("age", age, "whole"),
        Column("gender", gender, "text"),
        Column("occupation", occupation, "text"),
        Column("zip", code, "text"),
    ]


def _tables(name: str, ratings: Read, users: pd.DataFrame, films: pd.DataFrame) -> Tables:
    titles = films["title"].str.strip()
    years = titles.str.extract(r"\((\d{4})\)", expand=False).astype("Int64")
    return Tables(
        interactions=ratings.frame,
        provenance=(read_stage(name, ratings),),
        users=users,
        items=pd.DataFrame({"item": films["item"], "title": titles, "year": years, "genres": films["genres"]}),
        user_columns=(
            NumericConfig(name="age", scale="standard"),
            CategoricalConfig(name="gender"),
            CategoricalConfig(name="occupation"),
            TextConfig(name="zip"),
        ),
        item_columns=(
            TextConfig(name="title"),
            NumericConfig(name="year", missing="mean", scale="standard"),
            MultiConfig(name="genres"),
        ),
    )
