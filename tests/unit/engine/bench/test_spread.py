"""Percentiles are nearest ranks of what was measured, never something between."""

from __future__ import annotations

import pytest

from soulstream_engine.bench.spread import bars, percentile, spread


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 50.0, 1), (4, 50.0, 2), (5, 50.0, 3), (100, 99.0, 99), (100, 99.9, 100), (1000, 99.9, 999), (20, 95.0, 19)],
)
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(count: int, percent: float, expected: int) -> None:
    shuffled = [float(number) for number in range(count, 0, -1)]
    assert percentile(shuffled, percent) == expected


@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0], [float(number % 7) for number in range(50)]])
def test_a_spread_rises(values: list[float]) -> None:
    found = spread(values)
    assert found["p50"] <= found["p95"] <= found["p99"] <= found["p999"] <= found["max"] == max(values)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        percentile([], 50.0)
    with pytest.raises(ValueError, match="percent is 0"):
        percentile([1.0], 0.0)


@pytest.mark.parametrize("values", [[5.0], [2.0] * 9, [0.0, 1000.0], [float(number**2) for number in range(40)]])
def test_every_value_is_in_one_bar(values: list[float]) -> None:
    lines = bars(values, "ms", bins=8, width=10)
    assert sum(int(line.split()[-1]) for line in lines) == len(values)
    assert max(line.count("█") for line in lines) == 10
    assert float(lines[0].split()[0]) == min(values)
