"""Any values and words come to a configuration or a ``ConfigError``, any checkpoint to tensors or a ``RunError``.

``RECBENCH_FUZZ=N`` (see ``fuzzing``) runs N times as many examples.
"""

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pandas as pd
import pytest
import torch
from fuzzing import damaged, fuzz, promptly
from hypothesis import given
from hypothesis import strategies as st

from recbench.checkpoints import LAST, read_state
from recbench.cli import Mistakes
from recbench.cli.composition import make_plan
from recbench.cli.session import hydra_session
from recbench.configuration import PARTS, PLAIN, Settings, resolve
from recbench.data import Interactions
from recbench.errors import ConfigError, RunError
from recbench.files import CHECKPOINT, SCHEMA_VERSION, load_checkpoint, save_checkpoint

GROUPS = (*PARTS, *PLAIN)
OPTIONS = {
    group: sorted(
        {key for name in registry.names() for key in registry.entry(name).options.model_fields} | {"name", "nothing"}
    )
    for group, registry in PARTS.items()
} | {name: sorted(config.model_fields) for name, config in PLAIN.items()}
CHOICES = {group: [*registry.names(), "auto", "no_such"] for group, registry in PARTS.items()}

texts = st.sampled_from(["mf", "ndcg@10", "bpr", "2001-05-31", "null", "é", "a" * 300, "\ud800", "\0"]) | st.text(
    max_size=5
)
numbers = st.sampled_from([0, 1, -1, 8, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), -0.0]) | st.integers()
plain = st.none() | st.booleans() | numbers | texts
foreign = st.sampled_from([b"x", object(), {1}, (1, 2), 1j, range(3), int, Path("x")])


def nested(depth: int):
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


values = st.recursive(
    plain | foreign | st.sampled_from([nested(30), nested(40), nested(200)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers() | st.none(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def composed(draw) -> dict:
    """Return the values of an experiment, some of them odd."""
    given = {"model": "mf", "dataset": "planted"}
    for group in draw(st.lists(st.sampled_from(GROUPS), max_size=4)):
        if draw(st.integers(0, 5)) == 0:
            given[group] = draw(values)
            continue
        part = {"name": draw(st.sampled_from(CHOICES[group]))} if group in CHOICES else {}
        for key in draw(st.lists(st.sampled_from(OPTIONS[group]), max_size=3)):
            part[key] = draw(values)
        given[group] = part
    for key in draw(st.lists(st.sampled_from([*Settings.model_fields]) | texts | st.integers(), max_size=2)):
        given[key] = draw(values)
    return given


@fuzz(60)
@given(composed(), st.booleans())
def test_any_values_come_to_a_configuration_or_a_clear_error(given, several):
    with promptly():
        try:
            found = resolve(given, several_models=several).config
        except ConfigError as error:
            assert str(error).strip()
            return
        assert resolve(found.to_dict()).config == found, "it says all that it was made of"


keys = st.sampled_from(
    [
        *GROUPS,
        *(f"{group}.{option}" for group in GROUPS for option in OPTIONS[group][:12]),
        *(
            "seed",
            "threads",
            "label",
            "experiment",
            "sweep",
            "published",
            "hydra.sweep.dir",
            "hydra.run.dir",
            "hydra/launcher",
        ),
        *(
            "hydra.sweeper.params",
            "hydra.mode",
            "~model",
            "~trainer",
            "+model.dim",
            "++seed",
            "+new.key",
            "model@other",
        ),
        *("hydra.searchpath", "hydra.job.chdir", "a.b.c", "model.", ".model", "", "model..dim", "é"),
    ]
)
written = st.sampled_from(
    [
        *(
            "mf",
            "neumf",
            "item_knn",
            "planted",
            "random",
            "auto",
            "8",
            "-1",
            "0.5",
            "1e400",
            "nan",
            "true",
            "null",
            "",
            "é",
        ),
        *(
            "1,2",
            "[1,2",
            "[1,2]",
            "{a:1}",
            "{a:",
            "'x",
            '"a=b"',
            "a=b",
            "${seed}",
            "${nope}",
            "${oc.env:HOME}",
            "${",
            "\\",
        ),
        *("${hydra:runtime.cwd}", "${oc.decode:x}", "${model.dim}", "${.dim}", "range(1,4)", "range(4)", "choice(1,2)"),
        *(
            "interval(0,1)",
            "glob(*)",
            "sort(3,1)",
            "shuffle(range(3))",
            "tag(x,choice(1,2))",
            "int(x)",
            "1" * 400,
            "[" * 60,
        ),
        *(
            "range(0,1000000000000)",
            "[a,[b,{c:d}]]",
            "!!python/object:os.system",
            "../x",
            "x/../../y",
            "\t",
            " ",
            "#",
            "a b",
        ),
    ]
) | st.text(max_size=6)
words = st.tuples(keys, written).map("=".join) | st.sampled_from(["mf", "model", "~seed", "--", "model=mf", "="])


@pytest.fixture(scope="module")
def session():
    with hydra_session() as hydra:
        yield hydra


@fuzz(8)
@given(st.lists(words, max_size=4), st.booleans())
def test_any_words_come_to_jobs_or_a_clear_error(session, words, multirun):
    with promptly():
        try:
            plan = make_plan(session, ["model=popularity", "dataset=planted", *words], multirun=multirun)
        except ConfigError as error:
            mistakes = error.mistakes if isinstance(error, Mistakes) else [str(error)]
            assert all(mistake.strip() for mistake in mistakes)
            return
    assert plan.jobs


TRAIN = Interactions.from_frame(pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}))
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(7)}


def checkpoint(folder: Path) -> bytes:
    save_checkpoint(folder, "mf", STATE, TRAIN, epoch=2)
    return (folder / CHECKPOINT).read_bytes()


def put(folder: Path, content: bytes, name: str = CHECKPOINT) -> None:
    """Write a checkpoint whose checksum is right, as somebody would who makes one by hand."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")


def loaded_or_refused(folder: Path) -> dict | None:
    """Return the tensors, or None where they are refused with a clear error."""
    with promptly():
        try:
            state = load_checkpoint(folder, "mf", TRAIN)
        except RunError as error:
            assert str(error).startswith(str(folder / CHECKPOINT))
            return None
    assert isinstance(state, dict)
    assert all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items())
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@fuzz(30)
@given(st.data())
def test_a_damaged_checkpoint_is_noticed(folder, data):
    whole = checkpoint(folder)
    found = data.draw(damaged(whole))
    (folder / CHECKPOINT).write_bytes(found)
    state = loaded_or_refused(folder)
    assert (state is not None) == (found == whole)


@st.composite
def rezipped(draw, whole: bytes) -> bytes:
    """Return a checkpoint with one member damaged and the archive sound, so that torch reads on."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(made, "w") as target:
        names = source.namelist()
        chosen = draw(st.sampled_from([*names, next(name for name in names if name.endswith("data.pkl"))]))
        for name in names:
            content = source.read(name)
            target.writestr(name, draw(damaged(content)) if name == chosen else content)
    return made.getvalue()


@fuzz(60)
@given(st.data())
def test_a_damaged_checkpoint_with_a_right_checksum_is_read_as_tensors_or_refused(folder, data):
    whole = checkpoint(folder)
    put(folder, data.draw(rezipped(whole) | damaged(whole)))
    loaded_or_refused(folder)


tensors = st.sampled_from(
    [
        torch.zeros(2),
        torch.zeros(0),
        torch.tensor([float("nan")]),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(1).expand(10**6),
        torch.nn.Parameter(torch.ones(1)),
        torch.zeros(2, dtype=torch.bfloat16),
        torch.empty(2, device="meta"),
    ]
)
objects = st.recursive(
    plain
    | foreign
    | tensors
    | st.sampled_from([torch.nn.Linear(1, 1), torch.Size([1]), torch.float32, torch.device("cpu")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=2).map(OrderedDict)
    ),
    max_leaves=5,
)


def packed(data, whole: dict) -> bytes | None:
    """Return ``whole`` with some values changed or left out, or another object, as a file; None where it cannot be."""
    for key in data.draw(st.lists(st.sampled_from([*whole]), max_size=2)):
        whole[key] = data.draw(objects)
    for key in data.draw(st.lists(st.sampled_from([*whole]), max_size=1)):
        del whole[key]
    made = data.draw(st.just(whole) | objects)
    content = io.BytesIO()
    try:
        match data.draw(st.sampled_from(["torch", "torch", "old torch", "pickle"])):
            case "torch":
                torch.save(made, content)
            case "old torch":
                torch.save(made, content, _use_new_zipfile_serialization=False)
            case _:
                content.write(pickle.dumps(made, protocol=data.draw(st.integers(0, 5))))
    except (NotImplementedError, TypeError, RecursionError, RuntimeError, UnicodeEncodeError, pickle.PicklingError):
        return None
    return content.getvalue()


HEAD = {"schema_version": SCHEMA_VERSION}


@fuzz(60)
@given(st.data())
def test_any_other_object_is_no_checkpoint(folder, data):
    whole = {**HEAD, "model": "mf", "train": TRAIN.fingerprint, "epoch": 1, "state_dict": STATE}
    content = packed(data, whole)
    if content is not None:
        put(folder, content)
        loaded_or_refused(folder)


@fuzz(60)
@given(st.data())
def test_any_other_object_is_no_state_of_a_training(folder, data):
    whole = {**HEAD, "fingerprints": {}, "model": STATE, "engine": {}, "choice": {}, "curve": [[1, {"loss": 0.5}]]}
    content = packed(data, {**whole, "unvalidated": None, "seconds": 1.5})
    if content is None:
        return
    put(folder, content, LAST)
    with promptly():
        try:
            found = read_state(folder)
        except RunError as error:
            assert str(folder / LAST) in str(error)
            return
    assert found.is_last and isinstance(found.state.engine, dict)
