"""One user a line, as LightGCN and MCRec publish splits, and the published negatives of NCF."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbench.errors import ConfigError, DataError, EmptyDatasetError
from recbench.formats import read_negatives, read_user_lists, source


@pytest.fixture(params=[1, 5, source.BLOCK_BYTES])
def any_block(request, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", request.param)


def read(folder, content, function=read_user_lists, **more):
    (folder / "r.txt").write_text(content, encoding="utf-8", newline="")
    return function(folder / "r.txt", **more)


def refuses(folder, content, message, function=read_user_lists, kind=DataError, **more):
    path = folder / "r.txt"
    with pytest.raises(kind, match="^" + re.escape(message.replace("PATH", str(path))) + "$"):
        read(folder, content, function, **more)


def test_lines_of_items(tmp_path, any_block):
    done = read(tmp_path, "0 7 007 3\r\nb 7\n1 0 1")
    assert done.frame.values.tolist() == [["0", "7"], ["0", "007"], ["0", "3"], ["b", "7"], ["1", "0"], ["1", "1"]]
    assert (done.n_rows, done.dropped) == (6, {})
    assert done.frame["user"].cat.categories.tolist() == ["0", "b", "1"]
    assert sorted(done.frame["item"].cat.categories) == ["0", "007", "1", "3", "7"]


def test_users_without_items_are_counted(tmp_path, any_block):
    done = read(tmp_path, "a x\nb\nc \nd y \n")
    assert done.frame.values.tolist() == [["a", "x"], ["d", "y"]]
    assert (done.n_rows, done.dropped) == (4, {"user without items": 2})
    assert done.frame["user"].cat.categories.tolist() == ["a", "d"]
    refuses(
        tmp_path,
        "a\nb\n",
        "PATH: none of 2 rows can be used; left out are 2 for 'user without items'.",
        kind=EmptyDatasetError,
    )


def test_a_user_has_one_line(tmp_path, any_block):
    message = "the user 'a' has had a line before; write all items of a user in one."
    refuses(tmp_path, "a x\nb y\na z\n", f"PATH, line 3: {message}")
    refuses(tmp_path, "a\nb y\na z\n", f"PATH, line 3: {message}", bad_rows="drop")
    # An item may be called like a user.
    assert len(read(tmp_path, "a b\nb a\n").frame) == 2


def test_empty_ids(tmp_path, any_block):
    refuses(tmp_path, "a x y z\nb  y\n", "PATH, line 2: the item id is empty.")
    refuses(tmp_path, "a x\n y\n", "PATH, line 2: the user id is empty.")
    refuses(tmp_path, "a x\n\nb y\n", "PATH, line 2: the user id is empty.")
    refuses(tmp_path, "a x\n\n", "PATH, line 2: the user id is empty.")
    done = read(tmp_path, "a x\nb  y\n z w\n\nc z\n\n", bad_rows="drop")
    assert done.frame.values.tolist() == [["a", "x"], ["b", "y"], ["c", "z"]]
    assert done.dropped == {"item id is empty": 1, "user id is empty": 4}
    assert done.n_rows == 8


def test_other_separators(tmp_path):
    assert read(tmp_path, "a b\tx y\tz\n", separator="\t").frame.values.tolist() == [["a b", "x y"], ["a b", "z"]]
    refuses(
        tmp_path,
        "a b\tx\n",
        "PATH, line 1: the item id 'b\\tx' should hold no line end, tab, NUL or half of a surrogate pair.",
    )
    for separator in ("", "::", "\n"):
        refuses(
            tmp_path,
            "a::b\n",
            f"separator = {separator!r}: should be one ASCII character that ends no line.",
            kind=ConfigError,
            separator=separator,
        )


def test_empty_files_and_encodings(tmp_path):
    refuses(tmp_path, "", "PATH: is empty (0 bytes).", kind=EmptyDatasetError)
    refuses(
        tmp_path,
        "a \u00e4\n",
        "PATH, line 1: byte 2 (0xc3) is not ascii. Set dataset.encoding=utf-8 if the file is written so.",
        encoding="ascii",
    )
    refuses(tmp_path, "a \x1f\n", "PATH, line 1: holds the control character '\\x1f'. Take it out of the file.")


# NCF's negatives


def test_negatives_of_pairs(tmp_path, any_block):
    done = read(tmp_path, "(0,25)\t10\t7\n(1,07)\t7\n", read_negatives)
    assert done.frame.values.tolist() == [["0", "25", "10"], ["0", "25", "7"], ["1", "07", "7"]]
    assert list(done.frame.columns) == ["user", "item", "negative"]
    assert (done.n_rows, done.dropped) == (3, {})


@pytest.mark.parametrize("line", ["0\t25\t10", "(0,25)", "(0,25,3)\t7", "(,25)\t7", "(0;25)\t7", "", " (0,25)\t7"])
def test_lines_that_are_no_pair_and_negatives(tmp_path, any_block, line):
    head = line.partition("\t")[0]
    refuses(
        tmp_path,
        f"(0,1)\t2\t3\n{line}\n(1,1)\t2\n",
        "PATH, line 2: should begin with (user,item), and item ids should follow, each behind a tab; "
        f"it begins with {head!r}.",
        read_negatives,
    )


def test_empty_negatives(tmp_path):
    refuses(tmp_path, "(0,1)\t2\n(0,2)\t\t3\n", "PATH, line 2: the negative id is empty.", read_negatives)


def test_negatives_of_bad_lines_are_left_out_and_counted(tmp_path, any_block):
    """Line 2 has two negatives and no pair, line 3 none, line 4 an empty one among two."""
    content = "(0,1)\t2\t3\n0;1\t7\t8\n(0,4)\n(1,1)\t\t5\n"
    done = read(tmp_path, content, read_negatives, bad_rows="drop")
    assert done.frame.values.tolist() == [["0", "1", "2"], ["0", "1", "3"], ["1", "1", "5"]]
    assert (done.n_rows, done.dropped) == (2 + 2 + 1 + 2, {"no pair and negatives": 2 + 1, "negative id is empty": 1})


def test_negatives_in_another_encoding(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes("(José,1)\t2\n".encode("latin-1"))
    assert read_negatives(path, encoding="latin-1").frame["user"].tolist() == ["José"]
    with pytest.raises(DataError, match=r"is not utf-8\. Set dataset\.encoding=latin-1 if the file is written so\.$"):
        read_negatives(path)


def test_lines_where_asked(tmp_path, any_block):
    done = read(tmp_path, "a x y\nb\nc  z\n", bad_rows="drop", numbered=True)
    assert (done.lines.tolist(), done.where(2)) == ([1, 1, 3], "line 3")
    assert read(tmp_path, "a x y\n").lines is None


ID = st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n\0\x1f"), min_size=1, max_size=4)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def with_blocks(step, function):
    before, source.BLOCK_BYTES = source.BLOCK_BYTES, step
    try:
        return function()
    finally:
        source.BLOCK_BYTES = before


@SETTINGS
@given(lists=st.dictionaries(ID, st.lists(ID, min_size=1, max_size=4), min_size=1, max_size=4), step=st.integers(1, 40))
def test_every_list_comes_back_as_written(tmp_path, lists, step):
    content = "\ufeff" + "".join(" ".join([user, *items]) + "\n" for user, items in lists.items())
    done = with_blocks(step, lambda: read(tmp_path, content))
    assert done.frame.values.tolist() == [[user, item] for user, items in lists.items() for item in items]


@SETTINGS
@given(
    content=st.text(st.sampled_from("ab(,) \t\n\r\x1f\ufeff"), max_size=40),
    step=st.integers(1, 10),
    function=st.sampled_from([read_user_lists, read_negatives]),
)
def test_any_text_is_read_or_refused_whatever_the_blocks(tmp_path, content, step, function):
    def outcome():
        try:
            done = read(tmp_path, content, function)
        except DataError as error:
            return EmptyDatasetError if isinstance(error, EmptyDatasetError) else DataError
        return done.n_rows, done.dropped, done.frame.values.tolist()

    assert with_blocks(step, outcome) == outcome()


# Published files


def test_published_lists_and_negatives(real_data):
    train = read_user_lists(real_data / "gowalla" / "train.txt")
    test = read_user_lists(real_data / "gowalla" / "test.txt")
    assert (train.n_rows, test.n_rows) == (810_128, 217_242)
    assert train.frame["user"].nunique() == 29_858
    mcrec = read_user_lists(real_data / "ml-100k-mcrec" / "ml-100k.test.rating")
    assert (mcrec.n_rows, mcrec.frame["user"].nunique()) == (20_000, 942)
    negatives = read_negatives(real_data / "ncf-ml-1m" / "ml-1m.test.negative")
    assert (negatives.n_rows, negatives.frame["user"].nunique()) == (6_040 * 99, 6_040)
