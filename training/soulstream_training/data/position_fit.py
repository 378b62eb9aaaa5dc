"""Parent-local rotations on our skeleton from joint positions: what a character needs, not what the paper stores.

``motion.position_ik`` solves for the paper's rotations, which sit at the child joint, start every chain from the
heading and have another rest pose; no engine can use them. Here each joint turns its own rest bones onto the measured
ones: joints with several children (pelvis, chest, wrists) by a least-squares fit, joints with one child by the smallest
turn from where the parent has carried the bone, ends not at all.

Positions do not tell the twist of a bone about itself. Where only one child says how a joint is turned (limbs, spine,
fingers) the twist is that of the parent: elbows and knees bend correctly, but palms, kneecaps and feet may be rolled.
Not for: training hands or wrists where real rotations exist. Letters: T frames, J joints (22 or 52).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    LEG_LENGTH_M,
    NUM_BODY_JOINTS,
    NUM_JOINTS,
    PARENTS,
    REST_OFFSETS_M,
    local_rotations,
)
from soulstream_training.data.asf import FloatArray

_HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
_LEGS = [[JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle")] for side in ("left", "right")]
_REST_M = REST_OFFSETS_M.astype(np.float64)
_HIP_CENTRE_M = _REST_M[_HIPS].mean(axis=0)


def leg_length(joints: ArrayLike) -> float:
    """Hip to knee to ankle: median over the frames, mean of both legs.

    Args:
        joints: [T, J, 3] positions, any unit.

    Returns:
        The length in the same unit.
    """
    positions = np.asarray(joints, dtype=np.float64)
    bones = [
        np.linalg.norm(positions[:, low] - positions[:, high], axis=-1) for leg in _LEGS for high, low in pairwise(leg)
    ]
    return float(np.median(np.sum(bones, axis=0))) / len(_LEGS)


def fit_rotations(joints: ArrayLike) -> FloatArray:
    """Rotations that lay our bones along the measured ones.

    Args:
        joints: [T, J, 3] positions, Y up, any unit; J = 22 or 52.

    Returns:
        [T, J, 4] float64, parent-local unit rotations; joint 0 is the pelvis in the world.

    Raises:
        ValueError: If J is neither 22 nor 52.
    """
    positions = np.asarray(joints, dtype=np.float64)
    num_joints = positions.shape[1]
    if num_joints not in (NUM_BODY_JOINTS, NUM_JOINTS):
        raise ValueError(f"a pose has {NUM_BODY_JOINTS} or {NUM_JOINTS} joints, not {num_joints}")
    world = np.zeros((*positions.shape[:2], 4))
    world[..., 0] = 1.0
    for joint in range(num_joints):
        children = np.flatnonzero(PARENTS[:num_joints] == joint)
        carried = world[:, PARENTS[joint]] if joint else world[:, 0]
        bones = positions[:, children] - positions[:, joint, None]
        if len(children) > 1:
            world[:, joint] = _fit(_REST_M[children], bones)
        elif len(children) == 1:
            rest = rotations.rotate(carried, _REST_M[children[0]])
            world[:, joint] = rotations.multiply(rotations.between(rest, bones[:, 0]), carried)
        else:
            world[:, joint] = carried
    return np.asarray(local_rotations(world), dtype=np.float64)


def fit_root(joints: ArrayLike, pelvis_wxyz: ArrayLike) -> FloatArray:
    """Path of our pelvis: the middle of the hips follows the measured one, scaled to our legs.

    Args:
        joints: [T, J, 3] positions, Y up, any unit.
        pelvis_wxyz: [T, 4] world rotations of the pelvis, as ``fit_rotations`` finds them.

    Returns:
        [T, 3] float64, metres.
    """
    positions = np.asarray(joints, dtype=np.float64)
    centre = positions[:, _HIPS].mean(axis=1) * (LEG_LENGTH_M / leg_length(positions))
    return np.asarray(centre - rotations.rotate(pelvis_wxyz, _HIP_CENTRE_M))


def _fit(rest: FloatArray, measured: FloatArray) -> FloatArray:
    """Rotations [T, 4] that best turn rest directions [C, 3] onto measured ones [T, C, 3]; lengths do not count."""
    source = rest / np.linalg.norm(rest, axis=-1, keepdims=True)
    target = measured / np.maximum(np.linalg.norm(measured, axis=-1, keepdims=True), 1e-9)
    left, _, right = np.linalg.svd(np.einsum("tci,cj->tij", target, source))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(rotations.from_matrix(left @ right), dtype=np.float64)
