"""The contract that every model must pass: for our own tests and for other people's models.

``check_model("mf")`` or ``check_model(MyModel, MyConfig(dim=8))`` fits the model with its own trainer to small
generated data, several times, and raises an ``AssertionError`` that names the model and the check that it fails.
"""

from recbench.testing import building, learning, repeating, resuming, scoring, unseen  # noqa: F401  Each registers its checks.
from recbench.testing.battery import check_model, checks, describe

__all__ = ["check_model", "checks", "describe"]
