"""Parts that register themselves when recbench imports this package by its entry point."""

from recbench_example import circle, hinge, rank_of_first, truncated_svd

__all__ = ["circle", "hinge", "rank_of_first", "truncated_svd"]
