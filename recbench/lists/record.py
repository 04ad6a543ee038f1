"""The folder of an evaluation of somebody else's lists, which compares with those of runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.configuration import ExperimentConfig, identity_of
from recbench.environment import environment
from recbench.errors import RunError
from recbench.evaluation import METRIC_DEFINITIONS_VERSION, Report
from recbench.experiment import Prepared
from recbench.files import SCHEMA_VERSION, write_json, write_yaml
from recbench.fingerprints import code_fingerprint
from recbench.per_user import write_per_user
from recbench.redaction import redacted
from recbench.report import NOTHING_KNOWN, RESULT
from recbench.resuming import RUN, fingerprints_of_data
from recbench.run_config import CONFIG

MODEL = "lists"
"""What stands in the place of a model's name."""


def write_evaluation(
    folder: Path, label: str, seed: int, config: ExperimentConfig, prepared: Prepared, report: Report
) -> None:
    """Write ``result.json``, last, and what it is compared by: the values of each user, options, fingerprints.

    Args:
        folder: Made where it is missing; it must not hold a run.
        label: What the other system is called.
        seed: With which it was trained; lists of one label are seeds of one row.
        config: Data, split and evaluation; its model stands for none.
        prepared: The data.
        report: What ``score_lists`` gave.

    Raises:
        RunError: The folder holds a run, or cannot be written to.
    """
    for name in (RESULT, CONFIG):
        if (folder / name).exists():
            raise RunError(f"the folder {folder} already holds a run ({name}); choose another one with --output.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {folder} cannot be made ({error.strerror}).") from None
    options = redacted(_options(config, label, seed, report))
    fingerprints = {**fingerprints_of_data(prepared), "config": identity_of(options), "code": code_fingerprint(config)}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"schema_version": SCHEMA_VERSION}
    write_yaml(folder / CONFIG, options)
    write_json(folder / RUN, redacted({**head, "started": now, **environment(), "fingerprints": fingerprints}))
    write_per_user(folder, report, prepared.split.train)
    result = {
        **head,
        "status": "done",
        "model": MODEL,
        "dataset": options["dataset"]["name"],
        "split": options["split"]["name"],
        "seed": seed,
        "label": label,
        "error": None,
        **NOTHING_KNOWN,
        "metrics": {"test": dict(report.values), "valid": {}},
        "n_users": {"test": len(report.users), "valid": 0},
        "n_users_without_target": {"test": report.n_without_target},
        "tie_rate": {"test": dict(report.tie_rate)},
        "seconds": {"fit": None, "evaluate": report.seconds, "total": None},
        "peak_memory_bytes": None,
        "data": {
            "verified": prepared.verified,
            "steps": [stage.to_dict() for stage in prepared.split.train.provenance],
        },
        "leaks": None if prepared.leaks is None else prepared.leaks.to_dict(),
        "candidates": {"kind": config.evaluation.candidates},
        "fingerprints": fingerprints,
        "metric_definitions_version": METRIC_DEFINITIONS_VERSION,
        "started": now,
        "ended": now,
        "config": options,
    }
    write_json(folder / RESULT, redacted(result))


def _options(config: ExperimentConfig, label: str, seed: int, report: Report) -> Mapping[str, Any]:
    """Return the options as a run keeps them, without those of a model that was not here."""
    nobody = {"model": {"name": MODEL, "label": label}, "trainer": {}, "negatives": None}
    plain = config.to_dict() | nobody | {"label": label, "seed": seed}
    return plain | {"evaluation": {**plain["evaluation"], "metrics": list(report.values)}}
