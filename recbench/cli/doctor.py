"""``recbench doctor``: what is wrong with the installation, or with runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recbench import doctor, plugins
from recbench.cli.arguments import Parser
from recbench.errors import RunError

_EPILOG = """\
examples:
  recbench doctor                   versions, extras, plugins, threads, devices, cache, mirror, free disk
  recbench doctor outputs           every run below outputs: are its files whole, and do they belong together?
  recbench doctor outputs/.../mf-3f2a91c0 --format json

A line begins with ok, note (worth knowing) or wrong (to be mended), and ends with what to do. Of a run are checked: the
schema version of each file, checkpoints and exports against their checksums, fingerprints in result.json, run.json,
config.yaml and checkpoints against each other, the means over users against the metrics, the order of the curve, and
whether a run that says it is running was killed. Nothing is changed. The exit code is 1 where something is wrong.
"""


def main(arguments: Sequence[str]) -> int:
    """Print the findings; return 1 where something is wrong.

    Raises:
        RunError: There is no run below the folder.
    """
    parser = Parser("doctor", "Check the installation, or verify the runs below a folder.", _EPILOG)
    parser.add_argument(
        "folder", nargs="?", metavar="DIR", help="a run, or a folder of runs; without it, what is installed"
    )
    parser.add_argument("--format", choices=get_args(doctor.Format), default="table", help="by default %(default)s")
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    if given.folder is None:
        from recbench.doctor.installation import installation

        findings = installation()
    else:
        from recbench.doctor.runs import runs

        if not Path(given.folder).is_dir():
            raise RunError(f"{given.folder!r}: is no folder; name a run, or a folder of runs such as outputs.")
        findings = runs(Path(given.folder))
    print(doctor.render(findings, given.format))
    return int(any(finding.level == "wrong" for finding in findings))
