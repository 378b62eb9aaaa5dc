"""Recordings of figures with our proportions, in any zero pose and under any names, and BVH text; all made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    NUM_BODY_JOINTS,
    PARENTS,
    PELVIS_REST_HEIGHT_M,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data.recording import Recording

F64 = NDArray[np.float64]


def turned(num_frames: int = 1, joints: int = NUM_BODY_JOINTS, **degrees: Sequence[float] | F64) -> F64:
    """Local rotations [T, joints, 4], identity but for joints by name: rotation vectors [3] or [T, 3] in degrees."""
    wxyz = np.tile([1.0, 0.0, 0.0, 0.0], (num_frames, joints, 1))
    for name, vector in degrees.items():
        full = np.array(np.broadcast_to(np.radians(np.asarray(vector, dtype=np.float64)), (num_frames, 3)))
        wxyz[:, JOINT_INDEX[name]] = Rotation.from_rotvec(full).as_quat(scalar_first=True)
    return wxyz


def record(
    joint_wxyz: F64,
    root_m: F64 | None = None,
    *,
    zero_wxyz: F64 | None = None,
    names: Mapping[str, str] | None = None,
    scale: float = 1.0,
    fps: float = 30.0,
) -> Recording:
    """A figure that moves by ``joint_wxyz`` [T, J, 4] from our T-pose, recorded with another zero pose.

    Args:
        joint_wxyz: Local rotations from our rest pose.
        root_m: [T, 3], standing by default.
        zero_wxyz: [J, 4] local rotations that make the zero pose out of our T-pose.
        names: Other names of joints; a joint that is called "" is left out.
        scale: Size.
        fps: Frames a second.
    """
    num_frames, num_joints = joint_wxyz.shape[:2]
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (num_frames, 1)) if root_m is None else root_m
    zero = turned(1, num_joints) if zero_wxyz is None else zero_wxyz[None]
    position_m = np.asarray(forward_kinematics(root, joint_wxyz)) * scale
    zero_m = np.asarray(forward_kinematics(np.zeros((1, 3)), zero))[0] * scale
    fix = rotations.conjugate(global_rotations(zero)[0])
    world = np.asarray(rotations.multiply(global_rotations(joint_wxyz), fix), dtype=np.float64)
    called = [(names or {}).get(name, name) for name in JOINT_NAMES[:num_joints]]
    kept = [joint for joint in range(num_joints) if called[joint]]
    parents = []
    for joint in kept:
        parent = int(PARENTS[joint])
        while parent >= 0 and parent not in kept:
            parent = int(PARENTS[parent])
        parents.append(kept.index(parent) if parent >= 0 else -1)
    offsets = np.array(
        [
            zero_m[joint] - zero_m[kept[parent]] if parent >= 0 else np.zeros(3)
            for joint, parent in zip(kept, parents, strict=True)
        ]
    )
    return Recording(
        names=tuple(called[joint] for joint in kept),
        parents=np.array(parents, dtype=np.int32),
        offsets_m=offsets,
        global_wxyz=world[:, kept],
        position_m=position_m[:, kept],
        fps=fps,
    )


def dance(num_frames: int = 60, joints: int = NUM_BODY_JOINTS) -> F64:
    """Local rotations [T, J, 4]: everything moves, knees and elbows about their hinges only, and she turns left."""
    t = np.linspace(0.0, 2.0 * np.pi, num_frames)

    def swing(x: float, y: float, z: float, phase: float = 0.0, about: Sequence[float] = (0.0, 0.0, 0.0)) -> F64:
        return np.sin(t + phase)[:, None] * np.array([x, y, z]) + np.array(about)

    bend = (60.0 - 50.0 * np.cos(t))[:, None]
    return turned(
        num_frames,
        joints,
        pelvis=np.stack([5 * np.sin(t), np.linspace(0, 90, num_frames), 4 * np.cos(t)], -1),
        spine1=swing(10, 5, 3),
        spine3=swing(-5, 10, 8, 1.0),
        neck=swing(5, 10, 5),
        head=swing(10, 20, 5, 2.0),
        left_collar=swing(0, 5, 8),
        left_hip=swing(30, 10, 8, about=(-20, 0, 5)),
        right_hip=swing(30, 10, 8, np.pi, about=(-20, 0, -5)),
        left_knee=bend * [1, 0, 0],
        right_knee=bend[::-1] * [1, 0, 0],
        left_ankle=swing(10, 5, 0),
        right_foot=swing(15, 0, 0),
        left_shoulder=swing(20, 20, 40, about=(0, 0, -40)),
        right_shoulder=swing(20, 30, 40, 2.0, about=(0, 0, 40)),
        left_elbow=bend * [0, -1, 0],
        right_elbow=bend * [0, 1, 0],
    )


def bvh_text(
    recording_names: Sequence[str],
    parents: Sequence[int],
    offsets: F64,
    channels: Sequence[Sequence[str]],
    values: F64,
    *,
    tips: Mapping[int, Sequence[float]] | None = None,
    frame_time: float = 1 / 30,
) -> str:
    """BVH text of joints in depth-first order; ``values`` [T, D] in the order of the joints' channels."""
    lines, open_joints = ["HIERARCHY"], []
    ends = tips or {}
    for joint, name in enumerate(recording_names):
        while open_joints and open_joints[-1] != parents[joint]:
            lines.append("}")
            open_joints.pop()
        lines += [f"{'JOINT' if open_joints else 'ROOT'} {name}", "{"]
        lines.append("OFFSET " + " ".join(repr(float(value)) for value in offsets[joint]))
        lines.append(f"CHANNELS {len(channels[joint])} {' '.join(channels[joint])}".strip())
        if joint in ends:
            lines += ["End Site", "{", "OFFSET " + " ".join(repr(float(value)) for value in ends[joint]), "}"]
        open_joints.append(joint)
    lines += ["}"] * len(open_joints)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time!r}"]
    lines += [" ".join(repr(float(value)) for value in row) for row in values]
    return "\n".join(lines) + "\n"
