"""``recbench reproduce`` on the real data: what is known to hold holds, to every printed digit where that is known."""

import json
from pathlib import Path

import pytest
import yaml

from recbench.cli import main

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
