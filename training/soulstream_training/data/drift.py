"""Motion that leaves the beat and finds it again: what a dancer needs to have seen to correct herself.

In bent motion every moment lies on the beat, so the past alone tells the future and a model need not listen. Here the
motion is moved against its music by up to half a beat now and then and comes back at once: from the same past the
future now depends on where the beat is. Only the way back is an example to follow; the departures are marked, so that
nobody learns them. Source: ours (ADR 6). Not for: finding beats (``pairing``).

Letters: U frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from soulstream_engine.clock import FPS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

EVENT_INTERVAL_S = 0.8
"""Mean time on the beat between one return and the next departure."""
SMALLEST_BEATS, LARGEST_BEATS = 0.25, 0.5
LONGEST_STAY_S = 0.8
"""It stays away for up to so long."""
LEAVE_RATE = 0.5
"""While it leaves, the motion runs faster or slower by this share."""
RETURN_RATE = 0.25
"""On its way back it runs faster or slower by at most this share."""
RETURN_S = 0.5
"""Time constant of the end of the return."""
END_S = 5.0
"""No departure begins so close to the end: the way back would not fit."""
_HOME_S = 0.01
_SMOOTHING_FRAMES = 1.5
_MARGIN_FRAMES = 3


def drifted_frames(num_frames: int, beat_s: float, generator: np.random.Generator) -> tuple[F64, F32]:
    """Which frame of a clip on the beat is shown at each frame.

    Args:
        num_frames: U.
        beat_s: Length of a beat, seconds.
        generator: Draws the departures.

    Returns:
        [U] float64 frame positions in 0..U - 1, not decreasing, and [U] float32, 0 in departures and 1 elsewhere.
    """
    offset = np.zeros(num_frames)
    leaving = np.zeros(num_frames, dtype=np.bool_)
    now_s, away_s, stay_s, wait_s = 0.0, 0.0, 0.0, generator.exponential(EVENT_INTERVAL_S)
    for frame in range(num_frames):
        if stay_s > 0.0:
            now_s += float(np.clip(away_s - now_s, -LEAVE_RATE / FPS, LEAVE_RATE / FPS))
            if now_s == away_s:
                stay_s -= 1.0 / FPS
            leaving[frame] = True
        else:
            now_s -= float(np.clip(now_s / RETURN_S, -RETURN_RATE, RETURN_RATE)) / FPS
            if abs(now_s) < _HOME_S:
                wait_s -= 1.0 / FPS
            if wait_s <= 0.0 and frame < num_frames - END_S * FPS:
                away_s = generator.choice([-1.0, 1.0]) * generator.uniform(SMALLEST_BEATS, LARGEST_BEATS) * beat_s
                stay_s = generator.uniform(1.0 / FPS, LONGEST_STAY_S)
                wait_s = generator.exponential(EVENT_INTERVAL_S)
        offset[frame] = now_s
    smooth = gaussian_filter1d(offset, _SMOOTHING_FRAMES, mode="nearest")
    frames = np.clip(np.arange(num_frames) + smooth * FPS, 0.0, num_frames - 1.0)
    near = np.convolve(leaving, np.ones(2 * _MARGIN_FRAMES + 1), mode="same") > 0.0
    return frames, (~near).astype(np.float32)
