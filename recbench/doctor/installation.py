"""Whether recbench can work here: versions, threads, devices, folders, plugins."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import recbench
from recbench import datasets, plugins
from recbench.data.cache import MIRROR, cache_path
from recbench.doctor import Finding
from recbench.resources import available_cores

_FEW_BYTES = 2 << 30
_GIVES = {
    "parquet": "reading Parquet files",
    "fast": "compiled loops (backend)",
    "export": "'recbench export'",
    "dev": "scripts/test",
}


def installation() -> list[Finding]:
    """Return what was found, each aspect in the order in which one mends them."""
    if _version("recbench") is None:
        return [Finding("wrong", "recbench", "is imported from a folder and not installed.", "pip install -e . there.")]
    return [*_python(), *_packages(), *_extras(), *_plugins(), *_machine(), *_cache(), *_mirror(), *_working_folder()]


def _python() -> Iterator[Finding]:
    found, wanted = platform.python_version(), importlib.metadata.metadata("recbench")["Requires-Python"]
    if SpecifierSet(wanted).contains(found):
        yield Finding("ok", "Python", found)
    else:
        yield Finding("wrong", "Python", f"{found}, and recbench needs {wanted}.", "Make .venv anew with such a one.")


def _packages() -> Iterator[Finding]:
    """Compare what is installed with the ranges of pyproject.toml, and with constraints.txt where there is a clone."""
    yield Finding("ok", "recbench", f"{recbench.__version__} from {Path(recbench.__file__).parent}")
    pins = _pins()
    for requirement in _requirements(None):
        yield _package(requirement, pins.get(requirement.name.lower()))


def _package(requirement: Requirement, pin: str | None) -> Finding:
    found = _version(requirement.name)
    install = f"pip install {shlex.quote(str(requirement))}"
    if found is None:
        return Finding("wrong", requirement.name, "is not installed.", install)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding("wrong", requirement.name, f"{found}, and recbench needs {requirement.specifier}.", install)
    # A build of its own, as of PyTorch for CUDA, has a + in its version.
    if pin is not None and pin != found.partition("+")[0]:
        return Finding(
            "note",
            requirement.name,
            f"{found}; constraints.txt, with which results were made, has {pin}.",
            f"For the same bits: pip install {requirement.name}=={pin}",
        )
    return Finding("ok", requirement.name, found)


def _extras() -> Iterator[Finding]:
    for extra in importlib.metadata.metadata("recbench").get_all("Provides-Extra") or ():
        wanted = _requirements(extra)
        found = {requirement.name: _version(requirement.name) for requirement in wanted}
        gives = f"gives {_GIVES[extra]}" if extra in _GIVES else "is optional"
        missing = [name for name, version in found.items() if version is None]
        outside = [
            requirement
            for requirement in wanted
            if (version := found[requirement.name]) is not None
            and not requirement.specifier.contains(version, prereleases=True)
        ]
        if missing:
            yield Finding(
                "note",
                f"extra {extra}",
                f"{gives}, and is not there: {', '.join(missing)}.",
                f"If wanted: pip install 'recbench[{extra}]'",
            )
        elif outside:
            yield Finding(
                "wrong",
                f"extra {extra}",
                f"{gives}, and has {outside[0].name} {found[outside[0].name]} where it needs {outside[0].specifier}.",
                f"pip install {shlex.quote(str(outside[0]))}",
            )
        else:
            yield Finding("ok", f"extra {extra}", f"{gives}: {', '.join(f'{k} {v}' for k, v in found.items())}")


def _requirements(extra: str | None) -> list[Requirement]:
    """Return what recbench needs here, or what one of its extras adds."""
    every = [Requirement(line) for line in importlib.metadata.requires("recbench") or ()]
    if extra is None:
        return [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [
        one
        for one in every
        if one.marker is not None and one.marker.evaluate({"extra": extra}) and not one.marker.evaluate({"extra": ""})
    ]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except PackageNotFoundError:
        return None


def _pins() -> dict[str, str]:
    """Return the versions in the clone's constraints.txt; none where recbench was installed from a wheel."""
    path = Path(recbench.__file__).resolve().parents[1] / "constraints.txt"
    if not path.is_file():
        return {}
    pairs = [line.partition("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {name.lower(): version for name, _, version in pairs}


def _plugins() -> Iterator[Finding]:
    plugins.load()
    for point in importlib.metadata.entry_points(group=plugins.GROUP):
        reason = plugins.failed.get(point.name)
        if reason is None:
            yield Finding("ok", f"plugin {point.name}", f"loads from {point.value}")
        else:
            yield Finding(
                "wrong", f"plugin {point.name}", f"fails to load: {reason}.", "Mend it, or uninstall its package."
            )


def _machine() -> Iterator[Finding]:
    threads, cores = torch.get_num_threads(), available_cores()
    yield Finding("ok", "threads", f"{cores} for a run unless threads=N says otherwise (PyTorch alone: {threads})")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
        yield Finding(
            "ok", "devices", f"cpu, {', '.join(f'cuda:{place} ({name})' for place, name in enumerate(names))}"
        )
    else:
        yield Finding("ok", "devices", "cpu alone; device=auto is the CPU")


def _cache() -> Iterator[Finding]:
    path = cache_path()
    elsewhere = "Set RECBENCH_CACHE to a folder of your own."
    if not path.exists():
        yield _writable("cache", next(parent for parent in path.parents if parent.exists()), path, elsewhere)
        return
    found = path.stat()
    if not path.is_dir():
        yield Finding("wrong", "cache", f"{path} is no folder.", elsewhere)
    elif found.st_uid != os.geteuid():
        yield Finding("wrong", "cache", f"{path} belongs to another user.", elsewhere)
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        yield Finding(
            "wrong",
            "cache",
            f"{path} can be written to by others (mode {mode:o}).",
            f"chmod go-w {shlex.quote(str(path))}",
        )
    else:
        yield _writable("cache", path, path, elsewhere)


def _writable(subject: str, there: Path, path: Path, remedy: str) -> Finding:
    """Return whether the existing folder ``there`` can be written to, on the way to ``path``, and has room."""
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("wrong", subject, f"{path} cannot be written to.", remedy)
    free = shutil.disk_usage(there).free
    text = f"{path}, {free / 1e9:,.1f} GB free"
    if free < _FEW_BYTES:
        return Finding("note", subject, f"{text}.", "Make room: a data set or a checkpoint takes up to some gigabytes.")
    return Finding("ok", subject, text)


def _mirror() -> Iterator[Finding]:
    if os.environ.get("RECBENCH_OFFLINE", "0") not in ("", "0"):
        yield Finding("note", "network", "RECBENCH_OFFLINE forbids it; data sets have to be at hand.")
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return
    if not Path(mirror).is_dir():
        yield Finding("wrong", "mirror", f"RECBENCH_MIRROR = {mirror!r} is no folder.", "Name one, or unset it.")
        return
    held = [name for name in datasets.registry.names() if (Path(mirror) / name).is_dir()]
    if held:
        yield Finding("ok", "mirror", f"{mirror} has {', '.join(held)}")
    else:
        yield Finding(
            "note",
            "mirror",
            f"{mirror} has no folder named like a data set.",
            "Lay it out as DATA_SET/FILE, or unset it.",
        )


def _working_folder() -> Iterator[Finding]:
    here = Path.cwd()
    yield _writable("working folder", here, here, "Runs write below outputs here; go to a folder of your own.")
