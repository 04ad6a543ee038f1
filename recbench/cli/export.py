"""``recbench export``: a finished run for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from recbench import plugins
from recbench.cli.arguments import Parser
from recbench.export import export

_EPILOG = """\
examples:
  recbench export outputs/.../mf-3f2a91c0
  recbench export outputs/.../ease-11aa22bb --to for-others

The folder then holds model.safetensors (what the model learnt, and vectors of users and items where it has them, whose
dot products are the scores), users.json and items.json (published ids; row n of a tensor belongs to the id in place n),
export.json (options, metrics, fingerprints, shapes) and SHA256SUMS. None of it can run code. In Python:

  from safetensors.numpy import load_file
  tensors = load_file("for-others/model.safetensors")

The ids of all users are in it: think of that before you pass it on. It needs: pip install 'recbench[export]'.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the files, and print the folder.

    Raises:
        ConfigError: A package is missing, or a part of the run is not known here.
        RunError: There is no finished run, or it is not what it was; or the folder holds something already.
    """
    parser = Parser("export", "Write a finished run as safetensors and JSON, for other programs and people.", _EPILOG)
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run; its data has to be at hand")
    parser.add_argument("--to", metavar="FOLDER", help="where to; by default 'export' in the folder of the run")
    parser.add_plugin()
    given = parser.parse_intermixed_args(arguments)
    plugins.load(given.plugin)
    print(f"written to {export(given.run, given.to)}")
    return 0
