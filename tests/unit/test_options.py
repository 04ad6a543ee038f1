"""Options and registries: every mistake is named, with the right word beside it."""

from typing import Literal

import pytest
from pydantic import Field

from recbench.configuration import resolve
from recbench.errors import ConfigError
from recbench.options import Config, did_you_mean, help_texts, one_of, too_deep
from recbench.registry import Registry


class Options(Config):
    """Options for the tests."""

    dim: int = Field(8, ge=1, le=512)
    """Width."""

    lr: float = Field(0.1, gt=0)
    """Rate."""

    layers: tuple[int, ...] = (4, 2)
    """Widths."""

    loss: Literal["bce", "bpr"] = "bce"
    """Loss."""

    biases: bool = True
    """Biases."""

    path: str | None = None
    """A path."""


@pytest.mark.parametrize(
    "given, line",
    [
        ({"dmi": 3}, "dmi = 3: no such option. Did you mean 'dim'? Known: biases, dim, layers, loss, lr, path."),
        ({"zzzzz": 3}, "zzzzz = 3: no such option. Known: biases, dim, layers, loss, lr, path."),
        ({"dim": "abc"}, "dim = 'abc': should be a whole number (an integer)."),
        ({"dim": 1.5}, "dim = 1.5: should be a whole number (an integer)."),
        ({"dim": True}, "dim = True: should be a whole number (an integer)."),
        ({"dim": None}, "dim = None: should be a whole number (an integer)."),
        ({"dim": 0}, "dim = 0: should be at least 1."),
        ({"dim": 513}, "dim = 513: should be at most 512."),
        ({"lr": 0}, "lr = 0: should be greater than 0."),
        ({"lr": "fast"}, "lr = 'fast': should be a number."),
        ({"lr": float("nan")}, "lr = nan: should be a finite number."),
        ({"loss": "brp"}, "loss = 'brp': should be 'bce' or 'bpr'."),
        ({"biases": 1}, "biases = 1: should be true or false."),
        ({"biases": "yes"}, "biases = 'yes': should be true or false."),
        ({"layers": 4}, "layers = 4: should be a list."),
        ({"layers": [4, "x"]}, "layers[1] = 'x': should be a whole number (an integer)."),
        ({"path": 3}, "path = 3: should be text."),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(given, line):
    assert Options.mistakes(given) == [line]


def test_all_mistakes_come_together_in_the_order_given():
    with pytest.raises(ConfigError) as error:
        Options.from_mapping({"loss": "x", "dmi": 1, "dim": "a"}, "model 'm'")
    lines = str(error.value).splitlines()
    assert lines[0] == "model 'm' cannot be configured:"
    assert [line.split(" = ")[0] for line in lines[1:]] == ["  loss", "  dmi", "  dim"]


def test_values_of_a_file_become_typed_and_frozen():
    options = Options.from_mapping({"layers": [8, 4], "lr": 1}, "x")
    assert options.layers == (8, 4) and options.lr == 1.0
    with pytest.raises(ValueError, match="frozen"):
        options.dim = 3


def test_did_you_mean():
    assert did_you_mean("nuemf", ["mf", "neumf", "mlp"]) == "Did you mean 'neumf'? Known: mf, mlp, neumf."
    assert did_you_mean("x", []) == "Known: none."
    assert one_of(["a"]) == "'a'" and one_of(["a", "b", "c"]) == "'a', 'b' or 'c'"


def registry():
    made = Registry("thing", "recbench.nn")

    @made.register("one", config=Options, colour="red")
    def one(config, number):
        """Return the first thing.

        More words.
        """
        return config.dim * number

    return made


def test_a_registry_builds_by_name():
    things = registry()
    assert things.build("one", 3, dim=5) == 15
    assert things.names() == ["one"] and "one" in things and "two" not in things
    entry = things.entry("one")
    assert entry.summary == "Return the first thing." and entry.traits["colour"] == "red"
    assert things.entry_of(Options()) is entry


def test_a_registry_names_the_nearest():
    with pytest.raises(ConfigError) as error:
        registry().entry("oen")
    assert str(error.value) == "no thing 'oen'. Did you mean 'one'? Known: one."

    class Other(Config):
        """Options of nothing."""

    with pytest.raises(ConfigError) as error:
        registry().entry_of(Other())
    assert str(error.value) == "Other configures no thing. Known: one."


def test_a_registry_names_a_trait_that_is_missing():
    with pytest.raises(ConfigError) as error:
        Registry("loss", "recbench.nn", needs=("target",)).register("mine")
    assert str(error.value) == "loss 'mine': register it with target=..., as the built-in ones are."


def test_a_registry_refuses_bad_and_taken_names():
    things = registry()
    with pytest.raises(ConfigError) as error:
        things.register("../x")
    assert str(error.value) == (
        "thing name '../x': use 1 to 128 letters, digits, '.', '_', '=', ',', '+' and '-' only, a letter or digit "
        "first, and no name of a device."
    )
    with pytest.raises(ConfigError) as error:
        things.register("one")(lambda: None)
    assert str(error.value) == f"thing 'one' is registered twice: in {__name__} and in {__name__}."
    with pytest.raises(ConfigError) as error:
        things.register("two", config=Options)(lambda: None)
    assert str(error.value) == "thing 'two': Options already belongs to 'one'; derive a class."


def nested(depth):
    value = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_what_is_nested_without_end_is_no_option():
    itself = []
    itself.append([itself, itself])
    for value in (nested(33), nested(100_000), itself):
        with pytest.raises(ConfigError) as error:
            Options.from_mapping({"dim": value, "lr": 1.0}, "thing 'one'")
        assert "\n  dim: is nested more than 32 lists and mappings deep; no option is." in str(error.value)
    assert not too_deep(nested(32))
    with pytest.raises(ConfigError) as error:
        resolve({"model": "mf", "dataset": nested(33), "seed": nested(40)})
    assert str(error.value) == (
        "dataset: is nested more than 32 lists and mappings deep; no option is.\n"
        "seed: is nested more than 32 lists and mappings deep; no option is."
    )


def test_keys_and_names_that_are_no_texts():
    with pytest.raises(ConfigError) as error:
        resolve({"model": {"name": "mf", 1: 2}, "dataset": "planted", "trainer": {"name": ["gradient"]}, 0: None})
    first, second, third, fourth = str(error.value).split("\n")
    assert first.startswith("no option 0. Known: ")
    assert second == "model 'mf' cannot be configured:" and third.startswith("  1 = 2: no such option. Known: ")
    assert fourth.startswith("no trainer \"['gradient']\". Did you mean 'gradient'? Known: ")


class Named(Config):
    """Options."""

    name: str = "a"
    """What it is called,
    in two lines."""

    size: int = 1


class NamedWithColour(Named):
    """More options."""

    colour: str = "red"
    """Its colour."""

    size: int = 2
    """How large it is."""


def test_the_docstring_under_a_field_is_its_help_text():
    assert help_texts(Named) == {"name": "What it is called,\nin two lines."}
    assert help_texts(NamedWithColour) == help_texts(Named) | {"colour": "Its colour.", "size": "How large it is."}
    typed = type("Typed", (Named,), {"__module__": "nowhere"})
    assert help_texts(typed) == help_texts(Named)
