"""A take as BVH text: the skeleton, then one line of root position and joint angles a frame.

Y up, centimetres, degrees; ``ROOT`` with position channels, every joint with Z X Y rotation channels, the rest pose is
our T-pose. Pure: writes to a text stream or gives lines; opening files is for the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, REST_OFFSETS_M

CM_PER_M = 100.0

_ROTATION_CHANNELS = "Zrotation Xrotation Yrotation"
_END_M = {"head": (0.0, 0.18, 0.0), "foot": (0.0, 0.0, 0.07)}  # crown of the head, tip of the toes (ours)
_FINGER_END_SHARE = 0.85  # last finger segment as a share of the one before it (ours)
_LINES_AT_ONCE = 512


def _file_order() -> tuple[list[int], list[int]]:
    """Joints in the depth-first order of the file, and the depth of each in that order."""
    order, depths, stack = [], [], [(0, 0)]
    while stack:
        joint, depth = stack.pop()
        order.append(joint)
        depths.append(depth)
        children = np.flatnonzero(joint == PARENTS).tolist()
        stack.extend((child, depth + 1) for child in reversed(children))
    return order, depths


_ORDER, _DEPTHS = _file_order()


def bvh_lines(root_m: ArrayLike, joint_wxyz: ArrayLike, fps: float = FPS) -> Iterator[str]:
    """Lines of a BVH file, without line ends.

    Args:
        root_m: Pelvis positions [T, 3], metres, Y up.
        joint_wxyz: Parent-local rotations [T, 52, 4].
        fps: Frames a second.

    Yields:
        The hierarchy, then ``MOTION`` with one line a frame; angles are unwrapped, so that programs that interpolate
        them do not spin.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite or ``fps`` is not positive.
    """
    root = np.asarray(root_m, dtype=np.float64)
    wxyz = np.asarray(joint_wxyz, dtype=np.float64)
    if root.ndim != 2 or root.shape[1] != 3 or wxyz.shape != (len(root), NUM_JOINTS, 4):
        raise ValueError(f"a take is root [T, 3] and rotations [T, {NUM_JOINTS}, 4], not {root.shape}, {wxyz.shape}")
    if not (np.isfinite(root).all() and np.isfinite(wxyz).all()):
        raise ValueError("a take holds finite numbers only; this one holds NaN or infinity")
    if not fps > 0:
        raise ValueError(f"frames a second must be positive, not {fps}")
    return _all_lines(root, wxyz, fps)


def write_bvh(stream: TextIO, root_m: ArrayLike, joint_wxyz: ArrayLike, fps: float = FPS) -> None:
    """Write a take to an open text stream; see ``bvh_lines`` for the arguments and errors."""
    for line in bvh_lines(root_m, joint_wxyz, fps):
        stream.write(line + "\n")


def _all_lines(root: NDArray[np.float64], wxyz: NDArray[np.float64], fps: float) -> Iterator[str]:
    yield "HIERARCHY"
    yield from _hierarchy()
    yield "MOTION"
    yield f"Frames: {len(root)}"
    yield f"Frame Time: {1 / fps:.8f}"
    last: NDArray[np.float64] | None = None
    for start in range(0, len(root), _LINES_AT_ONCE):
        angles = _angles(wxyz[start : start + _LINES_AT_ONCE])
        if last is not None:
            angles += 360.0 * np.round((last - angles[0]) / 360.0)
        last = angles[-1]
        rows = np.concatenate([CM_PER_M * root[start : start + _LINES_AT_ONCE], angles], axis=1)
        for row in rows.tolist():
            yield " ".join(f"{value:.6f}" for value in row)


def _hierarchy() -> Iterator[str]:
    for position, (joint, depth) in enumerate(zip(_ORDER, _DEPTHS, strict=True)):
        indent = "  " * depth
        # The root's offset is zero: its place is in the position channels, whichever way a reader combines the two.
        offset = REST_OFFSETS_M[joint] * CM_PER_M if joint else np.zeros(3)
        yield f"{indent}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}"
        yield f"{indent}{{"
        yield f"{indent}  OFFSET {_numbers(offset)}"
        if joint:
            yield f"{indent}  CHANNELS 3 {_ROTATION_CHANNELS}"
        else:
            yield f"{indent}  CHANNELS 6 Xposition Yposition Zposition {_ROTATION_CHANNELS}"
        next_depth = _DEPTHS[position + 1] if position + 1 < len(_DEPTHS) else 0
        if next_depth <= depth:
            yield f"{indent}  End Site"
            yield f"{indent}  {{"
            yield f"{indent}    OFFSET {_numbers(_end_m(joint) * CM_PER_M)}"
            yield f"{indent}  }}"
            for closed in range(depth, next_depth - 1, -1):
                yield "  " * closed + "}"


def _end_m(joint: int) -> NDArray[np.float64]:
    end = _END_M.get(JOINT_NAMES[joint].removeprefix("left_").removeprefix("right_"))
    if end is not None:
        return np.array(end)
    return np.asarray(REST_OFFSETS_M[joint], dtype=np.float64) * _FINGER_END_SHARE


def _numbers(values: NDArray[np.floating]) -> str:
    return " ".join(f"{value:.6f}" for value in values.tolist())


def _angles(wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intrinsic Z X Y angles [T, 156] in degrees, in file order, unwrapped over time."""
    ordered = wxyz[:, _ORDER]
    rotation = Rotation.from_quat(ordered.reshape(-1, 4), scalar_first=True)
    angles = rotation.as_euler("ZXY", suppress_warnings=True).reshape(len(wxyz), -1)
    return np.asarray(np.degrees(np.unwrap(angles, axis=0)))
