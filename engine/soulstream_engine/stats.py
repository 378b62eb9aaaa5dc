"""Counting how long things took, without growing: a histogram with fixed bins.

Not for: measuring time (``clock``) or deciding anything. Safe to keep running for days: it never allocates after start.
"""

from __future__ import annotations

import math
from array import array


class DurationHistogram:
    """Counts durations in bins of equal width; percentiles are exact to one bin, the maximum is exact.

    Args:
        bin_ms: Width of one bin, milliseconds.
        limit_ms: Durations above this share the last bin (percentiles there read as the maximum).

    Example:
        >>> histogram = DurationHistogram()
        >>> for milliseconds in (1.0, 2.0, 3.0):
        ...     histogram.add(milliseconds)
        >>> round(histogram.percentile(50.0), 2)
        2.01
    """

    def __init__(self, bin_ms: float = 0.01, limit_ms: float = 200.0) -> None:
        self._bin_ms = bin_ms
        self._num_bins = math.ceil(limit_ms / bin_ms)
        self._counts = array("Q", [0]) * (self._num_bins + 1)
        self._count = 0
        self._max_ms: float | None = None

    @property
    def count(self) -> int:
        """How many durations were added."""
        return self._count

    @property
    def max_ms(self) -> float | None:
        """The longest duration, milliseconds; ``None`` while nothing was added."""
        return self._max_ms

    def add(self, duration_ms: float) -> None:
        """Counts one duration; negative ones (sent a little early) count as zero."""
        duration_ms = max(0.0, duration_ms)
        self._counts[min(int(duration_ms / self._bin_ms), self._num_bins)] += 1
        self._count += 1
        if self._max_ms is None or duration_ms > self._max_ms:
            self._max_ms = duration_ms

    def percentile(self, percent: float) -> float:
        """The duration that ``percent`` per cent of the durations do not exceed, milliseconds.

        Returns:
            The upper edge of the bin it falls in, never above the maximum; NaN while nothing was added.
        """
        if self._max_ms is None:
            return math.nan
        wanted = max(1, math.ceil(self._count * percent / 100.0))
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                if number == self._num_bins:
                    return self._max_ms
                return min((number + 1) * self._bin_ms, self._max_ms)
        return self._max_ms
