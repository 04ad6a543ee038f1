"""The split of MovieLens 100K that MCRec published.

Source: Binbin Hu, Chuan Shi, Wayne Xin Zhao, Philip S. Yu: Leveraging Meta-path based Context for Top-N
Recommendation with A Neural Co-Attention Model. KDD 2018. https://doi.org/10.1145/3219819.3219965
Copy of the files: the repository of Maurizio Ferrari Dacrema, Simone Boglio, Paolo Cremonesi, Dietmar Jannach:
A Troubling Analysis of Reproducibility and Progress in Recommender Systems Research. ACM TOIS 39 (2), 2021.
"""

from __future__ import annotations

from recbench.data import TEST, TRAIN
from recbench.data.cache import Found
from recbench.data.places import File, RawFiles
from recbench.datasets import Card, Tables, register
from recbench.datasets.published import PublishedConfig, PublishedDataset, joined, read_stage
from recbench.formats import Column, Layout, read_delimited, read_user_lists

_TRAIN, _TEST = "ml-100k.train.rating", "ml-100k.test.rating"


class ML100KMCRecConfig(PublishedConfig):
    """Options of the split of MovieLens 100K by MCRec."""


@register("ml-100k-mcrec", config=ML100KMCRecConfig)
class ML100KMCRec(PublishedDataset):
    """MovieLens 100K as split by MCRec: 80,000 ratings to train, 20,000 of 942 users to test; split=fixed.

    Ids are those of the files. Ratings are left out: those of the test part are not published. There is no time.
    """

    config: ML100KMCRecConfig
    card = Card(
        description="MovieLens 100K in the split of MCRec: 80,000 interactions to train, 20,000 to test.",
        homepage="https://github.com/MaurizioFD/RecSys2019_DeepLearning_Evaluation",
        licence="that of MovieLens 100K: research use only, no redistribution; for the split no terms are stated",
        citation="Hu, Shi, Zhao and Yu: Leveraging Meta-path based Context for Top-N Recommendation. KDD 2018",
        n_users=943,
        n_items=1_682,
        n_interactions=100_000,
        time="none",
        places=(
            RawFiles(
                "https://raw.githubusercontent.com/MaurizioFD/RecSys2019_DeepLearning_Evaluation/"
                "f5618c65573c5b220713775bdd56971663de9828",
                max_bytes=10_000_000,
                folder="Conferences/KDD/MCRec_github/data",
                files=(
                    File(_TRAIN, "d043d9fedf7efecb41fdfa98e4c96c5134a26d247a70ba5d4cf3f32a61c5957b", 783_394),
                    File(_TEST, "f5c8e8216402dc6e277fc15853b90ef9e4b8f922c77d20bac7e1ae80b5c55ae5", 81_890),
                ),
                verified=True,
            ),
        ),
    )

    def tables(self, found: Found) -> Tables:
        """Return the interactions with their parts."""
        ids = [Column("user", 0, "id"), Column("item", 1, "id")]
        train = read_delimited(found.folder / _TRAIN, ids, Layout(header=False))
        test = read_user_lists(found.folder / _TEST)
        return Tables(
            joined({TRAIN: train.frame, TEST: test.frame}),
            provenance=(read_stage(_TRAIN, train), read_stage(_TEST, test)),
        )
