"""Rows mean what they say, and poses survive the way there and back."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from soulstream_engine.motion import representation as rep
from soulstream_engine.motion import rotations, skeleton
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M


def dance(seed=0, frames=120, joints=52, turn_rad=4.0, start_rad=0.7):
    """A smooth synthetic clip: random joint swings with twist, a tilting pelvis, a turn to the left and a walk."""
    rng = np.random.default_rng(seed)
    swing = gaussian_filter1d(rng.normal(scale=2.0, size=(frames, joints, 3)), 6, axis=0, mode="nearest")
    swing[:, 0] *= 0.6
    angle = np.linalg.norm(swing, axis=-1)
    local = rotations.from_axis_angle(swing / angle[..., None], angle)
    local[:, 0] = rotations.multiply(rotations.yaw(start_rad + np.linspace(0, turn_rad, frames)), local[:, 0])
    walk = gaussian_filter1d(rng.normal(scale=0.5, size=(frames, 3)), 8, axis=0, mode="nearest")
    return walk + np.array([1.0, PELVIS_REST_HEIGHT_M, -2.0]), local


def standing(frames=40, joints=52):
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (frames, 1))
    return root, np.tile(rotations.identity(joints), (frames, 1, 1))


def no_face(root):
    return np.zeros((len(root), 0))


def test_layout_sizes_and_blocks():
    assert [rep.Layout(space).dim for space in ("flame100", "arkit52")] == [723, 675]
    layout = rep.Layout("arkit52")
    covered = np.concatenate([np.arange(675)[columns] for columns in layout.groups.values()])
    np.testing.assert_array_equal(covered, np.arange(675))
    assert layout.parts == {"body": slice(0, 263), "hands": slice(263, 623), "face": slice(623, 675)}


@pytest.mark.parametrize("face_dim", [100, 52])
def test_paper_order_is_a_permutation_with_an_inverse(face_dim):
    rows = np.random.default_rng(0).normal(size=(3, 623 + face_dim)).astype(np.float32)
    canonical = rep.to_canonical(rows)
    np.testing.assert_array_equal(rep.to_model(canonical), rows)
    np.testing.assert_array_equal(rep.to_canonical(rep.to_model(rows)), rows)
    np.testing.assert_array_equal(canonical[:, 67:157], rows[:, rep.HANDS_JP])
    np.testing.assert_array_equal(canonical[:, 157:283], rows[:, rep.BODY_JR])
    np.testing.assert_array_equal(canonical[:, 529:619], rows[:, rep.HANDS_JV])
    np.testing.assert_array_equal(canonical[:, 619:623], rows[:, rep.CONTACT])


@pytest.mark.parametrize("rot_source", ["local", "ik"])
def test_positions_survive_the_round_trip(rot_source):
    root, pose = dance()
    joints = skeleton.forward_kinematics(root, pose)
    rows = rep.encode(root, pose, no_face(root), rot_source=rot_source)
    assert rows.shape == (119, 623) and rows.dtype == np.float32
    decoded, _ = rep.decode_joints(rows, rep.start_state(root, pose))
    assert np.abs(decoded - joints[:-1]).max() < 1e-4


def test_local_rotations_pose_the_same_joints_and_keep_the_pelvis_tilt():
    root, pose = dance(seed=1)
    rows = rep.encode(root, pose, no_face(root))
    got_root, got_pose, contacts, state = rep.decode_pose(rows, rep.start_state(root, pose))
    assert got_pose.shape == (119, 52, 4) and contacts.shape == (119, 4)
    assert rotations.angle_between(got_pose[:, 0], pose[:-1, 0]).max() < 1e-4, "pelvis"
    assert rotations.angle_between(got_pose, pose[:-1]).max() < 1e-3, "twist included"
    posed = skeleton.forward_kinematics(got_root, got_pose)
    decoded, other = rep.decode_joints(rows, rep.start_state(root, pose))
    assert np.abs(posed - decoded).max() < 1e-4
    assert other == state


def test_body_rows_are_the_first_columns_and_decode_alone():
    root, pose = dance(seed=2)
    body = rep.encode_body(root, pose)
    np.testing.assert_array_equal(body, rep.encode(root, pose, no_face(root))[:, :263])
    _, got_pose, _, _ = rep.decode_pose(body, rep.start_state(root, pose))
    assert rotations.angle_between(got_pose, pose[:-1, :22]).max() < 1e-3


def test_ik_rotations_pose_the_same_joints():
    root, pose = dance(seed=3, start_rad=0.0)
    rows = rep.encode(root, pose, no_face(root), rot_source="ik")
    posed, _ = rep.decode_joints_ik(rows)
    decoded, _ = rep.decode_joints(rows)
    assert np.abs(posed - decoded).max() < 1e-4


def test_rows_do_not_depend_on_where_the_dancer_stands_or_faces():
    root, pose = dance(seed=4, start_rad=0.0)
    turned = pose.copy()
    turned[:, 0] = rotations.multiply(rotations.yaw(2.0), pose[:, 0])
    moved = rotations.rotate(rotations.yaw(2.0), root) + np.array([5.0, 0.0, -3.0])
    for rot_source in ("local", "ik"):
        expected = rep.encode(root, pose, no_face(root), rot_source=rot_source)
        np.testing.assert_allclose(rep.encode(moved, turned, no_face(root), rot_source=rot_source), expected, atol=2e-5)


def test_a_left_turn_has_negative_ra_and_turns_the_dancer_left():
    root, pose = standing(100)
    pose[:, 0] = rotations.yaw(np.linspace(0, np.pi / 2, 100))
    rows = rep.encode(root, pose, no_face(root))
    assert (rows[:, 0] <= 0).all()
    assert rows[50, 0] == pytest.approx(-np.pi / 2 / 99 / 2, rel=0.02), "half the change"
    _, heading, _ = rep.integrate_root(rows, rep.start_state(root, pose))
    np.testing.assert_allclose(rotations.rotate(heading[50], [0, 0, 1]), [np.sin(0.7933), 0, np.cos(0.7933)], atol=1e-2)


def test_walking_forward_is_positive_rz_in_metres_per_frame():
    root, pose = standing()
    pose[:, 0] = rotations.yaw(np.pi / 2)
    root[:, 0] = 0.03 * np.arange(len(root))
    rows = rep.encode(root, pose, no_face(root))
    np.testing.assert_allclose(rows[:, rep.ROOT], np.tile([0, 0, 0.03, PELVIS_REST_HEIGHT_M], (39, 1)), atol=1e-6)
    np.testing.assert_allclose(rows[:, rep.BODY_JV].reshape(39, 22, 3), np.tile([0, 0, 0.03], (39, 22, 1)), atol=1e-6)


def test_standing_positions_and_rotations():
    root, pose = standing()
    rows = rep.encode(root, pose, no_face(root))
    expected = skeleton.forward_kinematics(root[0], pose[0])
    np.testing.assert_allclose(rows[0, rep.BODY_JP].reshape(21, 3), expected[1:22], atol=1e-6)
    np.testing.assert_allclose(rows[0, rep.HANDS_JP].reshape(30, 3), expected[22:], atol=1e-6)
    np.testing.assert_allclose(rows[0, rep.BODY_JR].reshape(21, 6), np.tile([1, 0, 0, 0, 1, 0], (21, 1)), atol=1e-6)


def test_contacts_scale_with_the_frame_rate_and_need_the_floor():
    root, pose = standing()
    assert (rep.encode_body(root, pose)[:, rep.CONTACT] == 1).all()
    sliding = root + np.arange(len(root))[:, None] * [0.035, 0, 0]
    assert (rep.encode_body(sliding, pose, fps=30)[:, rep.CONTACT] == 0).all()
    assert (rep.encode_body(sliding, pose, fps=20)[:, rep.CONTACT] == 1).all()
    assert (rep.encode_body(sliding, pose, contact_rule="hml3d")[:, rep.CONTACT] == 1).all()
    hanging = root + np.array([0, 0.07, 0])
    np.testing.assert_array_equal(rep.encode_body(hanging, pose)[0, rep.CONTACT], [0, 0, 0, 0])
    assert (rep.encode_body(hanging, pose, contact_rule="hml3d")[:, rep.CONTACT] == 1).all()


def test_contact_order_is_left_ankle_left_toe_right_ankle_right_toe():
    root, pose = standing()
    pose[:, skeleton.JOINT_INDEX["right_hip"]] = rotations.from_axis_angle([1, 0, 0], -1.0)
    np.testing.assert_array_equal(rep.encode_body(root, pose)[0, rep.CONTACT], [1, 1, 0, 0])


def test_face_is_carried_over():
    root, pose = standing(5)
    face = np.random.default_rng(0).random((5, 52)).astype(np.float32)
    np.testing.assert_array_equal(rep.encode(root, pose, face)[:, rep.Layout("arkit52").face], face[:-1])


def test_spinning_for_long_keeps_the_state_small():
    rows = np.zeros((2000, 263), dtype=np.float32)
    rows[:, 0] = -0.1
    _, _, state = rep.integrate_root(rows)
    assert abs(state.angle) <= np.pi
    assert np.cos(state.angle + 200) == pytest.approx(1, abs=1e-4)


def test_broken_network_output_still_gives_unit_rotations():
    rows = np.zeros((3, 675), dtype=np.float32)
    _, pose, _, _ = rep.decode_pose(rows)
    np.testing.assert_allclose(np.linalg.norm(pose, axis=-1), 1, atol=1e-5)


def test_wrong_shapes_are_named():
    root, pose = standing(5)
    with pytest.raises(ValueError, match="T >= 2"):
        rep.encode_body(root[:1], pose[:1])
    with pytest.raises(ValueError, match=r"face \(4, 52\)"):
        rep.encode(root, pose, np.zeros((4, 52)))
    with pytest.raises(ValueError, match=r"not \(5, 300\)"):
        rep.decode_joints(np.zeros((5, 300)))
