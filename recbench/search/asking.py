"""What a search asks for next: optuna's samplers, by ask and tell over what is remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recbench import metrics
from recbench.errors import ConfigError
from recbench.randomness import derive
from recbench.search.record import Search, Trial
from recbench.search.space import options_in, settings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_TRIES = 20
"""Settings that were tried before which a sampler may come up with in a row."""


def next_options(search: Search) -> dict[str, Any] | None:
    """Return the options of the trial after those that ``search`` has, None where its space has no other.

    The first has the defaults. Each one is drawn with a seed of its own, from the sampler's seed and its number; so
    the same trials come after each other however often the search was stopped.

    Raises:
        ConfigError: optuna is not installed.
    """
    if not search.trials:
        return options_in(search.config({}).to_dict(), search.space)
    if not search.space:
        return None
    tried = [trial.options for trial in search.trials]
    ended = [trial for trial in search.trials if trial.status is not None]
    for attempt in range(_TRIES):
        seed = derive(search.sampler_seed, "sampler", len(tried), attempt) % 2**32
        study = study_of(search, ended, sampler=_samplers()[search.sampler](seed))
        asked = study.ask({key: domain.distribution() for key, domain in search.space.items()})
        options = {key: search.space[key].decoded(code) for key, code in asked.params.items()}
        if options not in tried:
            return options
    others = [options for options in settings(search.space) or () if options not in tried]
    return others[derive(search.sampler_seed, "others", len(tried)) % len(others)] if others else None


def study_of(
    search: Search,
    trials: Sequence[Trial],
    *,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    curves: Mapping[int, Mapping[int, float]] = {},
) -> Study:
    """Return the study that knows ``trials`` of ``search``; larger values are better in it.

    Args:
        search: Whose they are.
        trials: Those that have ended.
        sampler: What asks.
        pruner: What says which trial is hopeless.
        curves: The value after each validated epoch, by the number of the trial.

    Raises:
        ConfigError: optuna is not installed.
    """
    study = import_optuna().create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.add_trials([_frozen(search, trial, curves.get(trial.number, {})) for trial in trials])
    return study


def _frozen(search: Search, trial: Trial, curve: Mapping[int, float]) -> FrozenTrial:
    optuna = import_optuna()
    states = {"done": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    codes = {key: search.space[key].coded(value) for key, value in trial.options.items()}
    # The defaults may lie outside the space in some directions; in these nothing is known of them.
    inside = {key: code for key, code in codes.items() if code is not None}
    sign = metrics.parse(search.monitor).sign
    return optuna.trial.create_trial(
        state=states.get(str(trial.status), optuna.trial.TrialState.FAIL),
        value=None if trial.value is None else sign * trial.value,
        params=inside,
        distributions={key: search.space[key].distribution() for key in inside},
        intermediate_values={epoch: sign * value for epoch, value in curve.items()},
    )


def _samplers() -> Mapping[str, Callable[[int], BaseSampler]]:
    samplers = import_optuna().samplers
    return {
        "tpe": lambda seed: samplers.TPESampler(seed=seed),
        "random": lambda seed: samplers.RandomSampler(seed=seed),
        "gp": lambda seed: samplers.GPSampler(seed=seed),
    }


def import_optuna() -> Any:
    """Return the module, which takes a second to import and need not be there.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("a search needs optuna; install it: pip install 'recbench[sweep]'.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
