"""Moments of rest: the minima of the body's smoothed mean speed, which dancers put on beats.

The one definition that the choice of a plan, the pairing of motion with music and the beat scores share. Pure.

Letters: T samples, K rests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

SMOOTHING_S = 2.5 / 30
"""Sigma of the Gaussian over the speed. Source: 5 frames at 60 fps in Bailando's score, the same time at any rate."""


def smoothed(speed: NDArray[np.floating], fps: float) -> F64:
    """Speed [..., T] smoothed over time by a Gaussian of ``SMOOTHING_S``, cut at four sigmas; the ends are held."""
    sigma = SMOOTHING_S * fps
    reach = int(4.0 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    values = np.asarray(speed, dtype=np.float64)
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=-1)
    return np.asarray(windows @ (taps / taps.sum()))


def minima(values: NDArray[np.floating]) -> F64:
    """Places of the strict local minima of a curve, refined with a parabola through three samples.

    Args:
        values: [T] any unit.

    Returns:
        [K] float64, in samples, increasing. Plateaus and the two ends are no minima.
    """
    curve = np.asarray(values, dtype=np.float64)
    if len(curve) < 3:
        return np.zeros(0)
    left, middle, right = curve[:-2], curve[1:-1], curve[2:]
    found = np.flatnonzero((middle < left) & (middle < right))
    bend = left[found] - 2.0 * middle[found] + right[found]
    return found + 1.0 + 0.5 * (left[found] - right[found]) / bend
