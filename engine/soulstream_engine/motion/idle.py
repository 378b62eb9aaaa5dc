"""The dancer waiting: a person who stands relaxed, breathes and shifts weight, as a pure function of the frame index.

The feet are planted by construction: the pelvis moves, and each leg is solved from the hip to a fixed foot.
Not for: dancing. Letters: T frames. Arithmetic in float64, results float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.clock import FPS
from soulstream_engine.motion import hands, rotations
from soulstream_engine.motion.blinks import blink_faces
from soulstream_engine.motion.leg_ik import LEG_JOINTS, bone_frames, place_knee
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    NUM_BODY_JOINTS,
    NUM_JOINTS,
    PELVIS_REST_HEIGHT_M,
    REST_OFFSETS_M,
    SOLE_BELOW_FOOT_M,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# How the dancer stands; all numbers of this block are ours, set by eye.
_SOFT_KNEES_M = 0.010  # how much lower than with straight legs
_ANKLES_M = np.array([[0.118, 0.035], [-0.108, -0.030]])  # x and z of the left and right ankle from the anchor
_TOES_OUT_RAD = np.radians([13.0, -17.0])  # yaw of the left and right foot
_ANKLE_HEIGHT_M = SOLE_BELOW_FOOT_M - float(REST_OFFSETS_M[JOINT_INDEX["left_foot"], 1])

# Rotations in degrees about the joint's own x, y, z; the right side is the mirror image of the left.
_STANCE_DEG: dict[str, tuple[float, float, float]] = {
    "spine1": (1.5, 0.0, 0.0),
    "spine2": (-2.0, 0.0, 0.0),
    "spine3": (-1.5, 0.0, 0.0),
    "neck": (9.0, 0.0, 0.0),
    "head": (-6.0, 0.0, 0.0),
    "left_collar": (0.0, 2.0, -7.0),
}
# Arms as Euler angles in degrees, intrinsic, in the named order: first lowered, then turned in and bent.
_LEFT_ARM_DEG: dict[str, tuple[str, tuple[float, float, float]]] = {
    "left_shoulder": ("ZYX", (-70.0, -4.0, 12.0)),
    "left_elbow": ("YXZ", (-21.0, 14.0, 0.0)),
    "left_wrist": ("ZYX", (-4.0, -3.0, 4.0)),
}


def _mirror(wxyz: ArrayLike) -> F64:
    return np.asarray(np.asarray(wxyz, dtype=np.float64) * np.array([1.0, 1.0, -1.0, -1.0]))


def _stance() -> F64:
    """Body rotations [22, 4] of the relaxed stance, legs and pelvis at identity."""
    wxyz = rotations.identity(NUM_BODY_JOINTS).astype(np.float64)
    posed = {name: Rotation.from_euler("XYZ", degrees, degrees=True) for name, degrees in _STANCE_DEG.items()}
    posed |= {name: Rotation.from_euler(order, deg, degrees=True) for name, (order, deg) in _LEFT_ARM_DEG.items()}
    for name, rotation in posed.items():
        wxyz[JOINT_INDEX[name]] = rotation.as_quat(scalar_first=True)
        if name.startswith("left_"):
            wxyz[JOINT_INDEX[name.replace("left_", "right_")]] = _mirror(wxyz[JOINT_INDEX[name]])
    return wxyz


_STANCE = _stance()
_FEET = rotations.to_matrix(rotations.yaw(_TOES_OUT_RAD))


def idle_poses(
    indices: Sequence[int] | NDArray[np.int64], root_m: ArrayLike, heading_rad: float, seed: int = 0
) -> tuple[F32, F32, F32]:
    """Poses of the waiting dancer at given frames.

    Args:
        indices: Frame indices [T] at 30 frames a second.
        root_m: Where to stand [3], metres; the height is ignored, the dancer stands on the floor y = 0.
        heading_rad: Facing direction as a yaw about +Y, radians; 0 faces +Z, positive is a left turn.
        seed: Chooses the blinks.

    Returns:
        ``root_m`` [T, 3], ``joint_wxyz`` [T, 52, 4] and ``face`` [T, 52] (ARKit), all float32.

    Live: pure.
    """
    seconds = np.asarray(indices, dtype=np.float64) / FPS
    shift = _wave(seconds, 11.3, 0.0) * 0.7 + _wave(seconds, 17.9, 0.31) * 0.5  # weight to the left: positive
    breath = _wave(seconds, 3.9, 0.1)

    # In the dancer's own frame first: anchor at the origin, facing +Z.
    pelvis_m = np.stack(
        [
            0.024 * shift + 0.004,
            PELVIS_REST_HEIGHT_M - _SOFT_KNEES_M - 0.004 * shift**2 + 0.0015 * breath,
            -0.018 + 0.006 * _wave(seconds, 13.7, 0.6),
        ],
        axis=-1,
    )
    turn = 1.6 * _wave(seconds, 19.1, 0.45)
    pelvis = Rotation.from_rotvec(
        np.radians(np.stack([1.0 + 0.4 * _wave(seconds, 9.1, 0.2), turn, -1.7 * shift], axis=-1))
    )
    wxyz = np.empty((len(seconds), NUM_JOINTS, 4))
    wxyz[:, :NUM_BODY_JOINTS] = rotations.multiply(_STANCE, _sway(seconds, shift, breath, turn))
    wxyz[:, NUM_BODY_JOINTS:] = hands.resting_hands(indices)
    wxyz[:, LEG_JOINTS] = _legs(pelvis_m, pelvis)

    yaw = Rotation.from_rotvec([0.0, heading_rad, 0.0])
    wxyz[:, 0] = (yaw * pelvis).as_quat(scalar_first=True)
    anchor = np.asarray(root_m, dtype=np.float64) * np.array([1.0, 0.0, 1.0])
    root = anchor + yaw.apply(pelvis_m)
    return root.astype(np.float32), wxyz.astype(np.float32), blink_faces(seed, indices)


def idle_pose(index: int, root_m: ArrayLike, heading_rad: float, seed: int = 0) -> tuple[F32, F32, F32]:
    """Pose of the waiting dancer at one frame: root [3], rotations [52, 4], face [52]; see ``idle_poses``."""
    root, wxyz, face = idle_poses([index], root_m, heading_rad, seed)
    return root[0], wxyz[0], face[0]


def _wave(seconds: F64, period_s: float, phase_turns: float) -> F64:
    return np.asarray(np.sin(2 * np.pi * (seconds / period_s + phase_turns)))


def _sway(seconds: F64, shift: F64, breath: F64, turn: F64) -> F64:
    """Small rotations [T, 22, 4] on top of the stance; the trunk stays upright over the moving pelvis."""
    angles = np.zeros((len(seconds), NUM_BODY_JOINTS, 3))  # degrees about x, y, z
    look = _wave(seconds, 12.7, 0.15) * 0.6 + _wave(seconds, 7.9, 0.7) * 0.4
    nod = _wave(seconds, 8.3, 0.35)

    def set_joint(name: str, *xyz: ArrayLike) -> None:
        for axis, value in enumerate(xyz):
            angles[:, JOINT_INDEX[name], axis] = value

    set_joint("spine1", -0.3 * breath, -0.5 * turn, 1.1 * shift)
    set_joint("spine2", -0.5 * breath, -0.5 * turn, 0.9 * shift)
    set_joint("spine3", -0.7 * breath, 0.3 * look, 0.2 * shift)
    set_joint("neck", 0.8 * breath + 0.8 * nod, 2.4 * look, -0.5 * shift)
    set_joint("head", 0.5 * breath + 1.2 * nod, 3.2 * look, -0.7 * shift + 0.8 * _wave(seconds, 15.1, 0.5))
    for side, sign, phase in (("left", 1.0, 0.0), ("right", -1.0, 0.37)):
        swing = _wave(seconds, 10.3, phase)
        set_joint(f"{side}_collar", 0.0, 0.0, sign * 1.0 * breath)
        set_joint(f"{side}_shoulder", 0.6 * swing, 0.0, sign * (-0.8 * breath - 0.9 * sign * shift))
        set_joint(f"{side}_elbow", 0.0, sign * (-1.5 * swing - 0.6 * breath), 0.0)
        set_joint(f"{side}_wrist", 0.0, 0.0, sign * -1.2 * _wave(seconds, 9.7, phase))
    return np.asarray(Rotation.from_rotvec(np.radians(angles)).as_quat(scalar_first=True))


def _legs(pelvis_m: F64, pelvis: Rotation) -> F64:
    """Local rotations [T, 2, 4, 4] of hips, knees, ankles, feet so that both soles stay flat where they are."""
    T = len(pelvis_m)
    pelvis_matrix = pelvis.as_matrix()[:, None]
    hip_m = pelvis_m[:, None] + (pelvis_matrix @ REST_OFFSETS_M[LEG_JOINTS[:, 0]][..., None])[..., 0]
    ankle_m = np.insert(_ANKLES_M, 1, _ANKLE_HEIGHT_M, axis=-1)
    forward = np.broadcast_to(_FEET[:, :, 2], (T, 2, 3))
    knee_m, ankle_m = place_knee(hip_m, ankle_m, forward)
    thigh = bone_frames(knee_m - hip_m, forward)
    shank = bone_frames(ankle_m - knee_m, forward)
    local = np.empty((T, 2, 4, 3, 3))
    local[:, :, 0] = np.swapaxes(pelvis_matrix, -1, -2) @ thigh
    local[:, :, 1] = np.swapaxes(thigh, -1, -2) @ shank
    local[:, :, 2] = np.swapaxes(shank, -1, -2) @ _FEET
    local[:, :, 3] = np.eye(3)
    return np.asarray(rotations.from_matrix(local))
