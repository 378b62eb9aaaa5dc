"""A mirrored dancer is the reflection of the dancer, in poses, positions and rows alike."""

import numpy as np
import pytest

from soulstream_engine.motion import mirror, representation, rotations, skeleton


def random_clip(seed, frames=12, joints=52):
    rng = np.random.default_rng(seed)
    root = np.cumsum(rng.normal(scale=0.02, size=(frames, 3)), axis=0) + np.array([0.3, 0.95, -0.2])
    swing = np.cumsum(rng.normal(scale=0.05, size=(frames, joints, 3)), axis=0)
    return root, rotations.from_axis_angle([1, 0, 0], swing[..., 0]) + 0.2 * np.insert(swing, 0, 0, axis=-1)


@pytest.mark.parametrize("joints", [22, 52])
def test_twice_is_the_identity(joints):
    root, pose = random_clip(0, joints=joints)
    back_root, back_pose = mirror.mirror(*mirror.mirror(root, pose))
    np.testing.assert_array_equal(back_root, root)
    np.testing.assert_array_equal(back_pose, pose)


@pytest.mark.parametrize("joints", [22, 52])
def test_forward_kinematics_commutes(joints):
    root, pose = random_clip(1, joints=joints)
    expected = mirror.mirror_joints(skeleton.forward_kinematics(root, pose))
    np.testing.assert_allclose(skeleton.forward_kinematics(*mirror.mirror(root, pose)), expected, atol=1e-6)


@pytest.mark.parametrize("rot_source", ["local", "ik"])
def test_rows_mirror_without_decoding(rot_source):
    root, pose = random_clip(2)
    face = np.random.default_rng(3).random((len(root), 52))
    rows = representation.encode(root, pose, face, rot_source=rot_source)
    other = mirror.mirror(root, pose)
    expected = representation.encode(*other, mirror.mirror_arkit(face), rot_source=rot_source)
    np.testing.assert_allclose(mirror.mirror_rows(rows), expected, atol=1e-5)
    np.testing.assert_allclose(mirror.mirror_rows(rows[:, :263]), expected[:, :263], atol=1e-5)


def test_flame_faces_have_no_mirror_image():
    with pytest.raises(ValueError, match="100 columns"):
        mirror.mirror_rows(np.zeros((2, 723)))
