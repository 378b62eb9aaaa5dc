"""Fixtures shared by all tests, and the rule that nothing is skipped where all tools are installed."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

ALL_TOOLS = os.environ.get("SOULSTREAM_ALL_TOOLS") == "1"
"""Set by .ci/run, which installs what tests need: a test that is skipped there has failed."""

MAY_BE_SKIPPED = ("gpu", "data")
"""Markers of tests whose needs cannot be installed."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the motion and music we train on; tests that need it are skipped where it is not there."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "clips.csv").is_file():
        pytest.skip("needs the motion and music data beside the checkout (../shared/data)")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not any(item.get_closest_marker(name) for name in MAY_BE_SKIPPED):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if ALL_TOOLS and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if "IPv6" not in reason:  # a matter of the network, not of what is installed
            report.outcome = "failed"
            report.longrepr = f"{reason} (not allowed where all tools are installed)"
