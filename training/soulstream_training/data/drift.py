"""Motion that leaves the beat and finds it again: what a dancer needs to have seen to correct herself.

In bent motion every moment lies on the beat, so the past alone tells the future and a model need not listen. Here the
motion is moved against its music by up to a third of a beat now and then, quickly, and comes back slowly: from the
same past the future now depends on where the beat is. Source: ours (ADR 6). Not for: finding beats (``pairing``).

Letters: U frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS

F64 = NDArray[np.float64]

EVENT_INTERVAL_S = 4.0
"""Mean time between two departures."""
LARGEST_BEATS = 0.35
LEAVE_S = 0.5
RETURN_S = 1.0
"""Time constant of the return."""
LARGEST_RATE = 0.4
"""The motion never runs faster or slower by more than this share."""


def drifted_frames(num_frames: int, beat_s: float, generator: np.random.Generator) -> F64:
    """Which frame of a clip on the beat is shown at each frame.

    Args:
        num_frames: U.
        beat_s: Length of a beat, seconds.
        generator: Draws the departures.

    Returns:
        [U] float64 frame positions in 0..U - 1, not decreasing.
    """
    time_s = np.arange(num_frames) / FPS
    offset = np.zeros(num_frames)
    now = generator.exponential(EVENT_INTERVAL_S)
    while now < time_s[-1]:
        size = generator.uniform(-LARGEST_BEATS, LARGEST_BEATS) * beat_s
        since = time_s - now
        leave = np.clip(since / LEAVE_S, 0.0, 1.0)
        back = np.exp(-np.maximum(since - LEAVE_S, 0.0) / RETURN_S)
        offset += size * leave * leave * (3.0 - 2.0 * leave) * back
        now += generator.exponential(EVENT_INTERVAL_S)
    rate = np.clip(np.diff(offset, prepend=offset[:1]), -LARGEST_RATE / FPS, LARGEST_RATE / FPS)
    return np.clip((time_s + np.cumsum(rate)) * FPS, 0.0, num_frames - 1.0)
