"""Profiles of weighted terms, and how similar two of them are.

A profile is a set of terms: for item neighbours an item is a profile and its users are the terms, for user
neighbours a user is a profile and its items are the terms. A term weighs, in a profile, the weight of the profile
times the weight of the term.

Source: Ferrari Dacrema et al., A Troubling Analysis of Reproducibility and Progress in Recommender Systems
Research, TOIS 2021, section 3.2 (shrunk similarities, TF-IDF and BM25 on binary profiles); the asymmetric cosine
after Aiolli, Efficient Top-N Recommendation for Very Large Scale Binary Rated Datasets, RecSys 2013; BM25 after
Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, section 3.4.

Shapes:
    P profiles, T terms, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field, model_validator
from torch import Tensor

from recbench.nn.neighbours import heaviest, precedence
from recbench.options import Config

Side = Literal["profiles", "terms"]
_K1, _B, _ALPHA, _BETA = 1.2, 0.75, 0.5, 0.5


class ProfileConfig(Config):
    """Options of models that go by the similarity of profiles: items by their users, or users by their items."""

    similarity: Literal["cosine", "asymmetric", "jaccard", "dice", "tversky"] = "cosine"
    """How near two profiles are: by the weights that they share, over the root of the product of their squared
    lengths (cosine), or over their product by unequal powers (asymmetric); or by the number of terms that they
    share, over how many both have together (jaccard), over the sum of how many each has (dice), or over what
    they share and parts of what they do not (tversky)."""

    alpha: float = Field(_ALPHA, ge=0, le=2)
    """Of asymmetric the power of the squared length of the scored item, or of the user who is asked (the other
    profile's is 1 - alpha; 0.5 is cosine); of tversky the part of the terms that only that profile has."""

    beta: float = Field(_BETA, ge=0)
    """Of tversky the part of the terms that only the other profile has: the item of the history, or the user who
    gets the recommendation."""

    shrink: float = Field(0.0, ge=0)
    """Added to the denominator of the similarity, so that similarities resting on little count less."""

    weighting: Literal["none", "tfidf", "bm25"] = "tfidf"
    """Weights of the terms in a profile: none, tfidf (terms in few profiles count more), bm25 (also long profiles
    count less; only felt with shrink or unequal powers, since cosine divides by the length)."""

    documents: Side = "profiles"
    """What tfidf and bm25 take as documents: the profiles, or the terms. With the terms, profiles with few terms
    count more, and with bm25 also terms that are in many profiles count less."""

    k1: float = Field(_K1, ge=0)
    """BM25's saturation; with one occurrence, how much the length of a document matters."""

    b: float = Field(_B, ge=0, le=1)
    """BM25's normalisation by length: 0 ignores the length of a document, 1 divides by it in full."""

    @property
    def feels_profile_weights(self) -> bool:
        """Whether a factor on all terms of a profile changes anything."""
        return self.shrink > 0 or (self.similarity == "asymmetric" and self.alpha != _ALPHA)

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        if mistakes := "\n".join(self._without_effect()):
            raise ValueError(mistakes)
        return self

    def _without_effect(self) -> Iterator[str]:
        """Yield a sentence about each option that is set and would change nothing."""
        if self.alpha != _ALPHA and self.similarity not in ("asymmetric", "tversky"):
            yield "alpha has no effect here: set similarity='asymmetric' or 'tversky' too, or leave alpha alone."
        if self.beta != _BETA and self.similarity != "tversky":
            yield "beta has no effect here: set similarity='tversky' too, or leave beta alone."
        if self.weighting != "none" and self.similarity not in ("cosine", "asymmetric"):
            yield (
                f"weighting={self.weighting!r} has no effect here: similarity={self.similarity!r} counts terms "
                "without weights; set weighting='none' too."
            )
        if self.documents == "terms" and (
            self.weighting == "none" or (self.weighting == "tfidf" and not self.feels_profile_weights)
        ):
            yield (
                "documents='terms' has no effect here: it says what weighting='bm25' goes by, or 'tfidf' where the "
                "weight of profiles counts, as with shrink above 0; set one of them, or leave documents alone."
            )
        felt = self.feels_profile_weights or self.documents == "terms"
        if (self.k1, self.b) != (_K1, _B) and (self.weighting != "bm25" or not felt):
            yield (
                "k1 and b have no effect here: they act through the length of documents, which counts only with "
                "weighting='bm25' and, as long as profiles are the documents, shrink above 0; set both, or leave k1 "
                "and b alone."
            )


def rarity(n_documents_with: Tensor, n_documents: int) -> Tensor:
    """Return how much each word counts, float64: ``abs(log(D / (1 + n)))``, from the number of documents with it.

    Differs: Robertson's own frequency is ``log((D - n + 0.5) / (n + 0.5))``. This one, of the first source, is 0
    for a word that all documents but one hold; and negative for one that all hold, where the size is taken, since
    similarities that can be cut at the nearest are not negative.
    """
    return torch.log(n_documents / (1 + n_documents_with.double())).abs()


def saturation(lengths: Tensor, mean_length: float, k1: float, b: float) -> Tensor:
    """Return BM25's factor on all words of each document, float64: its term frequency part for one occurrence."""
    return (k1 + 1) / (k1 * (1 - b + b * lengths.double() / mean_length) + 1)


@dataclass(frozen=True)
class Weights:
    """Weights by the statistics of the training data: a term in a profile has ``of_profiles * of_terms``.

    Attributes:
        options: What to weigh by.
        n_profiles: P, empty ones included.
        n_terms: T, those in no profile included.
        n_pairs: Pairs of profile and term.
    """

    options: ProfileConfig
    n_profiles: int
    n_terms: int
    n_pairs: int

    def of_profiles(self, lengths: Tensor) -> Tensor:
        """Return the weights of profiles, float64, by their numbers of terms ``lengths``, of the same shape."""
        return self._weights("profiles", lengths, self.n_profiles, self.n_terms)

    def of_terms(self, counts: Tensor) -> Tensor:
        """Return the weights of terms, float64, by the number of profiles with them ``counts``, of the same shape."""
        return self._weights("terms", counts, self.n_terms, self.n_profiles)

    def _weights(self, side: Side, counts: Tensor, n_of_these: int, n_of_others: int) -> Tensor:
        options = self.options
        if options.weighting != "none" and options.documents != side:
            return rarity(counts, n_of_others)
        if options.weighting == "bm25":
            return saturation(counts, self.n_pairs / n_of_these, options.k1, options.b)
        return torch.ones_like(counts, dtype=torch.float64)


def similarities(options: ProfileConfig, dots: Tensor, squares: Tensor, other_squares: Tensor) -> Tensor:
    """Return the similarities of pairs of profiles, not negative, and 0 for a profile without any weight.

    The three shapes fit one another, such as (R, P), (R, 1) and (P,). ``alpha`` goes with ``squares``. Without
    weights the dot product is the number of common terms, and a square the number of terms.

    Args:
        options: The similarity and its own options.
        dots: Dot products of the two.
        squares: Squared lengths of the one.
        other_squares: Squared lengths of the other.

    Differs: no 1e-6 in the denominators; and cosine by the root of the product rather than the product of roots,
    so that equal cosines of whole counts are equal numbers. Dice is half of what is usual, as in the first source;
    that tells only beside ``shrink``.
    """
    if options.similarity == "cosine":
        sizes = torch.sqrt(squares * other_squares)
    elif options.similarity == "asymmetric":
        sizes = squares**options.alpha * other_squares ** (1 - options.alpha)
    elif options.similarity == "jaccard":
        sizes = squares + other_squares - dots
    elif options.similarity == "dice":
        sizes = squares + other_squares
    else:
        sizes = dots + options.alpha * (squares - dots) + options.beta * (other_squares - dots)
    # Who shares something has a length, and of an empty profile's powers one may be infinite.
    return torch.where(dots > 0, dots / (sizes + options.shrink), torch.zeros_like(dots))


def nearest_profiles(
    options: ProfileConfig, taken: sp.csr_array | sp.csc_array, k: int, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """Return each profile's ``k`` nearest others, (P, K) int64, and the similarities, (P, K) float64, nearest first.

    Some profiles at a time are compared with all, so that memory is bounded. A profile's similarity to itself is
    taken as 0.

    Args:
        options: How to weigh and compare; ``alpha`` goes with the profile whose neighbours they are.
        taken: (P, T), 1 where the profile has the term.
        k: At most P.
        compiled: Whether by compiled loops, which give the same but for rounding.
    """
    n_profiles, n_terms = taken.shape
    lengths = torch.from_numpy(taken.sum(1)).long()
    weights = Weights(options, n_profiles, n_terms, taken.nnz)
    profiles = weights.of_profiles(lengths).numpy()
    terms = weights.of_terms(torch.from_numpy(taken.sum(0)).long()).numpy()
    squares = torch.from_numpy(profiles**2 * (taken @ terms**2))
    places = precedence(lengths)
    if compiled:
        # Imports numba, which takes a second and need not be there.
        from recbench.kernels.neighbours import Asked, Asking
        from recbench.nn.compiled_neighbours import nearest

        by_profile, by_term = taken.tocsr(), taken.tocsc()
        offsets, held = by_profile.indptr.astype(np.int64), by_profile.indices.astype(np.int64)
        begins, having = by_term.indptr.astype(np.int64), by_term.indices.astype(np.uint32)
        asking = Asking(offsets, held, np.arange(n_profiles), profiles, squares.numpy())
        asked = Asked(begins, having, terms**2, profiles, squares.numpy())
        return nearest(options, asking, asked, places, k)
    matrix = sp.csr_array(sp.diags_array(profiles) @ taken @ sp.diags_array(terms))
    transposed = matrix.T.tocsr()

    def rows(part: slice) -> Tensor:
        dots = torch.from_numpy((matrix[part] @ transposed).toarray())
        near = similarities(options, dots, squares[part, None], squares)
        near.diagonal(part.start).zero_()
        return near

    return heaviest(rows, places, k)
