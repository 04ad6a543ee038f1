"""Imports point one way, and the command line starts without what is heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recbench

PACKAGE = Path(recbench.__file__).parent
LAYERS = (
    {
        "__init__",
        "errors",
        "options",
        "registry",
        "randomness",
        "resources",
        "logs",
        "interrupts",
        "progress",
        "source_code",
        "text",
        "paths",
        "redaction",
        "kernels",
    },
    {"data", "formats"},
    {"cleaning", "datasets", "splits", "models", "metrics", "negatives", "nn", "files"},
    {
        "trainers",
        "compiled",
        "evaluation",
        "ranking",
        "blocks",
        "scored",
        "total_order",
        "candidates",
        "leaks",
        "checkpoints",
    },
    {
        "configuration",
        "experiment",
        "report",
        "resuming",
        "run_config",
        "search",
        "sweep",
        "tracking",
        "environment",
        "fingerprints",
        "repeat",
        "comparison",
        "doctor",
        "export",
        "per_user",
        "published",
        "reproduce",
        "reproduce_record",
        "reproduce_runs",
        "inspection",
        "lists",
        "recommend",
        "plugins",
        "testing",
    },
    {"cli", "_plugins", "__main__"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def top(module):
    """Return the part of recbench that a dotted name or a path belongs to."""
    return module.removeprefix("recbench").lstrip(".").partition(".")[0] or "__init__"


def imported(path):
    """Yield the modules that a file imports, but for those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                is_module = (PACKAGE / alias.name).exists() or (PACKAGE / f"{alias.name}.py").exists()
                yield f"recbench.{alias.name}" if node.module == "recbench" and is_module else node.module


def sources():
    return [path for path in PACKAGE.rglob("*.py") if "conf" not in path.relative_to(PACKAGE).parts]


def test_every_part_has_a_layer():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources()}
    assert parts == set(RANK)


def test_imports_point_one_way():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in sources()
        for module in imported(path)
        if module.partition(".")[0] == "recbench"
        and RANK[top(module)] > RANK[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
    ]
    assert wrong == []


def test_only_the_command_line_knows_hydra():
    knows = {
        path.relative_to(PACKAGE).parts[0]
        for path in sources()
        for module in imported(path)
        if module.partition(".")[0] in ("hydra", "omegaconf", "hydra_plugins")
    }
    assert knows == {"cli", "_plugins"}


def test_help_and_the_package_need_neither_torch_nor_hydra():
    code = (
        "import sys, recbench, recbench.cli\n"
        "assert recbench.cli.main(['--help']) == 0 and recbench.cli.main(['no']) == 2\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'hydra', 'omegaconf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("model", ["mf", "neumf"])
def test_a_run_loads_neither_torchs_compiler_nor_matplotlib(model, tmp_path):
    """Each takes half a second or more, which a small run would pay for nothing."""
    code = (
        "import sys, recbench.cli\n"
        f"words = ['model={model}', 'backend=torch', 'trainer.optimizer=adam', 'dataset=planted']\n"
        "assert recbench.cli.main(['run', '-q', 'trainer.epochs=1', *words]) == 0\n"
        "print(sorted({'torch._dynamo', 'torch._inductor', 'matplotlib', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"


def test_public_names_are_there():
    for name in recbench.__all__:
        assert getattr(recbench, name) is not None
    assert set(recbench.__all__) <= set(dir(recbench))
    assert not hasattr(recbench, "no_such_name")


def test_the_version_is_that_of_the_project():
    import tomllib

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert recbench.__version__ == project["project"]["version"]
