"""Percentiles of measured times, and how they look as bars of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

Spread = dict[str, float]
"""``p50 p95 p99 p999 max`` of some times, in their unit."""

_PERCENTS = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of ``values`` that ``percent`` per cent of them do not exceed (nearest rank, never interpolated).

    Args:
        values: At least one, in any order.
        percent: Above 0, at most 100.

    Raises:
        ValueError: If there is no value or ``percent`` is out of range.
    """
    if not values:
        raise ValueError("no values, at least 1 is needed")
    if not 0.0 < percent <= 100.0:
        raise ValueError(f"percent is {percent}, must be above 0 and at most 100")
    rank = math.ceil(len(values) * percent / 100.0 - 1e-9)
    return sorted(values)[max(0, rank - 1)]


def spread(values: Sequence[float], digits: int = 3) -> Spread:
    """Percentiles and maximum of at least one value, rounded."""
    found = {name: round(percentile(values, percent), digits) for name, percent in _PERCENTS.items()}
    return found | {"max": round(max(values), digits)}


def bars(values: Sequence[float], unit: str, *, bins: int = 10, width: int = 40) -> list[str]:
    """A histogram as lines of text.

    Args:
        values: At least one finite value.
        unit: Written behind the edges.
        bins: Lines; fewer values than lines give as many lines as values.
        width: Columns of the longest bar.

    Returns:
        One line for each bin: lower edge, bar, count. Every value is in exactly one bin.
    """
    low, high = min(values), max(values)
    bins = max(1, min(bins, len(values)))
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / step), bins - 1)] += 1
    digits = max(0, 1 - math.floor(math.log10(step)))
    label = max(len(f"{low:.{digits}f}"), len(f"{high:.{digits}f}"))
    return [
        f"{low + number * step:>{label}.{digits}f} {unit} {_bar(count / max(counts) * width):<{width}} {count}"
        for number, count in enumerate(counts)
    ]


def _bar(columns: float) -> str:
    whole, part = divmod(round(columns * 8), 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")
