"""Retargeting by names: whatever the zero pose, size and names of a recording, the same dance comes out."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import g1_files
from fakes.named_figures import dance, record, turned

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    LEG_LENGTH_M,
    NUM_BODY_JOINTS,
    NUM_JOINTS,
    PELVIS_REST_HEIGHT_M,
    forward_kinematics,
    global_rotations,
)
from soulstream_training.data.acclaim_recording import recording_of_acclaim
from soulstream_training.data.amc import read_amc
from soulstream_training.data.asf import MotionFileError, read_asf
from soulstream_training.data.asf import forward_kinematics as pose_source
from soulstream_training.data.g1 import read_g1
from soulstream_training.data.joint_maps import find_map
from soulstream_training.data.motion_quality import end_effector_error_m
from soulstream_training.data.named_retarget import retarget_named
from soulstream_training.data.retarget import retarget

T_POSE = turned()[0]
A_POSE = turned(left_shoulder=[0, 0, -50], right_shoulder=[0, 0, 50])[0]
ARMS_DOWN = turned(left_shoulder=[0, 0, -88], right_shoulder=[0, 0, 88])[0]
RELAXED = turned(
    pelvis=[0, 180, 0],
    left_shoulder=[0, 0, -70],
    right_shoulder=[0, 0, 70],
    left_elbow=[0, -45, 0],
    right_elbow=[0, 45, 0],
    left_hip=[-15, 0, 0],
    right_hip=[-15, 0, 0],
    left_knee=[30, 0, 0],
    right_knee=[30, 0, 0],
    left_ankle=[-15, 0, 0],
    right_ankle=[-15, 0, 0],
)[0]
ZERO_POSES = {"t": T_POSE, "a": A_POSE, "down": ARMS_DOWN, "relaxed": RELAXED}

# Measured: below 1e-6 rad, but for float32 rest offsets of the skeleton.
SAME_RAD = 1e-4


def transferred(recording, name="smplx", **options):
    return retarget_named(recording, find_map(name, recording.names), **options)


def place(motion, name, frame=0):
    return forward_kinematics(motion.root_m, motion.joint_wxyz)[frame, JOINT_INDEX[name]]


def worst_rad(first, second):
    """Largest difference of local rotations, and the joint it is at."""
    off = rotations.angle_between(first, second).max(axis=0)
    return float(off.max()), JOINT_NAMES[int(off.argmax())]


@pytest.mark.parametrize("zero", ZERO_POSES)
def test_a_t_pose_gives_a_t_pose(zero):
    motion, captured = transferred(record(turned(4), zero_wxyz=ZERO_POSES[zero]))
    assert worst_rad(motion.joint_wxyz, turned(4)) < (SAME_RAD, "")
    np.testing.assert_allclose(motion.root_m, np.tile([0, PELVIS_REST_HEIGHT_M, 0], (4, 1)), atol=1e-6)
    assert captured.tolist() == [True] * NUM_BODY_JOINTS + [False] * (NUM_JOINTS - NUM_BODY_JOINTS)


@pytest.mark.parametrize("zero", ZERO_POSES)
def test_a_dance_comes_out_the_same_whatever_the_zero_pose(zero):
    wxyz = dance()
    root = np.stack([np.linspace(0, 1, 60), 0.9 + 0.05 * np.sin(np.arange(60)), np.linspace(0, -2, 60)], axis=-1)
    motion, _ = transferred(record(wxyz, root, zero_wxyz=ZERO_POSES[zero]))
    assert worst_rad(motion.joint_wxyz, wxyz) < (SAME_RAD, "")
    np.testing.assert_allclose(motion.root_m, root, atol=1e-5)


def test_size_does_not_matter_and_the_path_is_scaled_by_the_legs():
    root = np.linspace([0, 0.9, 0], [2, 0.8, 1], 60)
    small, large = (transferred(record(dance(), root, scale=scale))[0] for scale in (0.5, 2.0))
    assert worst_rad(small.joint_wxyz, large.joint_wxyz) < (1e-6, "")
    np.testing.assert_allclose(small.root_m, large.root_m, atol=1e-9)
    np.testing.assert_allclose(large.root_m, root, atol=1e-6)
    leg = place(large, "left_knee") - place(large, "left_hip"), place(large, "left_ankle") - place(large, "left_knee")
    assert sum(map(np.linalg.norm, leg)) == pytest.approx(LEG_LENGTH_M, abs=1e-6)


@pytest.mark.parametrize("zero", ZERO_POSES)
def test_a_turn_to_the_left_stays_one(zero):
    angles = np.linspace(0, 120, 10)
    wxyz = turned(10, pelvis=np.stack([0 * angles, angles, 0 * angles], axis=-1))
    motion, _ = transferred(record(wxyz, zero_wxyz=ZERO_POSES[zero]))
    facing = rotations.rotate(motion.joint_wxyz[:, 0], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(np.degrees(np.arctan2(facing[:, 0], facing[:, 2])), angles, atol=1e-3)


@pytest.mark.parametrize("zero", ZERO_POSES)
def test_knees_bend_backwards_and_elbows_forwards(zero):
    bend = np.linspace(0, 90, 20)[:, None]
    wxyz = turned(
        20,
        **{"left_knee": bend * [1, 0, 0], "right_knee": bend * [1, 0, 0]},
        **{"left_elbow": bend * [0, -1, 0], "right_elbow": bend * [0, 1, 0]},
    )
    motion, _ = transferred(record(wxyz, zero_wxyz=ZERO_POSES[zero]))
    for side in ("left", "right"):
        shin = place(motion, f"{side}_ankle", -1) - place(motion, f"{side}_knee", -1)
        forearm = place(motion, f"{side}_wrist", -1) - place(motion, f"{side}_elbow", -1)
        np.testing.assert_allclose(shin / np.linalg.norm(shin), [0, 0, -1], atol=1e-4)
        np.testing.assert_allclose(forearm / np.linalg.norm(forearm), [0, 0, 1], atol=1e-4)
    hinge = motion.joint_wxyz[-1, [JOINT_INDEX["left_knee"], JOINT_INDEX["left_elbow"], JOINT_INDEX["right_elbow"]]]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(hinge, [[half, half, 0, 0], [half, 0, -half, 0], [half, 0, half, 0]], atol=1e-4)


def test_the_hinge_is_learnt_from_the_motion_when_the_zero_pose_hides_it():
    # Zero pose with the arm twisted by 40 degrees: nothing but the motion says which way the elbow bends.
    twisted = turned(left_shoulder=[40, 0, 0], right_hip=[0, 30, 0])[0]
    bend = np.linspace(0, 80, 30)[:, None]
    wxyz = turned(30, left_elbow=bend * [0, -1, 0], right_knee=bend * [1, 0, 0])
    motion, _ = transferred(record(wxyz, zero_wxyz=twisted))
    limbs = [JOINT_INDEX[name] for name in ("left_shoulder", "right_hip", "right_knee")]
    assert rotations.angle_between(motion.joint_wxyz[:, limbs], wxyz[:, limbs]).max() < SAME_RAD
    forearm = place(motion, "left_wrist", -1) - place(motion, "left_elbow", -1)
    assert forearm[2] > 0.2


def test_feet_lie_flat_whatever_the_slope_of_the_foot_bone():
    recording = record(turned(3))
    toes = recording.names.index("left_foot")
    recording.position_m[:, toes, 1] += 0.03  # a joint nearer to the instep
    recording.offsets_m[toes, 1] += 0.03
    motion, _ = transferred(recording)
    assert worst_rad(motion.joint_wxyz, turned(3)) < (SAME_RAD, "")


def test_half_of_a_twist_of_the_hand_is_carried_by_the_forearm():
    motion, _ = transferred(record(turned(3, left_wrist=[60, 0, 0])))
    np.testing.assert_allclose(
        motion.joint_wxyz[0, [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]]],
        turned(1, left_elbow=[30, 0, 0], left_wrist=[30, 0, 0])[
            0, [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]]
        ],
        atol=1e-6,
    )


def test_a_zero_pose_that_lies_needs_a_rest_frame():
    lying = turned(pelvis=[0, 0, -90])[0]
    wxyz = dance(61)
    wxyz[30] = turned(1, pelvis=[0, 50, 0])[0]
    recording = record(wxyz, zero_wxyz=lying)
    with pytest.raises(ConfigError, match="leans by 90 degrees, the limit is 45") as error:
        transferred(recording)
    assert "name a rest frame" in error.value.hint
    motion, _ = transferred(recording, rest_frame=30)
    assert worst_rad(motion.joint_wxyz, wxyz) < (SAME_RAD, "")
    with pytest.raises(ConfigError, match="Rest frame 61 is not among the 61 frames"):
        transferred(recording, rest_frame=61)


def test_a_rest_frame_need_not_stand_square():
    wxyz = dance(61)
    wxyz[30] = turned(1, pelvis=[0, 20, 6], spine1=[0, -20, -6], left_hip=[0, 0, -6], right_hip=[0, 0, -6])[0]
    motion, _ = transferred(record(wxyz), rest_frame=30)
    pelvis = rotations.angle_between(motion.joint_wxyz[:, 0], wxyz[:, 0])
    assert np.degrees(pelvis.max()) < 12  # what the shoulders pull the facing by
    ours, theirs = (forward_kinematics(root, joints) for root, joints in (
        (motion.root_m, motion.joint_wxyz),
        (np.tile([0, PELVIS_REST_HEIGHT_M, 0], (61, 1)), wxyz),
    ))  # fmt: skip
    feet = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
    assert np.linalg.norm(ours[:, feet] - theirs[:, feet], axis=-1).max() < 0.02


def test_joints_that_are_missing_follow_their_parent_and_are_marked():
    names = {"neck": "", "head": "", "left_foot": "", "right_foot": ""}
    recording = record(dance(), names=names)
    kept = find_map("smplx", JOINT_NAMES[:NUM_BODY_JOINTS])
    sources = {name: source for name, source in kept.sources.items() if name not in names}
    joint_map = type(kept)(kept.name, sources, kept.missing | set(names))
    motion, captured = retarget_named(recording, joint_map)
    assert {name for name, there in zip(JOINT_NAMES, captured, strict=True) if not there} == joint_map.missing
    gone = [JOINT_INDEX[name] for name in names]
    assert rotations.angle_between(motion.joint_wxyz[:, gone], rotations.identity()).max() < 1e-6
    there = np.flatnonzero(captured)
    assert rotations.angle_between(motion.joint_wxyz[:, there], dance()[:, there]).max() < SAME_RAD


def test_fingers_come_along():
    wxyz = dance(60, NUM_JOINTS)
    curl = turned(60, NUM_JOINTS, left_index1=np.linspace([0, 0, 0], [0, 0, -70], 60), right_thumb2=[0, 20, 10])
    moved = [JOINT_INDEX["left_index1"], JOINT_INDEX["right_thumb2"]]
    wxyz[:, moved] = curl[:, moved]
    motion, captured = transferred(record(wxyz))
    assert motion.joint_wxyz.shape == (60, NUM_JOINTS, 4)
    assert captured.all()
    assert worst_rad(motion.joint_wxyz, wxyz) < (SAME_RAD, "")


def test_hands_that_never_move_in_a_long_take_were_not_captured():
    wxyz = np.tile(dance(60, NUM_JOINTS), (5, 1, 1))
    wxyz[:, JOINT_INDEX["left_index1"]] = turned(1, NUM_JOINTS, left_index1=[0, 0, -30])[0, JOINT_INDEX["left_index1"]]
    motion, captured = transferred(record(wxyz))
    assert motion.joint_wxyz.shape == (300, NUM_BODY_JOINTS, 4)
    assert captured.sum() == NUM_BODY_JOINTS
    wxyz[:, JOINT_INDEX["left_index2"]] = turned(300, NUM_JOINTS, left_index2=np.linspace([0, 0, 0], [0, 0, -5], 300))[
        :, JOINT_INDEX["left_index2"]
    ]
    motion, captured = transferred(record(wxyz))
    fingers = {name for name, there in zip(JOINT_NAMES, captured, strict=True) if there} - set(JOINT_NAMES[:22])
    assert len(fingers) == 15
    assert all(name.startswith("left") for name in fingers)


def test_other_names_and_a_namespace_do_as_well():
    sides = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder"}
    sides |= {"shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"}
    names = {f"{side}_{part}": f"m:{side.title()}{word}" for side in ("left", "right") for part, word in sides.items()}
    names |= {"pelvis": "m:Hips", "spine1": "m:Spine", "spine2": "m:Spine1", "spine3": "m:Spine2"}
    names |= {"neck": "m:Neck", "head": "m:Head"}
    motion, _ = transferred(record(dance(), zero_wxyz=A_POSE, names=names), "mixamo")
    assert worst_rad(motion.joint_wxyz, dance()) < (SAME_RAD, "")


def test_three_hinges_of_the_robot_make_one_joint(tmp_path):
    values = g1_files.rows(
        30,
        **{"left_hip_pitch": np.linspace(0, -60, 30), "left_hip_roll": 15.0, "left_hip_yaw": np.linspace(0, 30, 30)},
        **{"left_knee": np.linspace(0, 70, 30), "right_elbow": np.linspace(60, -20, 30), "waist_yaw": 20.0},
        left_shoulder_roll=45.0,
    )
    recording = read_g1(g1_files.write_rows(tmp_path, values), g1_files.write_tree(tmp_path))
    motion, captured = transferred(recording, "g1")
    missing = {"neck", "head", "left_collar", "right_collar", "left_foot", "right_foot"}
    assert {name for name in JOINT_NAMES[:22] if not captured[JOINT_INDEX[name]]} == missing
    assert motion.joint_wxyz.shape[1] == NUM_BODY_JOINTS

    def direction(first, second):
        theirs = recording.position_m[:, recording.names.index(second)]
        return theirs - recording.position_m[:, recording.names.index(first)]

    ours = forward_kinematics(motion.root_m, motion.joint_wxyz)
    # Legs point exactly where the robot's do; arms turn a little, so that the wrists are where they should be.
    for names, bone, off in (
        (("left_hip_roll", "left_knee"), ("left_hip", "left_knee"), 1e-9),
        (("left_knee", "left_ankle_pitch"), ("left_knee", "left_ankle"), 1e-9),
        (("left_shoulder_roll", "left_elbow"), ("left_shoulder", "left_elbow"), 1e-3),
        (("right_elbow", "right_wrist_pitch"), ("right_elbow", "right_wrist"), 1e-3),
    ):
        theirs, mine = direction(*names), ours[:, JOINT_INDEX[bone[1]]] - ours[:, JOINT_INDEX[bone[0]]]
        cosine = np.sum(theirs * mine, axis=-1) / np.linalg.norm(theirs, axis=-1) / np.linalg.norm(mine, axis=-1)
        assert cosine.min() > 1 - off, bone
    knee = motion.joint_wxyz[-1, JOINT_INDEX["left_knee"]]
    slanted = np.degrees(0.2)  # of the thigh in the robot's zero pose
    assert np.degrees(rotations.angle_between(knee, rotations.identity())) == pytest.approx(70 + slanted, abs=0.1)
    np.testing.assert_allclose(knee[2:], 0, atol=1e-6)  # about the knee's own hinge
    chest = rotations.rotate(global_rotations(motion.joint_wxyz)[0, JOINT_INDEX["spine3"]], [0, 0, 1])
    assert np.degrees(np.arctan2(chest[0], chest[2])) == pytest.approx(20, abs=1e-3)
    # Its hips hang on three joints each, and sway by a centimetre.
    error = end_effector_error_m(recording, motion, find_map("g1", recording.names))
    assert error.ankle_p95_m < 0.02
    assert error.wrist_p95_m < 0.005


def test_acclaim_recordings_come_out_as_by_their_own_retargeting(recording):
    def pose(frame):
        return {
            **{"root": f"{frame} 40 0 5 {3 * frame} 2", "lfemur": f"{-2 * frame} 5 10", "ltibia": f"{3 * frame}"},
            **{"rhumerus": f"10 {frame} 30", "rradius": f"{40 + frame}", "upperback": f"{frame} 2 3"},
            **{"lfoot": "10 5", "head": "5 10 0", "lclavicle": "3 4"},
        }

    skeleton = read_asf(recording.skeleton())
    posed = pose_source(skeleton, read_amc(recording.motion(20, pose), skeleton))
    named = recording_of_acclaim(skeleton, posed, 120.0)
    joints = named.names.index
    np.testing.assert_allclose(named.position_m[:, joints("ltibia")], posed.end_m[:, skeleton.index("lfemur")])
    np.testing.assert_allclose(named.position_m[:, joints("ltoes_end")], posed.end_m[:, skeleton.index("ltoes")])
    motion, captured = retarget_named(named, find_map("acclaim", named.names))
    theirs = retarget(skeleton, posed)
    assert captured[:NUM_BODY_JOINTS].all()
    np.testing.assert_allclose(motion.root_m, theirs.root_m, atol=1e-3)
    # The left elbow never bends: its hinge is not seen, which turns that arm about its own axis.
    seen = [JOINT_INDEX[name] for name in JOINT_NAMES[:22] if name not in ("left_shoulder", "left_elbow", "left_wrist")]
    assert np.degrees(rotations.angle_between(motion.joint_wxyz, theirs.joint_wxyz)[:, seen].max()) < 0.5
    ours, old = (forward_kinematics(m.root_m, m.joint_wxyz) for m in (motion, theirs))
    assert np.linalg.norm(ours - old, axis=-1).max() < 0.002


@pytest.mark.data
def test_wrists_and_ankles_of_real_dancers_are_where_they_should_be(shared_data):
    skeleton = read_asf(shared_data / "cmu-mocap-amc" / "60.asf")
    channels = read_amc(shared_data / "cmu-mocap-amc" / "60_03.amc.gz", skeleton)[::8]
    named = recording_of_acclaim(skeleton, pose_source(skeleton, channels), 7.5)
    robot = read_g1(
        shared_data / "g1-moves" / "dance" / "B_WiggleDance" / "retarget" / "B_WiggleDance.csv.gz",
        shared_data / "g1-moves" / "g1_tree.json",
    )
    # Measured: 0.02 cm (95th percentile of the wrists) for the dancer, 0.09 for the robot.
    for source, name in ((named, "acclaim"), (robot, "g1")):
        joint_map = find_map(name, source.names)
        error = end_effector_error_m(source, retarget_named(source, joint_map)[0], joint_map)
        assert error.ankle_p95_m < 0.02
        assert error.wrist_p95_m < 0.005


@pytest.mark.parametrize("bone", ["left_elbow", "right_wrist", "left_knee", "right_ankle", "left_middle1"])
def test_a_bone_without_length_is_refused_by_its_joints(bone):
    recording = record(dance(30, NUM_JOINTS))
    joint = recording.names.index(bone)
    above = recording.names[recording.parents[joint]]
    recording.position_m[:, joint] = recording.position_m[:, recording.parents[joint]]
    with pytest.raises(MotionFileError, match=rf"From joint '{above}' to '{bone}' the recording has 0 m"):
        transferred(recording)


def test_a_lost_frame_in_which_all_joints_lie_in_one_place_does_not_cost_the_recording():
    recording = record(dance(30, NUM_JOINTS))
    recording.position_m[7] = 0.0
    motion, _ = transferred(recording)
    assert np.isfinite(motion.joint_wxyz).all()


def test_knuckles_in_line_with_the_hand_leave_its_turn_open():
    recording = record(turned(30, NUM_JOINTS))
    at = {name: recording.names.index(f"left_{name}") for name in ("wrist", "index1", "middle1", "pinky1")}
    along = recording.position_m[:, at["middle1"]] - recording.position_m[:, at["wrist"]]
    recording.position_m[:, at["index1"]] = recording.position_m[:, at["middle1"]] + along
    recording.position_m[:, at["pinky1"]] = recording.position_m[:, at["wrist"]] + along / 2
    motion, _ = transferred(recording)
    assert np.isfinite(motion.joint_wxyz).all()
