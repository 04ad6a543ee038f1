"""Tables of users and items: declarations, alignment by id, missing values, scales, and numbers for models."""

import logging
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.data import Features, Interactions, Split, Vocabulary, feature_table, features
from recbench.data.feature_config import (
    CategoricalConfig,
    Declared,
    MultiConfig,
    NumericConfig,
    TextConfig,
    VectorConfig,
)
from recbench.data.vectors import read_vectors
from recbench.errors import ConfigError, DataError
from recbench.options import Config

IDS = ["a", "b", "c", "d"]
ALL = [0, 1, 2, 3]


def refuses(message, make, kind=DataError):
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        make()


def table(values, *declared, ids=IDS, vocabulary=IDS):
    """Return the table with the columns ``values`` of items."""
    return feature_table(pd.DataFrame({"item": ids, **values}), Vocabulary(vocabulary, "item"), declared)


def one(values, config, rows=ALL):
    """Return columns and numbers of the one feature ``x`` with ``values``, fitted on ``rows``."""
    fitted = table({"x": values}, config).fitted(torch.tensor(rows))
    return list(fitted.columns()), fitted.matrix().T.tolist()


# Declarations


class Options(Config):
    """Options that declare features."""

    columns: tuple[Declared, ...] = ()
    """The features."""


PLAIN = [
    {"name": "price", "kind": "numeric", "missing": "mean", "scale": "standard", "missing_values": ["NA"]},
    {"name": "genres", "kind": "multi", "separator": ", "},
    {"name": "image", "kind": "vector", "path": "image.npz"},
]


def test_declarations_are_read_from_plain_values_and_written_back():
    options = Options.from_mapping({"columns": PLAIN}, "options")
    assert options.columns == (
        NumericConfig(name="price", missing="mean", scale="standard", missing_values=("NA",)),
        MultiConfig(name="genres", separator=", "),
        VectorConfig(name="image", path="image.npz"),
    )
    plain = options.model_dump(mode="json")
    assert Options.from_mapping(plain, "options") == options
    assert hash(Options.from_mapping(plain, "options")) == hash(options)
    assert Options(columns=(TextConfig(name="title"),)).columns[0].source == "title"
    assert NumericConfig(name="price", column=3).source == 3
    assert Options.model_json_schema()["properties"]["columns"]["items"] == {"type": "object"}


@pytest.mark.parametrize(
    ("declared", "mistake"),
    [
        ("price", "should be a mapping, e.g. {name: price, kind: numeric}."),
        (
            {"name": "x"},
            "kind = None: should be 'numeric', 'categorical', 'multi', 'text' or 'vector'.",
        ),
        (
            {"name": "x", "kind": "number"},
            "kind = 'number': should be 'numeric', 'categorical', 'multi', 'text' or 'vector'.",
        ),
        (
            {"name": "x", "kind": "numeric", "scal": "none", "missing": "median"},
            "scal = 'none': no such option. Did you mean 'scale'? Known: column, kind, missing, missing_values, name, "
            "scale, value. missing = 'median': should be 'error', 'constant', 'mean', 'most_frequent' or 'indicator'.",
        ),
        (
            {"name": "x", "kind": "numeric", "value": 1.0},
            "value: belongs to missing = 'constant', which needs it; write both or neither.",
        ),
        (
            {"name": "x", "kind": "text", "missing": "constant"},
            "value: belongs to missing = 'constant', which needs it; write both or neither.",
        ),
    ],
)
def test_mistakes_in_declarations_are_named(declared, mistake):
    refuses(
        f"options cannot be configured:\n  columns[1] = {declared!r}: {mistake}",
        lambda: Options.from_mapping({"columns": [PLAIN[0], declared]}, "options"),
        ConfigError,
    )


def test_a_multi_feature_has_no_policy_for_missing_values():
    assert "missing" not in MultiConfig.model_fields


# Alignment


def test_rows_follow_the_vocabulary_and_what_is_not_declared_goes_by_its_type():
    found = table({"title": ["D", "B", "A", "C"], "year": [4, 2, 1, 3]}, ids=["d", "b", "a", "c"])
    assert found.names == ("title", "year")
    assert [found.kind(name) for name in found.names] == ["text", "numeric"]
    assert found.text("title").tolist() == ["A", "B", "C", "D"]
    assert found.fitted(torch.tensor(ALL)).matrix().tolist() == [[1], [2], [3], [4]]
    assert len(found) == 4 and "title" in found and "price" not in found


def test_ids_that_are_whole_numbers_or_categoricals_are_opaque_text_too():
    for ids in ([10, 9], pd.Categorical(["10", "9"])):
        found = table({"x": ["ten", "nine"]}, ids=ids, vocabulary=["9", "10"])
        assert found.text("x").tolist() == ["ten", "nine"], "'10' sorts before '9'"


def test_rows_too_many_and_too_few_are_counted(caplog):
    caplog.set_level(logging.INFO, "recbench")
    found = table({"x": [7, 9, 8]}, NumericConfig(name="x", missing="constant", value=-1.0), ids=["e", "b", "f"])
    assert found.fitted(torch.tensor(ALL)).matrix()[:, 0].tolist() == [-1, 9, -1, -1]
    assert found.n_missing("x") == 3
    assert caplog.messages == [
        "the item table has no row for 3 of 4, for example 'a': nothing is known of them.",
        "the item table has rows of 2 ids that do not occur; they are left out.",
    ]


def test_there_may_be_nothing():
    assert feature_table(None, Vocabulary(IDS, "item")) is None
    assert table({}) is None


def test_tables_that_do_not_fit():
    vocabulary = Vocabulary(IDS, "item")
    frame = pd.DataFrame({"item": ["a", "b", "a", "c"], "x": [1, 2, 3, 4]})
    refuses(
        "the item table describes 'a' more than once (1 rows too many). Keep one row for each item.",
        lambda: feature_table(frame, vocabulary),
    )
    lacking = frame.assign(item=["a", None, "b", "c"])
    refuses("the item table, row 1: the item id is missing.", lambda: feature_table(lacking, vocabulary))
    refuses(
        "the item table has no column 'item' of ids; it has: film, x.",
        lambda: feature_table(frame.rename(columns={"item": "film"}), vocabulary),
    )
    refuses(
        "the item table has no column 'y', which is declared; it has: item, x.",
        lambda: table({"x": [1, 2, 3, 4]}, TextConfig(name="y")),
    )
    refuses(
        "the item feature 'x' is declared twice.",
        lambda: table({"x": [1, 2, 3, 4]}, TextConfig(name="x"), NumericConfig(name="x")),
        ConfigError,
    )


# Numbers


def test_numbers_come_from_fitted_tables_alone():
    refuses(
        "the item features are not fitted, so they give no numbers: take them from the training part of a split "
        "(split.train.features), or call features.fitted(users, items).",
        table({"x": [1, 2, 3, 4]}).matrix,
        ConfigError,
    )


def test_numeric():
    assert one([1, 2, 3, 4], NumericConfig(name="x")) == (["x"], [[1, 2, 3, 4]])
    assert one(["1", "2.5", "-3e1", "+4"], NumericConfig(name="x")) == (["x"], [[1, 2.5, -30, 4]])
    assert one([True, False, True, True], NumericConfig(name="x")) == (["x"], [[1, 0, 1, 1]])


def test_missing_numbers():
    values = ["3", "", "1", "NA"]

    def filled(**options):
        return one(values, NumericConfig(name="x", missing_values=("NA",), **options), rows=[0, 1, 2])

    assert filled(missing="mean") == (["x"], [[3, (3 + 1) / 2, 1, (3 + 1) / 2]])
    assert filled(missing="constant", value=9.0) == (["x"], [[3, 9, 1, 9]])
    assert filled(missing="most_frequent") == (["x"], [[3, 1, 1, 1]]), "of several the lowest"
    assert filled(missing="indicator") == (["x", "x is missing"], [[3, 0, 1, 0], [0, 1, 0, 1]])
    assert one([5, 7, 5, None], NumericConfig(name="x", missing="most_frequent")) == (["x"], [[5, 7, 5, 5]])
    refuses(
        "the item feature 'x' is missing for 2 of 4 items, for example 'b'. Say what becomes of them: declare "
        "{name: x, kind: numeric, missing: ...} with 'constant', 'mean', 'most_frequent' or 'indicator'.",
        lambda: filled(missing="error"),
    )


def test_a_number_that_stands_for_a_missing_value_counts_however_it_is_written():
    for values in (["-1", "-1.0", "2", ""], [-1, -1, 2, None], [-1.0, -1.0, 2.0, math.nan]):
        config = NumericConfig(name="x", missing="constant", value=0.0, missing_values=("-1",))
        assert one(values, config) == (["x"], [[0, 0, 2, 0]])


def test_scales_are_learnt_from_training_rows_alone():
    values, rows = [1.0, 3.0, 100.0, None], [0, 1, 3]
    mean, deviation = (1 + 3) / 2, math.sqrt(((1 - 2) ** 2 + (3 - 2) ** 2) / 2)

    def scaled(**options):
        return one(values, NumericConfig(name="x", **options), rows)

    assert scaled(scale="standard", missing="mean") == (["x"], [[-1, 1, (100 - mean) / deviation, 0]])
    assert scaled(scale="standard", missing="constant", value=5.0)[1][0][3] == (5 - mean) / deviation
    assert scaled(scale="min_max", missing="constant", value=2.0) == (["x"], [[0, 1, 99 / (3 - 1), 0.5]])
    assert scaled(scale="standard", missing="indicator")[1] == [[-1, 1, 98, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("scale", ["standard", "min_max"])
def test_a_column_that_is_constant_in_training_is_only_shifted(scale):
    columns, (numbers,) = one([0.1, 0.1, 0.1, 2.1], NumericConfig(name="x", scale=scale), [0, 1, 2])
    assert numbers == [0, 0, 0, 2]


def test_values_that_are_no_numbers():
    for value in ("1_000", "nan", "inf", "1,5", "1e300"):
        refuses(
            f"the feature 'x' of item 'c' is {value!r}, which should be a finite number. "
            "If it stands for a missing value, name it in missing_values.",
            lambda value=value: table({"x": ["1", "2", value, "4"]}, NumericConfig(name="x")),
        )


def test_nothing_to_learn_from():
    message = (
        "the feature 'x' has no value in the training part that its options could be learnt from; "
        "write missing: constant and scale: none, or leave the feature out."
    )
    for options in ({"missing": "mean"}, {"missing": "most_frequent"}, {"missing": "indicator", "scale": "standard"}):
        refuses(message, lambda options=options: one([None, 1, 2, 3], NumericConfig(name="x", **options), [0]))
    assert one([None, 1, 2, 3], NumericConfig(name="x", missing="indicator"), [0])[1][0] == [0, 1, 2, 3]
    refuses(message, lambda: one(["", "u", "v", "w"], CategoricalConfig(name="x", missing="most_frequent"), [0]))


def test_categories_are_those_of_training():
    values = ["v", "u", "w", "v"]
    assert one(values, CategoricalConfig(name="x")) == (
        ["x=u", "x=v", "x=w"],
        [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]],
    )
    assert one(values, CategoricalConfig(name="x"), [0, 1]) == (["x=u", "x=v"], [[0, 1, 0, 0], [1, 0, 0, 1]])
    assert one([2, 1, 1, 10], CategoricalConfig(name="x"))[0] == ["x=1", "x=10", "x=2"]


def test_missing_categories():
    values = ["v", "", "u", "?"]

    def filled(rows=ALL, **options):
        return one(values, CategoricalConfig(name="x", missing_values=("?",), **options), rows)

    assert filled(missing="most_frequent") == (["x=u", "x=v"], [[0, 1, 1, 1], [1, 0, 0, 0]])
    assert filled(missing="constant", value="v") == (["x=u", "x=v"], [[0, 0, 1, 0], [1, 1, 0, 1]])
    assert filled(missing="constant", value="z")[0] == ["x=u", "x=v", "x=z"]
    assert filled([0, 2], missing="constant", value="z")[0] == ["x=u", "x=v"], "z is not in training"
    assert filled(missing="indicator") == (
        ["x=u", "x=v", "x is missing"],
        [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1]],
    )
    refuses(
        "the item feature 'x' is missing for 2 of 4 items, for example 'b'. Say what becomes of them: declare "
        "{name: x, kind: categorical, missing: ...} with 'constant', 'most_frequent' or 'indicator'.",
        lambda: filled(missing="error"),
    )


def test_multi():
    values = ["u|v", "", "w", "v|u|v"]
    assert one(values, MultiConfig(name="x")) == (
        ["x=u", "x=v", "x=w"],
        [[1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0]],
    )
    assert one(values, MultiConfig(name="x"), [0, 1])[0] == ["x=u", "x=v"]
    assert one(["u, v", "u", "-", "v"], MultiConfig(name="x", separator=", ", missing_values=("-",))) == (
        ["x=u", "x=v"],
        [[1, 1, 0, 0], [1, 0, 0, 1]],
    )
    assert table({"x": values}, MultiConfig(name="x")).n_missing("x") == 1
    assert one(["", "", "", ""], MultiConfig(name="x")) == ([], [])
    refuses(
        "the feature 'x' of item 'b' is 'u||v', where a category between two '|', or before or after one, is empty. "
        "If it stands for a missing value, name it in missing_values.",
        lambda: table({"x": ["u", "u||v", "v|", ""]}, MultiConfig(name="x")),
    )


def test_text_has_no_numbers():
    found = table({"x": ["A", "", "C", "D"], "year": [1, 2, 3, 4]}, TextConfig(name="x", missing="constant", value="-"))
    fitted = found.fitted(torch.tensor(ALL))
    assert fitted.text("x").tolist() == ["A", "-", "C", "D"]
    assert fitted.columns() == ("year",)
    assert fitted.dim() == 1
    refuses(
        "the item feature 'x' is text, which has no numbers. Those that have are: year.",
        lambda: fitted.matrix(["x"]),
        ConfigError,
    )
    refuses("the item feature 'year' is numeric, and should be text.", lambda: fitted.text("year"), ConfigError)
    refuses(
        "no item feature 'yaer'. Did you mean 'year'? Known: x, year.",
        lambda: fitted.matrix(["yaer"]),
        ConfigError,
    )
    refuses(
        "the items have no features but text (x), which has no numbers. "
        "Declare one as numeric, categorical, multi or vector.",
        table({"x": IDS}).fitted(torch.tensor(ALL)).matrix,
        ConfigError,
    )
    refuses(
        "the item feature 'x' is missing for 1 of 4 items, for example 'b'. Say what becomes of them: declare "
        "{name: x, kind: text, missing: ...} with 'constant'.",
        lambda: table({"x": ["A", None, "C", "D"]}),
    )


def test_features_stand_beside_each_other_in_the_order_asked_for():
    fitted = table({"u": [1, 2, 3, 4], "v": ["p", "q", "p", "q"]}, CategoricalConfig(name="v")).fitted(
        torch.tensor(ALL)
    )
    assert fitted.columns() == ("v=p", "v=q", "u")
    assert fitted.columns(["u", "v"]) == ("u", "v=p", "v=q")
    assert fitted.matrix(["u", "v"])[1].tolist() == [2, 0, 1]
    assert fitted.matrix().dtype == torch.float32


def test_more_numbers_than_memory_can_be_meant_to_hold(monkeypatch):
    fitted = table({"u": [1, 2, 3, 4], "v": IDS}, CategoricalConfig(name="v")).fitted(torch.tensor(ALL))
    monkeypatch.setattr(features, "MOST_NUMBERS", 4 * 5)
    assert fitted.matrix().shape == (4, 5)
    monkeypatch.setattr(features, "MOST_NUMBERS", 4 * 5 - 1)
    refuses(
        "the item features would be 4 rows of 5 numbers, more than 19 in all. "
        "Leave out 'v', which is the widest, or declare it text.",
        fitted.matrix,
        ConfigError,
    )


# Vectors


def saved(path, ids=("d", "a", "b"), values=((4, 40), (1, 10), (2, 20)), **options):
    np.savez(path, ids=np.array(ids), vectors=np.array(values, dtype=np.float32))
    return VectorConfig(name="x", path=str(path), **options)


def test_vectors_are_aligned_by_id(tmp_path):
    config = saved(tmp_path / "v.npz", ("d", "z", "a", "c", "b"), [(4, 40), (0, 0), (1, 10), (3, 30), (2, 20)])
    fitted = feature_table(None, Vocabulary(IDS, "item"), [config]).fitted(torch.tensor(ALL))
    assert fitted.columns() == ("x[0]", "x[1]")
    assert fitted.matrix().T.tolist() == [[1, 2, 3, 4], [10, 20, 30, 40]]


def test_vectors_beside_a_file_of_ids(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[1, 2], [3, 4]]))
    (tmp_path / "v.ids.txt").write_text("a\r\nb b\r\n", encoding="utf-8-sig", newline="")
    vectors = read_vectors(tmp_path / "v.npy")
    assert vectors.ids.tolist() == ["a", "b b"]
    assert vectors.values.dtype == np.float32 and vectors.values.tolist() == [[1, 2], [3, 4]]
    np.savez(tmp_path / "v.npz", ids=np.array([7, 8]), vectors=np.ones((2, 1)))
    assert read_vectors(tmp_path / "v.npz").ids.tolist() == ["7", "8"]


def test_missing_vectors(tmp_path):
    def filled(**options):
        config = saved(tmp_path / "v.npz", **options)
        fitted = feature_table(None, Vocabulary(IDS, "item"), [config]).fitted(torch.tensor([0, 1, 2]))
        return fitted.columns(), fitted.matrix()[2:].tolist()

    assert filled(missing="mean") == (("x[0]", "x[1]"), [[(1 + 2) / 2, (10 + 20) / 2], [4, 40]])
    assert filled(missing="constant", value=-1.0)[1] == [[-1, -1], [4, 40]]
    assert filled(missing="indicator") == (("x[0]", "x[1]", "x is missing"), [[0, 0, 1], [4, 40, 0]])
    assert filled(missing="mean", scale="standard")[1] == [[0, 0], [(4 - 1.5) / 0.5, (40 - 15) / 5]]
    refuses(
        "the item feature 'x' is missing for 1 of 4 items, for example 'c'. Say what becomes of them: declare "
        "{name: x, kind: vector, missing: ...} with 'constant', 'mean' or 'indicator'.",
        filled,
    )


def test_vectors_that_cannot_be_read(tmp_path):
    path, plain = tmp_path / "v.npz", tmp_path / "v.npy"

    def wrong(message, ids=("a", "b"), vectors=((1.0,), (2.0,))):
        np.savez(path, ids=np.array(ids), vectors=np.array(vectors))
        refuses(f"{path}: {message}", lambda: read_vectors(path))

    wrong("2 ids and 3 vectors; there should be as many of both.", vectors=[[1.0]] * 3)
    wrong("the vectors are float64 of shape (2,); they should be numbers of shape (N, D).", vectors=(1.0, 2.0))
    wrong("the vectors are <U1 of shape (2, 1); they should be numbers of shape (N, D).", vectors=(("x",), ("y",)))
    wrong("the id 'a' occurs more than once.", ids=("a", "a"))
    wrong("the vector of 'b' should hold finite float32 numbers only.", vectors=((1.0,), (math.nan,)))
    wrong("the vector of 'a' should hold finite float32 numbers only.", vectors=((1e39,), (1.0,)))
    wrong(
        "the ids are float64 of shape (2,); they should be text or whole numbers of shape (N,).",
        ids=(0.5, 1.5),
    )
    np.savez(path, names=np.array(["a"]), vectors=np.ones((1, 1)))
    refuses(f"{path}: holds the arrays names, vectors; it should hold ids and vectors.", lambda: read_vectors(path))
    path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read as arrays of numbers and text"):
        read_vectors(path)
    missing = tmp_path / "w.npz"
    refuses(f"{missing}: cannot be read: No such file or directory.", lambda: read_vectors(missing))
    np.save(plain, np.ones((1, 1)))
    refuses(
        f"{tmp_path / 'v.ids.txt'}: the ids of the vectors, one a line, cannot be read: No such file or directory.",
        lambda: read_vectors(plain),
    )
    path.write_bytes(plain.read_bytes())
    refuses(
        f"{path}: is a single array; an .npz file should hold the arrays ids and vectors.", lambda: read_vectors(path)
    )
    refuses(
        f"{tmp_path / 'o.npz'}: holds a vector for none of the 4 items. Its ids look like ['1'], "
        "those of the data like ['a'].",
        lambda: feature_table(None, Vocabulary(IDS, "item"), [saved(tmp_path / "o.npz", ("1",), [(1.0,)])]),
    )


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


@pytest.mark.parametrize("array", ["ids", "vectors"])
def test_no_code_of_a_file_is_run(tmp_path, array):
    arrays = {"ids": np.array(["a"]), "vectors": np.ones((1, 1))} | {array: np.array([Bomb()], dtype=object)}
    np.savez(tmp_path / "v.npz", **arrays)
    refuses(
        f"{tmp_path / 'v.npz'}: cannot be read as arrays of numbers and text; write it anew with numpy.save or savez.",
        lambda: read_vectors(tmp_path / "v.npz"),
    )


# In a split


def split_of(test_values):
    """Return a split in which items a and b are in training, with ``test_values`` of c and d."""
    pairs = pd.DataFrame({"user": ["u", "u", "u", "v"], "item": IDS, "part": [0, 0, 2, 2]})
    interactions = Interactions.from_frame(pairs, part="part")
    items = feature_table(
        pd.DataFrame({"item": IDS, "x": [1.0, 3.0, *test_values], "y": ["p", "q", *map(str, test_values)]}),
        interactions.item_vocabulary,
        [NumericConfig(name="x", scale="standard", missing="mean"), CategoricalConfig(name="y")],
    )
    users = feature_table(pd.DataFrame({"user": ["u", "v"], "age": [10, 20]}), interactions.user_vocabulary)
    interactions = Interactions.from_frame(pairs, part="part", features=Features(users, items))
    return Split.from_parts(interactions, interactions.parts)


def test_what_is_learnt_is_learnt_from_training_rows():
    train = split_of([5.0, math.nan]).train
    assert train.features.items.columns() == ("x", "y=p", "y=q")
    assert train.features.items.matrix()[:, 0].tolist() == [-1, 1, 3, 0]
    assert train.features.users.rows.tolist() == [0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2))
@settings(max_examples=20, deadline=None)
def test_values_of_test_items_change_no_number_of_training_items(values):
    found, wanted = (split_of(chosen).train.features.items.matrix()[:2] for chosen in (values, [0, 0]))
    assert torch.equal(found, wanted)


def test_titles():
    assert Features().titles is None
    assert Features(items=table({"x": IDS})).titles is None
    assert Features(items=table({"title": [1, 2, 3, 4]})).titles is None
    assert Features(items=table({"title": ["A", "B", "C", "D"]})).titles.tolist() == ["A", "B", "C", "D"]
