"""Similarities between profiles, and the nearest neighbours that are kept.

A profile is a set of terms: for item neighbours an item is a profile and its users are the terms, for user
neighbours a user is a profile and its items are the terms. A profile weighs each of its terms by
``profile_weights[p] * term_weights[t]``.

Source: Ferrari Dacrema et al., A Troubling Analysis of Reproducibility and Progress in Recommender Systems
Research, TOIS 2021, section 3.2 (shrunk cosine, TF-IDF and BM25 on binary profiles); BM25 after Robertson and
Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, section 3.4.

Shapes:
    P profiles, T terms, R rows of a block, K neighbours.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["none", "tfidf", "bm25"]
BM25_K1, BM25_B = 1.2, 0.75


def term_weights(weighting: Weighting, n_profiles_with: Tensor, n_profiles: int) -> Tensor:
    """Return how much each term counts, (T,) float64: 1, or the inverse profile frequency ``log(P / (1 + n))``.

    Args:
        weighting: ``tfidf`` and ``bm25`` share the inverse frequency.
        n_profiles_with: (T,) number of profiles that hold the term.
        n_profiles: P.

    Differs: Robertson's own frequency is ``log((P - n + 0.5) / (n + 0.5))``. This one, of the first source, is
    0 for a term that all profiles but one hold and negative for one that all hold; in a similarity the sign
    cancels.
    """
    if weighting == "none":
        return torch.ones_like(n_profiles_with, dtype=torch.float64)
    return torch.log(n_profiles / (1 + n_profiles_with.double()))


def profile_weights(weighting: Weighting, lengths: Tensor, mean_length: float, k1: float, b: float) -> Tensor:
    """Return the factor on all terms of each profile, (P,) float64: BM25's term frequency part for one occurrence.

    Args:
        weighting: Only ``bm25`` gives anything but ones.
        lengths: (P,) number of terms of each profile.
        mean_length: Over all training profiles, empty ones included.
        k1: How late repetition saturates; with one occurrence, how much the length matters.
        b: 0 ignores the length, 1 divides by it in full.
    """
    if weighting != "bm25":
        return torch.ones_like(lengths, dtype=torch.float64)
    return (k1 + 1) / (k1 * (1 - b + b * lengths.double() / mean_length) + 1)


def cosine(dots: Tensor, squares: Tensor, other_squares: Tensor, shrink: float) -> Tensor:
    """Return ``dot / (sqrt(square * other_square) + shrink)``, and 0 for a profile without any weight.

    Args:
        dots: (R, P) dot products.
        squares: (R, 1) squared lengths.
        other_squares: (P,) squared lengths.
        shrink: Pulls similarities that rest on little evidence towards 0.

    Differs: no 1e-6 in the denominator; and the root of the product rather than the product of roots, so that
    equal cosines of whole counts are equal numbers.
    """
    lengths = torch.sqrt(squares * other_squares) + shrink
    return torch.where(lengths > 0, dots / lengths, torch.zeros_like(dots))


def precedence(lengths: Tensor) -> Tensor:
    """Return each profile's place (P,) int64 by (length descending, index ascending): who wins a tie."""
    order = torch.argsort(lengths, descending=True, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    return places


def nearest(similarities: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the indices (R, K) int64 and similarities (R, K) float32 of each row's ``k`` nearest profiles.

    Of equal similarities the longer profile is nearer, since it rests on more evidence, and then the one with
    the lower index, so that the cut depends on neither device nor block. Only between neighbours alike
    in both does the numbering of the profiles decide.

    Args:
        similarities: (R, P), not negative. They are compared in float32: sums of weights that differ in the
            order of their terms alone are equal then.
        places: (P,) from ``precedence``.
        k: At most P.
    """
    values = similarities.float()
    # The bits of floats that are not negative order as whole numbers do, so one int64 holds both criteria.
    keys = (values.view(torch.int32).long() << 32) - places
    indices = torch.topk(keys, k, dim=1).indices
    return indices, values.gather(1, indices)


def refuse_unused_bm25(weighting: Weighting, shrink: float, k1: float, b: float) -> None:
    """Raise ``ValueError`` where BM25's own options are set and would change nothing."""
    if (k1, b) != (BM25_K1, BM25_B) and (weighting != "bm25" or shrink == 0):
        raise ValueError(
            "k1 and b have no effect here: they act through the length of profiles, which counts only with "
            "weighting='bm25' and shrink above 0; set both, or leave k1 and b alone."
        )
