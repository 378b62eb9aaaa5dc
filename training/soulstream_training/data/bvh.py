"""Reads BVH motions (``.bvh``, ``.bvh.gz``) and poses them; not for knowing which joint is which (``joint_maps``).

The parser is iterative and strict: an unknown word, a joint that appears twice, a line with too few values, a number
that is not finite or a file that is cut off is an error that names the file, the line and the value. BVH says neither
its unit nor which axis is up: both come from the caller, because guessing them fails on lying poses.

Letters: ``T`` frames, ``J`` joints, ``D`` channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_training.data.amc import MAX_FRAMES
from soulstream_training.data.asf import MAX_BONES, FloatArray, parse_numbers, read_lines, refuse
from soulstream_training.data.recording import Recording

MAX_DEPTH = 64
"""Joints above one another; a body with fingers has about a dozen."""

MIN_FRAME_S, MAX_FRAME_S = 0.001, 1.0
"""Range of the time between frames, as in the clip table."""

MAX_VALUE = 1e6
"""Largest offset, position or angle in units of the file, 10 km of centimetres; beyond, the file is damaged (ours)."""

TIP_SUFFIX = "_end"
"""End Sites are kept as joints that turn with their parent, named after it with this suffix."""

UP_AXES = {"Y": np.eye(3), "Z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])}
"""Up axis of a file to the matrix that turns its axes into ours; Z up is laid back about X."""

_AXES = "XYZ"
_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in _AXES)


@dataclass(slots=True)
class _Joint:
    """One joint as the hierarchy gives it; channels are (name, column)."""

    name: str
    parent: int
    depth: int
    offset: tuple[float, ...] | None = None
    channels: list[tuple[str, int]] | None = None
    is_tip: bool = False


@dataclass(slots=True)
class _Hierarchy:
    """Joints in file order, parents before children, and how many channels they have together."""

    joints: list[_Joint] = field(default_factory=list)
    num_channels: int = 0


def read_bvh(path: Path, *, unit_m: float, up_axis: str) -> Recording:
    """Reads a motion and poses it.

    A joint's rotation is the product of its rotation channels in the order listed. Position channels, on any joint,
    stand in for its ``OFFSET`` (so does the root's position); axes without a channel keep the offset. In the zero pose
    every joint is at its offset.

    Args:
        path: ``.bvh`` or ``.bvh.gz`` file.
        unit_m: Metres per unit of the file, for example 0.01 for centimetres.
        up_axis: ``Y`` or ``Z``.

    Returns:
        The recording; End Sites are its joints ``<parent>_end``.

    Raises:
        MotionFileError: On any deviation from the format, a value beyond ``MAX_VALUE``, more than 512 joints,
            1,000,000 frames or 100 MB.
        ValueError: If ``unit_m`` is not a positive number.
    """
    if not 0 < unit_m < math.inf:
        raise ValueError(f"metres per unit must be positive, not {unit_m}")
    if up_axis not in UP_AXES:
        raise refuse(path, 0, f"up axis '{up_axis}' is not one of {', '.join(UP_AXES)}.", "Correct the clip table.")
    lines = _numbered(path)
    hierarchy = _read_hierarchy(path, lines)
    channels, fps = _read_motion(path, lines, hierarchy.num_channels)
    return _pose(hierarchy, channels, fps, unit_m, UP_AXES[up_axis])


def _numbered(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not blank, as 1-based number and words."""
    for number, text in enumerate(read_lines(path), 1):
        words = text.split()
        if words:
            yield number, words


def _read_hierarchy(path: Path, lines: Iterator[tuple[int, list[str]]]) -> _Hierarchy:
    """Reads up to and including the line ``MOTION``."""
    number, words = next(lines, (1, [""]))
    if words != ["HIERARCHY"]:
        raise refuse(path, number, f"starts with '{words[0][:40]}', expected HIERARCHY.")
    found = _Hierarchy()
    names: set[str] = set()
    stack: list[int] = []  # joints whose braces are open
    waiting = False  # a joint was named and its brace must follow
    for number, words in lines:
        key = words[0]
        if waiting != (key == "{"):
            raise refuse(path, number, f"'{' '.join(words)[:40]}' stands where {'{' if waiting else 'a key'} should.")
        if key == "{":
            _want(path, number, words, 1)
            stack.append(len(found.joints) - 1)
            waiting = False
        elif key in ("ROOT", "JOINT", "End"):
            _add_joint(path, number, words, found, names, stack)
            waiting = True
        elif key == "MOTION":
            if stack or not found.joints:
                raise refuse(path, number, f"MOTION comes after {len(found.joints)} joints, {len(stack)} not closed.")
            return found
        elif not stack:
            raise refuse(path, number, f"'{key[:40]}' stands outside of all joints.")
        elif key == "OFFSET":
            joint = found.joints[stack[-1]]
            if joint.offset is not None:
                raise refuse(path, number, f"joint '{joint.name[:40]}' has a second OFFSET.")
            joint.offset = _bounded(path, number, words[1:], 3)
        elif key == "CHANNELS":
            _add_channels(path, number, words, found, found.joints[stack[-1]])
        elif key == "}":
            _want(path, number, words, 1)
            _close(path, number, found.joints[stack.pop()])
        else:
            raise refuse(path, number, f"unknown key '{key[:40]}'.")
    raise refuse(path, number, f"ends after {len(found.joints)} joints without MOTION: the file is cut off.")


def _bounded(path: Path, number: int, words: list[str], count: int) -> tuple[float, ...]:
    """Numbers within ``MAX_VALUE``."""
    values = parse_numbers(path, number, words, count)
    if values and max(map(abs, values)) > MAX_VALUE:
        word = next(word for word, value in zip(words, values, strict=True) if abs(value) > MAX_VALUE)
        raise refuse(path, number, f"'{word[:40]}' is beyond {MAX_VALUE:.0f}.")
    return values


def _want(path: Path, number: int, words: list[str], count: int) -> None:
    if len(words) != count:
        raise refuse(path, number, f"has {len(words)} words {words[:6]}, expected {count}.")


def _add_joint(path: Path, number: int, words: list[str], found: _Hierarchy, names: set[str], stack: list[int]) -> None:
    is_tip = words[0] == "End"
    _want(path, number, words, 2)
    if (words[0] == "ROOT") != (not found.joints) or (words[0] != "ROOT" and not stack):
        raise refuse(path, number, f"'{' '.join(words)[:40]}' is out of place: one ROOT, all others inside of it.")
    parent = stack[-1] if stack else -1
    if parent >= 0 and found.joints[parent].is_tip:
        raise refuse(path, number, f"'{' '.join(words)[:40]}' is inside an End Site.")
    if is_tip and words[1] != "Site":
        raise refuse(path, number, f"'{' '.join(words)[:40]}' should be 'End Site'.")
    name = found.joints[parent].name + TIP_SUFFIX if is_tip else words[1]
    if name in names:
        raise refuse(path, number, f"joint '{name[:40]}' appears twice.")
    if len(found.joints) >= MAX_BONES:
        raise refuse(path, number, f"has more than {MAX_BONES} joints.")
    if len(stack) >= MAX_DEPTH:
        raise refuse(path, number, f"joint '{name[:40]}' is more than {MAX_DEPTH} joints deep.")
    names.add(name)
    found.joints.append(_Joint(name, parent, len(stack), channels=[] if is_tip else None, is_tip=is_tip))


def _add_channels(path: Path, number: int, words: list[str], found: _Hierarchy, joint: _Joint) -> None:
    if joint.channels is not None:
        raise refuse(path, number, f"joint '{joint.name[:40]}' has no place for these CHANNELS.")
    channels = words[2:]
    if len(words) < 2 or words[1] != str(len(channels)):
        raise refuse(path, number, f"names {len(channels)} channels, the count says {' '.join(words[1:2])[:20]}.")
    if not set(channels) <= set(_CHANNELS) or len(set(channels)) != len(channels):
        raise refuse(path, number, f"channels {channels[:7]} must be distinct ones of {', '.join(_CHANNELS)}.")
    joint.channels = [(name, found.num_channels + column) for column, name in enumerate(channels)]
    found.num_channels += len(channels)


def _close(path: Path, number: int, joint: _Joint) -> None:
    missing = [key for key, value in (("OFFSET", joint.offset), ("CHANNELS", joint.channels)) if value is None]
    if missing:
        raise refuse(path, number, f"joint '{joint.name[:40]}' lacks {' and '.join(missing)}.")


def _read_motion(path: Path, lines: Iterator[tuple[int, list[str]]], num_channels: int) -> tuple[FloatArray, float]:
    """Channels [T, D] and frames a second."""
    number, words = next(lines, (0, []))
    if words[:1] != ["Frames:"] or len(words) != 2 or not words[1].isdecimal():
        raise refuse(path, number, f"'{' '.join(words)[:40]}' should be 'Frames:' and their number.")
    num_frames = int(words[1])
    if not 1 <= num_frames <= MAX_FRAMES:
        raise refuse(path, number, f"{num_frames} frames are outside 1 to {MAX_FRAMES}.", "Cut the recording.")
    number, words = next(lines, (number, []))
    if words[:2] != ["Frame", "Time:"]:
        raise refuse(path, number, f"'{' '.join(words)[:40]}' should be 'Frame Time:' and seconds.")
    (seconds,) = parse_numbers(path, number, words[2:], 1)
    if not MIN_FRAME_S <= seconds <= MAX_FRAME_S:
        raise refuse(path, number, f"Frame Time {seconds} is outside {MIN_FRAME_S} to {MAX_FRAME_S} seconds.")
    frames: list[tuple[float, ...]] = []
    for number, words in lines:
        if len(frames) >= num_frames:
            raise refuse(path, number, f"goes on after the {num_frames} frames that it announced.")
        frames.append(_bounded(path, number, words, num_channels))
    if len(frames) < num_frames:
        raise refuse(path, number, f"ends after {len(frames)} of {num_frames} frames: the file is cut off.")
    return np.asarray(frames, dtype=np.float64).reshape(num_frames, num_channels), 1.0 / seconds


def _pose(hierarchy: _Hierarchy, channels: FloatArray, fps: float, unit_m: float, to_ours: FloatArray) -> Recording:
    """Forward kinematics, then our axes and metres."""
    joints = hierarchy.joints
    turns: list[Rotation] = []
    position = np.empty((len(channels), len(joints), 3))
    for i, joint in enumerate(joints):
        move = np.tile(np.asarray(joint.offset, dtype=np.float64), (len(channels), 1))
        turn = Rotation.identity(len(channels))
        for name, column in joint.channels or ():
            axis = _AXES.index(name[0])
            if name.endswith("position"):
                move[:, axis] = channels[:, column]
            else:
                turn = turn * Rotation.from_rotvec(np.radians(channels[:, column, None]) * np.eye(3)[axis])
        above = joint.parent
        position[:, i] = move if above < 0 else position[:, above] + turns[above].apply(move)
        turns.append(turn if above < 0 else turns[above] * turn)
    change = Rotation.from_matrix(to_ours)
    world = np.stack([(change * turn * change.inv()).as_quat(scalar_first=True) for turn in turns], axis=1)
    offsets = np.array([joint.offset if joint.parent >= 0 else (0.0, 0.0, 0.0) for joint in joints])
    return Recording(
        names=tuple(joint.name for joint in joints),
        parents=np.array([joint.parent for joint in joints], dtype=np.int32),
        offsets_m=offsets @ to_ours.T * unit_m,
        global_wxyz=np.asarray(rotations.continuous(world), dtype=np.float64),
        position_m=position @ to_ours.T * unit_m,
        fps=fps,
    )
