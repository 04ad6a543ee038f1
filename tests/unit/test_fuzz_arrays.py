"""Damaged and hostile files of NumPy: arrays of plain values, or a clear error.

``RECBENCH_FUZZ=N`` (see ``fuzzing``) runs N times as many examples.
"""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from fuzzing import damaged, fuzz, promptly
from hypothesis import given
from hypothesis import strategies as st

from recbench.data import Interactions
from recbench.data.arrays import read_array, read_arrays
from recbench.data.vectors import read_vectors
from recbench.errors import DataError
from recbench.nn.pretrained import _arrays
from recbench.splits import store

DATA = Interactions.from_frame(pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}))
VECTORS = {"ids": np.array(["a", "é"]), "vectors": np.zeros((2, 3), np.float32)}


def packed(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def single(array) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("arrays")
    (made / "vectors.ids.txt").write_text("a\nb\n")
    return made


READERS = {
    "vectors.npz": (read_vectors, packed(**VECTORS)),
    "vectors.npy": (read_vectors, single(np.zeros((2, 3), np.float32))),
    "parts.npz": (lambda path: store._read(path, DATA), packed(**store._content(np.zeros(2, np.int8), DATA))),
    "weights.npz": (_arrays, packed(a=np.zeros((2, 3), np.float32))),
}


@st.composite
def changed(draw, whole: bytes) -> bytes:
    """Return a file with a few bytes changed; of an archive those of one member, the rest sound, or of all of it."""
    if not zipfile.is_zipfile(io.BytesIO(whole)) or draw(st.booleans()):
        return draw(damaged(whole))
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(made, "w") as target:
        chosen = draw(st.sampled_from(source.namelist()))
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, draw(damaged(content)) if name == chosen else content)
    return made.getvalue()


@fuzz(50)
@given(st.data())
def test_any_file_of_arrays_is_read_or_refused(folder, data):
    name = data.draw(st.sampled_from(sorted(READERS)))
    read, whole = READERS[name]
    path = folder / name
    path.write_bytes(data.draw(changed(whole) | st.sampled_from([content for _, content in READERS.values()])))
    with promptly():
        try:
            read(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")


# What the fuzzer found


def of_header(text: bytes) -> bytes:
    """Return an .npy file with a header of its own."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)


@pytest.mark.parametrize(
    "content",
    [
        of_header(b"{'descr': ("),
        of_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }\n"),
        of_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }\n"),
        of_header(b"{'descr': '<U6', 'fortran_order': False, 'shape': (1,), }\n").replace(bytes(24), b"\xff" * 24),
        of_header(b"{'descr': '>U6', 'fortran_order': False, 'shape': (1,), }\n").replace(bytes(24), b"\xff" * 24),
        packed(**VECTORS)[:-9] + b"\xff\xff\xff" + packed(**VECTORS)[-6:],
        b"",
    ],
    ids=["header", "huge", "objects", "letters", "letters of the other order", "offset", "empty"],
)
def test_a_file_that_is_no_sound_array_is_one_kind_of_error(tmp_path, content):
    (tmp_path / "array").write_bytes(content)
    for read in (read_array, read_arrays):
        with pytest.raises(ValueError):
            read(tmp_path / "array")
    (tmp_path / "array.npz").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_vectors(tmp_path / "array.npz")
    told = "cannot be read as arrays of numbers and text; write it anew with numpy.save or savez."
    assert str(error.value) == f"{tmp_path / 'array.npz'}: {told}"


def test_a_member_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "vectors.npz"
    path.write_bytes(packed(**VECTORS))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more", b"text")
    with pytest.raises(ValueError, match="'more' is no array of plain values"):
        read_arrays(path)


def test_several_arrays_are_not_one(tmp_path, folder):
    (folder / "vectors.npy").write_bytes(packed(**VECTORS))
    with pytest.raises(ValueError, match="holds several arrays"):
        read_array(folder / "vectors.npy")
    with pytest.raises(DataError, match="cannot be read as arrays of numbers and text"):
        read_vectors(folder / "vectors.npy")
