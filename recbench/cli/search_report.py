"""What people are shown of searches: before they begin, and when they have ended."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from recbench import metrics, repeat
from recbench.cli.compare import print_comparison
from recbench.cli.searching import remembered
from recbench.cli.task import JobEnd
from recbench.report import LOG
from recbench.search.record import SEARCH, WINNERS, Search, Trial, read_searches
from recbench.search.space import Choice, Domain
from recbench.sweep import budget_in_words
from recbench.text import aligned, printable

N_SHOWN = 10
"""Trials that a table shows, the best ones."""

_BAD = ("failed", "mistake")


def show(folder: Path, planned: Sequence[Search]) -> None:
    """Print what would be searched for, and what is done of it.

    Raises:
        RunError: A file cannot be read.
    """
    print(f"{len(planned)} search{'es' if len(planned) != 1 else ''} in {folder}; nothing is run.")
    for search in remembered(folder, planned, retry=False).searches:
        ended = sum(trial.status is not None for trial in search.trials)
        pruned = f", pruned by the {search.prune}" if search.prune != "none" else ""
        print(
            f"{search.model}: {budget_in_words(search.budget)} by {search.sampler}{pruned}, for {search.monitor} on "
            f"validation; {ended} so far"
        )
        first = search.config({}).to_dict()
        for key, domain in search.space.items():
            part, _, option = key.partition(".")
            print(f"  {key}  {_in_words(domain)}, first {repeat.written(first[part][option or 'name'])}")
        if search.seeds:
            print(f"  then the winner on training and validation with seeds {', '.join(map(str, search.seeds))}")


def summarise(folder: Path, ends: Iterable[JobEnd]) -> int:
    """Print what the searches in ``folder`` found, and return the exit code: 1 or 2 where a run failed.

    A trial that diverged is no failure of the search, which now knows where not to look. One that did not come to its
    end, of which nobody knows why, is a failure.

    Args:
        folder: Of the sweep.
        ends: How the runs ended that were launched, of which those of the winners are looked at.

    Raises:
        RunError: A file cannot be read.
    """
    searches = read_searches(folder).searches
    for search in searches:
        print(_head(search))
        print(_table(search))
        if search.winner is not None:
            print(f"the best: {repeat.command_line(search.config(search.trials[search.winner].options))}")
        print()
    _print_winners(folder, searches)
    bad = [trial for search in searches for trial in search.trials if trial.status in _BAD]
    for trial in bad:
        print(f"trial {trial.number}, {trial.status}: {trial.error} (see {folder / trial.folder / LOG})")
    print(f"all trials:  {folder / SEARCH}\nin TensorBoard:  recbench board {shlex.quote(str(folder))}")
    statuses = [str(trial.status) for trial in bad]
    for end in ends:
        if end.folder.parent.name == WINNERS and end.error is not None:
            print(f"a winner, {end.status}: {end.error} (see {end.folder / LOG})")
            statuses.append(end.status)
    if any(trial.status is None for search in searches for trial in search.trials):
        print("a trial did not come to its end; typed again, the command goes on.")
        statuses.append("failed")
    return 2 if set(statuses) == {"mistake"} else 1 if statuses else 0


def _print_winners(folder: Path, searches: Sequence[Search]) -> None:
    """Print the comparison of the winners that were trained anew, with what was spent on finding them."""
    finals = [folder / name for search in searches for name in search.finals]
    if not finals:
        return
    budgets = dict.fromkeys(budget_in_words(search.budget) for search in searches)
    print(f"winners, trained on training and validation together; tuned within {' or '.join(budgets)} each:")
    if print_comparison([run for run in finals if run.exists()]):
        print(f"the same table:  recbench compare {shlex.quote(str(folder / WINNERS))}")
    print()


def _head(search: Search) -> str:
    counts = Counter(trial.status or "interrupted" for trial in search.trials)
    ends = ", ".join(f"{count} {status}" for status, count in counts.items())
    return (
        f"{search.model}: {len(search.trials)} trial{'s' if len(search.trials) != 1 else ''} ({ends}) in "
        f"{search.seconds:.0f} s, within {budget_in_words(search.budget)}"
    )


def _table(search: Search) -> str:
    """Return the best trials; those without a value come last, and are not shown where there are many."""
    sign = metrics.parse(search.monitor).sign

    def place(trial: Trial) -> tuple[bool, float, int]:
        return trial.value is None, -sign * (trial.value or 0.0), trial.number

    lines = [["trial", f"valid {search.monitor}", "s", "options"]]
    for trial in sorted(search.trials, key=place)[:N_SHOWN]:
        value = str(trial.status) if trial.value is None else f"{trial.value:.4f}"
        options = " ".join(f"{key}={repeat.written(option)}" for key, option in trial.options.items())
        if trial.number == 0:
            options = f"the defaults: {options}" if options else "the defaults"
        lines.append([str(trial.number), value, f"{trial.seconds:.1f}", printable(options)])
    return "\n".join(aligned(lines, right=range(3)))


def _in_words(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return " or ".join(map(repeat.written, domain.choices))
    step = "" if domain.step is None else f", step {domain.step:g}"
    return f"{domain.low:g} to {domain.high:g}{step}{', by powers' if domain.log else ''}"
