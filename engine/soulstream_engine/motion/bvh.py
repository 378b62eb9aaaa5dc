"""A take as BVH text, for Blender, Maya, MotionBuilder and everything else that reads it.

Centimetres (as most BVH files are), Y up, facing +Z; rotations as Z, X, Y angles in degrees, in that order of product.
The rest pose is the T-pose of ``skeleton``. Only text is made here; files are written by whoever asks.

Letters: T frames, J joints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

CENTIMETRES = 100.0
"""Units of the file in a metre."""

_END_SITE_CM = 2.0
_ROWS_PER_PIECE = 256


def bvh_lines(
    names: Sequence[str],
    parents: NDArray[np.int32],
    rest_offsets_m: NDArray[np.float32],
    root_m: NDArray[np.float32],
    joint_wxyz: NDArray[np.float32],
    fps: int,
) -> Iterator[str]:
    """Writes a take line by line.

    Args:
        names: J joint names.
        parents: [J] int32, -1 for the root, a parent before its children.
        rest_offsets_m: [J, 3] float32, parent-local rest offsets, metres.
        root_m: [T, 3] float32, position of the root, metres.
        joint_wxyz: [T, J, 4] float32, unit parent-local rotations.
        fps: Frames a second.

    Returns:
        Iterator over lines, each with its line end.

    Source: ours; BVH has no standard, this is the common denominator of its readers.
    Live: not live.
    """
    order: list[int] = []
    yield "HIERARCHY\n"
    yield from _joint_lines(0, 0, names, parents, rest_offsets_m, order)
    yield "MOTION\n"
    yield f"Frames: {len(root_m)}\n"
    yield f"Frame Time: {1.0 / fps:.8f}\n"
    for start in range(0, len(root_m), _ROWS_PER_PIECE):
        rotations = np.asarray(joint_wxyz[start : start + _ROWS_PER_PIECE, order], dtype=np.float64)
        angles = Rotation.from_quat(rotations.reshape(-1, 4), scalar_first=True).as_euler("ZXY", degrees=True)
        rows = np.concatenate(
            [root_m[start : start + _ROWS_PER_PIECE] * CENTIMETRES, angles.reshape(len(rotations), -1)], axis=1
        )
        for row in rows:
            yield " ".join(f"{value:.5f}" for value in row) + "\n"


def _joint_lines(
    joint: int,
    depth: int,
    names: Sequence[str],
    parents: NDArray[np.int32],
    offsets: NDArray[np.float32],
    order: list[int],
) -> Iterator[str]:
    """Lines of a joint and all below it; the tree is as deep as an arm with a finger, so recursion is safe."""
    order.append(joint)
    indent = "\t" * depth
    x, y, z = (0.0, 0.0, 0.0) if depth == 0 else (float(value) * CENTIMETRES for value in offsets[joint])
    position = "Xposition Yposition Zposition " if depth == 0 else ""
    yield f"{indent}{'ROOT' if depth == 0 else 'JOINT'} {names[joint]}\n{indent}{{\n"
    yield f"{indent}\tOFFSET {x:.5f} {y:.5f} {z:.5f}\n"
    yield f"{indent}\tCHANNELS {6 if depth == 0 else 3} {position}Zrotation Xrotation Yrotation\n"
    children = [int(child) for child in np.flatnonzero(parents == joint)]
    for child in children:
        yield from _joint_lines(child, depth + 1, names, parents, offsets, order)
    if not children:
        direction = np.asarray(offsets[joint], dtype=np.float64)
        x, y, z = direction / max(float(np.linalg.norm(direction)), 1e-6) * _END_SITE_CM
        yield f"{indent}\tEnd Site\n{indent}\t{{\n{indent}\t\tOFFSET {x:.5f} {y:.5f} {z:.5f}\n{indent}\t}}\n"
    yield f"{indent}}}\n"
