"""What users write as KEY=VALUE: read by Hydra's grammar, checked, and made ready for Hydra."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, QuotedString, RangeSweep
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource

from recbench.cli import Mistakes
from recbench.cli.launchers import EXTRAS
from recbench.configuration import AUTO, PARTS
from recbench.errors import ConfigError
from recbench.options import did_you_mean
from recbench.repeat import written

CONFIG = "config"
"""Name of the first file that Hydra reads."""

GROUPS = (*PARTS, "experiment", "sweep")
"""Groups of ours, also where no file is in them."""

MAX_JOBS = 100_000
"""Of a sweep: more could not even be listed in reasonable time and memory."""

_LAUNCHER = "hydra/launcher"
_HANGS_ON = {"model": ("model", "trainer", "negatives"), _LAUNCHER: ("hydra",)}


class Overrides:
    """Reads overrides and knows which of their keys are groups.

    Attributes:
        repository: All files and registered parts, those of ``hydra.searchpath`` too.
    """

    def __init__(self, loader: ConfigLoader, words: Sequence[str]) -> None:
        """Find the files.

        Args:
            loader: Hydra's.
            words: What was typed; the ``hydra.searchpath`` among them says where files are looked for.

        Raises:
            ConfigError: A file is in the place of a registered part, or a folder is missing.
        """
        assert isinstance(loader, ConfigLoaderImpl)
        self.parser = OverridesParser.create(config_loader=loader)
        searchpath = [word for word in words if word.lstrip("+").startswith("hydra.searchpath=")]
        try:
            _, self.repository = loader._parse_overrides_and_create_caching_repo(CONFIG, searchpath)
        except HydraException as error:
            raise ConfigError(str(error)) from None
        _refuse_misplaced_files(self.repository.get_sources())

    def choices(self, group: str) -> list[str]:
        """Return what can be chosen in ``group``, in its folders too; nothing where it is no group."""
        found = self.repository.get_group_options(group)
        for folder in self.repository.get_group_options(group, ObjectType.GROUP):
            found += [f"{folder}/{name}" for name in self.choices(f"{group}/{folder}")]
        return found

    def is_group(self, key: str) -> bool:
        """Return whether ``key`` chooses a file or a registered part."""
        return key in GROUPS or self.repository.group_exists(key)

    def read(self, words: Iterable[str]) -> tuple[list[Override], list[str]]:
        """Return the parsed words and the mistakes in them.

        Every plain key becomes ``++key``, so that it may be one that no file has. What cannot be read is left out,
        and with a choice that does not exist all that hangs on it, so that the rest can be checked too.
        """
        read: list[Override] = []
        mistakes: list[str] = []
        missing: list[str] = []
        for word in words:
            try:
                override = self._parse(word)
            except ConfigError as error:
                mistakes.append(str(error))
                continue
            unknown = self._unknown_choices(override)
            if unknown:
                mistakes += unknown
                missing += _HANGS_ON.get(override.key_or_group, (override.key_or_group,))
            else:
                read.append(override)
        kept = [override for override in read if override.key_or_group.partition(".")[0] not in missing]
        return kept, mistakes

    def _parse(self, word: str) -> Override:
        try:
            (override,) = self.parser.parse_overrides([word])
        except HydraException:
            raise ConfigError(self._how_to_write(word)) from None
        _refuse_endless(override)
        key = override.key_or_group
        if not key:
            raise ConfigError(f"{word!r}: the key is missing; write KEY=VALUE, e.g. model.dim=64.")
        if override.type == OverrideType.CHANGE and not override.is_hydra_override() and not self.is_group(key):
            (override,) = self.parser.parse_overrides([f"++{word}"])
        return override

    def _how_to_write(self, word: str) -> str:
        """Return why Hydra's grammar refuses ``word``, and the word as it should be typed."""
        key, equals, value = word.partition("=")
        if not equals:
            group = next((group for group in PARTS if word in self.choices(group)), None)
            hint = f"did you mean {group}={word}?" if group else "write KEY=VALUE, e.g. model=mf or model.dim=64."
            return f"{word!r} is no KEY=VALUE: {hint}"
        if not re.fullmatch(r"(\+|\+\+|~)?[A-Za-z_][\w./@:-]*", key, re.ASCII):
            return f"{word!r}: the key {key!r} cannot be; write KEY=VALUE, e.g. model.dim=64."
        plain = not re.search(r"[\"'\\$]", value)
        right = f"'{key}=\"{value}\"'" if plain else shlex.quote(f"{key}={written(value)}")
        return (
            f"{word!r}: the value cannot be read. A text with '=', brackets, commas, quotes or letters beyond "
            f"English has quotes of its own inside those of the shell; write {right}."
        )

    def _unknown_choices(self, override: Override) -> list[str]:
        group = override.key_or_group
        if override.is_delete() or not self.is_group(group):
            return []
        chosen: list[Any] = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
        known = self.choices(group)
        mistakes = []
        for value in chosen:
            name = value.text if isinstance(value, QuotedString) else value
            may_be_none = group not in PARTS
            if not (name in known if isinstance(name, str) else name is None and may_be_none):
                mistakes.append(self._no_such_choice(group, name, known))
        return mistakes

    def _no_such_choice(self, group: str, name: object, known: Sequence[str]) -> str:
        if group == _LAUNCHER and name in EXTRAS:
            return f"{group}={name}: is not installed; install it: pip install 'recbench[{EXTRAS[str(name)]}]'."
        kind = PARTS[group].kind if group in PARTS else group
        shown = [choice for choice in known if not choice.rpartition("/")[2].startswith("_")]
        if isinstance(name, str):
            return f"no {kind} {name!r}. {did_you_mean(name, shown)}"
        return f"{group} = {name!r}: should be one name. {did_you_mean(str(name), shown)}"


def _refuse_misplaced_files(sources: Iterable[ConfigSource]) -> None:
    """Raise where a folder is missing, or a file would silently stand in the place of a registered part."""
    mistakes = []
    for source in sources:
        if source.scheme() == "structured" or source.provider == "hydra":
            continue
        if not source.available():
            mistakes.append(f"hydra.searchpath: {source.path!r} is no folder.")
        for group, registry in PARTS.items():
            files = source.list(group, ObjectType.CONFIG) if source.is_group(group) else []
            for name in sorted({*files} & {*registry.names(), AUTO}):
                mistakes.append(
                    f"{source.path}/{group}/{name}.yaml shadows the registered {registry.kind} {name!r}; give the "
                    f"file another name and start it with 'defaults: [{name}]'."
                )
    if mistakes:
        raise Mistakes(mistakes)


def _refuse_endless(override: Override) -> None:
    """Refuse a range of no values, of more than a sweep may have jobs, or of a number that cannot be told."""
    sweep = override.value() if override.is_sweep_override() else None
    if not isinstance(sweep, RangeSweep):
        return
    assert sweep.start is not None and sweep.stop is not None
    word, step = override.input_line, abs(sweep.step)
    if step == 0 or not all(map(math.isfinite, (sweep.start, sweep.stop, step))):
        raise ConfigError(f"{word}: the step of a range should not be 0, and all three numbers should be finite.")
    length = sweep.stop - sweep.start if sweep.step > 0 else sweep.start - sweep.stop
    if length <= 0:
        raise ConfigError(f"{word}: holds no value; write range(START,STOP,STEP), STOP is not part of it.")
    # Not as a quotient, for which whole numbers may be too large.
    if length > MAX_JOBS * step:
        raise ConfigError(f"{word}: is more than {MAX_JOBS:,} values, and no sweep may have more jobs.")


def typed(words: Iterable[str]) -> list[str]:
    """Return overrides as users type them."""
    return [word.removeprefix("++") for word in words]
