"""The rest pose stands as promised and forward kinematics moves what it should."""

import numpy as np
import pytest

from soulstream_engine.motion import rotations, skeleton
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_JOINTS, REST_OFFSETS_M


def rest_joints():
    return skeleton.forward_kinematics([0, skeleton.PELVIS_REST_HEIGHT_M, 0], rotations.identity(NUM_JOINTS))


def random_pose(rng, *shape, joints=NUM_JOINTS):
    return rotations.normalize(rng.normal(size=(*shape, joints, 4)))


def test_names_follow_smpl_x():
    names = skeleton.JOINT_NAMES
    assert len(set(names)) == NUM_JOINTS
    assert (names[0], names[9], names[12], names[15], names[20]) == ("pelvis", "spine3", "neck", "head", "left_wrist")
    assert (names[22], names[30], names[36], names[37], names[51]) == (
        *("left_index1", "left_pinky3", "left_thumb3", "right_index1", "right_thumb3"),
    )


def test_parents_come_first_and_fingers_hang_on_their_wrist():
    assert all(parent < joint for joint, parent in enumerate(skeleton.PARENTS))
    for joint in range(22, NUM_JOINTS):
        name = skeleton.JOINT_NAMES[joint]
        parent = skeleton.JOINT_NAMES[skeleton.PARENTS[joint]]
        side = name.split("_")[0]
        assert parent == (f"{side}_wrist" if name.endswith("1") else f"{name[:-1]}{int(name[-1]) - 1}")


def test_rest_pose_is_a_standing_t_pose():
    joints = rest_joints()
    left, right = joints[JOINT_INDEX["left_wrist"]], joints[JOINT_INDEX["right_wrist"]]
    np.testing.assert_allclose(left, right * [-1, 1, 1], atol=1e-6)
    assert left[0] > 0.6
    assert left[1] == pytest.approx(joints[JOINT_INDEX["left_shoulder"], 1], abs=1e-6)
    foot, ankle = joints[JOINT_INDEX["left_foot"]], joints[JOINT_INDEX["left_ankle"]]
    assert foot[1] == pytest.approx(skeleton.SOLE_BELOW_FOOT_M, abs=1e-6)
    assert joints[:, 1].min() == pytest.approx(foot[1], abs=1e-6)
    assert foot[2] > ankle[2] and ankle[1] > foot[1]
    assert joints[JOINT_INDEX["left_thumb3"], 2] > joints[JOINT_INDEX["left_index3"], 2], "palms down: thumbs forward"


def test_leg_length():
    thigh, shank = (np.linalg.norm(REST_OFFSETS_M[JOINT_INDEX[name]]) for name in ("right_knee", "right_ankle"))
    assert thigh + shank == pytest.approx(skeleton.LEG_LENGTH_M, abs=1e-6)


def test_turning_a_shoulder_moves_only_that_arm():
    pose = rotations.identity(NUM_JOINTS)
    pose[JOINT_INDEX["left_shoulder"]] = rotations.from_axis_angle([0, 0, 1], -np.pi / 2)
    joints, rest = skeleton.forward_kinematics([0, 0, 0], pose), rest_joints()
    rest[:, 1] -= skeleton.PELVIS_REST_HEIGHT_M
    moved = np.flatnonzero(np.linalg.norm(joints - rest, axis=-1) > 1e-6)
    assert set(moved) == {18, 20, *range(22, 37)}
    shoulder, elbow = joints[16], joints[18]
    np.testing.assert_allclose(elbow - shoulder, [0, -REST_OFFSETS_M[18, 0], 0], atol=1e-6)


def test_bone_lengths_survive_any_pose_and_body_is_a_prefix():
    rng = np.random.default_rng(0)
    root, pose = rng.normal(size=(2, 3, 3)), random_pose(rng, 2, 3)
    joints = skeleton.forward_kinematics(root, pose)
    for parent, child in skeleton.BONES:
        length = np.linalg.norm(joints[..., child, :] - joints[..., parent, :], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(REST_OFFSETS_M[child]), atol=1e-6)
    body = skeleton.forward_kinematics(root, pose[..., :22, :])
    np.testing.assert_array_equal(body, joints[..., :22, :])


def test_global_and_local_rotations_are_inverse():
    rng = np.random.default_rng(1)
    for joints in (22, 52):
        pose = random_pose(rng, 4, joints=joints)
        back = skeleton.local_rotations(skeleton.global_rotations(pose))
        assert rotations.angle_between(back, pose).max() < 1e-6


def test_float32_stays_float32():
    root, pose = np.zeros(3, np.float32), rotations.identity(52)
    assert skeleton.forward_kinematics(root, pose).dtype == np.float32
    assert skeleton.global_rotations(pose).dtype == np.float32


def test_other_joint_counts_are_refused():
    with pytest.raises(ValueError, match="22 or 52 joints, not 24"):
        skeleton.forward_kinematics(np.zeros(3), rotations.identity(24))
    with pytest.raises(ValueError, match="not 55"):
        skeleton.local_rotations(rotations.identity(55))
    with pytest.raises(ValueError, match="not below"):
        skeleton.chain("left_hip", "right_foot")


def test_limb_chains():
    names = [[skeleton.JOINT_NAMES[joint] for joint in limb] for limb in (skeleton.LEFT_ARM, skeleton.RIGHT_LEG)]
    assert names == [
        ["left_shoulder", "left_elbow", "left_wrist"],
        ["right_hip", "right_knee", "right_ankle", "right_foot"],
    ]
