"""Whether results belong in one table: what they must have in common, and what they had better."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recbench.errors import RunError

logger = logging.getLogger(__name__)

Result = Mapping[str, Any]


def refuse_to_mix(done: Sequence[Result]) -> None:
    """Raise where two results do not measure the same thing."""
    for what, aspect in ASPECTS.items():
        for result in done[1:]:
            (one, one_in_words), (other, other_in_words) = aspect(done[0]), aspect(result)
            if one != other:
                raise RunError(
                    f"{done[0]['folder']} and {result['folder']} do not belong in one table, since their {what} "
                    f"differ: {one_in_words} and {other_in_words}. Compare them in separate folders."
                )


def warn_of_other_circumstances(done: Sequence[Result]) -> None:
    """Say once of each circumstance that not all results have the same."""
    circumstances: dict[str, Callable[[Result], Any]] = {
        "were made with different code (of recbench, or a plugin that one of them uses); what tells them apart may be "
        "the code": lambda result: result["fingerprints"]["code"],
        "were fitted on different parts (fit_on): one has learnt from the validation part too": fitted_on,
    }
    for words, circumstance in circumstances.items():
        other = next((result for result in done[1:] if circumstance(result) != circumstance(done[0])), None)
        if other is not None:
            logger.warning("%s and %s %s.", done[0]["folder"], other["folder"], words)


def fitted_on(result: Result) -> str:
    """Return the part that a model was fitted on; results of earlier versions do not say that it was training."""
    return str(result["config"].get("fit_on", "train"))


def _fingerprint(result: Result, name: str, words: str) -> tuple[str, str]:
    value = result["fingerprints"][name]
    return value, f"{words} (fingerprint {value[:8]})"


def _evaluation(result: Result, option: str) -> tuple[Any, str]:
    value = result["config"]["evaluation"][option]
    return value, f"evaluation.{option}={value}"


def _candidates(result: Result) -> tuple[str | None, str]:
    """Return the fingerprint of what was ranked, None for all items, and words for it."""
    options, value = result["config"]["evaluation"], result["fingerprints"]["candidates"]
    if value is None:
        return None, "full ranking"
    words = {
        "sampled": f"{options['n_candidates']} sampled {options['candidates_by']} with seed "
        f"{options['candidates_seed']}",
        "file": f"those of {options['candidates_path']}",
        "published": "published ones",
    }
    return value, f"{words[options['candidates']]} (fingerprint {value[:8]})"


def setting(results: Sequence[Result]) -> dict[str, str]:
    """Return, in words, what all results that are done have in common; empty where none is done."""
    done = [result for result in results if result["status"] == "done"]
    if not done:
        return {}
    common = {what: aspect(done[0])[1] for what, aspect in ASPECTS.items()}
    return common | {"test users": f"{done[0]['n_users']['test']:,}"}


ASPECTS: Mapping[str, Callable[[Result], tuple[Any, str]]] = {
    "data": lambda result: _fingerprint(result, "data", result["dataset"]),
    "splits": lambda result: _fingerprint(result, "split", result["split"]),
    "candidates": _candidates,
    "masks": lambda result: _evaluation(result, "mask"),
    "orders of ties": lambda result: _evaluation(result, "tie_seed"),
    "definitions of metrics": lambda result: (
        result["metric_definitions_version"],
        f"version {result['metric_definitions_version']}",
    ),
}
"""What all results of a table have in common: a value to compare, and words for it."""
