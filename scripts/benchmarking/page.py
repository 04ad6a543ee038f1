"""The page on speed, and the figures beside it as JSON."""

from __future__ import annotations

import json
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
error. Times drift from machine to machine and hour to hour: the ratio is what counts. Memory is the most that the
process had, its libraries and the data included.
"""


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
    """Return what the JSON beside ``path`` has, so that tasks can be measured one by one."""
    beside = path.with_suffix(".json")
    kept = json.loads(beside.read_text()) if beside.exists() else {}
    return {"tasks": {}, "growth": {}, **kept}


def write(path: Path, kept: Mapping[str, Any]) -> None:
    """Write the page and the JSON beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(kept, indent=2) + "\n")
    text = [_INTRODUCTION, *_summary(kept["tasks"])]
    for name, found in kept["tasks"].items():
        text += ["", f"## {found['title']} (`{name}`)", "", f"{found['data']}; {found['threads']} threads; "]
        text[-1] += f"{found['machine']}."
        text += ["", *lines(found)]
    if kept["growth"]:
        text += [
            "",
            "## Growth",
            "",
            "recbench alone, on generated data of ML-100K's shape and 1 to 32 times its users.",
        ]
        text += [
            "",
            "| task | interactions | time | memory | exponent of time | of memory |",
            "|---|---|---|---|---|---|",
        ]
        text += [_growth(found) for found in kept["growth"].values()]
    path.write_text("\n".join(text).rstrip() + "\n")


def _summary(tasks: Mapping[str, Any]) -> list[str]:
    head = "| task | fastest peer | ratio | wanted | |"
    text = [head, "|---|---|---|---|---|"]
    for name, found in tasks.items():
        peers = {system: _median(of) for system, of in found["systems"].items() if system != "recbench"}
        fastest = min(peers, key=lambda system: peers[system])
        ratio = peers[fastest] / _median(found["systems"]["recbench"])
        wanted = found["wanted"]
        word = (
            "**slower**" if ratio < 1 else "reached" if wanted is None or ratio >= wanted else "faster, not as wanted"
        )
        text.append(f"| `{name}` | {fastest} | {ratio:.2f} | {wanted or ''} | {word} |")
    return text


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
        peak = f"{of['peak'] / 2**20:,.0f}" if of["peak"] else ""
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
    return (
        f"| {found['title']} | {sizes[0]:,} to {sizes[-1]:,} | {seconds[0]:.4g} to {seconds[-1]:.4g} s | "
        f"{peaks[0] / 2**20:,.0f} to {peaks[-1] / 2**20:,.0f} MiB | {found['exponent_of_time']:.2f} | "
        f"{found['exponent_of_memory']:.2f} |"
    )
