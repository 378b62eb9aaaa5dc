from __future__ import annotations

import pytest
from fakes.toy_bundle import Toy, toy


@pytest.fixture(
    scope="session", params=[(1, 3), (3, 2), (1, 2, 2, False)], ids=["body", "three_parts_two_levels", "as_shipped"]
)
def networks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Tiny networks and the bundle made of them."""
    return toy(tmp_path_factory.getbasetemp(), *request.param)
