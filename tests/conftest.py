"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the motion and music we train on; tests that need it are skipped where it is not there."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "clips.csv").is_file():
        pytest.skip("needs the motion and music data beside the checkout (../shared/data)")
    return folder
