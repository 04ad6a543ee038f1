"""The command ``recbench``: finds the sub-command, and turns what it raises into an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import recbench
from recbench.errors import ConfigError, DataError, NonFiniteScoresError, RunError, StorageError
from recbench.interrupts import Terminated
from recbench.options import did_you_mean
from recbench.text import printable_lines

# Hydra takes a sweeper from the package hydra_plugins alone; ours is found here by every process that unpickles a job.
_PLUGINS = str(Path(__file__).resolve().parents[1] / "_plugins")
if _PLUGINS not in sys.path:
    sys.path.append(_PLUGINS)

COMMANDS = {
    "run": ("run", "run one experiment, or with -m a sweep"),
    "compare": ("compare", "compare finished runs: a table, tests over users, a page with plots"),
    "evaluate": ("evaluate", "score the lists of any other system by our metrics"),
    "reproduce": ("reproduce", "run published tables, and say number by number whether they hold"),
    "recommend": ("recommend", "recommend items with a finished run"),
    "export": ("export", "write a finished run as safetensors and JSON, for other programs"),
    "list": ("listing", "list models, datasets, splits, trainers, negatives, metrics, losses, optimizers"),
    "data": ("data", "list, fetch and describe data sets, and check a file of yours"),
    "config": ("config", "show the resolved configuration and where each value comes from"),
    "board": ("board", "open TensorBoard on what was run"),
    "doctor": ("doctor", "check the installation, or verify a folder of runs"),
}
"""Name to the module here that has the command, and what it does."""

_HELP = """\
usage: recbench COMMAND ...

{commands}

one experiment; what is left out has its default:
  recbench run dataset=ml-100k model=mf
  recbench run model=neumf model.dim=16 trainer.lr=0.01 seed=1

a sweep over all combinations; what is done already is skipped when it is typed again:
  recbench run -m model=popularity,item_knn,mf seed=0,1,2
  recbench run -m model=mf model.dim=8,16,32 --dry-run

a search for good options, within a budget of trials; and models compared that were each tuned within the same budget:
  recbench run -m model=mf sweep=auto sweep.budget=20
  recbench run experiment=tuned_comparison model=item_knn,ease,mf

a run that was interrupted or killed; a sweep goes on when it is typed again:
  recbench run --resume outputs/.../RUN

your own data, columns user, item and, if there are any, rating and timestamp:
  recbench run dataset=files dataset.interactions=ratings.csv model=item_knn
  recbench data check ratings.csv           what is wrong with the file, and the command that runs it

then:
  recbench compare outputs/sweeps/5e1f0c2a  a row a configuration, mean and deviation over seeds
  recbench compare outputs --baseline mf    and paired tests of each row against mf
  recbench evaluate --recommendations theirs.csv --train train.csv --test test.csv
  recbench recommend outputs/.../RUN --user 42
  recbench board outputs
  recbench doctor                           what is wrong with the installation; with DIR: with the runs there

published numbers:
  recbench reproduce                        the tables, and what each needs
  recbench reproduce mcrec ease             a row of one, beside what was published

what there is to choose from:
  recbench list models
  recbench list models neumf                its options, ranges and defaults
  recbench data list                        data sets, and which are at hand
  recbench config model=neumf               what a run would be configured as

'recbench COMMAND --help' shows the options of a command, 'recbench --version' the version.
Completion in bash: eval "$(recbench -sc install=bash)"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: What was typed after ``recbench``; by default that of this process.

    Returns:
        0, or 1 where a run failed, a file cannot be written or a score is not finite, 2 for the user's mistake,
        3 where training diverged, 130 (by a signal to terminate: 143) where it was interrupted, 141 where nobody
        reads what it prints.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Who reads has had enough, as `head` has: nothing more can be printed, at the end of the process neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (NonFiniteScoresError, StorageError) as error:
        print(f"error: {printable_lines(str(error))}", file=sys.stderr)
        return 1
    except (ConfigError, DataError, RunError) as error:
        mistakes = error.mistakes if isinstance(error, Mistakes) else (str(error),)
        for mistake in mistakes:
            print(f"error: {printable_lines(mistake)}", file=sys.stderr)
        return 2
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0


class Mistakes(ConfigError):
    """Several mistakes that are reported together."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  recbench {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
        print(_HELP.format(commands="\n".join(lines)), end="")
        return 0
    if given[0] == "--version":
        print(f"recbench {recbench.__version__}")
        return 0
    command, *rest = given
    if command in ("-sc", "--shell-completion"):
        module = "completion"
    elif command in COMMANDS:
        module = COMMANDS[command][0]
    else:
        raise ConfigError(f"no command {command!r}. {did_you_mean(command, COMMANDS)} See 'recbench --help'.")
    return int(_imported(f"recbench.cli.{module}").main(rest))


def _imported(name: str) -> ModuleType:
    """Import what a command is made of.

    Meanwhile, and afterwards among what it has made, no garbage is looked for: it is a quarter of a million objects
    that live as long as the process, and looking them through took a tenth of the time of a small run.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
