"""Lines, tables and the page on published numbers."""

import json
import math

from recbench.published import Published
from recbench.reproduce import Result, Row, page, render

ENVIRONMENT = "recbench 1.2, commit abc; torch 2.13 on cpu, 2 threads"


def row(name="ease", values=None, results=(), **options) -> Row:
    reasons = options.pop("reasons", ())
    stale = options.pop("stale", False)
    published = Published.from_mapping(
        {
            "title": "A table",
            "source": "Somebody, 2020, table 1",
            "protocol": "All items.",
            "seen": "primary",
            "tolerance": ".003",
            "values": values or {"ndcg@10": ".2430"},
            **options,
        },
        "published",
    )
    return Row("mine", name, published, results, reasons, stale)


def result(value, seconds=1.5, selection=None, metric="ndcg@10"):
    return Result({metric: value}, seconds, selection, ENVIRONMENT, "0" * 64)


def test_a_line_by_hand():
    (line,) = row(results=[result(0.24), result(0.246, 2.0)]).lines
    assert (line.table, line.row, line.metric, line.published) == ("mine", "ease", "ndcg@10", 0.243)
    assert math.isclose(line.ours, (0.24 + 0.246) / 2)
    assert math.isclose(line.std, 0.006 / math.sqrt(2))
    assert (line.n_seeds, line.tolerance, line.verdict) == (2, 0.003, "exact")
    assert (line.source, line.seconds) == ("Somebody, 2020, table 1", 3.5)


def test_candidates_in_the_name_of_a_metric_make_no_other_metric():
    (line,) = row(results=[result(0.243, metric="ndcg@10[published]")]).lines
    assert line.ours == 0.243


def test_json_has_the_fields_and_no_others():
    lines = json.loads(render([row(), row("mf", results=[result(0.2)], note="tried", expect="deviates")], "json"))
    assert lines == [
        {
            "table": "mine",
            "row": name,
            "metric": "ndcg@10",
            "published": 0.243,
            "ours": ours,
            "std": None,
            "n_seeds": n_seeds,
            "tolerance": 0.003,
            "verdict": verdict,
            "source": "Somebody, 2020, table 1",
            "seconds": seconds,
        }
        for name, ours, n_seeds, verdict, seconds in [
            ("ease", None, 0, "not run", None),
            ("mf", 0.2, 1, "deviates", 1.5),
        ]
    ]


ROWS = [
    row(values={"ndcg@10": ".2430", "hr@10": ".5"}, reasons=["The file a is not there."]),
    row("mf", results=[result(0.2), result(0.21)], note="Five rates were tried.", expect="deviates"),
    row("neumf", results=[result(0.2, selection="test")], contested="Others have .2.", stale=True),
    row("old", results=[result(0.243)], seen="memory"),
    row("curve", values={"ndcg@10": None}, results=[result(0.2)]),
]


def test_table():
    assert (
        render(ROWS)
        == """\
row    metric   published           ours  difference  tolerance  verdict     seconds
-----  -------  ---------  -------------  ----------  ---------  ----------  -------
ease   ndcg@10      .2430              -           -       .003  not run
       hr@10           .5              -           -       .003  not run
mf     ndcg@10      .2430  .2050 ± .0071      -.0380       .003  deviates          3
neumf  ndcg@10      .2430          .2000      -.0430       .003  contested         2
old    ndcg@10      .2430          .2430       .0000       .003  unverified        2
curve  ndcg@10          -          .2000           -       .003  unverified        2

ease: not run: The file a is not there.
mf: Five rates were tried.
neumf: contested: Others have .2.
neumf: the epoch is chosen on the test part, as in the source.
neumf: measured with an earlier state of the code.
old: the published value was not seen in its source and decides nothing."""
    )


def test_rows_that_lack_the_same_share_a_line():
    missing = [row(name, reasons=["No data.\n  Get it."]) for name in ("a", "b")]
    assert render([*missing, row("c", reasons=["Diverged."])]).endswith(
        "\n\na, b: not run: No data. Get it.\nc: not run: Diverged."
    )


def test_markdown():
    assert (
        render(ROWS[1:2], "markdown")
        == """\
| row | metric | published | ours | difference | tolerance | verdict | seconds |
|---|---|---|---|---|---|---|---|
| mf | ndcg@10 | .2430 | .2050 ± .0071 | -.0380 | .003 | deviates | 3 |"""
    )


def test_page():
    text = page({"mine": ROWS, "other": [row(results=[result(0.243)])]})
    assert text.startswith("# Published numbers, and ours\n\n")
    assert (
        "| table | exact | reproduced | deviates | contested | unverified | not run |\n"
        "|---|---|---|---|---|---|---|\n"
        "| `mine` |  |  | 1 | 1 | 2 | 2 |\n"
        "| `other` | 1 |  |  |  |  |  |\n"
    ) in text
    assert "\n## A table (`other`)\n\nAll items.\n\nSource: Somebody, 2020, table 1\n\n" in text
    assert "\n    recbench reproduce other\n\n| row |" in text
    assert "\n- mf: Five rates were tried.\n" in text
    assert "\n- Ours by ndcg@10: old .2430, mf -.0380, curve -.0430, neumf -.0430.\n" in text
    assert text.endswith(f"\n## Made with\n\n- {ENVIRONMENT}: 6 runs\n")
