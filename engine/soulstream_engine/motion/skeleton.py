"""The dancer's skeleton: names, parents and rest pose of 52 joints (SMPL-X body and hands), and forward kinematics.

With all rotations at identity the dancer stands in a T-pose: arms along +-X, palms down, legs straight down, feet
towards +Z. Right-handed, Y up, metres, facing +Z, left = +X. Joints 0..21 are the body, 22..51 the fingers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.rotations import FloatArray

NUM_BODY_JOINTS = 22
"""Joints of the body; they come first."""

NUM_JOINTS = 52
"""Joints of body and hands. Source: SMPL-X joint order without jaw and eyes."""

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")

JOINT_NAMES: tuple[str, ...] = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *(f"{side}_{finger}{segment}" for side in ("left", "right") for finger in _FINGERS for segment in (1, 2, 3)),
)
"""SMPL-X names of the 52 joints in order."""

JOINT_INDEX: dict[str, int] = {name: index for index, name in enumerate(JOINT_NAMES)}
"""Index of each joint name."""

_BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)


def _with_fingers() -> list[int]:
    parents = list(_BODY_PARENTS)
    for wrist in (JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]):
        for _ in _FINGERS:
            parents += [wrist, len(parents), len(parents) + 1]
    return parents


PARENTS: NDArray[np.int32] = np.array(_with_fingers(), dtype=np.int32)
"""Parent of each joint [52] int32; -1 for the pelvis. A parent always precedes its children."""

CONTACT_JOINTS = (7, 10, 8, 11)
"""Joints of the four contact channels: left ankle, left foot (toe base), right ankle, right foot."""

LEG_LENGTH_M = 0.80
"""Hip to knee to ankle in the rest pose, metres; every clip is scaled to it."""

SOLE_BELOW_FOOT_M = 0.02
"""Height of the foot joint (toe base) above the floor when the dancer stands in the rest pose, metres (ours)."""

# Parent-local offsets in metres of the pelvis, the spine and the left side; the right side is their mirror image.
# Source: ours. Body: symmetric mean of the bone lengths of eight CMU ASF skeletons, each scaled to a leg of 0.80 m;
# spine1 and spine2 are the ends of lowerback and upperback, spine3 half the thorax, neck the end of the thorax, head
# the end of the upper neck, collar 25 % of the way from the thorax end to the clavicle end, wrist the end of the
# "wrist" bone (the lower forearm). Hands: common proportions of an adult hand of 0.185 m.
_CENTRE_M: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, 0.0, 0.0),
    "spine1": (0.0, 0.1171, -0.0074),
    "spine2": (0.0, 0.1178, -0.0004),
    "spine3": (0.0, 0.0594, 0.0015),
    "neck": (0.0, 0.0594, 0.0015),
    "head": (0.0, 0.1801, -0.0078),
}
_LEFT_M: dict[str, tuple[float, float, float]] = {
    "hip": (0.0839, -0.0948, 0.0452),
    "knee": (0.0, -0.3818, 0.0),
    "ankle": (0.0, -0.4182, 0.0),
    "foot": (0.0, -0.0386, 0.1008),
    "collar": (0.0457, 0.0732, 0.0017),
    "shoulder": (0.1372, 0.0415, 0.0005),
    "elbow": (0.2889, 0.0, 0.0),
    "wrist": (0.2689, 0.0, 0.0),
    "index1": (0.0900, 0.0020, 0.0240),
    "index2": (0.0420, 0.0, 0.0030),
    "index3": (0.0250, 0.0, 0.0010),
    "middle1": (0.0900, 0.0040, 0.0030),
    "middle2": (0.0460, 0.0, 0.0),
    "middle3": (0.0290, 0.0, 0.0),
    "pinky1": (0.0770, -0.0020, -0.0350),
    "pinky2": (0.0330, 0.0, -0.0050),
    "pinky3": (0.0190, 0.0, -0.0020),
    "ring1": (0.0850, 0.0020, -0.0170),
    "ring2": (0.0420, 0.0, -0.0030),
    "ring3": (0.0270, 0.0, -0.0010),
    "thumb1": (0.0240, -0.0120, 0.0260),
    "thumb2": (0.0320, -0.0080, 0.0280),
    "thumb3": (0.0260, -0.0040, 0.0180),
}


def _rest_offsets() -> NDArray[np.float32]:
    offsets = np.zeros((NUM_JOINTS, 3), dtype=np.float32)
    for index, name in enumerate(JOINT_NAMES):
        side, _, part = name.partition("_")
        if side in ("left", "right"):
            x, y, z = _LEFT_M[part]
            offsets[index] = (x if side == "left" else -x, y, z)
        else:
            offsets[index] = _CENTRE_M[name]
    return offsets


REST_OFFSETS_M: NDArray[np.float32] = _rest_offsets()
"""Position of each joint relative to its parent in the rest pose [52, 3] float32, metres."""

PELVIS_REST_HEIGHT_M = float(
    SOLE_BELOW_FOOT_M - sum(REST_OFFSETS_M[JOINT_INDEX[f"left_{part}"], 1] for part in ("hip", "knee", "ankle", "foot"))
)
"""Height of the pelvis in the rest pose with both soles on the floor, metres (0.953)."""


def _levels() -> list[NDArray[np.intp]]:
    """Joints grouped by their distance from the pelvis, so that a level is computed in one step."""
    depth = np.zeros(NUM_JOINTS, dtype=np.intp)
    for joint in range(1, NUM_JOINTS):
        depth[joint] = depth[PARENTS[joint]] + 1
    return [np.flatnonzero(depth == level) for level in range(1, int(depth.max()) + 1)]


_LEVELS = _levels()


def _global_matrices(joint_wxyz: ArrayLike) -> FloatArray:
    """World rotation matrices [..., J, 3, 3] float64 of parent-local rotations [..., J, 4]."""
    local = rotations.to_matrix(np.asarray(joint_wxyz, dtype=np.float64))
    for joints in _levels_of(local.shape[-3]):
        local[..., joints, :, :] = local[..., PARENTS[joints], :, :] @ local[..., joints, :, :]
    return local


def _levels_of(num_joints: int) -> list[NDArray[np.intp]]:
    if num_joints not in (NUM_BODY_JOINTS, NUM_JOINTS):
        raise ValueError(f"a pose has {NUM_BODY_JOINTS} or {NUM_JOINTS} joints, not {num_joints}")
    return [level[level < num_joints] for level in _LEVELS if level[0] < num_joints]


def global_rotations(joint_wxyz: ArrayLike) -> FloatArray:
    """World rotations [..., J, 4] of parent-local rotations [..., J, 4]; J = 22 or 52.

    Raises:
        ValueError: If J is neither 22 nor 52.
    """
    world = rotations.from_matrix(_global_matrices(joint_wxyz))
    return world.astype(np.result_type(np.asarray(joint_wxyz).dtype, np.float32))


def local_rotations(world_wxyz: ArrayLike) -> FloatArray:
    """Parent-local rotations [..., J, 4] of world rotations [..., J, 4]: the inverse of ``global_rotations``.

    Raises:
        ValueError: If J is neither 22 nor 52.
    """
    world = np.asarray(world_wxyz)
    _levels_of(world.shape[-2])
    parents = PARENTS[1 : world.shape[-2]]
    local = rotations.multiply(rotations.conjugate(world[..., parents, :]), world[..., 1:, :])
    return np.concatenate([world[..., :1, :].astype(local.dtype), local], axis=-2)


def forward_kinematics(root_m: ArrayLike, joint_wxyz: ArrayLike, offsets: ArrayLike = REST_OFFSETS_M) -> FloatArray:
    """World positions [..., J, 3] in metres of a posed skeleton; J = 22 or 52.

    Args:
        root_m: Pelvis positions [..., 3], metres.
        joint_wxyz: Parent-local unit rotations [..., J, 4]; entry 0 is the pelvis in the world.
        offsets: Rest offsets [52, 3] (or [J, 3]) from parent to joint, metres.

    Raises:
        ValueError: If J is neither 22 nor 52.
    """
    world = _global_matrices(joint_wxyz)
    num_joints = world.shape[-3]
    root = np.asarray(root_m, dtype=np.float64)
    rest = np.asarray(offsets, dtype=np.float64)[:num_joints]
    positions = np.empty((*np.broadcast_shapes(root.shape[:-1], world.shape[:-3]), num_joints, 3))
    positions[..., 0, :] = root
    for joints in _levels_of(num_joints):
        parents = PARENTS[joints]
        bones = np.matmul(world[..., parents, :, :], rest[joints][..., None])[..., 0]
        positions[..., joints, :] = positions[..., parents, :] + bones
    return positions.astype(np.result_type(np.asarray(root_m).dtype, np.asarray(joint_wxyz).dtype, np.float32))


def chain(first: str, last: str) -> tuple[int, ...]:
    """Joint indices from joint ``first`` down to its descendant ``last``, both included.

    Raises:
        ValueError: If ``last`` does not descend from ``first``.
    """
    joint, path = JOINT_INDEX[last], [JOINT_INDEX[last]]
    while joint != JOINT_INDEX[first]:
        joint = int(PARENTS[joint])
        if joint < 0:
            raise ValueError(f"{last} is not below {first} in the skeleton")
        path.append(joint)
    return tuple(reversed(path))


BONES: tuple[tuple[int, int], ...] = tuple(
    (int(parent), joint) for joint, parent in enumerate(PARENTS.tolist()) if parent >= 0
)
"""Parent and child of each of the 51 bones, by child."""

LEFT_ARM = chain("left_shoulder", "left_wrist")
"""Shoulder, elbow, wrist on the left."""

RIGHT_ARM = chain("right_shoulder", "right_wrist")
"""Shoulder, elbow, wrist on the right."""

LEFT_LEG = chain("left_hip", "left_foot")
"""Hip, knee, ankle, foot on the left."""

RIGHT_LEG = chain("right_hip", "right_foot")
"""Hip, knee, ankle, foot on the right."""
