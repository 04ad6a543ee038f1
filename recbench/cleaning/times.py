"""What looks wrong with timestamps that should be seconds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_DAY_SECONDS = 86_400
_FINER = ((10**17, "nanoseconds"), (10**14, "microseconds"), (10**11, "milliseconds"))
"""From which number on timestamps of our days are in a finer unit than seconds."""


def oddities(timestamps: np.ndarray, now_seconds: float) -> Iterator[str]:
    """Yield a sentence for each thing that looks wrong; nothing is changed.

    Args:
        timestamps: (N,) int64, seconds since 1970 as far as is known.
        now_seconds: The present, alike.
    """
    fine = timestamps >= _FINER[-1][0]
    if fine.any():
        largest = int(timestamps.max())
        unit = next(unit for bound, unit in _FINER if largest >= bound)
        whole = "all" if fine.all() else f"{int(fine.sum()):,} of {len(fine):,}"
        rest = "" if fine.all() else ", and the others like seconds: they are in mixed units"
        yield (
            f"{whole} timestamps look like {unit}, e.g. {largest}{rest}. They are kept as they are; write them all in "
            "seconds where time matters."
        )
    for wrong, what in (
        (timestamps < 0, "are negative, before 1970"),
        ((timestamps > now_seconds + _DAY_SECONDS) & ~fine, "lie in the future"),
    ):
        if wrong.any():
            example = int(timestamps[wrong][0])
            yield (
                f"{int(wrong.sum()):,} of {len(wrong):,} timestamps {what}, e.g. {example}. They are kept as they "
                "are; a step time_window leaves them out."
            )
