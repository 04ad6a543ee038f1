"""The page on speed, and the figures beside it as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_INTRODUCTION = """\
# Speed, beside the peers

Made by `scripts/benchmark`; nothing here is written by hand, and the figures stand beside it as JSON. Each task was run
in turn (recbench, peer, recbench, peer, ...) after one round that warms up, on equal data, split and threads. Times are
medians with the smallest and largest; quality is the mean over the repeats, each with a seed of its own, ± its standard
error. The summary compares with the peer that the wanted ratio is against: its time over recbench's, and recbench's
quality over its, in Recall@20 or NDCG@10, whichever is worse. A ratio is reached where quality is at most 1 % below,
too. Times drift from machine to machine and hour to hour: the ratio is what counts. Memory is the most that the
process had, its libraries and the data included; nothing stands there where it never had more than when it began.
"""


LEAST_QUALITY = 0.99
"""Our quality over the peer's at least, for a ratio of times to count as reached."""
EXPONENT_OF_TIME, MEMORY_OVER_RAW = 1.07, 6
"""At most: 2.1 times the time for twice the interactions, and bytes over those of the interactions."""
RAW_BYTES = 16
"""Of an interaction: a user's and an item's index, int64 each."""

_GROWTH = f"""\

## Growth

recbench alone, on generated data of ML-100K's shape and 2 to 64 times its users. Wanted: an exponent of time of at most
{EXPONENT_OF_TIME}, that is 2.1 times the time for twice the interactions, and memory of at most {MEMORY_OVER_RAW} times
the raw interactions ({RAW_BYTES} bytes each, those of the test part among them) without the model's parameters. The
exponent is the slope of log time over log interactions by least squares; beside it what it makes of a doubling, and the
worst of the single doublings. Memory over raw is what the largest size takes beyond the smallest, over what it has in
interactions beyond it; beside it all that the largest takes beyond what the process had before it read the data, and so
with what is compiled and set up once, which can hide what small data takes: only if that is within what is wanted too,
memory is reached.

| task | interactions | time | exponent, wanted {EXPONENT_OF_TIME} | a doubling, wanted 2.1 | the worst one | memory | \
over raw, wanted {MEMORY_OVER_RAW} | with what is set up once | |
|---|---|---|---|---|---|---|---|---|---|"""


def machine() -> str:
    """Return what it was measured on, in words."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    import torch

    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def read(path: Path) -> dict[str, Any]:
    """Return what the JSON beside ``path`` has, so that tasks can be measured one by one.

    Where it does not say which peer a task is against, as it once did not, that is the first one.
    """
    beside = path.with_suffix(".json")
    kept: dict[str, Any] = {"tasks": {}, "growth": {}}
    kept |= json.loads(beside.read_text()) if beside.exists() else {}
    for found in kept["tasks"].values():
        found.setdefault("against", next(system for system in found["systems"] if system != "recbench"))
    return kept


def write(path: Path, kept: Mapping[str, Any]) -> None:
    """Write the page and the JSON beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(kept, indent=2) + "\n")
    text = [_INTRODUCTION, *_summary(kept["tasks"])]
    for name, found in kept["tasks"].items():
        rounds = len(found["systems"]["recbench"]["seconds"])
        text += [
            "",
            f"## {found['title']} (`{name}`)",
            "",
            f"{found['data']}; {rounds} rounds; {found['threads']} threads; ",
        ]
        text[-1] += f"{found['machine']}."
        text += ["", *lines(found)]
    if kept["growth"]:
        text += [_GROWTH, *map(_growth, kept["growth"].values())]
    path.write_text("\n".join(text).rstrip() + "\n")


def _summary(tasks: Mapping[str, Any]) -> list[str]:
    text = ["| task | against | ratio | wanted | quality over its | | fastest peer, where another |", "|---" * 7 + "|"]
    for name, found in tasks.items():
        systems, wanted = found["systems"], found["wanted"]
        ours, peer = systems["recbench"], systems[found["against"]]
        peers = {system: _median(of) for system, of in systems.items() if system != "recbench"}
        fastest = min(peers, key=lambda system: peers[system])
        other = f"{fastest}, {peers[fastest] / _median(ours):.2f}" if fastest != found["against"] else ""
        ratio, worth = _median(peer) / _median(ours), worst_quality(ours, peer)
        quality = "no lists" if worth is None else f"{worth:.3f}"
        text.append(
            f"| `{name}` | {found['against']} | {ratio:.2f} | {wanted or ''} | {quality} | "
            f"{verdict(ratio, wanted, worth)} | {other} |"
        )
    return text


def worst_quality(ours: Mapping[str, Any], peer: Mapping[str, Any]) -> float | None:
    """Return our mean over the peer's in the metric where that is least; None where one of them has no lists."""
    both = [metric for metric in ours["qualities"] if metric in peer["qualities"]]
    means = [[statistics.fmean(of["qualities"][metric]) for of in (ours, peer)] for metric in both]
    return min((mine / theirs if theirs else math.inf for mine, theirs in means), default=None)


def verdict(ratio: float, wanted: float | None, quality: float | None) -> str:
    """Return in words what a ratio of times and one of qualities come to.

    Args:
        ratio: The peer's time over ours.
        wanted: At least this, or None.
        quality: Our quality over the peer's, or None where nothing can be said of it.
    """
    speed = "**slower**" if ratio < 1 else "faster, not as wanted" if wanted and ratio < wanted else "reached"
    if quality is None or quality >= LEAST_QUALITY:
        return speed
    speed = "as fast as wanted" if speed == "reached" else speed
    return f"{speed}, **quality more than 1 % below**"


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the table of one task."""
    first = found["unit"] if found["users"] else f"seconds, {found['unit']}"
    text = [f"| system | {first} | of recbench's | Recall@20 | NDCG@10 | memory, MiB | same lists again |"]
    text.append("|---" * 7 + "|")
    ours = _median(found["systems"]["recbench"])
    for system, of in found["systems"].items():
        times = sorted(of["seconds"])
        shown = [statistics.median(times), times[0], times[-1]]
        if found["users"]:
            median, low, high = (f"{found['users'] / value:,.0f}" for value in (shown[0], shown[2], shown[1]))
        else:
            median, low, high = (f"{value:.4g}" for value in shown)
        qualities = [_quality(of["qualities"].get(metric)) for metric in ("recall@20", "ndcg@10")]
        again = {True: "yes", False: "no", None: ""}[of["repeats"]]
        peak = f"{of['peak'] / 2**20:,.0f}" if of["peak"] > of.get("start", 0) else ""
        text.append(
            f"| {system} | {median} ({low} to {high}) | {_median(of) / ours:.2f} | {' | '.join(qualities)} | {peak} | "
            f"{again} |"
        )
    return text


def _median(of: Mapping[str, Any]) -> float:
    return statistics.median(of["seconds"])


def _quality(values: list[float] | None) -> str:
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values) / len(values) ** 0.5:.4f}"


def _growth(found: Mapping[str, Any]) -> str:
    sizes, seconds, peaks = found["interactions"], found["seconds"], found["peak"]
    most = max(after / before for before, after in zip(seconds, seconds[1:]))
    exponent, memory = found["exponent_of_time"], memory_over_raw(found)
    words = f"time {'reached' if exponent <= EXPONENT_OF_TIME else '**not as wanted**'}, memory "
    if memory["all"] <= MEMORY_OVER_RAW:
        words += "reached"
    else:
        words += "hidden by what is set up once" if memory["grown"] <= MEMORY_OVER_RAW else "**not as wanted**"
    return (
        f"| {found['title']} | {sizes[0]:,} to {sizes[-1]:,} | {seconds[0]:.4g} to {seconds[-1]:.4g} s, "
        f"{found['unit']} | {exponent:.2f} | {2**exponent:.2f} | {most:.2f} | "
        f"{peaks[0] / 2**20:,.0f} to {peaks[-1] / 2**20:,.0f} MiB | {memory['grown']:.2f} | {memory['all']:.2f} | "
        f"{words} |"
    )


def memory_over_raw(found: Mapping[str, Any]) -> dict[str, float]:
    """Return memory without the model's parameters, over the bytes of the interactions.

    ``grown`` is what the largest size has beyond the smallest, over what it has in interactions beyond it; ``all`` is
    what the largest has beyond what the process had before it read the data, over all its interactions.
    """
    taken = [peak - model for peak, model in zip(found["peak"], found["parameters"])]
    raw = [RAW_BYTES * n for n in found["interactions"]]
    return {"grown": (taken[-1] - taken[0]) / (raw[-1] - raw[0]), "all": (taken[-1] - found["start"][-1]) / raw[-1]}
