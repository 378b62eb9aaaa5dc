"""What is refused before a minute is spent, and how much is measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from soulstream_engine.backends import open_backend
from soulstream_engine.bench.made_bundles import made_bundle
from soulstream_engine.bench.options import QUICK, WHOLE, BenchOptions
from soulstream_engine.bench.troupe import dancers_that_fit, threads_for, troupe_numbers
from soulstream_engine.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preset": "huge"}, "'huge'.*stage, paper"),
        ({"preset": "stage", "bundle": Path("folder")}, "stage.*folder"),
        ({"dancers": 0}, "0; 1 to 64"),
        ({"num_ticks": 5, "seconds": 9.0}, "5.*9"),
    ],
)
def test_options_that_do_not_go_together(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BenchOptions(**arguments)  # type: ignore[arg-type]


def test_seconds_are_ticks_of_the_bundle_at_hand() -> None:
    assert BenchOptions(seconds=8.0).ticks_asked(budget_ms=400.0) == 20
    assert BenchOptions(num_ticks=7).ticks_asked(budget_ms=400.0) == 7
    assert BenchOptions().ticks_asked(budget_ms=400.0) is None


def test_a_slow_machine_looks_for_fewer_clicks() -> None:
    assert WHOLE.num_clicks(100.0, 1.3) == WHOLE.clicks
    assert 1 <= WHOLE.num_clicks(0.5, 1.3) < WHOLE.clicks
    assert QUICK.num_clicks(0.001, 1.3) == 1


def test_dancers_that_fit_leave_half_of_the_time() -> None:
    assert dancers_that_fit(30.0, 1, 270.0) == 4
    assert dancers_that_fit(90.0, 3, 270.0) == 4
    assert dancers_that_fit(300.0, 1, 270.0) == 0
    measured = troupe_numbers([80.0] * 10, 4, 160.0, threads=2)
    assert measured["dancers_per_core"] == 2
    assert 1 <= threads_for(4, open_backend()) <= 4
    assert threads_for(1, open_backend()) == 1
    assert measured["dancers"]["fit"] is True
    assert measured["dancers_per_core_is_estimated"] is False
    assert troupe_numbers([10.0] * 10, 1, 160.0)["dancers_per_core_is_estimated"] is True


def test_a_size_that_cannot_be_made_here_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(ConfigError, match=r"torch is not installed.*pip install.*--bundle"):
        made_bundle("paper")
