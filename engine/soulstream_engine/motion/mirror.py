"""Left and right exchanged: the reflection of poses, positions and motion rows in the plane X = 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.motion import representation as rep
from soulstream_engine.motion.faces import FACE_SPACES, mirror_arkit
from soulstream_engine.motion.rotations import FloatArray
from soulstream_engine.motion.skeleton import JOINT_INDEX, JOINT_NAMES


def _other_side(name: str) -> str:
    side, _, part = name.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, name)


MIRROR_JOINTS: NDArray[np.intp] = np.array([JOINT_INDEX[_other_side(name)] for name in JOINT_NAMES], dtype=np.intp)
"""Index of the joint on the other side for each joint [52]; the first 22 stay among themselves."""

_VECTOR = np.array([-1, 1, 1], dtype=np.float32)
_ROTATION = np.array([1, 1, -1, -1], dtype=np.float32)
_SIXD = np.array([1, -1, -1, -1, 1, 1], dtype=np.float32)


def mirror(root_m: ArrayLike, joint_wxyz: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """A pose or clip as seen in a mirror.

    Args:
        root_m: Pelvis positions [..., 3], metres.
        joint_wxyz: Parent-local rotations [..., J, 4]; J = 22 or 52.

    Returns:
        Mirrored root [..., 3] and rotations [..., J, 4].
    """
    wxyz = np.asarray(joint_wxyz)
    return np.asarray(root_m) * _VECTOR, wxyz[..., MIRROR_JOINTS[: wxyz.shape[-2]], :] * _ROTATION


def mirror_joints(joints_m: ArrayLike) -> FloatArray:
    """World positions [..., J, 3] with X negated and left and right exchanged; J = 22 or 52."""
    joints = np.asarray(joints_m)
    return np.asarray(joints[..., MIRROR_JOINTS[: joints.shape[-2]], :] * _VECTOR)


def mirror_rows(rows: ArrayLike) -> NDArray[np.float32]:
    """Motion rows [..., 263] or [..., 623 + F] in model order, mirrored without decoding them.

    Gives what encoding the mirrored clip would give. A face of 52 columns is taken as ``arkit52``; no face is fine.

    Raises:
        ValueError: If there is a face of another size, which has no known mirror image.
    """
    mirrored = np.array(rows, dtype=np.float32)
    mirrored[..., [0, 1]] *= -1
    blocks = [(rep.BODY_JP, 1, 22), (rep.BODY_JR, 1, 22), (rep.BODY_JV, 0, 22)]
    if mirrored.shape[-1] > rep.BODY_DIM:
        blocks += [(rep.HANDS_JP, 22, 52), (rep.HANDS_JR, 22, 52), (rep.HANDS_JV, 22, 52)]
    for columns, first, last in blocks:
        block = mirrored[..., columns].reshape(*mirrored.shape[:-1], last - first, -1)
        sign = _SIXD if block.shape[-1] == 6 else _VECTOR
        block = block[..., MIRROR_JOINTS[first:last] - first, :] * sign
        mirrored[..., columns] = block.reshape(*mirrored.shape[:-1], -1)
    mirrored[..., rep.CONTACT] = mirrored[..., rep.CONTACT][..., [2, 3, 0, 1]]
    num_face = max(mirrored.shape[-1] - rep.FACE_START, 0)
    if num_face == FACE_SPACES["arkit52"]:
        mirrored[..., rep.FACE_START :] = mirror_arkit(mirrored[..., rep.FACE_START :])
    elif num_face:
        raise ValueError(f"a face of {num_face} columns has no known mirror image; only arkit52 (52) has")
    return mirrored
