"""A pose as one frame of the VMC protocol (Virtual Motion Capture, V3.1): messages in order, Unity axes, real bones.

A frame is ``OK``, ``Root/Pos``, 52 ``Bone/Pos``, the ``Blend/Val``, ``T`` and, always last, ``Blend/Apply``: several
receivers show a pose only when ``Apply`` arrives. Positions are the real parent-local offsets, because receivers that
apply them collapse an avatar whose positions are zero.

``LeftEye``, ``RightEye`` and ``Jaw`` are left out on purpose. The face travels as blend shapes, which move eyes and jaw
already; bones at an invented place would move an avatar's own eyes out of their sockets. Receivers keep the rest pose
of bones that are not sent.
"""

from __future__ import annotations

import numpy as np

from soulstream_engine.frames import PoseFrame
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES, mirror_arkit
from soulstream_engine.motion.mirror import mirror
from soulstream_engine.motion.rotations import FloatArray
from soulstream_engine.motion.skeleton import JOINT_NAMES, NUM_JOINTS, PELVIS_REST_HEIGHT_M, REST_OFFSETS_M
from soulstream_engine.osc.target import FaceNames, RootMotion, VmcOptions
from soulstream_engine.osc.template import BundleTemplate, MessageSpec, Slot

_BODY_BONES = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Chest",
    "spine3": "UpperChest",
    "neck": "Neck",
    "head": "Head",
}
_SIDE_BONES = {
    "hip": "UpperLeg",
    "knee": "LowerLeg",
    "ankle": "Foot",
    "foot": "Toes",
    "collar": "Shoulder",
    "shoulder": "UpperArm",
    "elbow": "LowerArm",
    "wrist": "Hand",
}
_FINGERS = {"index": "Index", "middle": "Middle", "pinky": "Little", "ring": "Ring", "thumb": "Thumb"}
_SEGMENTS = {"1": "Proximal", "2": "Intermediate", "3": "Distal"}


def _bone_name(joint: str) -> str:
    """Unity's ``HumanBodyBones`` name of an SMPL-X joint."""
    side, _, part = joint.partition("_")
    if not part:
        return _BODY_BONES[joint]
    bone = _SIDE_BONES.get(part) or _FINGERS[part[:-1]] + _SEGMENTS[part[-1]]
    return side.capitalize() + bone


BONE_NAMES: tuple[str, ...] = tuple(_bone_name(joint) for joint in JOINT_NAMES)
"""Unity's bone name of each of the 52 joints. Source: the bone list of the VMC protocol."""

_VRM0_OF_ARKIT = {"Blink_L": "eyeBlinkLeft", "Blink_R": "eyeBlinkRight"}
_VRM0_OF_ARKIT |= {"A": "jawOpen", "O": "mouthFunnel", "U": "mouthPucker"}
_VRM1_OF_ARKIT = {"blinkLeft": "eyeBlinkLeft", "blinkRight": "eyeBlinkRight"}
_VRM1_OF_ARKIT |= {"aa": "jawOpen", "oh": "mouthFunnel", "ou": "mouthPucker"}
BLEND_SHAPES: dict[FaceNames, dict[str, str]] = {
    FaceNames.PASCAL: {name[0].upper() + name[1:]: name for name in ARKIT_NAMES},
    FaceNames.CAMEL: {name: name for name in ARKIT_NAMES},
    FaceNames.VRM0: _VRM0_OF_ARKIT,
    FaceNames.VRM1: _VRM1_OF_ARKIT,
}
"""Name that is sent -> ARKit name of the weight. Source: preset names of VRM 0 and 1; the choice of weights is ours."""

_XYZW = np.array([1, 2, 3, 0])
_UNITY_POSITION = np.array([-1, 1, 1], dtype=np.float32)
_UNITY_ROTATION = np.array([1, -1, -1, 1], dtype=np.float32)


def to_unity_position(xyz_m: FloatArray) -> FloatArray:
    """Right-handed positions [..., 3] (+X left, +Y up, +Z forward) as Unity's left-handed ones (+X right), metres."""
    return xyz_m * _UNITY_POSITION


def to_unity_rotation(wxyz: FloatArray) -> FloatArray:
    """Right-handed rotations [..., 4] wxyz as Unity's left-handed xyzw."""
    return wxyz[..., _XYZW] * _UNITY_ROTATION


class VmcEncoder:
    """Turns poses into the datagrams of one VMC stream.

    Args:
        options: How the stream is written.
    """

    def __init__(self, options: VmcOptions | None = None) -> None:
        self._options = options or VmcOptions()
        shapes = BLEND_SHAPES[self._options.names]
        self._face_columns = [ARKIT_INDEX[name] for name in shapes.values()]
        pose = (Slot.FLOAT,) * 7
        self._template = BundleTemplate(
            [
                MessageSpec("/VMC/Ext/OK", (1,)),
                MessageSpec("/VMC/Ext/Root/Pos", ("root", *pose)),
                *(MessageSpec("/VMC/Ext/Bone/Pos", (bone, *pose)) for bone in BONE_NAMES),
                *(MessageSpec("/VMC/Ext/Blend/Val", (name, Slot.FLOAT)) for name in shapes),
                MessageSpec("/VMC/Ext/T", (Slot.FLOAT,)),
                MessageSpec("/VMC/Ext/Blend/Apply"),
            ],
            bundled=self._options.is_bundled,
        )
        # The numbers of one frame in message order, with names for their places.
        self._values = np.zeros(self._template.num_slots, dtype=np.float32)
        self._root = self._values[:7]
        self._bones = self._values[7 : 7 + 7 * NUM_JOINTS].reshape(NUM_JOINTS, 7)
        self._face = self._values[7 + 7 * NUM_JOINTS : -1]
        self._root[6] = 1.0
        self._bones[:, :3] = to_unity_position(REST_OFFSETS_M)

    def encode(self, frame: PoseFrame, media_time_s: float) -> tuple[memoryview, ...]:
        """Write one frame.

        Args:
            frame: The pose; finite, unit rotations.
            media_time_s: Sent as ``/VMC/Ext/T``, seconds.

        Returns:
            Datagrams of at most 1432 bytes in sending order, valid until the next call.

        Live: pacer thread only; allocates a few small arrays.
        """
        root_m, joint_wxyz, face = frame.root_m, frame.joint_wxyz, frame.face
        if self._options.is_mirrored:
            root_m, joint_wxyz = mirror(root_m, joint_wxyz)
            face = mirror_arkit(face)
        self._bones[:, 3:] = to_unity_rotation(joint_wxyz)
        self._face[:] = face[self._face_columns]
        self._place(to_unity_position(root_m))
        self._values[-1] = media_time_s
        return self._template.fill(self._values)

    def _place(self, hips_m: FloatArray) -> None:
        """Divide the position of the hips [3] (Unity axes) between the root and the bone ``Hips``."""
        match self._options.root:
            case RootMotion.HIPS:
                self._bones[0, :3] = hips_m
            case RootMotion.ROOT:
                self._root[:3] = hips_m
                self._root[1] -= PELVIS_REST_HEIGHT_M
                self._bones[0, 1] = PELVIS_REST_HEIGHT_M
            case RootMotion.SPLIT:
                self._root[0], self._root[2] = hips_m[0], hips_m[2]
                self._bones[0, 1] = hips_m[1]
