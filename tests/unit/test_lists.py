"""The lists of another system: read strictly, scored as our own, kept so that they compare with runs."""

import csv
import json
import math
import random
from pathlib import Path

import pytest

from recbench.doctor.runs import runs

TRAIN = {"a": ["x", "y"], "b": ["y", "z"], "c": ["z", "w"]}
TEST = {"a": ["z"], "b": ["x", "w"]}
LISTS = [("a", 1, "w"), ("a", 2, "z"), ("b", 1, "w"), ("b", 2, "x")]


def write(path, rows, head="user,rank,item"):
    lines = [head] if head else []
    Path(path).write_text("\n".join([*lines, *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture
def scored(command):
    """Return the command on small files; ``scored(...)`` evaluates ``lists.csv``."""
    for name, parts in (("train", TRAIN), ("test", TEST)):
        write(f"{name}.csv", [(user, item) for user, items in parts.items() for item in items], "user,item")
    write("lists.csv", LISTS)

    def call(*words, file="lists.csv", data=("--train", "train.csv", "--test", "test.csv")):
        return command("evaluate", "--recommendations", file, *data, *words)

    call.command = command
    return call


def values(ended):
    assert ended.code == 0, ended.err
    return {name: found["value"] for name, found in json.loads(ended.out)["metrics"].items()}


NDCG = "evaluation.metrics=[ndcg@2]"


# By hand


def test_the_metrics_are_ours(scored):
    found = values(scored("--format", "json", "evaluation.metrics=[ndcg@2,recall@1,precision@2,mrr@2,coverage@2]"))
    assert found == {
        "ndcg@2": pytest.approx((1 / math.log2(3) + 1) / 2),
        "recall@1": pytest.approx((0 + 1 / 2) / 2),
        "precision@2": pytest.approx((1 / 2 + 1) / 2),
        "mrr@2": pytest.approx((1 / 2 + 1) / 2),
        "coverage@2": pytest.approx(3 / 4),
    }


def test_intervals_stand_beside_the_values(scored):
    ended = scored("evaluation.metrics=[recall@1,coverage@2]")
    assert ended.out == (
        "metric        test     95 % of users\n"
        "----------  ------  ----------------\n"
        "recall@1    0.2500  0.0000 to 0.5000\n"
        "coverage@2  0.7500                 -\n"
        "\n"
        "2 test users.\n"
    )


def test_scores_order_as_well_as_ranks_wherever_the_lines_stand(scored):
    rows = [("z", "a", 0.25), ("x", "b", -3), ("w", "a", 7e3), ("w", "b", 2)]
    write("scores.csv", rows, "item,user,score")
    assert values(scored(NDCG, "--format", "json", file="scores.csv")) == values(scored(NDCG, "--format", "json"))
    write("scores.csv", [(*row, "first") for row in rows], "article,customer,prediction,rank")
    columns = ("--user", "customer", "--item", "article", "--score", "prediction")
    found = values(scored(NDCG, "--format", "json", *columns, file="scores.csv"))
    assert found == values(scored(NDCG, "--format", "json"))


def test_files_without_a_header(scored):
    write("bare.csv", [(user, item, rank) for user, rank, item in LISTS], None)
    words = ("--header", "false", "--rank", "2", NDCG, "--format", "json")
    assert values(scored(*words, file="bare.csv")) == values(scored(NDCG, "--format", "json"))


def test_json_lines(scored):
    lines = [json.dumps({"user": user, "rank": rank, "item": item}) for user, rank, item in LISTS]
    Path("lists.jsonl").write_text("\n".join(lines) + "\n")
    assert values(scored(NDCG, "--format", "json", file="lists.jsonl")) == values(scored(NDCG, "--format", "json"))


def test_a_test_user_without_a_list_counts_and_it_is_said(scored):
    write("lists.csv", LISTS[:2])
    ended = scored(NDCG, "--format", "json")
    assert values(ended) == {"ndcg@2": pytest.approx((1 / math.log2(3) + 0) / 2)}
    assert ended.err == "warning: 1 of 2 test users have no list: nothing is found for them.\n"


def test_users_who_are_not_asked_and_the_rest_of_long_lists_do_not_count(scored):
    write("longer.csv", [*LISTS, ("b", 3, "z"), ("c", 1, "x"), ("c", 2, "y")])
    assert values(scored(NDCG, "--format", "json", file="longer.csv")) == values(scored(NDCG, "--format", "json"))


def test_items_that_were_known_are_told(scored):
    write("known.csv", [("a", 1, "x"), ("a", 2, "z"), ("b", 1, "w")])
    ended = scored(NDCG, file="known.csv")
    assert ended.err == (
        "warning: 1 of the 3 listed items are known of the user from training or validation; they take places, and "
        "models of recbench do not list them.\n"
    )


def test_metrics_that_the_lists_cannot_have_are_left_out_and_named(scored):
    write("long.csv", [("a", rank, item) for rank, item in enumerate("wzxy", 1)])
    ended = scored("--format", "json", "evaluation.metrics=[ndcg@5]", file="long.csv")
    assert ended.code == 2
    assert ended.err == (
        "error: metric 'ndcg@5': needs lists of 5 items, and the longest has 4. Choose others: "
        "'evaluation.metrics=[ndcg@4]'.\n"
    )
    ended = scored("evaluation.metrics=[auc]")
    assert "metric 'auc': needs the scores of all items, which lists do not have." in ended.err
    ten = [(user, rank, f"i{rank}") for user in "ab" for rank in range(1, 11)]
    write("ten.csv", ten)
    write("train.csv", [("c", item) for _, _, item in ten[:10]] + [("a", "x"), ("b", "y")], "user,item")
    ended = scored("--format", "json", file="ten.csv")
    assert "recall@10" in values(ended) and "recall@20" not in values(ended)
    assert (
        ended.err
        == "warning: left out ndcg@20, recall@20: the longest list has 10 items.\n" + ended.err.partition("\n")[2]
    )


# What is wrong is named by file and line


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*LISTS, ("nobody", 1, "x")],
            "lists.csv, line 6: no user 'nobody' among the 3 users. Ids look like 'a'. 1 of 5 lines are so; the users "
            "are those of all parts of the data, as published.",
        ),
        (
            [("a", 1, "q"), *LISTS[2:]],
            "lists.csv, line 2: no item 'q' among the 4 items. Ids look like 'w'. 1 of 3 lines are so; the items are "
            "those of all parts of the data, as published.",
        ),
        (
            [*LISTS, ("a", 3, "z")],
            "lists.csv, line 6: the item 'z' stands more than once in the list of user 'a'; 1 lines are so. List each "
            "item once: its hits would count twice.",
        ),
        (
            [*LISTS, ("b", 2, "z")],
            "lists.csv, line 6: the rank '2' stands more than once in the list of user 'b'; 1 lines are so. Give each "
            "item a rank of its own; where there are scores, name their column with --score.",
        ),
        (
            [*LISTS, ("b", "best", "z")],
            "lists.csv, line 6: the rank 'best' should be a whole number.",
        ),
        (
            [*LISTS, ("b", "z")],
            "lists.csv, line 6: expected 3 fields separated by ',', found 2: 'b,z'.",
        ),
    ],
)
def test_bad_lines(scored, rows, message):
    write("lists.csv", rows)
    ended = scored(NDCG)
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {message}\n")


def test_scores_that_are_no_numbers(scored):
    write("lists.csv", [("a", "0.5", "x"), ("b", "nan", "w")], "user,score,item")
    ended = scored(NDCG)
    assert ended.code == 2 and ended.err.startswith("error: lists.csv, line 3: ")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            "user,place,item",
            "lists.csv: has neither a column 'rank' nor one 'score' to order the lists by. Name one with --rank or "
            "--score; without a header by its position, 0 is the first.",
        ),
        (
            "customer,rank,item",
            "lists.csv: no column 'user' for the user; the file has: customer, rank, item. Set --user NAME, or "
            "--header false where the first line is data.",
        ),
    ],
)
def test_columns_that_are_missing(scored, head, message):
    write("lists.csv", LISTS, head)
    ended = scored(NDCG)
    assert (ended.code, ended.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        (
            (),
            ("--train", "train.csv"),
            "give both --train FILE and --test FILE, or a data set and a split instead: dataset=ml-100k split=random.",
        ),
        (
            ("model=mf",),
            ("--train", "train.csv", "--test", "test.csv"),
            "'model=mf': has no effect on lists; only dataset, split and evaluation can be set here.",
        ),
        (
            ("--rank", "rank", "--score", "score"),
            ("--train", "train.csv", "--test", "test.csv"),
            "--rank and --score are given together: lists are ordered by one of them.",
        ),
        (
            ("evaluation.candidates=sampled",),
            ("--train", "train.csv", "--test", "test.csv"),
            "evaluation.candidates = 'sampled': lists are scored as they are, among all items; leave it out.",
        ),
        (
            (),
            ("dataset=planted", "split=none"),
            "the split has no test part, so that there is nothing to score the lists by.",
        ),
    ],
)
def test_words_that_do_not_go_together(scored, words, data, message):
    if "dataset=planted" in data:
        write("lists.csv", [("u0001", 1, "i0001")])
    ended = scored(*words, data=data)
    assert ended.code == 2 and f"error: {message}\n" in ended.err


def test_a_name_that_does_not_tell_the_format(scored):
    write("lists", LISTS)
    ended = scored(NDCG, file="lists")
    assert ended.err == (
        "error: lists: the name does not tell how it is written. End it in .csv, .tsv, .jsonl or .parquet, or give "
        "--delimiter, one of comma, tab, semicolon, pipe, space, or the characters themselves.\n"
    )
    assert scored(NDCG, "--delimiter", "comma", file="lists").code == 0


# Beside our own engine


@pytest.fixture
def exported(command):
    """Return the command, after a run on a published split whose lists are in ``lists.csv``."""
    random.seed(0)
    with Path("train.csv").open("w") as train, Path("test.csv").open("w") as test:
        train.write("user,item\n")
        test.write("user,item\n")
        for user in range(60):
            for place, item in enumerate(random.sample(range(50), 12)):
                (test if place < 3 else train).write(f"u{user},i{item}\n")
    data = ("dataset=files", "dataset.train=train.csv", "dataset.test=test.csv", "split=fixed")
    for model in ("item_knn", "popularity"):
        assert command("run", "-q", *data, f"model={model}", f"hydra.run.dir=runs/{model}").code == 0
    for model in ("item_knn", "popularity"):
        lists = ("--all-users", f"{model}.csv", "--k", "20", "--keep-heldout")
        assert command("recommend", f"runs/{model}", *lists).code == 0
    return command


@pytest.mark.parametrize("model", ["item_knn", "popularity"])
def test_lists_of_a_run_have_its_metrics_exactly(exported, model):
    words = ("--recommendations", f"{model}.csv", "--train", "train.csv", "--test", "test.csv", "--format", "json")
    result = json.loads(Path("runs", model, "result.json").read_text())
    assert values(exported("evaluate", *words)) == result["metrics"]["test"]
    # By score too, where equal ones are put in order as here, up to the end of the lists.
    found = values(exported("evaluate", *words, "--score", "score", "evaluation.metrics=[ndcg@10,recall@10]"))
    assert found == {name: result["metrics"]["test"][name] for name in ("ndcg@10", "recall@10")}


def test_an_evaluation_compares_with_runs(exported):
    with Path("popularity.csv").open() as file, Path("theirs.csv").open("w") as theirs:
        rows = list(csv.DictReader(file))
        theirs.write("user,item,rank\n" + "".join(f"{row['user']},{row['item']},{row['rank']}\n" for row in rows))
    words = ("--recommendations", "theirs.csv", "--train", "train.csv", "--test", "test.csv", "--output", "runs/theirs")
    assert exported("evaluate", *words).code == 0
    ended = exported("compare", "runs", "--baseline", "popularity", "--format", "json")
    rows = {row["label"]: row for row in json.loads(ended.out)}
    assert rows.keys() == {"theirs", "item_knn", "popularity"}
    assert rows["theirs"]["metrics"] == rows["popularity"]["metrics"]
    assert rows["theirs"]["versus"]["difference"] == 0 and rows["theirs"]["versus"]["p_holm"]["t"] == 1
    assert rows["theirs"]["seconds"]["fit"] is None and rows["theirs"]["groups"] == rows["popularity"]["groups"]
    assert " -  " in exported("compare", "runs").out
    assert [finding.level for finding in runs(Path("runs/theirs"))] == ["ok"]

    again = exported("evaluate", *words)
    assert again.code == 2 and again.err == (
        "error: the folder runs/theirs already holds a run (result.json); choose another one with --output.\n"
    )
    second = ("--seed", "1", "--label", "theirs", "--output", "runs/second")
    assert exported("evaluate", *words[:-2], *second).code == 0
    rows = {row["label"]: row for row in json.loads(exported("compare", "runs", "--format", "json").out)}
    assert rows["theirs"]["n_seeds"] == 2


def test_an_evaluation_on_another_split_is_refused(exported):
    lines = Path("test.csv").read_text().splitlines()
    Path("test.csv").write_text("\n".join(lines[:-1]) + "\n")
    words = ("--recommendations", "popularity.csv", "--train", "train.csv", "--test", "test.csv")
    assert exported("evaluate", *words, "--output", "runs/theirs").code == 0
    ended = exported("compare", "runs")
    assert ended.code == 2 and "do not belong in one table, since their data differ: files (fingerprint" in ended.err


def test_lists_on_the_split_of_a_data_set(command):
    data = (
        "dataset=planted",
        "dataset.n_users=60",
        "dataset.n_items=40",
        "dataset.n_interactions=500",
        "split=leave_one_out",
    )
    assert command("run", "-q", *data, "model=popularity", "hydra.run.dir=runs/popularity").code == 0
    shown = command("recommend", "runs/popularity", "--user", "u0001", "--format", "json").out
    write("lists.csv", [("u0002", row["rank"], row["item"]) for row in json.loads(shown)])
    words = ("evaluate", "--recommendations", "lists.csv", *data, "--output", "runs/theirs")
    assert command(*words).code == 0
    ended = command("compare", "runs", "--format", "json")
    assert {row["label"] for row in json.loads(ended.out)} == {"lists", "popularity"}
