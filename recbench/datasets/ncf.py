"""The leave-one-out splits of Neural Collaborative Filtering, each with 99 published negatives a user.

Source: Xiangnan He, Lizi Liao, Hanwang Zhang, Liqiang Nie, Xia Hu, Tat-Seng Chua: Neural Collaborative Filtering.
WWW 2017, section 4.1. https://arxiv.org/abs/1708.05031
"""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from recbench.data import TEST, TRAIN
from recbench.data.cache import Found
from recbench.data.places import File, LocalOnly, RawFiles
from recbench.datasets import Card, Tables, register
from recbench.datasets.published import PublishedConfig, PublishedDataset, joined, read_stage
from recbench.formats import Column, Kind, Layout, read_delimited, read_negatives

_REPOSITORY = (
    "https://raw.githubusercontent.com/hexiangnan/neural_collaborative_filtering/"
    "4aab159e81c44b062c091bdaed0ab54ac632371f"
)
_HOMEPAGE = "https://github.com/hexiangnan/neural_collaborative_filtering"
_CITATION = "He, Liao, Zhang, Nie, Hu and Chua: Neural Collaborative Filtering. WWW 2017"
_ML_1M_TEST = (
    File("ml-1m.test.rating", "231ae11eb060b643a8c58c063cd17ffc743b54f569afb073d1abb6cf126b88b5", 128_039),
    File("ml-1m.test.negative", "127853228a76b7d21c0481e8ef8d00dd009cd5c88670dbdd9e9debfdb9f93de4", 2_891_424),
)
_KINDS: tuple[tuple[str, Kind], ...] = (("user", "id"), ("item", "id"), ("rating", "number"), ("timestamp", "whole"))


class _NCF(PublishedDataset):
    """A training, a test and a negatives file.

    The items that a user is ranked among are the published negatives and the test item. Where it is one of the
    negatives too, or one occurs twice, evaluation takes each once and counts them.
    """

    stem: ClassVar[str]
    """What the names of the files begin with."""

    n_columns: ClassVar[int]
    """How many columns are read of the training and test file."""

    def tables(self, found: Found) -> Tables:
        """Return the interactions with their parts, and the negatives as candidates."""
        columns = [Column(name, place, kind) for place, (name, kind) in enumerate(_KINDS[: self.n_columns])]
        packed = f"{self.stem}.train.rating.gz"
        names = {TRAIN: packed if packed in found else packed.removesuffix(".gz"), TEST: f"{self.stem}.test.rating"}
        reads = {
            part: read_delimited(found.folder / name, columns, Layout(header=False)) for part, name in names.items()
        }
        name = f"{self.stem}.test.negative"
        negatives = read_negatives(found.folder / name)
        frames = {part: read.frame for part, read in reads.items()}
        if packed in found:
            frames[TEST] = _ranked_last(frames[TEST], frames[TRAIN])
        return Tables(
            joined(frames),
            time="rank" if packed in found else "seconds",
            candidates=negatives.frame[["user", "negative"]].rename(columns={"negative": "item"}),
            provenance=(
                *(read_stage(names[part], read) for part, read in reads.items()),
                read_stage(name, negatives, "negatives"),
            ),
        )


def _ranked_last(test: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    """Return the test interactions with the rank in time behind all of the user's training interactions."""
    last = train.groupby("user", observed=True)["timestamp"].max()
    last.index = last.index.astype(object)
    ranks = test["user"].astype(object).map(last) + 1
    return test.assign(timestamp=ranks.fillna(0).astype("int64"))


class NCFML1MConfig(PublishedConfig):
    """Options of MovieLens 1M as split by NCF."""


@register("ncf-ml-1m", config=NCFML1MConfig)
class NCFML1M(_NCF):
    """MovieLens 1M as split by NCF: 994,169 ratings to train, the latest one of each of 6,040 users to test.

    Ids are those of the files, counted from 0. 156 users have their test item among their 99 negatives.

    A local variant packs the training file and gives the rank in time within the user (0 is the first) instead of
    timestamps, counted over training and test together. The test file still has seconds, so the test interaction gets
    the rank behind the user's last training interaction. That is the number of the latter, but for 1,386 users one
    more, since the ranks have their test interaction before others.
    """

    config: NCFML1MConfig
    stem = "ml-1m"
    n_columns = 4
    card = Card(
        description="MovieLens 1M in the leave-one-out split of NCF, with 99 published negatives a user.",
        homepage=_HOMEPAGE,
        licence="that of MovieLens 1M: research use only, no redistribution; the authors' files: Apache 2.0",
        citation=_CITATION,
        n_users=6_040,
        n_items=3_706,
        n_interactions=1_000_209,
        time="seconds",
        places=(
            RawFiles(
                _REPOSITORY, max_bytes=100_000_000, folder="Data", files=(File("ml-1m.train.rating"), *_ML_1M_TEST)
            ),
            LocalOnly(
                "the variant with time ranks (ml-1m.train.rating.gz)",
                folder="",
                files=(
                    File(
                        "ml-1m.train.rating.gz",
                        "0323defcf951156675dfe4406a815f5e171300dffe0961937e016c64d7893135",
                        4_774_606,
                    ),
                    *_ML_1M_TEST,
                ),
                verified=True,
                time="rank",
            ),
        ),
    )


class NCFPinterestConfig(PublishedConfig):
    """Options of Pinterest as split by NCF."""


@register("ncf-pinterest", config=NCFPinterestConfig)
class NCFPinterest(_NCF):
    """Pinterest as split by NCF: users with 20 pins or more, one of each to test, and 99 negatives a user.

    A pin is a pin: ratings and times are not read.
    """

    config: NCFPinterestConfig
    stem = "pinterest-20"
    n_columns = 2
    card = Card(
        description="Images that users of Pinterest pinned, in the leave-one-out split of NCF, with 99 negatives.",
        homepage=_HOMEPAGE,
        licence="no terms are stated for the data; the authors' files: Apache 2.0",
        citation=_CITATION,
        n_users=55_187,
        n_items=9_916,
        n_interactions=1_500_809,
        time="none",
        places=(
            RawFiles(
                _REPOSITORY,
                max_bytes=100_000_000,
                folder="Data",
                files=tuple(File(f"pinterest-20.{rest}") for rest in ("train.rating", "test.rating", "test.negative")),
            ),
        ),
    )
