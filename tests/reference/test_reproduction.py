"""``recbench reproduce`` on the real data: what is known to hold holds, to every printed digit where that is known."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from recbench.cli import main, task

TABLES = Path(__file__).parents[2] / "conf" / "experiment"
FOLDERS = {"mcrec": "ml-100k-mcrec", "ncf-weights": "ncf-ml-1m", "ncf-tuned": "ncf-ml-1m"}


def expected(table: str) -> dict[str, str]:
    """Return what each row is known to come to, as its file says."""
    shared = yaml.safe_load((TABLES / table / "_table.yaml").read_text())["published"]
    rows = {path.stem: yaml.safe_load(path.read_text())["published"] for path in (TABLES / table).glob("[!_]*.yaml")}
    return {name: (shared | row).get("expect", "reproduced") for name, row in rows.items()}


@pytest.mark.parametrize(
    ("table", "all_rows"),
    [("mcrec", True), ("ncf-weights", True), ("ncf-tuned", False)],
)
def test_rows_hold(table, all_rows, real_data, tmp_path, monkeypatch, capsys):
    if not (real_data / FOLDERS[table]).is_dir():
        pytest.skip(f"no {FOLDERS[table]} in {real_data}.")
    monkeypatch.setenv("RECBENCH_MIRROR", str(real_data))
    monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    known = expected(table)
    rows = [name for name in sorted(known) if all_rows or known[name] == "exact"]
    assert "exact" in known.values()
    code = main(["reproduce", table, *rows, "--quiet", "--format", "json"])
    ended = capsys.readouterr()
    assert code == 0, ended.err
    lines = json.loads(ended.out)
    assert {line["row"] for line in lines} == set(rows)
    allowed = {"exact": {"exact"}, "reproduced": {"exact", "reproduced"}}
    for line in lines:
        assert line["verdict"] in allowed.get(known[line["row"]], {"exact", "reproduced", "deviates"}), line


def altered(folder: Path) -> None:
    path = folder / "ml-100k.train.rating"
    path.write_bytes(path.read_bytes().replace(b"\t5\t", b"\t4\t", 1))


def other_split(folder: Path) -> None:
    train, test = folder / "ml-100k.train.rating", folder / "ml-100k.test.rating"
    test.write_bytes(train.read_bytes())


def missing_row(folder: Path) -> None:
    path = folder / "ml-100k.test.rating"
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def absent(folder: Path) -> None:
    (folder / "ml-100k.test.rating").unlink()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (altered, "ml-100k.train.rating has the SHA-256 "),
        (other_split, "ml-100k.test.rating has 783,394 bytes instead of 81,890."),
        (missing_row, "ml-100k.test.rating has 81,723 bytes instead of 81,890."),
        (absent, "has no ml-100k.test.rating."),
    ],
)
def test_other_files_give_one_sentence_and_touch_no_result(harm, why, real_data, tmp_path, monkeypatch, capsys):
    if not (real_data / "ml-100k-mcrec").is_dir():
        pytest.skip(f"no ml-100k-mcrec in {real_data}.")
    mirror = tmp_path / "mirror" / "ml-100k-mcrec"
    shutil.copytree(real_data / "ml-100k-mcrec", mirror)
    monkeypatch.setenv("RECBENCH_MIRROR", str(mirror.parent))
    monkeypatch.setenv("RECBENCH_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    for cache, row in (("before", "top_pop"), ("after", "ease")):
        monkeypatch.setenv("RECBENCH_CACHE", str(tmp_path / cache))
        monkeypatch.setattr(task, "_prepared", {})
        kept = {path: path.read_bytes() for path in Path("outputs").rglob("*") if path.is_file()}
        code = main(["reproduce", "mcrec", row, "--quiet"])
        ended = capsys.readouterr()
        if row == "top_pop":
            assert code == 0, ended.err
            harm(mirror)
    assert code == 2
    (line,) = [line for line in ended.out.splitlines() if line.startswith("ease: not run:")]
    assert why in line
    assert all(path.read_bytes() == content for path, content in kept.items() if path.name != "multirun.yaml")
    assert json.loads(next(Path("outputs").rglob("popularity*/result.json")).read_text())["status"] == "done"
