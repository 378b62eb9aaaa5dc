"""Kinetic features of a dance: how fast, how bouncy and how effortful each joint moves; the space of FID_k and Div_k.

The published vector has 72 numbers, three for each of SMPL's 24 joints. Ours has 66: the first 22 joints, as LODGE
takes them for SMPL-X. They are made for 60 fps, so a dance at 30 fps is first brought there by a cubic spline through
its positions. Straight lines between frames would not do: all their acceleration sits in the corners, and half of the
frames would have none. Not for: what pose the dancer is in (``geometric``), how two sets of dances differ
(``frechet``).

Letters: T frames at 30 fps, F = 2 T - 1 frames at 60 fps, J joints, S samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS

F64 = NDArray[np.float64]

FRAME_S = 1.0 / 60.0
"""Time between two frames of the features, seconds. Source: fixed in the published features (``method.md`` 8.1)."""

HALF_WINDOW = 2
"""Frames on either side over which velocities and accelerations are averaged. Source: ``method.md`` 8.1."""

MIN_FRAMES = 4
"""Shortest dance, frames at 30 fps: what a cubic needs."""

NUM_KINETIC = 3 * NUM_BODY_JOINTS
"""Numbers of a kinetic feature vector (66)."""

_UP = 1
_HORIZONTAL = [0, 2]


def body_at_60_fps(joints_m: NDArray[np.floating]) -> F64:
    """Body joints at twice the frame rate, relative to where the pelvis was in the first frame.

    Args:
        joints_m: [T, J, 3] world positions at 30 fps, metres, Y up, J >= 22; joints after the first 22 are ignored.

    Returns:
        [2 T - 1, 22, 3] float64; every second frame is a given one.

    Raises:
        ValueError: If the shape is another, T is below 4, or a position is not finite.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1] < NUM_BODY_JOINTS or joints.shape[2] != 3 or len(joints) < MIN_FRAMES:
        raise ValueError(
            f"joints are {list(joints.shape)}; [T, J, 3] is needed, T at least {MIN_FRAMES}, J at least 22"
        )
    body = joints[:, :NUM_BODY_JOINTS] - joints[0, 0]
    if not np.isfinite(body).all():
        raise ValueError(f"{int((~np.isfinite(body)).sum())} coordinates are not finite; repair or leave the dance out")
    finer = round(1.0 / (FRAME_S * FPS))
    times = np.arange(finer * (len(body) - 1) + 1) / finer
    return np.asarray(CubicSpline(np.arange(len(body)), body, axis=0)(times), dtype=np.float64)


def kinetic_features(joints_m: NDArray[np.floating], published: bool = True) -> F64:
    """Mean squared horizontal and vertical speed and mean size of the acceleration of each body joint.

    Velocity and acceleration vectors are averaged over two frames on either side (over those there are, near the ends)
    before their size is taken.

    Args:
        joints_m: [T, J, 3] world positions at 30 fps, metres, Y up, T >= 4, J >= 22.
        published: Whether the acceleration is the published one, in which the earlier velocity is
            ``p[t] - p[t - 1] / dt``: only one of its terms is divided by the frame time. It then grows by 3540 for each
            metre between the joint and the first pelvis and says little of effort, but published numbers have it.
            ``False`` gives the second difference.

    Returns:
        [66] float64, joint by joint: horizontal m^2/s^2, vertical m^2/s^2, acceleration m/s^2.

    Raises:
        ValueError: If the shape is another, T is below 4, or a position is not finite.

    Source: kinetic features of fairmotion as used by FACT (Li et al., 2021) and Bailando (Siyao et al., 2022), after
    Onuma et al. (2008); the slip is described in google-research/mint issue 62.
    """
    body = body_at_60_fps(joints_m)
    velocity = np.diff(body, axis=0) / FRAME_S
    before, now, after = body[:-2], body[1:-1], body[2:]
    earlier = now - before / FRAME_S if published else (now - before) / FRAME_S
    acceleration = ((after - now) / FRAME_S - earlier) / FRAME_S
    smooth = _averaged(velocity, len(velocity))
    horizontal = (smooth[..., _HORIZONTAL] ** 2).sum(-1).mean(0)
    vertical = (smooth[..., _UP] ** 2).mean(0)
    effort = np.linalg.norm(_averaged(acceleration, len(velocity)), axis=-1).mean(0)
    return np.stack([horizontal, vertical, effort], axis=-1).reshape(-1)


def _averaged(samples: F64, num: int) -> F64:
    """Mean [num, ...] of samples [S, ...] around 0..num-1, over those that exist."""
    total = np.concatenate([np.zeros_like(samples[:1]), np.cumsum(samples, axis=0)])
    centres = np.arange(num)
    first = np.maximum(centres - HALF_WINDOW, 0)
    last = np.minimum(centres + HALF_WINDOW + 1, len(samples))
    count = (last - first).reshape(-1, *(1,) * (samples.ndim - 1))
    return np.asarray((total[last] - total[first]) / count, dtype=np.float64)
