"""The paper's joint rotations: minimal rotations that place each bone, found from positions alone (option ``ik``).

The rotation of a bone is stored at its *child* joint; every chain starts from the heading rotation, also the arms and
fingers; there is no twist; and the canonical pose has hanging arms, so it is not the T-pose of ``motion.skeleton``.
Not for: engines, which need real parent-local rotations; it is here to compare with the paper.
Source: "Music-Aligned Holistic 3D Dance Generation via Hierarchical Motion Modeling", ICCV 2025, supplement.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion import rotations
from soulstream_engine.motion.rotations import FloatArray
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS, NUM_JOINTS, REST_OFFSETS_M, chain

_BODY_CHAINS = (
    chain("pelvis", "right_foot"),
    chain("pelvis", "left_foot"),
    chain("pelvis", "head"),
    chain("spine3", "right_wrist"),
    chain("spine3", "left_wrist"),
)
_HAND_CHAINS = tuple(
    chain(f"{side}_wrist", f"{side}_{finger}3")
    for side, fingers in (
        ("left", ("index", "thumb", "middle", "ring", "pinky")),
        ("right", ("pinky", "ring", "middle", "index", "thumb")),
    )
    for finger in fingers
)

_UP_PARTS = ("spine1", "spine2", "spine3", "neck")
_DOWN_PARTS = ("knee", "ankle", "shoulder", "elbow", "wrist")
_FORWARD_PARTS = ("foot", "head")


def _canonical_direction(name: str) -> tuple[float, float, float]:
    side, _, part = name.rpartition("_")
    if part in _UP_PARTS:
        return (0.0, 1.0, 0.0)
    if part in _DOWN_PARTS:
        return (0.0, -1.0, 0.0)
    if part in _FORWARD_PARTS:
        return (0.0, 0.0, 1.0)
    return (1.0, 0.0, 0.0) if side == "left" else (-1.0, 0.0, 0.0)


CANONICAL_DIRECTIONS: NDArray[np.float32] = np.array(
    [(0.0, 0.0, 0.0), *(_canonical_direction(name) for name in JOINT_NAMES[1:])], dtype=np.float32
)
"""Unit direction from parent to joint in the canonical pose [52, 3] float32; zero for the pelvis."""

_BONE_LENGTHS_M: NDArray[np.float32] = np.linalg.norm(REST_OFFSETS_M, axis=-1).astype(np.float32)


def _chains(num_joints: int) -> tuple[tuple[int, ...], ...]:
    return _BODY_CHAINS + (_HAND_CHAINS if num_joints == NUM_JOINTS else ())


def solve(joints_m: ArrayLike, to_local_wxyz: ArrayLike) -> FloatArray:
    """Bone rotations [T, J, 4] from joint positions [T, J, 3]; J = 22 or 52.

    Args:
        joints_m: World positions, metres, of a clip whose first frame faces +Z (the first bone of each chain depends on
            the heading since then).
        to_local_wxyz: Rotations [T, 4] from the world to the heading frame; they become entry 0.
    """
    joints = np.asarray(joints_m, dtype=np.float64)
    start = np.asarray(to_local_wxyz, dtype=np.float64)
    solved = np.repeat(start[:, None], joints.shape[1], axis=1)
    for joint_chain in _chains(joints.shape[1]):
        running: FloatArray = start
        for parent, child in pairwise(joint_chain):
            placed = rotations.between(CANONICAL_DIRECTIONS[child], joints[:, child] - joints[:, parent])
            solved[:, child] = rotations.multiply(rotations.conjugate(running), placed)
            running = placed
    return solved


def forward_kinematics(root_m: ArrayLike, bone_wxyz: ArrayLike) -> FloatArray:
    """World positions [T, J, 3] in metres from root [T, 3] and the bone rotations [T, J, 4] of ``solve``; J = 22 or 52.

    Bone lengths are those of ``motion.skeleton``.

    Raises:
        ValueError: If J is neither 22 nor 52.
    """
    bones = np.asarray(bone_wxyz, dtype=np.float64)
    if bones.shape[1] not in (NUM_BODY_JOINTS, NUM_JOINTS):
        raise ValueError(f"a pose has {NUM_BODY_JOINTS} or {NUM_JOINTS} joints, not {bones.shape[1]}")
    joints = np.zeros((*bones.shape[:2], 3))
    joints[:, 0] = root_m
    rest = CANONICAL_DIRECTIONS * _BONE_LENGTHS_M[:, None]
    for joint_chain in _chains(bones.shape[1]):
        running: FloatArray = bones[:, 0]
        for parent, child in pairwise(joint_chain):
            running = rotations.multiply(running, bones[:, child])
            joints[:, child] = joints[:, parent] + rotations.rotate(running, rest[child])
    return joints
