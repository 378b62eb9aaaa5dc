"""A data folder of hand poses written by the tests themselves: clips with fingers, and hands as WebXR text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from fakes.named_figures import F64, bvh_text
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    NUM_JOINTS,
    PARENTS,
    REST_OFFSETS_M,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data.webxr_hands import JOINT_NAMES as WEBXR_NAMES

_BODY = {
    **{"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01"},
    **{"head": "head", "hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball", "collar": "clavicle"},
    **{"shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand"},
}
_PARTS = ("phalanx-proximal", "phalanx-intermediate", "phalanx-distal")
_THUMB_PARTS = ("metacarpal", "phalanx-proximal", "phalanx-distal")


def _keyed_name(joint: str) -> str:
    side, _, part = joint.partition("_")
    if side not in ("left", "right"):
        return _BODY[joint]
    return f"{_BODY.get(part, f'{part[:-1]}_0{part[-1]}')}_{side[0]}"


def _depth_first() -> list[int]:
    order: list[int] = []
    waiting = [0]
    while waiting:
        order.append(waiting.pop())
        waiting += [joint for joint in range(NUM_JOINTS) if PARENTS[joint] == order[-1]]
    return order


def write_keyed(path: Path, joint_wxyz: F64) -> None:
    """Writes a clip in the names of Mesh2Motion; our rest pose is its zero pose.

    Args:
        path: The BVH.
        joint_wxyz: [T, 52 or 22, 4] parent-local rotations; without fingers if 22.
    """
    num_joints = joint_wxyz.shape[1]
    order = [joint for joint in _depth_first() if joint < num_joints]
    turn = ["Zrotation", "Xrotation", "Yrotation"]
    angles = Rotation.from_quat(joint_wxyz, scalar_first=True).as_euler("ZXY", degrees=True)[:, order]
    root = np.tile([0.0, 100.0, 0.0], (len(joint_wxyz), 1))
    values = np.concatenate([root, angles.reshape(len(joint_wxyz), -1)], axis=1)
    offsets = np.asarray(REST_OFFSETS_M, dtype=np.float64)[order] * 100
    tips = {at: offsets[at] for at, joint in enumerate(order) if JOINT_NAMES[joint].endswith("3") and joint >= 22}
    text = bvh_text(
        [_keyed_name(JOINT_NAMES[joint]) for joint in order],
        [order.index(int(PARENTS[joint])) if joint else -1 for joint in order],
        offsets,
        [["Xposition", "Yposition", "Zposition", *turn], *([turn] * (len(order) - 1))],
        values,
        tips=tips,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def hand_places(left_wxyz: F64) -> dict[str, F64]:
    """Where the joints and tips of a left hand are, from the wrist, by WebXR names; -Z is ahead, +Y the back."""
    pose = np.tile([1.0, 0.0, 0.0, 0.0], (NUM_JOINTS, 1))
    pose[22:37] = left_wxyz
    places = forward_kinematics(np.zeros(3), pose)
    world = global_rotations(pose)
    wrist = places[JOINT_INDEX["left_wrist"]]
    found = {"wrist": np.zeros(3)}
    for finger in ("index", "middle", "ring", "pinky", "thumb"):
        joints = [JOINT_INDEX[f"left_{finger}{segment}"] for segment in (1, 2, 3)]
        prefix = finger if finger == "thumb" else f"{finger}-finger"
        for part, joint in zip(_THUMB_PARTS if finger == "thumb" else _PARTS, joints, strict=True):
            found[f"{prefix}-{part}"] = places[joint] - wrist
        tip = rotations.rotate(world[joints[-1]], REST_OFFSETS_M[joints[-1]])
        found[f"{prefix}-tip"] = places[joints[-1]] + tip - wrist
        if finger != "thumb":
            found[f"{prefix}-metacarpal"] = found[f"{prefix}-phalanx-proximal"] / 2
    return {name: np.asarray(rotations.rotate(rotations.yaw(np.pi / 2), place)) for name, place in found.items()}


def webxr_text(places: Mapping[str, F64]) -> str:
    """Text of a hand in the manner of the iwer package."""
    entries = []
    for name in WEBXR_NAMES:
        if name in places:
            numbers = [*np.eye(3, 4).ravel().tolist(), *places[name].tolist(), 1.0]
            entries.append(f"'{name}': {{ offsetMatrix: [{', '.join(map(repr, numbers))},], radius: 0.01 }},")
    return "export const hand = { jointTransforms: {\n" + "\n".join(entries) + "\n}, };\n"
