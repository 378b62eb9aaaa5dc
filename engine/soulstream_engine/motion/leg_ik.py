"""Two-bone legs: where the knee goes when the ankle has to be at a place, and the rotations that put it there.

Used to keep feet where they stand. Letters: L any leading shape. Everything is float64, metres, world coordinates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion.skeleton import JOINT_INDEX, REST_OFFSETS_M

F64 = NDArray[np.float64]

LEG_JOINTS: NDArray[np.int64] = np.array(
    [[JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")],
    dtype=np.int64,
)
"""Hip, knee, ankle and foot (toe base) joints, left leg first [2, 4]."""

THIGH_M = float(np.linalg.norm(REST_OFFSETS_M[LEG_JOINTS[0, 1]]))
"""Hip to knee, metres."""

SHANK_M = float(np.linalg.norm(REST_OFFSETS_M[LEG_JOINTS[0, 2]]))
"""Knee to ankle, metres."""

MAX_REACH = 0.997
"""Longest leg an inverse-kinematics step may ask for, as a share of the straight leg (knee bent by 9 degrees; ours)."""

_MIN_REACH = 0.25  # shortest hip to ankle distance as a share of the straight leg: the knee bent by about 150 degrees


def place_knee(
    hip_m: ArrayLike, ankle_m: ArrayLike, forward: ArrayLike, max_reach: ArrayLike = MAX_REACH
) -> tuple[F64, F64]:
    """Knee and reachable ankle of a leg from the hip to a wanted ankle.

    Args:
        hip_m: Hip positions [L, 3], metres.
        ankle_m: Wanted ankle positions [L, 3], metres.
        forward: Directions [L, 3] (any length) to which the knee points.
        max_reach: Longest hip to ankle distance as a share [L] of the straight leg, at most 1.

    Returns:
        Knee and ankle positions [L, 3]. A wanted ankle out of reach is moved along the line to the hip.
    """
    hip = np.asarray(hip_m, dtype=np.float64)
    line = np.asarray(ankle_m, dtype=np.float64) - hip
    wanted = np.maximum(_length(line), 1e-9)
    straight = THIGH_M + SHANK_M
    longest = np.asarray(max_reach, dtype=np.float64)[..., None] * straight
    distance = np.clip(wanted, _MIN_REACH * straight, longest)
    along = line / wanted
    pole = np.asarray(forward, dtype=np.float64)
    pole = pole - np.sum(pole * along, axis=-1, keepdims=True) * along
    pole = pole / np.maximum(_length(pole), 1e-9)
    cosine = (THIGH_M**2 + distance**2 - SHANK_M**2) / (2 * THIGH_M * distance)
    cosine = np.clip(cosine, -1.0, 1.0)
    knee = hip + THIGH_M * (cosine * along + np.sqrt(1 - cosine**2) * pole)
    return knee, hip + distance * along


def bone_frames(bones: ArrayLike, forward: ArrayLike) -> F64:
    """World rotation matrices of thighs or shanks that point along given bones with the knee towards ``forward``.

    Args:
        bones: Directions [L, 3] from the hip to the knee or from the knee to the ankle; rest direction is -Y.
        forward: Directions [L, 3] to which the knee points (rest direction +Z), not parallel to the bone.

    Returns:
        Matrices [L, 3, 3].
    """
    down = np.asarray(bones, dtype=np.float64)
    y = -down / np.maximum(_length(down), 1e-9)
    x = np.cross(y, np.asarray(forward, dtype=np.float64))
    x = x / np.maximum(_length(x), 1e-9)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _length(vectors: F64) -> F64:
    return np.asarray(np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True)))
