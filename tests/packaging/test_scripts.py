"""The scripts on a bare machine: what they do, and what they say where they cannot."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """Give a copy of what git knows of, without an environment."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def call(script, folder, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RECBENCH"))}
    return subprocess.run([folder / script], cwd=folder, env=clean | environment, capture_output=True, text=True)


@pytest.mark.slow
def test_quickstart_from_nothing_and_again(checkout, real_data, tmp_path):
    environment = {"RECBENCH_MIRROR": str(real_data), "RECBENCH_CACHE": str(tmp_path / "cache")}
    first = call("scripts/quickstart", checkout, **environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "recbench board outputs/quickstart" in first.stdout
    again = call("scripts/quickstart", checkout, **environment)
    assert again.returncode == 0 and again.stderr.count("done already, skipped") == 10
    words = [checkout / ".venv" / "bin" / "recbench", "compare", "outputs/quickstart", "--format", "json"]
    rows = json.loads(subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=True).stdout)
    assert {row["model"]: row["n_seeds"] for row in rows} == dict.fromkeys(
        ["random", "popularity", "item_knn", "mf", "neumf"], 2
    )


def test_a_python_that_does_not_fit_is_named(checkout, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "cat", "cksum", "tr"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").write_text('#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    (tools / "python3").chmod(0o755)
    ended = call("scripts/setup", checkout, PATH=str(tools))
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: recbench needs Python 3.11, 3.12 or 3.13; found Python 3.9.2")
    assert not (checkout / ".venv").exists()


def test_packages_that_cannot_be_had_are_told_in_a_sentence(checkout, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    ended = call("scripts/setup", checkout, PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(nothing))
    assert ended.returncode == 1
    assert "error: the packages could not be installed (the whole of pip's output: .venv/install.log)." in ended.stderr
    assert not list((checkout / ".venv").glob(".installed*"))


def fake_audit(folder, program):
    """Write a wheel named like pip-audit, whose command does what ``program`` says."""
    folder.mkdir()
    info = "pip_audit-1.0.dist-info"
    with zipfile.ZipFile(folder / "pip_audit-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fake_audit.py", f"import sys\n\ndef main():\n    {program}\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pip-audit\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\npip-audit = fake_audit:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        (None, 0, "not audited: pip-audit cannot be installed. Nothing is known about vulnerabilities"),
        (
            "print('Could not connect to the vulnerability feed', file=sys.stderr); sys.exit(1)",
            0,
            "not audited: the list of vulnerabilities cannot be reached. Nothing is known about vulnerabilities",
        ),
        ("print('torch 2.13.0 CVE-1'); sys.exit(1)", 1, "torch 2.13.0 CVE-1"),
        ("print('usage: no such flag', file=sys.stderr); sys.exit(2)", 1, "usage: no such flag"),
        ("print('No known vulnerabilities found', file=sys.stderr)", 0, "No known vulnerabilities found"),
        (
            "print(2 * 'Dependency could not be audited\\n')",
            0,
            "not audited: 2 of {n_pins} packages, which whoever was asked does not know.",
        ),
        (
            "print({n_pins} * 'Dependency could not be audited\\n')",
            0,
            "not audited: whoever was asked knows none of the {n_pins} packages. Nothing is known about",
        ),
    ],
)
def test_the_audit_fails_on_what_is_known_and_not_for_want_of_a_network(checkout, tmp_path, program, code, said):
    wheels = tmp_path / "wheels"
    n_pins = (ROOT / "constraints.txt").read_text().count("==")
    if program is None:
        wheels.mkdir()
    else:
        fake_audit(wheels, program.format(n_pins=n_pins))
    environment = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    ended = call("scripts/audit", checkout, PYTHON=sys.executable, **environment)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert said.format(n_pins=n_pins) in ended.stdout + ended.stderr


APT = """#!/usr/bin/env bash
echo "$*" >>"$0.calls"
[ -n "$APT_FAILS" ] && echo "E: no such package" && exit 100
if [ "$2" = install ]; then
  for name in chromium chromedriver; do cp "$0" "$(dirname "$0")/$name"; done
fi
exit 0
"""


@pytest.fixture
def machine(tmp_path):
    """Return the scripts' browser run on a machine with the named tools alone, as the given user."""
    tools = tmp_path / "machine"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "cp", "mktemp", "rm", "tail", "true"):
        (tools / name).symlink_to(shutil.which(name))

    def run(*names, uid=0, **environment):
        for name, text in {"id": f"#!/usr/bin/env bash\necho {uid}\n", **dict.fromkeys(names, APT)}.items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        ended = call("scripts/browser", ROOT, PATH=str(tools), TMPDIR=str(tmp_path), **environment)
        calls = tools / "apt-get.calls"
        return ended.returncode, ended.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


SKIPPED = "error: no browser for the tests in tests/browser, which are skipped: "
BY_HAND = " Install Chromium and chromedriver by hand.\n"


def test_a_browser_is_installed_once(machine):
    calls = ["--quiet update", "--quiet install --yes --no-install-recommends chromium chromium-driver"]
    assert machine("apt-get") == (0, "", calls)
    assert machine("apt-get") == (0, "", calls), "no further ones"


def test_a_browser_that_cannot_be_had_is_told(machine):
    assert machine() == (1, f"{SKIPPED}there is no apt-get here.{BY_HAND}", [])
    reason = "apt-get needs root, or sudo without a password."
    assert machine("apt-get", uid=1000) == (1, f"{SKIPPED}{reason}{BY_HAND}", [])
    reason = "apt-get could not install chromium and chromium-driver."
    assert machine("apt-get", APT_FAILS="1") == (
        1,
        f"E: no such package\n{SKIPPED}{reason}{BY_HAND}",
        ["--quiet update"],
    )


def test_the_lock_has_a_checksum_for_each_pinned_version():
    """After a change of constraints.txt: scripts/lock."""
    pins = [line.partition(";")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in locked)

    def normal(pin):
        name, _, version = pin.partition("==")
        return canonicalize_name(name), version.strip()

    assert sorted(map(normal, pins)) == sorted(normal(line.partition(" ")[0]) for line in locked)
