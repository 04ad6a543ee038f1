"""The splits of Gowalla, Yelp 2018 and Amazon Books that NGCF and LightGCN published.

Users and items with fewer than ten interactions are taken out, and a fifth of each user's interactions, drawn at
random, is the test part. Neither ratings nor times are published. Ids are those of the files, which the authors
numbered anew.

Source: Xiangnan He, Kuan Deng, Xiang Wang, Yan Li, Yongdong Zhang, Meng Wang: LightGCN: Simplifying and Powering
Graph Convolution Network for Recommendation. SIGIR 2020, section 4.1. https://arxiv.org/abs/2002.02126
"""

from __future__ import annotations

from recbench.data import TEST, TRAIN
from recbench.data.cache import Found
from recbench.data.places import File, RawFiles
from recbench.datasets import Card, Tables, register
from recbench.datasets.published import PublishedConfig, PublishedDataset, joined, read_stage
from recbench.formats import read_user_lists

_PARTS = {TRAIN: "train.txt", TEST: "test.txt"}
_LICENCE = "no terms are stated"
_CITATION = (
    "He, Deng, Wang, Li, Zhang and Wang: LightGCN: Simplifying and Powering Graph Convolution Network for "
    "Recommendation. SIGIR 2020"
)


def _places(name: str, *files: File, verified: bool = False) -> tuple[RawFiles, ...]:
    """Return the authors' two repositories, which hold the same files."""
    repositories = (
        ("https://raw.githubusercontent.com/kuandeng/LightGCN/master", "Data"),
        ("https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master", "data"),
    )
    return tuple(
        RawFiles(base_url, max_bytes=100_000_000, folder=f"{folder}/{name}", files=files, verified=verified)
        for base_url, folder in repositories
    )


class _LightGCN(PublishedDataset):
    """A training and a test file, one user a line."""

    def tables(self, found: Found) -> Tables:
        """Return the interactions with their parts."""
        reads = {part: read_user_lists(found.folder / name) for part, name in _PARTS.items()}
        return Tables(
            joined({part: read.frame for part, read in reads.items()}),
            provenance=tuple(read_stage(_PARTS[part], read) for part, read in reads.items()),
        )


class GowallaConfig(PublishedConfig):
    """Options of Gowalla."""


@register("gowalla", config=GowallaConfig)
class Gowalla(_LightGCN):
    """Gowalla as split by NGCF and LightGCN: 29,858 users, 40,981 places, 810,128 + 217,242 visits; split=fixed."""

    config: GowallaConfig
    card = Card(
        description="Places that users of Gowalla checked in at, split at random: 810,128 to train, 217,242 to test.",
        homepage="https://github.com/kuandeng/LightGCN",
        licence=_LICENCE,
        citation=_CITATION,
        n_users=29_858,
        n_items=40_981,
        n_interactions=1_027_370,
        time="none",
        places=_places(
            "gowalla",
            File("train.txt", "7244696fdeb23911319cf7b689f2e15a3c4c92549c873a5677b44e3f13cc3e62", 4_633_414),
            File("test.txt", "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3", 1_372_559),
            verified=True,
        ),
    )


class Yelp2018Config(PublishedConfig):
    """Options of Yelp 2018."""


@register("yelp2018", config=Yelp2018Config)
class Yelp2018(_LightGCN):
    """Yelp 2018 as split by NGCF and LightGCN: 31,668 users, 38,048 items, 1,237,259 + 324,147; split=fixed."""

    config: Yelp2018Config
    card = Card(
        description="Businesses that users of Yelp reviewed, split at random: 1,237,259 to train, 324,147 to test.",
        homepage="https://github.com/kuandeng/LightGCN",
        licence=_LICENCE,
        citation=_CITATION,
        n_users=31_668,
        n_items=38_048,
        n_interactions=1_561_406,
        time="none",
        places=_places("yelp2018", File("train.txt"), File("test.txt")),
    )


class AmazonBookConfig(PublishedConfig):
    """Options of Amazon Books."""


@register("amazon-book", config=AmazonBookConfig)
class AmazonBook(_LightGCN):
    """Amazon Books as split by NGCF and LightGCN: 52,643 users, 91,599 items, 2,380,730 + 603,378; split=fixed."""

    config: AmazonBookConfig
    card = Card(
        description="Books that users of Amazon reviewed, split at random: 2,380,730 to train, 603,378 to test.",
        homepage="https://github.com/kuandeng/LightGCN",
        licence=_LICENCE,
        citation=_CITATION,
        n_users=52_643,
        n_items=91_599,
        n_interactions=2_984_108,
        time="none",
        places=_places(
            "amazon-book",
            File("train.txt", md5="c916ecac04ca72300a016228258b41ed"),
            File("test.txt", md5="30f8ccfea18d25007ba9fb9aba4e174d"),
        ),
    )
