"""Positions come back as rotations that put our joints where the measured ones are; twist alone stays unknown."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.model_poses import FRAMES, path_m, rotvecs, write_bomb
from scipy.spatial.transform import Rotation

from soulstream_engine.motion.skeleton import JOINT_INDEX, LEG_LENGTH_M, forward_kinematics
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.joints_npy import read_joints
from soulstream_training.data.position_fit import fit_rotations, leg_length


def positions(num_joints, seed=0):
    """Positions [T, J, 3] of our own skeleton in random poses."""
    wxyz = Rotation.from_rotvec(rotvecs(num_joints, seed=seed)).as_quat(scalar_first=True)
    return forward_kinematics(path_m(), wxyz)


def write(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    return tmp_path / "a.npy"


@pytest.mark.parametrize("num_joints", [22, 52])
@pytest.mark.parametrize("is_flat", [False, True])
def test_positions_come_back(tmp_path, num_joints, is_flat):
    joints = positions(num_joints)
    stored = joints.reshape(FRAMES, -1) if is_flat else joints
    (motion,) = read_joints(write(tmp_path, stored), fps=30)
    assert motion.joint_wxyz.shape == (FRAMES, num_joints, 4)
    np.testing.assert_allclose(forward_kinematics(motion.root_m, motion.joint_wxyz), joints, atol=1e-5)
    np.testing.assert_allclose(motion.root_m, path_m(), atol=1e-5)
    assert (motion.fps, motion.face, motion.dancer) == (30.0, None, "")


def test_other_bone_lengths_keep_the_directions(tmp_path):
    joints = positions(22)
    long = joints.copy()
    for joint, parent in ((18, 16), (20, 18), (19, 17), (21, 19)):  # arms half as long again
        long[:, joint] = long[:, parent] + 1.5 * (joints[:, joint] - joints[:, parent])
    (motion,) = read_joints(write(tmp_path, long), fps=30)
    np.testing.assert_allclose(forward_kinematics(motion.root_m, motion.joint_wxyz), joints, atol=1e-5)


def test_small_dancers_are_scaled_to_our_legs(tmp_path):
    joints = positions(52)
    assert leg_length(joints) == pytest.approx(LEG_LENGTH_M, abs=1e-6)
    (motion,) = read_joints(write(tmp_path, joints * 0.6), fps=30)
    np.testing.assert_allclose(forward_kinematics(motion.root_m, motion.joint_wxyz), joints, atol=1e-5)


def test_z_up_is_turned(tmp_path):
    joints = positions(22)
    path = write(
        tmp_path, Rotation.from_euler("x", 90, degrees=True).apply(joints.reshape(-1, 3)).reshape(joints.shape)
    )
    (motion,) = read_joints(path, fps=30, up="z")
    np.testing.assert_allclose(forward_kinematics(motion.root_m, motion.joint_wxyz), joints, atol=1e-5)
    with pytest.raises(MotionFileError, match="when read with Y up"):
        read_joints(path, fps=30)


def test_twist_of_a_limb_is_unknown_but_forks_are_not():
    vectors = np.zeros((FRAMES, 22, 3))
    vectors[:, JOINT_INDEX["left_shoulder"], 0] = 0.8  # about the arm itself: no position tells
    vectors[:, JOINT_INDEX["spine3"], 1] = 0.5  # the collars tell
    wxyz = Rotation.from_rotvec(vectors).as_quat(scalar_first=True)
    found = fit_rotations(forward_kinematics(path_m(), wxyz))
    np.testing.assert_allclose(found[:, JOINT_INDEX["left_shoulder"]], [[1, 0, 0, 0]] * FRAMES, atol=1e-6)
    angle = 2 * np.arctan2(found[:, JOINT_INDEX["spine3"], 2], found[:, JOINT_INDEX["spine3"], 0])
    np.testing.assert_allclose(angle, 0.5, atol=1e-6)


@pytest.mark.parametrize("is_flat", [False, True])
def test_several_dancers(tmp_path, is_flat):
    both = np.stack([positions(22, 0), positions(22, 1)])
    stored = both.reshape(2, FRAMES, 66) if is_flat else both
    np.savez(tmp_path / "a.npz", joints=stored, other=np.zeros(3))
    motions = read_joints(tmp_path / "a.npz", fps=60)
    assert [motion.dancer for motion in motions] == ["1", "2"]
    for motion, joints in zip(motions, both, strict=True):
        np.testing.assert_allclose(forward_kinematics(motion.root_m, motion.joint_wxyz), joints, atol=1e-5)


def missing_hand():
    joints = positions(52)
    joints[:, 22:] = joints[:, [20] * 15 + [21] * 15]
    return joints


def spoiled():
    joints = positions(22)
    joints[1, 4, 2] = np.nan
    return joints


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (spoiled(), r"a\.npy: 'joints' is nan at \[1, 4, 2\]; 1 values"),
        (positions(22)[:, :21], r"has shape \[7, 21, 3\], expected \[T, 22 or 52, 3\]"),
        (np.zeros((FRAMES, 65)), r"has shape \[7, 65\]"),
        (np.zeros(()), r"has shape \[\]"),
        (positions(22)[:1], "'joints' has 1 frames"),
        (positions(22) * 100, r"has legs of 80 from hip to ankle, 0\.3 to 1\.5 m are read\. Convert .* to metres"),
        (missing_hand(), r"leaves joint 22 \('left_index1'\) on its parent, 0\.0000 m away"),
        (positions(22) * [1, -1, -1], r"mean up is .* when read with Y up"),
        (np.array([{}], dtype=object), "has type object"),
        (np.zeros((6, FRAMES, 22, 3)), "has 6 dancers"),
    ],
)
def test_refused_with_value_and_limit(tmp_path, values, message):
    with pytest.raises(MotionFileError, match=message):
        read_joints(write(tmp_path, values), fps=30)


def test_rate_is_needed_and_bombs_are_refused(tmp_path):
    with pytest.raises(MotionFileError, match=r"carries no frame rate\. Give it"):
        read_joints(write(tmp_path, positions(22)))
    with pytest.raises(MotionFileError, match="times its size"):
        read_joints(write_bomb(tmp_path / "a.npz", "joints"), fps=30)


def test_fit_names_its_joint_count():
    with pytest.raises(ValueError, match="22 or 52 joints, not 24"):
        fit_rotations(np.zeros((2, 24, 3)))
