from __future__ import annotations

import pytest
from fakes.toy_bundle import toy

from soulstream_engine.bundle import Bundle, load_bundle


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of random weights; built once, it takes some seconds."""
    return load_bundle(toy(tmp_path_factory.getbasetemp()).folder)
