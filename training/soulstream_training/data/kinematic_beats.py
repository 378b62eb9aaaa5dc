"""Kinematic beats: the moments at which a dancer comes to rest, in seconds, finer than a frame.

Both the pairing of motion with music and the beat scores read a dance through this file, so that what the model is
taught and what it is judged by are the same thing. Not for: beats of music (``engine.features``).

Letters: T frames, J joints, K beats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.rests import minima, smoothed

F64 = NDArray[np.float64]

NUM_SCORED_JOINTS = 22
"""Joints in the mean speed: the body of SMPL-X, without hands. Source: ours; Bailando scores the 24 of SMPL."""


def mean_speed(joints_m: NDArray[np.floating], fps: float = FPS) -> F64:
    """Smoothed mean speed of the body.

    Args:
        joints_m: [T, J, 3] world positions, metres; joints after the first 22 are ignored.
        fps: Frames a second.

    Returns:
        [T - 1] float64, m/s. Entry k is the speed between frames k and k + 1, so its time is ``(k + 0.5) / fps``.
    """
    positions = np.asarray(joints_m, dtype=np.float64)[:, :NUM_SCORED_JOINTS]
    if len(positions) < 2:
        return np.zeros(0)
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(axis=-1) * fps
    return smoothed(speed, fps)


def kinematic_beats(joints_m: NDArray[np.floating], fps: float = FPS) -> F64:
    """Times at which the mean speed of the body has a local minimum.

    Args:
        joints_m: [T, J, 3] world positions, metres, J >= 22.
        fps: Frames a second.

    Returns:
        [K] float64, seconds from frame 0, increasing.

    Source: Bailando (Siyao et al., 2022) and LODGE, here in seconds and placed between the two frames of a difference.
    """
    return (minima(mean_speed(joints_m, fps)) + 0.5) / fps
