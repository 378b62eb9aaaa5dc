"""How far feet are under the floor. Floor: y = 0; feet: ankles and toe bases of the skeleton."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion.skeleton import CONTACT_JOINTS, NUM_BODY_JOINTS, forward_kinematics

LOWEST_FOOT_M = -0.01
"""Lowest height that an ankle or toe base may have, metres; the promise to receivers is -0.03 (ours)."""

_FEET = list(CONTACT_JOINTS)


def floor_deficit_m(root_m: ArrayLike, joint_wxyz: ArrayLike) -> NDArray[np.float64]:
    """How much a pose has to be lifted so that no foot is below ``LOWEST_FOOT_M``, metres [...], 0 or more.

    Args:
        root_m: Pelvis positions [..., 3], metres.
        joint_wxyz: Parent-local rotations [..., J, 4], J = 22 or 52.

    Live: pure.
    """
    body = np.asarray(joint_wxyz)[..., :NUM_BODY_JOINTS, :]
    heights = forward_kinematics(np.asarray(root_m, dtype=np.float64), body)[..., _FEET, 1]
    return np.asarray(np.maximum(LOWEST_FOOT_M - heights.min(axis=-1), 0.0))
