"""Is a finished dance sound: finite, unit rotations, on the floor, not too fast, posed as its skeleton says?

Printed with every rendering and asserted by tests. Not for: whether it is a good dance.

Letters: T frames.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, REST_OFFSETS_M, forward_kinematics

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Soundness:
    """Measures of a dance.

    ``is_finite``; ``norm_error`` largest distance of a quaternion's norm from 1; ``lowest_foot_m`` lowest ankle or toe
    joint (floor 0); ``fastest_joint_m_s``; ``pose_error_m`` largest distance of ``joints_m`` from forward kinematics;
    ``pelvis_pitch_deg`` and ``pelvis_roll_deg`` smallest and largest tilt of the hips (forward and to the left
    positive).
    """

    is_finite: bool
    norm_error: float
    lowest_foot_m: float
    fastest_joint_m_s: float
    pose_error_m: float
    pelvis_pitch_deg: tuple[float, float]
    pelvis_roll_deg: tuple[float, float]

    def rounded(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        values: dict[str, Any] = asdict(self)
        for key, value in values.items():
            if isinstance(value, tuple):
                values[key] = [round(part, 1) for part in value]
            elif isinstance(value, float):
                values[key] = float(f"{value:.4g}")
        return values


def soundness(joints_m: F32, root_m: F32, joint_wxyz: F32) -> Soundness:
    """Measure a dance of at least two frames.

    Args:
        joints_m: [T, 52, 3] metres.
        root_m: [T, 3] metres.
        joint_wxyz: [T, 52, 4] parent-local rotations.

    Raises:
        ValueError: If there are fewer than two frames.
    """
    if len(joints_m) < 2:
        raise ValueError(f"{len(joints_m)} frames, at least 2 are needed")
    posed = forward_kinematics(root_m, joint_wxyz, REST_OFFSETS_M)
    # Yaw first, then pitch, then roll: the tilt does not depend on where she faces.
    tilt = Rotation.from_quat(joint_wxyz[:, 0], scalar_first=True).as_euler("YXZ", degrees=True)
    return Soundness(
        is_finite=bool(np.isfinite(joints_m).all() and np.isfinite(joint_wxyz).all() and np.isfinite(root_m).all()),
        norm_error=float(np.abs(np.linalg.norm(joint_wxyz, axis=-1) - 1.0).max()),
        lowest_foot_m=float(joints_m[:, list(CONTACT_JOINTS), 1].min()),
        fastest_joint_m_s=float(np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max() * FPS),
        pose_error_m=float(np.abs(posed - joints_m).max()),
        pelvis_pitch_deg=(float(tilt[:, 1].min()), float(tilt[:, 1].max())),
        pelvis_roll_deg=(float(tilt[:, 2].min()), float(tilt[:, 2].max())),
    )
