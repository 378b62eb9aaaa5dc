"""Reads motions of the Unitree G1 robot (``.csv``, ``.csv.gz``) and poses them by the table of its joints.

A row is a frame: root position in metres, root rotation as a quaternion *xyzw*, then one angle in radians for every
body but the root. Z is up and X forward there; the recording has Y up and faces +Z. Not for which of the robot's joints
make one of ours (``joint_maps``).

Letters: ``T`` frames, ``J`` bodies.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import medfilt
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_training.data.amc import MAX_FRAMES
from soulstream_training.data.asf import MAX_BONES, FloatArray, parse_numbers, read_lines, refuse
from soulstream_training.data.recording import Recording

SPIKE_RAD_S = 25.0
"""Joint angles that change faster are spikes. Source: shared data notes; finds the frames listed there, all of them."""

SPIKE_REACH = 2
"""Frames on either side of a spike that the median may change (ours)."""

MEDIAN_FRAMES = 5
"""Window of the median, odd (ours)."""

ROOT_COLUMNS = 7

_AXES = "xyz"
_TO_OURS = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # their Y, Z, X are our X, Y, Z


@dataclass(frozen=True, slots=True)
class Body:
    """One body of the robot.

    Attributes:
        name: Name of the joint that moves it.
        parent: Index of the parent, -1 for the root.
        offset: [3] metres from the parent, in the parent's axes.
        axis: [3] axis of the joint in its own axes; zeros for the root.
        fixed: [3] rotation vector, radians, between the parent's axes and the joint's.
    """

    name: str
    parent: int
    offset: tuple[float, ...]
    axis: tuple[float, ...]
    fixed: tuple[float, ...]


def read_g1(path: Path, tree_path: Path) -> Recording:
    """Reads a motion.

    Angles that jump by more than ``SPIKE_RAD_S`` have a median of five frames put in their place from two frames
    before to two after the jump; nothing else is filtered. A spike is gone then, a lasting step remains.

    Args:
        path: ``.csv`` or ``.csv.gz`` file without a header line.
        tree_path: ``g1_tree.json``: the robot's bodies, axes and frame rate.

    Returns:
        The recording; zero pose is that of all angles zero, facing +Z.

    Raises:
        MotionFileError: If a row has another number of columns, a value is not finite, a quaternion is not of unit
            length, there are no rows or more than 1,000,000, or the tree is not as described.
    """
    bodies, fps = read_tree(tree_path)
    columns = ROOT_COLUMNS + len(bodies) - 1
    rows: list[tuple[float, ...]] = []
    for number, text in enumerate(read_lines(path), 1):
        if len(rows) >= MAX_FRAMES:
            raise refuse(path, number, f"has more than {MAX_FRAMES} frames.", "Cut the recording into shorter files.")
        row = parse_numbers(path, number, text.split(","), columns)
        length = math.hypot(*row[3:ROOT_COLUMNS])
        if abs(length - 1.0) > 1e-2:
            raise refuse(path, number, f"the root's quaternion has length {length:.4f}, expected 1.")
        rows.append(row)
    if not rows:
        raise refuse(path, 0, "has no frames.")
    values = np.asarray(rows, dtype=np.float64)
    values[:, ROOT_COLUMNS:] = without_spikes(values[:, ROOT_COLUMNS:], fps)
    return _pose(bodies, values, fps)


def without_spikes(angles_rad: FloatArray, fps: float) -> FloatArray:
    """Angles with a median where they jump.

    Args:
        angles_rad: [T, D] radians.
        fps: Frames a second.

    Returns:
        [T, D]; angles that never change faster than ``SPIKE_RAD_S`` are unchanged.
    """
    smooth = angles_rad.copy()
    for column in range(angles_rad.shape[1]):
        jumps = np.flatnonzero(np.abs(np.diff(angles_rad[:, column])) * fps > SPIKE_RAD_S) + 1
        if len(jumps):
            reach = SPIKE_REACH + MEDIAN_FRAMES // 2
            padded = np.pad(angles_rad[:, column], reach, mode="edge")
            median = medfilt(padded, MEDIAN_FRAMES)[reach:-reach]
            near = np.unique((jumps[:, None] + np.arange(-SPIKE_REACH, SPIKE_REACH + 1)).clip(0, len(median) - 1))
            smooth[near, column] = median[near]
    return smooth


def read_tree(path: Path) -> tuple[tuple[Body, ...], float]:
    """Reads the table of the robot's bodies.

    Args:
        path: ``g1_tree.json``.

    Returns:
        Bodies, parents before children, and frames a second.

    Raises:
        MotionFileError: If a key is missing, a value is not as described or there are more than 512 bodies.
    """
    try:
        tree = json.loads("\n".join(read_lines(path)))
        rate, entries = float(tree["fps"]), tree["bodies"]
        if (tree["units"], tree["up"], tree["forward"]) != ("m, rad", "z", "x") or not 1.0 <= rate <= 1000.0:
            raise refuse(
                path, 0, f"units, up, forward, fps must be 'm, rad', z, x, 1-1000, not {list(tree.items())[:4]}."
            )
        if not 1 <= len(entries) <= MAX_BONES:
            raise refuse(path, 0, f"has {len(entries)} bodies, expected 1 to {MAX_BONES}.")
        bodies = tuple(_body(path, i, entry) for i, entry in enumerate(entries))
        if len({body.name for body in bodies}) != len(bodies):
            raise refuse(path, 0, f"names a body twice among {[body.name[:20] for body in bodies][:40]}.")
        return bodies, rate
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refuse(path, 0, f"is not a table of bodies ({type(error).__name__}: {str(error)[:80]}).") from error


def _body(path: Path, i: int, entry: dict[str, Any]) -> Body:
    name, parent = entry["name"], entry["parent"]
    where = f"body {i} '{str(name)[:40]}'"
    if entry["index"] != i or not isinstance(parent, int) or not (-1 if i == 0 else 0) <= parent < i:
        raise refuse(path, 0, f"{where} has index {entry['index']} and parent {parent}, expected {i} and one before.")
    offset = tuple(float(value) for value in entry["offset"])
    angle = float(entry["fixed_angle"])
    if len(offset) != 3 or not all(map(math.isfinite, (*offset, angle))):
        raise refuse(path, 0, f"{where} has offset {offset} and angle {angle}, expected finite numbers.")
    axis, fixed = (_axis(path, where, entry[key]) for key in ("axis", "fixed_axis"))
    return Body(str(name), parent, offset, axis, tuple(angle * value for value in fixed))


def _axis(path: Path, where: str, letter: object) -> tuple[float, ...]:
    if letter is not None and letter not in tuple(_AXES):
        raise refuse(path, 0, f"{where} has the axis {str(letter)[:20]}, expected x, y, z or none.")
    return tuple(float(letter == axis) for axis in _AXES)


def _pose(bodies: tuple[Body, ...], values: FloatArray, fps: float) -> Recording:
    """Forward kinematics: parent's rotation, the fixed one, the joint's own; then our axes."""
    root = Rotation.from_quat(values[:, 3:ROOT_COLUMNS])
    turn, position_m = _chain(bodies, root, values[:, :3], values[:, ROOT_COLUMNS:])
    at_zero, zero_m = _chain(bodies, Rotation.identity(1), np.zeros((1, 3)), np.zeros((1, len(bodies) - 1)))
    change = Rotation.from_matrix(_TO_OURS)
    world = [change * now * zero.inv() * change.inv() for now, zero in zip(turn, at_zero, strict=True)]
    parents = np.array([body.parent for body in bodies], dtype=np.int32)
    offsets_m = zero_m[0] - zero_m[0, parents]
    offsets_m[0] = 0.0
    wxyz = np.stack([rotation.as_quat(scalar_first=True) for rotation in world], axis=1)
    return Recording(
        names=tuple(body.name for body in bodies),
        parents=parents,
        offsets_m=offsets_m @ _TO_OURS.T,
        global_wxyz=np.asarray(rotations.continuous(wxyz), dtype=np.float64),
        position_m=position_m @ _TO_OURS.T,
        fps=fps,
    )


def _chain(
    bodies: tuple[Body, ...], root: Rotation, root_m: FloatArray, angles_rad: FloatArray
) -> tuple[list[Rotation], FloatArray]:
    """World rotations of the bodies and their positions [T, J, 3], in the robot's axes."""
    turns = [root]
    position_m = np.empty((len(root_m), len(bodies), 3))
    position_m[:, 0] = root_m
    for i, body in enumerate(bodies[1:], 1):
        above = turns[body.parent]
        own = Rotation.from_rotvec(angles_rad[:, i - 1, None] * np.asarray(body.axis))
        position_m[:, i] = position_m[:, body.parent] + above.apply(np.asarray(body.offset))
        turns.append(above * Rotation.from_rotvec(np.asarray(body.fixed)) * own)
    return turns, position_m
