"""What a VMC receiver makes of our frames is the dancer's pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage
from scipy.spatial.transform import Rotation

from soulstream_engine.frames import PoseFrame, Provenance
from soulstream_engine.motion import rotations
from soulstream_engine.motion.faces import ARKIT_NAMES
from soulstream_engine.motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, forward_kinematics
from soulstream_engine.osc.target import FaceNames, RootMotion, VmcOptions
from soulstream_engine.osc.vmc import BONE_NAMES, VmcEncoder, to_unity_position, to_unity_rotation

# Unity's HumanBodyBones without LeftEye, RightEye and Jaw.
HUMAN_BODY_BONES = {
    *("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head"),
    *(f"{s}{b}" for s in ("Left", "Right") for b in ("Shoulder", "UpperArm", "LowerArm", "Hand")),
    *(f"{s}{b}" for s in ("Left", "Right") for b in ("UpperLeg", "LowerLeg", "Foot", "Toes")),
    *(
        f"{s}{f}{n}"
        for s in ("Left", "Right")
        for f in ("Thumb", "Index", "Middle", "Ring", "Little")
        for n in ("Proximal", "Intermediate", "Distal")
    ),
}


def random_frame(seed: int) -> PoseFrame:
    rng = np.random.default_rng(seed)
    wxyz = Rotation.random(52, rng=rng).as_quat(scalar_first=True).astype(np.float32)
    root, face = rng.normal(size=3).astype(np.float32), rng.uniform(size=52).astype(np.float32)
    return PoseFrame(seed, root, wxyz, face, np.zeros(4, np.float32), Provenance.GENERATED)


def decode(datagrams: tuple[memoryview, ...]) -> list[tuple[str, list[object]]]:
    """Addresses and arguments by python-osc, whether bundled or not."""
    found = []
    for data in map(bytes, datagrams):
        contents = OscBundle(data) if OscBundle.dgram_is_bundle(data) else [OscMessage(data)]
        found.extend((content.address, list(content.params)) for content in contents)
    return found


def heard(datagrams: tuple[memoryview, ...]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Root position, root rotation xyzw, and pose of every bone."""
    messages = decode(datagrams)
    (root,) = [a for name, a in messages if name == "/VMC/Ext/Root/Pos"]
    bones = {a[0]: np.array(a[1:]) for name, a in messages if name == "/VMC/Ext/Bone/Pos"}
    assert root[0] == "root"
    return np.array(root[1:4]), np.array(root[4:]), bones


def unity_joints(datagrams: tuple[memoryview, ...]) -> np.ndarray:
    """World positions [52, 3] as a receiver that composes root, positions and rotations gets them, Unity axes."""
    root_m, root_xyzw, bones = heard(datagrams)
    world_r: list[Rotation] = []
    world_p: list[np.ndarray] = []
    for joint, bone in enumerate(BONE_NAMES):
        parent = PARENTS[joint]
        r, p = (world_r[parent], world_p[parent]) if parent >= 0 else (Rotation.from_quat(root_xyzw), root_m)
        world_p.append(p + r.apply(bones[bone][:3]))
        world_r.append(r * Rotation.from_quat(bones[bone][3:]))
    return np.array(world_p)


def test_every_joint_has_the_bone_of_its_name() -> None:
    assert set(BONE_NAMES) == HUMAN_BODY_BONES
    assert len(BONE_NAMES) == 52
    pairs = dict(zip(JOINT_NAMES, BONE_NAMES, strict=True))
    assert pairs["left_hip"] == "LeftUpperLeg"
    assert pairs["right_collar"] == "RightShoulder"
    assert pairs["right_elbow"] == "RightLowerArm"
    assert pairs["left_pinky2"] == "LeftLittleIntermediate"
    assert pairs["spine3"] == "UpperChest"


def test_a_left_arm_raised_is_minus_ninety_degrees_about_z_in_unity() -> None:
    raised = rotations.from_axis_angle(np.array([0, 0, 1], np.float32), np.float32(np.pi / 2))
    assert rotations.rotate(raised, np.array([1, 0, 0], np.float32)) == pytest.approx([0, 1, 0], abs=1e-6)
    expected = Rotation.from_euler("z", -90, degrees=True).as_quat()
    assert to_unity_rotation(raised) == pytest.approx(expected, abs=1e-6)
    assert to_unity_position(np.array([1, 2, 3], np.float32)) == pytest.approx([-1, 2, 3])


def test_order_and_types() -> None:
    messages = decode(VmcEncoder().encode(random_frame(1), 12.5))
    addresses = [address for address, _ in messages]
    assert addresses == [
        *("/VMC/Ext/OK", "/VMC/Ext/Root/Pos"),
        *["/VMC/Ext/Bone/Pos"] * 52,
        *["/VMC/Ext/Blend/Val"] * 52,
        *("/VMC/Ext/T", "/VMC/Ext/Blend/Apply"),
    ]
    assert messages[0][1] == [1]
    assert messages[-2][1] == [12.5]
    assert messages[-1][1] == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(RootMotion), st.booleans())
def test_a_receiver_sees_the_dancer_whatever_carries_the_travel(seed: int, root: RootMotion, bundled: bool) -> None:
    frame = random_frame(seed)
    encoder = VmcEncoder(VmcOptions(root=root, is_bundled=bundled))
    encoder.encode(random_frame(seed + 1), 0.0)  # nothing of an earlier frame is left over
    datagrams = encoder.encode(frame, 1.0)
    joints = forward_kinematics(frame.root_m, frame.joint_wxyz)
    np.testing.assert_allclose(unity_joints(datagrams), joints * [-1, 1, 1], atol=1e-5)
    assert all(len(d) <= 1432 for d in datagrams)


def test_root_modes_put_the_travel_where_they_say() -> None:
    frame = random_frame(3)
    expected = {
        RootMotion.HIPS: [0, 0, 0],
        RootMotion.SPLIT: [-frame.root_m[0], 0, frame.root_m[2]],
    }
    for mode, position in expected.items():
        root_m, root_xyzw, _ = heard(VmcEncoder(VmcOptions(root=mode)).encode(frame, 0.0))
        assert root_m == pytest.approx(position)
        assert root_xyzw == pytest.approx([0, 0, 0, 1])
    _, _, bones = heard(VmcEncoder(VmcOptions(root=RootMotion.ROOT)).encode(frame, 0.0))
    assert bones["Hips"][:3] == pytest.approx([0, 0.953, 0], abs=0.001)


def test_mirrored_is_the_reflection() -> None:
    frame = random_frame(4)
    plain = unity_joints(VmcEncoder().encode(frame, 0.0))
    mirrored = unity_joints(VmcEncoder(VmcOptions(is_mirrored=True)).encode(frame, 0.0))
    for name, index in JOINT_INDEX.items():
        side, _, part = name.partition("_")
        other = JOINT_INDEX[{"left": "right_", "right": "left_"}[side] + part] if part else index
        assert mirrored[index] == pytest.approx(plain[other] * [-1, 1, 1], abs=1e-5)


def test_face_names_and_weights() -> None:
    frame = random_frame(5)
    for names, first in ((FaceNames.PASCAL, "EyeBlinkLeft"), (FaceNames.CAMEL, "eyeBlinkLeft")):
        messages = decode(VmcEncoder(VmcOptions(names=names)).encode(frame, 0.0))
        weights = [a for address, a in messages if address == "/VMC/Ext/Blend/Val"]
        assert weights[0][0] == first
        assert [name.lower() for name, _ in weights] == [name.lower() for name in ARKIT_NAMES]
        assert [weight for _, weight in weights] == pytest.approx(frame.face)


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(("names", "left"), [(FaceNames.VRM0, "Blink_L"), (FaceNames.VRM1, "blinkLeft")])
def test_avatars_without_arkit_shapes_blink_too(names: FaceNames, left: str, is_mirrored: bool) -> None:
    frame = random_frame(1)
    messages = decode(VmcEncoder(VmcOptions(names=names, is_mirrored=is_mirrored)).encode(frame, 0.0))
    blends = dict(arguments for address, arguments in messages if address == "/VMC/Ext/Blend/Val")
    assert len(blends) == 5
    assert blends[left] == frame.face[ARKIT_NAMES.index("eyeBlinkRight" if is_mirrored else "eyeBlinkLeft")]
    assert messages[-1][0] == "/VMC/Ext/Blend/Apply"
