"""The contract over every registered model."""

import pytest

from recbench import models
from recbench.testing import check_model, checks


@pytest.mark.parametrize("check", checks())
@pytest.mark.parametrize("name", models.registry.names())
def test_contract(name, check):
    check_model(name, only=[check])
