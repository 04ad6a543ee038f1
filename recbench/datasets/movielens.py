"""The larger MovieLens data sets, and the small one that changes.

Source: F. Maxwell Harper and Joseph A. Konstan: The MovieLens Datasets: History and Context. ACM Transactions
on Interactive Intelligent Systems 5 (4), article 19, 2015. https://doi.org/10.1145/2827872
"""

from __future__ import annotations

import pandas as pd

from recbench.data.cache import Found
from recbench.data.feature_config import CategoricalConfig, MultiConfig, NumericConfig, TextConfig
from recbench.data.places import File, LocalOnly, Url
from recbench.datasets import Card, Tables, register
from recbench.datasets.published import PublishedConfig, PublishedDataset, read_stage
from recbench.formats import LAYOUTS, Column, Layout, read_delimited

_CITATION = "Harper and Konstan: The MovieLens Datasets: History and Context. ACM TiiS 5 (4), 2015"
_LICENCE = "research use only, no redistribution, no commercial use, acknowledge it in publications"
_MAY_REDISTRIBUTE = "research use, redistribution under the same terms, no commercial use, acknowledge it"
_SITE = "https://files.grouplens.org/datasets/movielens"
_NO_GENRES = "(no genres listed)"
_FILM_COLUMNS = (
    TextConfig(name="title"),
    NumericConfig(name="year", missing="mean", scale="standard"),
    MultiConfig(name="genres"),
)
_USER_COLUMNS = (
    CategoricalConfig(name="gender"),
    NumericConfig(name="age", scale="standard"),
    CategoricalConfig(name="occupation"),
    TextConfig(name="zip"),
)


def _films(films: pd.DataFrame) -> pd.DataFrame:
    """Return the films with ``title``, ``year`` (missing where the title ends in none) and ``genres``."""
    titles = films["title"].str.strip()
    years = titles.str.extract(r"\((\d{4})\)$", expand=False).astype("Int64")
    genres = films["genres"].replace(_NO_GENRES, "")
    return pd.DataFrame({"item": films["item"], "title": titles, "year": years, "genres": genres})


class ML1MConfig(PublishedConfig):
    """Options of MovieLens 1M."""


@register("ml-1m", config=ML1MConfig)
class ML1M(PublishedDataset):
    """MovieLens 1M: 6,040 users, 3,706 rated films, 1,000,209 ratings from 1 to 5 with their time.

    Features of films: ``title`` (with the year), ``year``, ``genres`` (joined by ``|``). Features of users:
    ``gender``, ``age`` (the youngest of the age group in years; 1 is under 18), ``occupation`` (a number from 0 to 20,
    explained in GroupLens' README), ``zip``.

    A local variant, ``ratings_time_rank.csv.gz``, gives the rank in time within the user (0 is the first) instead of
    timestamps: splits by time within the user are the same, a global one is refused.
    """

    config: ML1MConfig
    card = Card(
        description="1,000,209 ratings of 3,706 films by 6,040 users of MovieLens, 2000 to 2003.",
        homepage="https://grouplens.org/datasets/movielens/1m/",
        licence=_LICENCE,
        citation=_CITATION,
        n_users=6_040,
        n_items=3_706,
        n_interactions=1_000_209,
        time="seconds",
        places=(
            Url(
                f"{_SITE}/ml-1m.zip",
                max_bytes=20_000_000,
                md5="c4d9eecfca2ab87c1945afe126590906",
                folder="ml-1m",
                files=(File("ratings.dat"), File("movies.dat"), File("users.dat")),
            ),
            LocalOnly(
                "the variant with time ranks (ratings_time_rank.csv.gz)",
                folder="",
                files=(
                    File(
                        "ratings_time_rank.csv.gz",
                        "70d05eb52e68a8bd7d845ba5fccabf293cc183a55dab01c19cc41a7d89c5bb02",
                        4_777_157,
                    ),
                    File("movies.dat", "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9", 171_308),
                    File("users.dat", "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3", 134_368),
                ),
                verified=True,
                time="rank",
            ),
        ),
    )

    def tables(self, found: Found) -> Tables:
        """Return the ratings and the tables of films and users."""
        ranked = "ratings_time_rank.csv.gz" in found
        name = "ratings_time_rank.csv.gz" if ranked else "ratings.dat"
        columns = ("user_id", "movie_id", "rating", "time_rank") if ranked else (0, 1, 2, 3)
        ratings = read_delimited(found.folder / name, _ratings(*columns), LAYOUTS["csv" if ranked else "dat"])
        films = read_delimited(
            found.folder / "movies.dat",
            [Column("item", 0, "id"), Column("title", 1, "text"), Column("genres", 2, "text")],
            Layout("::", header=False, encoding="latin-1"),
        )
        users = read_delimited(
            found.folder / "users.dat",
            [
                Column("user", 0, "id"),
                Column("gender", 1, "text"),
                Column("age", 2, "whole"),
                Column("occupation", 3, "text"),
                Column("zip", 4, "text"),
            ],
            LAYOUTS["dat"],
        )
        return Tables(
            ratings.frame,
            users=users.frame,
            items=_films(films.frame),
            user_columns=_USER_COLUMNS,
            item_columns=_FILM_COLUMNS,
            time="rank" if ranked else "seconds",
            provenance=(read_stage(name, ratings),),
        )


class _RatingsCsv(PublishedDataset):
    """``ratings.csv`` and ``movies.csv``, as GroupLens publishes its later data sets."""

    def tables(self, found: Found) -> Tables:
        """Return the ratings and the table of films; films that nobody rated are in the table alone."""
        ratings = read_delimited(
            found.folder / "ratings.csv", _ratings("userId", "movieId", "rating", "timestamp"), LAYOUTS["csv"]
        )
        films = read_delimited(
            found.folder / "movies.csv",
            [Column("item", "movieId", "id"), Column("title", "title", "text"), Column("genres", "genres", "text")],
            LAYOUTS["csv"],
        )
        return Tables(
            ratings.frame,
            items=_films(films.frame),
            item_columns=_FILM_COLUMNS,
            provenance=(read_stage("ratings.csv", ratings),),
        )


def _ratings(user: str | int, item: str | int, rating: str | int, timestamp: str | int) -> list[Column]:
    return [
        Column("user", user, "id"),
        Column("item", item, "id"),
        Column("rating", rating, "number"),
        Column("timestamp", timestamp, "whole"),
    ]


def _archive(name: str, max_bytes: int, md5: str | None = None) -> tuple[Url]:
    files = (File("ratings.csv"), File("movies.csv"))
    return (Url(f"{_SITE}/{name}.zip", max_bytes=max_bytes, md5=md5, folder=name, files=files),)


class ML20MConfig(PublishedConfig):
    """Options of MovieLens 20M."""


@register("ml-20m", config=ML20MConfig)
class ML20M(_RatingsCsv):
    """MovieLens 20M: 138,493 users, 20,000,263 ratings from 0.5 to 5 with their time.

    Features of films: ``title`` (with the year), ``year``, ``genres`` (joined by ``|``, empty where none are listed).
    """

    config: ML20MConfig
    card = Card(
        description="20,000,263 ratings by 138,493 users of MovieLens, 1995 to 2015; a table of 27,278 films.",
        homepage="https://grouplens.org/datasets/movielens/20m/",
        licence=_LICENCE,
        citation=_CITATION,
        n_users=138_493,
        n_interactions=20_000_263,
        time="seconds",
        places=_archive("ml-20m", 400_000_000, md5="cd245b17a1ae2cc31bb14903e1204af3"),
    )


class ML32MConfig(PublishedConfig):
    """Options of MovieLens 32M."""


@register("ml-32m", config=ML32MConfig)
class ML32M(_RatingsCsv):
    """MovieLens 32M: 200,948 users, 32,000,204 ratings from 0.5 to 5 with their time.

    Features of films: ``title`` (with the year), ``year``, ``genres`` (joined by ``|``, empty where none are listed).
    """

    config: ML32MConfig
    card = Card(
        description="32,000,204 ratings by 200,948 users of MovieLens, 1995 to 2023; a table of 87,585 films.",
        homepage="https://grouplens.org/datasets/movielens/32m/",
        licence=_MAY_REDISTRIBUTE,
        citation=_CITATION,
        n_users=200_948,
        n_interactions=32_000_204,
        time="seconds",
        places=_archive("ml-32m", 400_000_000, md5="d472be332d4daa821edc399621853b57"),
    )


class MLLatestSmallConfig(PublishedConfig):
    """Options of the small MovieLens for development."""


@register("ml-latest-small", config=MLLatestSmallConfig)
class MLLatestSmall(_RatingsCsv):
    """The small MovieLens in its edition of September 2018: 610 users, 100,836 ratings from 0.5 to 5 with their time.

    GroupLens may replace it by another edition, and advises against comparing results on it.

    Features of films: ``title`` (with the year), ``year``, ``genres`` (joined by ``|``, empty where none are listed).
    """

    config: MLLatestSmallConfig
    card = Card(
        description="100,836 ratings by 610 users of MovieLens, 1996 to 2018; a table of 9,742 films.",
        homepage="https://grouplens.org/datasets/movielens/latest/",
        licence=_MAY_REDISTRIBUTE,
        citation=_CITATION,
        n_users=610,
        n_interactions=100_836,
        time="seconds",
        places=_archive("ml-latest-small", 10_000_000),
    )
