"""Reads plain joint positions: [T, 22 or 52, 3] or laid flat, as many generators and HumanML3D write them.

The rotations come from ``position_fit``; the twist of limbs and fingers is unknown there. The joints must come in our
order (``motion.skeleton``). Letters: T frames, J joints, P dancers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_BODY_JOINTS, NUM_JOINTS, PARENTS
from soulstream_training.data.asf import FloatArray, refuse
from soulstream_training.data.body_model import Up, check_leg, checked, model_motion, y_up
from soulstream_training.data.dancers import split_dancers
from soulstream_training.data.npy_guard import read_single
from soulstream_training.data.position_fit import fit_root, fit_rotations, leg_length
from soulstream_training.data.recording import ModelMotion

MIN_BONE_OF_LEG = 0.005
"""Shortest bone as a share of the leg; beyond, the joint was not captured and left on its parent (ours)."""

_NAMES = ("joints", "positions", "motion")


def read_joints(path: Path, *, fps: float | None = None, up: Up = "y") -> list[ModelMotion]:
    """Reads joint positions of one or more dancers.

    Args:
        path: ``.npy``, or ``.npz`` with one array (or one called ``joints``, ``positions`` or ``motion``): [T, J, 3],
            [T, J * 3], or the same with the dancers in front; metres.
        fps: Frames a second; the file carries none, so it must be given.
        up: The axis that points up.

    Returns:
        One motion a dancer, 22 or 52 joints, the path scaled to the length of our legs.

    Raises:
        MotionFileError: If the file is damaged, has another shape or units, values that are not finite, a joint that
            lies on its parent, or no rate was given.
    """
    values = read_single(path, _NAMES)
    is_flat = values.shape[-1:] in ((3 * NUM_BODY_JOINTS,), (3 * NUM_JOINTS,))
    motions = []
    for dancer, positions in split_dancers(path, values, 2 if is_flat else 3):
        joints = y_up(_positions(path, positions), up)
        _check_bones(path, joints)
        local = fit_rotations(joints)
        motions.append(model_motion(path, fit_root(joints, local[:, 0]), local, fps=fps, dancer=dancer))
    return motions


def _positions(path: Path, values: NDArray[Any]) -> FloatArray:
    """Positions [T, J, 3] out of [T, J, 3] or [T, J * 3]."""
    joints = values.reshape(len(values), -1, 3) if values.ndim == 2 and values.shape[1] % 3 == 0 else values
    if joints.ndim != 3 or joints.shape[1] not in (NUM_BODY_JOINTS, NUM_JOINTS):
        message = f"has shape {list(values.shape)}, expected [T, {NUM_BODY_JOINTS} or {NUM_JOINTS}, 3]."
        raise refuse(path, 0, message, "Keep the joints of the body, or of body and hands, in our order.")
    return checked(path, "joints", joints, (None, joints.shape[1], 3))


def _check_bones(path: Path, joints: FloatArray) -> None:
    leg = check_leg(path, leg_length(joints))
    parents = PARENTS[1 : joints.shape[1]]
    lengths = np.median(np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1), axis=0)
    shortest = int(lengths.argmin()) + 1
    if lengths[shortest - 1] < MIN_BONE_OF_LEG * leg:
        message = (
            f"leaves joint {shortest} ('{JOINT_NAMES[shortest]}') on its parent, {lengths[shortest - 1]:.4f} m away."
        )
        raise refuse(path, 0, message, "Drop joints that were not captured.")
