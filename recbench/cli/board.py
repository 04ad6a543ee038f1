"""``recbench board``: TensorBoard on what was run, on this machine only."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from recbench.cli.arguments import Parser
from recbench.errors import RunError

_EVENTS = "events.out.tfevents.*"
_USUAL_PORT = 6006
_VIEW = {"smoothing": "0", "runColorGroup": r"regex:([a-z][a-z0-9_]*)[^/]*$"}
"""What TensorBoard is opened with: curves as they are, since its smoothing of 0.6 misleads over a few dozen epochs; and
one colour a model, the first word of a run's folder."""
_EPILOG = """\
HPARAMS has one row a run, however it ended; TIME SERIES lays the curves of all models and seeds over each other. The
address that is printed draws curves without smoothing and gives all runs of a model one colour.
"""


def main(arguments: Sequence[str]) -> int:
    """Become TensorBoard, until it is stopped.

    Raises:
        RunError: There is nothing to show below the folder.
    """
    parser = Parser("board", "Open TensorBoard on the runs below a folder; only this machine can reach it.", _EPILOG)
    parser.add_argument("folder", nargs="?", default="outputs", metavar="DIR", help="by default outputs")
    parser.add_argument("--port", type=int, help=f"by default the first free one from {_USUAL_PORT}")
    given = parser.parse_intermixed_args(arguments)
    if not any(Path(given.folder).rglob(_EVENTS)):
        raise RunError(
            f"no TensorBoard events below {given.folder!r}; 'recbench run' writes them below outputs, "
            "unless tracking.tensorboard=false."
        )
    if given.port is not None and _is_taken(given.port):
        raise RunError(f"--port {given.port}: somebody listens there already; leave it out for a free one.")
    if any(Path(given.folder).glob(_EVENTS)):
        above = shlex.quote(str(Path(given.folder).resolve().parent))
        print(
            f"note: of {given.folder}, which is itself a run, HPARAMS shows no metrics; it does with: "
            f"recbench board {above}",
            file=sys.stderr,
        )
    port = given.port or _free_port()
    print(f"http://localhost:{port}/?{urlencode(_VIEW)}  ({given.folder}; stop with Ctrl-C)", flush=True)
    # In the place of this process: whoever ends this one ends the server.
    os.execv(sys.executable, command(given.folder, port))


def command(folder: str, port: int) -> list[str]:
    """Return the command that serves ``folder``."""
    flags = ["--logdir", folder, "--host", "localhost", "--port", str(port)]
    return [sys.executable, "-m", "tensorboard.main", *flags]


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def _free_port() -> int:
    """Return the usual port, or the next one that nobody listens on."""
    for port in range(_USUAL_PORT, _USUAL_PORT + 100):
        if not _is_taken(port):
            return port
    raise RunError(f"no free port from {_USUAL_PORT} on; give one by --port.")
