"""A comparison as text, page and run of TensorBoard."""

import csv
import html
import io
import json
import re
from dataclasses import replace

import pytest
from test_compare import METRICS, ROWS

from recbench import ConfigError
from recbench.comparison import render
from recbench.comparison.board import write_board
from recbench.comparison.page import page
from recbench.comparison.plots import N_ROWS_PLOTTED, plots
from recbench.comparison.rows import Group, Spread, Versus
from recbench.comparison.statistics import Interval
from recbench.comparison.tables import p_value

HOSTILE = "<script>alert('x')</script> & $\\frac{ -- \x1b[31m"
P = {"t": 0.00001, "wilcoxon": 0.25, "randomisation": 0.0003}
GROUPS = (Group("cold", 0, 0, 3, None), Group("low", 1, 9, 1200, 0.25))

MF = replace(
    ROWS[0],
    metrics={"ndcg@10": Spread(0.5, 0.01), "ndcg@20": Spread(0.6, 0.01)},
    per_seed={"ndcg@10": (0.49, 0.51), "ndcg@20": (0.59, 0.61)},
    runs=("mf-0", "mf-1"),
    tuning={"budget": "20 trials", "trials": 20, "seconds": 12.5},
    intervals={"ndcg@10": Interval(0.45, 0.55)},
    versus=Versus("popularity", 1203, 0.25, Interval(0.2, 0.3), 0.5, P, {name: 2 * value for name, value in P.items()}),
    groups=GROUPS,
)
POPULARITY = replace(
    ROWS[1],
    label="popularity",
    metrics={"ndcg@10": Spread(0.25, None), "ndcg@20": Spread(0.3, None)},
    per_seed={"ndcg@10": (0.25,), "ndcg@20": (0.3,)},
    runs=("popularity-0",),
    groups=tuple(replace(group, value=0.125) for group in GROUPS),
    seconds={"fit": None, "evaluate": 0.5},
    peak_memory_bytes=None,
)
ROWS_WITH = [MF, POPULARITY]


# Text


def test_the_table_has_intervals_trials_and_what_is_not_known():
    assert render(ROWS_WITH) == (
        "model       seeds          ndcg@10      95 % of users          ndcg@20  trials  fit s  evaluate s  peak MB\n"
        "----------  -----  ---------------  ----------------  ---------------  ------  -----  ----------  -------\n"
        "mf dim=8        2  0.5000 ± 0.0100  0.4500 to 0.5500  0.6000 ± 0.0100      20  12.35        0.50    1,235\n"
        "popularity      1           0.2500                 -           0.3000       -      -        0.50        -\n"
        "Tuned within different budgets, which may be what tells them apart: mf dim=8 20 trials, popularity not "
        "tuned.\n"
        "\n"
        "ndcg@10 of each user, mean over seeds, less that of popularity:\n"
        "model     users  difference     95 % of users      d       p t  p wilcoxon  p randomisation\n"
        "--------  -----  ----------  ----------------  -----  --------  ----------  ---------------\n"
        "mf dim=8  1,203     +0.2500  0.2000 to 0.3000  +0.50  < 0.0001      0.5000           0.0006\n"
        "p: two-sided, after Holm's correction for 1 row; d: Cohen's d of the paired differences."
    ).replace("ndcg@10      95 %", "ndcg@10     95 %")


def test_groups_are_shown_where_they_are_asked_for():
    assert "training interactions" not in render(ROWS_WITH)
    assert render(ROWS_WITH, groups=True).endswith(
        "ndcg@10 by training interactions of the user (number of users):\n"
        "model       cold: 0 (3)  low: 1-9 (1,200)\n"
        "----------  -----------  ----------------\n"
        "mf dim=8              -            0.2500\n"
        "popularity       0.1250            0.1250"
    )
    with pytest.raises(ConfigError) as error:
        render(ROWS_WITH, "csv", groups=True)
    assert str(error.value) == "--groups has no effect on --format csv, which has them anyway; leave it out."


def test_budgets_of_tuning_are_told():
    same = [MF, replace(POPULARITY, tuning=MF.tuning)]
    assert "Tuned within the same budget, 20 trials each." in render(same)
    assert "Tuned" not in render([replace(MF, tuning=None), POPULARITY])


def test_markdown_has_titles_and_notes():
    text = render([replace(MF, label="a|b<c"), POPULARITY], "markdown", groups=True)
    assert "\n\nndcg@10 of each user, mean over seeds, less that of popularity:\n\n| model | users |" in text
    assert text.count("| --- | ---: |") == 3 and "| a\\|b&lt;c |" in text


def test_latex():
    assert render([replace(MF, label="mf_50% & $x^2~{}#\\"), POPULARITY], "latex") == (
        "\\begin{tabular}{lrrrrrrrr}\n"
        "\\toprule\n"
        "model & seeds & ndcg@10 & 95 \\% of users & ndcg@20 & trials & fit s & evaluate s & peak MB \\\\\n"
        "\\midrule\n"
        "mf\\_50\\% \\& \\$x\\textasciicircum{}2\\textasciitilde{}\\{\\}\\#\\textbackslash{} & 2 & "
        "\\textbf{0.5000 $\\pm$ 0.0100} & 0.4500 to 0.5500 & \\textbf{0.6000 $\\pm$ 0.0100} & 20 & 12.35 & 0.50 & "
        "1,235 \\\\\n"
        "popularity & 1 & 0.2500 & - & 0.3000 & - & - & 0.50 & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "% Tuned within different budgets, which may be what tells them apart: mf_50% & $x^2~{}#\\ 20 trials, "
        "popularity not tuned.\n"
        "\n"
        "% ndcg@10 of each user, mean over seeds, less that of popularity\n"
        "\\begin{tabular}{lrrrrrrr}\n"
        "\\toprule\n"
        "model & users & difference & 95 \\% of users & d & p t & p wilcoxon & p randomisation \\\\\n"
        "\\midrule\n"
        "mf\\_50\\% \\& \\$x\\textasciicircum{}2\\textasciitilde{}\\{\\}\\#\\textbackslash{} & 1,203 & +0.2500 & "
        "0.2000 to 0.3000 & +0.50 & \\textless{} 0.0001 & 0.5000 & 0.0006 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "% p: two-sided, after Holm's correction for 1 row; d: Cohen's d of the paired differences."
    )


def test_p_values():
    assert [p_value(value) for value in (0.0, 0.00009, 0.0001, 0.04, None)] == [
        *("< 0.0001", "< 0.0001", "0.0001", "0.0400", "-")
    ]


def test_csv_and_json_have_it_in_full():
    one, other = csv.DictReader(io.StringIO(render(ROWS_WITH, "csv")))
    assert (one["ndcg@10 low"], one["ndcg@10 high"], other["ndcg@10 low"]) == ("0.45", "0.55", "")
    assert (one["tuning_budget"], one["tuning_trials"], other["tuning_trials"]) == ("20 trials", "20", "")
    assert (one["baseline"], one["difference"], one["difference low"]) == ("popularity", "0.25", "0.2")
    assert (one["p t"], one["p_holm t"], other["p t"]) == ("1e-05", "2e-05", "")
    assert (one["ndcg@10 of cold users"], other["ndcg@10 of cold users"]) == ("", "0.125")
    assert other["fit_seconds"] == ""
    one, _ = json.loads(render(ROWS_WITH, "json"))
    assert one["versus"] == {
        "baseline": "popularity",
        "n_users": 1203,
        "difference": 0.25,
        "interval": {"low": 0.2, "high": 0.3},
        "effect_size": 0.5,
        "p": P,
        "p_holm": {name: 2 * value for name, value in P.items()},
    }
    assert one["intervals"] == {"ndcg@10": {"low": 0.45, "high": 0.55}} and one["groups"][1]["n_users"] == 1200
    assert one["runs"] == ["mf-0", "mf-1"] and one["per_seed"]["ndcg@10"] == [0.49, 0.51]


def test_texts_of_others_are_made_safe_for_spreadsheets():
    rows = [replace(MF, label="=1+1", beaten_by="-x"), replace(POPULARITY, model="@x")]
    one, other = csv.DictReader(io.StringIO(render(rows, "csv", for_spreadsheet=True)))
    assert (one["label"], one["beaten_by"], other["model"]) == ("'=1+1", "'-x", "'@x")
    assert one["difference"] == "0.25"


# Page


def test_the_page_has_tables_plots_and_warnings():
    beaten = replace(MF, beaten_by="popularity")
    text = page([beaten, POPULARITY], {"data": "ml-100k", "test users": "943"}, "outputs/x: failed: ValueError: no")
    assert text.count("<table>") == 3 and text.count("<figure>") == 5 == text.count("<svg")
    assert "mf dim=8 (12.35 s to fit) is worse than popularity (cost not known) by ndcg@10" in html.unescape(text)
    assert "<b>0.5000 ± 0.0100</b>" in text and "ml-100k" in text and "outputs/x: failed" in text
    assert "2 configurations, 3 runs, 943 test users" in text


def test_the_page_loads_nothing_and_stands_in_light_and_dark():
    text = page(ROWS_WITH, {})
    assert "default-src 'none'" in text and "<script" not in text and "@import" not in text
    assert not re.search(r'(?:src|href)="(?!#)', text) and not re.search(r"url\((?!#)", text)
    assert "prefers-color-scheme: dark" in text and "var(--ink)" in text
    assert "#1f2933" not in text[text.index("<body>") :], "colours of text are those of the page"
    identifiers = re.findall(r' id="([^"]+)"', text)
    named = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text[text.index("<body>") :]))
    assert named <= set(identifiers)


def test_hostile_labels_are_text_wherever_they_stand():
    text = page(
        [replace(MF, label=HOSTILE, versus=replace(MF.versus, baseline=HOSTILE)), POPULARITY], {"data": HOSTILE}
    )
    assert "<script" not in text and "\x1b" not in text
    assert html.escape("<script>alert('x')</script>") in text
    lines = render([replace(MF, label=HOSTILE), POPULARITY], "latex").splitlines()
    assert all(line.startswith("%") or "\\frac" not in line and "\x1b" not in line for line in lines)


def test_the_page_is_the_same_every_time():
    assert page(ROWS_WITH, {}) == page(ROWS_WITH, {})


def test_a_page_without_runs_and_without_statistics():
    assert "no run is done" in page([], {}, "outputs/x: failed") and plots([]) == []
    plain = page(ROWS, {})
    assert plain.count("<table>") == 1 and plain.count("<figure>") == 2
    assert plots([replace(ROWS[0], metrics={})]) == []


def test_rounding_may_put_the_mean_beside_its_interval():
    assert page([replace(MF, intervals={"ndcg@10": Interval(0.5 + 1e-16, 0.5 + 2e-16)}), POPULARITY], {})
    assert page([replace(MF, intervals={"ndcg@10": Interval(0.51, 0.52)}), POPULARITY], {})


def test_many_rows_have_plots_of_the_best():
    rows = [replace(MF, label=f"a long label of mf, number {n}") for n in range(N_ROWS_PLOTTED + 1)]
    text = page(rows, {})
    assert f"The plots have the best {N_ROWS_PLOTTED} rows." in text
    assert "3. a long label of mf..." in text and "3. a long label of mf, " not in text
    assert text.count(f"number {N_ROWS_PLOTTED}") == 3, "it is in the tables alone"


def test_the_families_of_metrics_are_plotted_by_length_of_the_list():
    titles = [
        plot.title for plot in plots([replace(ROWS[0], metrics=dict.fromkeys([*METRICS, "hr@5"], Spread(0.1, None)))])
    ]
    assert titles[2:] == ["hr by length of the list"]


# TensorBoard


def test_the_comparison_is_a_run_of_its_own_in_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        folder = write_board(tmp_path, [replace(MF, beaten_by="popularity"), POPULARITY])
        (file,) = folder.glob("events.out.tfevents.*")
    assert folder == tmp_path / "comparison"
    events = EventAccumulator(str(file)).Reload()
    (text,) = events.Tensors("comparison/text_summary")
    told = text.tensor_proto.string_val[0].decode()
    assert told.startswith("> mf dim=8 (12.35 s to fit) is worse than popularity") and "| popularity | 1 |" in told
    assert len(events.Tags()["images"]) == 5
