"""The options of an experiment: from plain nested values to one typed, frozen and complete configuration."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import AfterValidator, BeforeValidator, Field

from recbench import datasets, models, negatives, plugins, redaction, splits, trainers
from recbench.cleaning.normalise import NormaliseConfig
from recbench.cleaning.written import described
from recbench.compiled.backend import resolve_backend
from recbench.datasets import DatasetConfig
from recbench.errors import ConfigError
from recbench.evaluation import EvaluationConfig
from recbench.kernels import Backend, BackendName
from recbench.models import Model
from recbench.nn.losses import losses
from recbench.options import TOO_DEEP, Config, NestedMistakes, did_you_mean, too_deep
from recbench.published import Published
from recbench.registry import Entry, Registry
from recbench.splits import Splitter
from recbench.tracking import TrackingConfig

PARTS: Mapping[str, Registry[Any]] = {
    "dataset": datasets.registry,
    "split": splits.registry,
    "model": models.registry,
    "trainer": trainers.registry,
    "negatives": negatives.registry,
}
PLAIN: Mapping[str, type[Config]] = {"evaluation": EvaluationConfig, "tracking": TrackingConfig}
AUTO = "auto"


def _check_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("should be auto, cpu, cuda or cuda:N.")
    return name


def _checked_published(value: Any) -> Any:
    faults = Published.faults(value) if isinstance(value, Mapping) else {}
    if faults:
        raise NestedMistakes(f".{line}" for lines in faults.values() for line in lines.split("\n"))
    return value


class Tuning(Config):
    """What a search had spent when it came to a configuration."""

    budget: str
    """What it was allowed, such as ``20 trials`` or ``600 seconds``."""

    trials: int = Field(ge=1)
    """Trials until then, pruned and failed ones too."""

    seconds: float = Field(ge=0)
    """Wall-clock time of the trials that had ended, added up."""


class Settings(Config):
    """Options of the run itself, at the top level of a configuration."""

    seed: int = Field(0, ge=0)
    """Seed of initialisation, shuffling, negatives and dropout; splits and data have their own."""

    device: Annotated[str, AfterValidator(_check_device)] = "auto"
    """Where to compute: auto (CUDA where there is one), cpu, cuda, cuda:1. In a sweep auto and cuda are a GPU of
    the job's own, while there are enough."""

    threads: int | None = Field(None, ge=1)
    """Threads of a run; null is the number of physical cores over the jobs running at once."""

    backend: BackendName = "auto"
    """What computes: torch; compiled (by numba, on the CPU), where there are such loops for the model and its options:
    mf by optimizer=sgd with batch_size=1, gmf, mlp and neumf by adam and sgd without reg and dropout, ials, item_knn,
    user_knn by prune_axis=row, ease; or auto, which is compiled where that applies and is installed."""

    label: str | None = None
    """A name for the row in comparisons; null names the model."""

    checkpoints: Literal["best", "last", "none"] = "best"
    """What is kept in the run's folder: best, the fitted model, and while training what resuming needs; last, that too
    when it is done; none, neither."""

    checkpoint_seconds: float = Field(60.0, ge=0)
    """Time between two states that are kept for resuming, also in the middle of an epoch; 0 keeps one each step."""

    fit_on: Literal["train", "train_valid"] = "train"
    """What the model is fitted on: the training part alone, so that validation can choose the epoch; or, once the
    options and the number of epochs are chosen, training and validation together."""

    experiment: str | None = None
    """Set by ``experiment=NAME``: the citable configuration that this run belongs to."""

    tuning: Tuning | None = None
    """Set by a search: what was spent on finding these options."""

    published: Annotated[Published | None, BeforeValidator(_checked_published)] = None
    """Set by the file of an experiment: what was published on it."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides an experiment's numbers, typed and complete.

    ``trainer`` and ``negatives`` may be left out: then they are the model's own.
    """

    model: Config
    dataset: Config
    split: Config = field(default_factory=lambda: splits.registry.entry("random").configure({}))
    trainer: Config | None = None
    negatives: Config | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    settings: Settings = Settings()

    INDIFFERENT: ClassVar[tuple[str, ...]] = (
        "tracking",
        "label",
        "checkpoints",
        "checkpoint_seconds",
        "experiment",
        "published",
        "tuning",
    )
    """What changes no number of a run."""

    def __post_init__(self) -> None:
        """Fill in the model's own trainer and sampler, and check what no part can check alone.

        Raises:
            ConfigError: Parts do not fit together.
        """
        model = _class_of(models.registry.entry_of(self.model))
        if self.trainer is None:
            own = trainers.registry.entry(model.trainer)
            options = _measured_monitor(own, model.trainer_defaults, self.evaluation)
            object.__setattr__(self, "trainer", own.configure(options))
        name = _sampler_name(model, self.model)
        if self.negatives is None and name is not None:
            object.__setattr__(self, "negatives", _sampler_defaults(model, name))
        _check_together(self)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.settings.seed

    def to_dict(self) -> dict[str, Any]:
        """Return the plain nested values, as ``resolve`` takes them."""
        plain: dict[str, Any] = {}
        for name, registry in PARTS.items():
            config = getattr(self, name)
            plain[name] = None if config is None else _named(registry, config)
        for name in PLAIN:
            plain[name] = getattr(self, name).model_dump(mode="json")
        return plain | self.settings.model_dump(mode="json")

    def backend(self, device: torch.device) -> Backend:
        """Return the backend that the run has on ``device``.

        Raises:
            ConfigError: The one that was asked for does not apply, or is not installed.
        """
        model = _class_of(models.registry.entry_of(self.model))
        return resolve_backend(self.settings.backend, model, self.model, self.trainer, self.negatives, device)

    @property
    def identity(self) -> str:
        """SHA-256 of everything in the configuration that can change a number of the run."""
        return identity_of(self.to_dict())


def identity_of(plain: Mapping[str, Any]) -> str:
    """Return the ``identity`` of a configuration that ``to_dict`` gave, here or where options were fewer."""
    counts = {name: value for name, value in plain.items() if name not in ExperimentConfig.INDIFFERENT}
    if counts.get("fit_on") == "train":
        del counts["fit_on"]  # As it was before there was a choice: results of then keep their identity.
    return hashlib.sha256(json.dumps(counts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Resolved:
    """A checked configuration, and the given options that do not apply to its model."""

    config: ExperimentConfig
    not_applicable: tuple[str, ...] = ()


def resolve(composed: Mapping[str, Any], *, several_models: bool = False) -> Resolved:
    """Return the typed configuration of plain nested values.

    Args:
        composed: ``{"model": {"name": "mf", "dim": 8}, "seed": 1, ...}``; what is left out has its default.
        several_models: Whether this is one of a sweep over models: then ``trainer.*`` and ``negatives.*`` options
            that this one has no use for are recorded as not applicable, and are no mistake.

    Raises:
        ConfigError: With **all** mistakes, each naming the key, the value, what is allowed, and the nearest name.
    """
    plugins.load()
    mistakes = [f"{key}: {TOO_DEEP}" for key, value in composed.items() if too_deep(value)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    groups = [*PARTS, *PLAIN]
    unknown = [key for key in composed if key not in groups and key not in Settings.model_fields]
    for key in unknown:
        mistakes.append(f"no option {key!r}. {did_you_mean(str(key), [*groups, *Settings.model_fields])}")
    mistakes += redaction.refused(composed)
    parts: dict[str, Any] = {}
    given = {name: _given(composed, name, mistakes) for name in groups}
    given["split"].setdefault("name", "random")
    for name in ("dataset", "split", "model"):
        _collect(parts, name, mistakes, lambda name=name: _configured(PARTS[name], given[name]))
    for name, config in PLAIN.items():
        _collect(parts, name, mistakes, lambda name=name, config=config: config.from_mapping(given[name], name))
    settings = {key: composed[key] for key in Settings.model_fields if key in composed}
    _collect(parts, "settings", mistakes, lambda: Settings.from_mapping(settings, "the run"))
    ignored: list[str] = []
    model = _entry_or_none(given["model"])
    if model is not None:
        _collect(
            parts,
            "trainer",
            mistakes,
            lambda: _trainer(model, given["trainer"], parts.get("evaluation"), several_models, ignored),
        )
        if "model" in parts:
            _collect(
                parts,
                "negatives",
                mistakes,
                lambda: _negatives(model, parts["model"], given["negatives"], several_models, ignored),
            )
    if not mistakes:
        _collect(parts, "whole", mistakes, lambda: ExperimentConfig(**parts))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return Resolved(parts["whole"], tuple(ignored))


def _named(registry: Registry[Any], config: Config) -> dict[str, Any]:
    return {"name": registry.entry_of(config).name, **config.model_dump(mode="json")}


def _given(composed: Mapping[str, Any], name: str, mistakes: list[str]) -> dict[str, Any]:
    value = composed.get(name)
    if value is None:
        return {}
    if isinstance(value, str) and name in PARTS:
        return {"name": value}
    if not isinstance(value, Mapping):
        mistakes.append(f"{name} = {value!r}: should be the options of the {name}, e.g. {name}.KEY=VALUE.")
        return {}
    return dict(value)


def _collect(parts: dict[str, Any], name: str, mistakes: list[str], make: Any) -> None:
    try:
        parts[name] = make()
    except ConfigError as error:
        mistakes.append(str(error))


def _configured(registry: Registry[Any], given: dict[str, Any]) -> Config:
    if "name" not in given:
        raise ConfigError(f"no {registry.kind} is chosen. Known: {', '.join(registry.names())}.")
    entry = registry.entry(str(given["name"]))
    return entry.configure({key: value for key, value in given.items() if key != "name"})


def _entry_or_none(given: Mapping[str, Any]) -> Entry[Model] | None:
    name = str(given.get("name"))
    return models.registry.entry(name) if name in models.registry else None


def _class_of(entry: Entry[Model]) -> type[Model]:
    return cast(type[Model], entry.target)


def _trainer(
    model: Entry[Model],
    given: dict[str, Any],
    evaluation: EvaluationConfig | None,
    several_models: bool,
    ignored: list[str],
) -> Config:
    """Return the options of the trainer of ``model``: its defaults, under what was given."""
    name = str(given.pop("name", AUTO))
    own = _class_of(model).trainer
    if name not in (AUTO, own):
        trainers.registry.entry(name)
        raise ConfigError(f"model {model.name!r} is fitted by trainer {own!r}, not by {name!r}; leave trainer=auto.")
    entry = trainers.registry.entry(own)
    _set_aside("trainer", entry, given, model.name, several_models, ignored)
    options = {**_class_of(model).trainer_defaults, **given}
    return entry.configure(options if evaluation is None else _measured_monitor(entry, options, evaluation))


def _measured_monitor(trainer: Entry[Any], options: Mapping[str, Any], evaluation: EvaluationConfig) -> dict[str, Any]:
    """Return ``options``, with the first metric as the monitor where the usual one is not measured."""
    monitor = trainer.options.model_fields.get("monitor")
    if monitor is None or "monitor" in options or monitor.default in evaluation.metrics:
        return dict(options)
    return {**options, "monitor": evaluation.metrics[0]}


def _negatives(
    model: Entry[Model], config: Config, given: dict[str, Any], several_models: bool, ignored: list[str]
) -> Config | None:
    """Return the options of the sampler of ``model``, or None where its loss needs no negatives."""
    chosen = str(given.pop("name", AUTO))
    usual = _sampler_name(_class_of(model), config)
    if chosen != AUTO:
        negatives.registry.entry(chosen)
    if usual is None:
        unused = [f"negatives.{key}" for key in given] + (["negatives"] if chosen != AUTO else [])
        if unused and not several_models:
            raise ConfigError(
                f"{unused[0]} has no effect: model {model.name!r}"
                + (f" with loss {config.loss!r}" if hasattr(config, "loss") else "")
                + " uses no negatives."
            )
        ignored.extend(unused)
        return None
    entry = negatives.registry.entry(usual if chosen == AUTO else chosen)
    _set_aside("negatives", entry, given, model.name, several_models, ignored)
    defaults = _sampler_defaults(_class_of(model), entry.name)
    return entry.configure({**defaults.model_dump(mode="json"), **given})


def _set_aside(
    group: str, entry: Entry[Any], given: dict[str, Any], model: str, several_models: bool, ignored: list[str]
) -> None:
    """Move the options that only other parts of the family have from ``given`` to ``ignored``."""
    registry = PARTS[group]
    others = {key for name in registry.names() for key in registry.entry(name).options.model_fields}
    foreign = [key for key in given if key not in entry.options.model_fields and key in others]
    if foreign and not several_models:
        raise ConfigError(
            "\n".join(
                f"{group}.{key} = {given[key]!r} has no effect on model {model!r}, whose {group} is {entry.name!r}."
                for key in foreign
            )
        )
    for key in foreign:
        del given[key]
        ignored.append(f"{group}.{key}")


def _sampler_name(model: type[Model], config: Config) -> str | None:
    """Return the model's usual sampler, or None where its loss compares with ratings or it has no loss."""
    loss = getattr(config, "loss", None)
    if model.negatives is None or loss is None or losses.entry(loss).traits["target"] == "ratings":
        return None
    return model.negatives


def _sampler_defaults(model: type[Model], name: str) -> Config:
    """Return the options of sampler ``name`` with those of the model's wishes that it has."""
    entry = negatives.registry.entry(name)
    wishes = {key: value for key, value in model.negatives_defaults.items() if key in entry.options.model_fields}
    return entry.configure(wishes)


def without_effect(config: ExperimentConfig) -> tuple[str, ...]:
    """Return a sentence for each step of cleaning that changes nothing of what the model learns and predicts."""
    model = models.registry.entry_of(config.model)
    if not isinstance(config.dataset, DatasetConfig) or _class_of(model).predicts_ratings(config.model):
        return ()
    loss = f" with loss {config.model.loss!r}" if hasattr(config.model, "loss") else ""
    return tuple(
        f"the cleaning step {described(step)} has no effect: model {model.name!r}{loss} learns from no ratings. "
        "Leave it out."
        for step in config.dataset.steps
        if isinstance(step, NormaliseConfig)
    )


def _check_together(config: ExperimentConfig) -> None:
    model = models.registry.entry_of(config.model)
    rated = config.evaluation.computes("ratings")
    if rated and not _class_of(model).predicts_ratings(config.model):
        raise ConfigError(f"metric {rated[0]!r}: model {model.name!r} with these options predicts no ratings.")
    protocol = splits.registry.entry_of(config.split)
    splitter = cast(type[Splitter], protocol.target)
    if config.evaluation.candidates == "published" and protocol.name != "fixed":
        raise ConfigError(
            "evaluation.candidates = 'published': are made for the split that the data comes with, not for split "
            f"{protocol.name!r}; set split=fixed, or evaluation.candidates=sampled."
        )
    if splitter.folds_in(config.split) and not _class_of(model).folds_in:
        able = [name for name in models.registry.names() if _class_of(models.registry.entry(name)).folds_in]
        raise ConfigError(
            f"split {protocol.name!r} with these options asks users who are kept out of training, and model "
            f"{model.name!r} only knows the users it was trained on. Models that go by the history alone: "
            f"{', '.join(able)}."
        )
    if config.settings.fit_on == "train_valid" and not splitter.may_validate(config.split):
        raise ConfigError("fit_on = 'train_valid': the split has no validation part; leave fit_on alone.")
    config.backend(torch.device("cuda" if config.settings.device.startswith("cuda") else "cpu"))
    monitor, selection = getattr(config.trainer, "monitor", None), getattr(config.trainer, "selection", None)
    watched = selection == "test" or (selection in ("auto", "valid") and splitter.may_validate(config.split))
    if watched and monitor not in config.evaluation.metrics:
        raise ConfigError(
            f"trainer.monitor = {monitor!r}: is not measured; add it to evaluation.metrics, or monitor one of: "
            f"{', '.join(config.evaluation.metrics)}."
        )
    if selection == "valid" and not splitter.may_validate(config.split):
        raise ConfigError("trainer.selection = 'valid': the split has no validation part; use 'last'.")
    if selection == "valid" and config.settings.fit_on == "train_valid":
        raise ConfigError(
            "trainer.selection = 'valid': with fit_on='train_valid' nothing is left to validate on; use 'last'."
        )
    if selection == "test" and config.settings.experiment is None:
        raise ConfigError(
            "trainer.selection = 'test': is allowed only inside experiment=NAME, since choosing the epoch on the "
            "test part flatters the model; use 'valid' or 'last'."
        )
