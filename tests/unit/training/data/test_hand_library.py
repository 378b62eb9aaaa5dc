"""The library of hand poses: from the folder what it has, by rule what needs no folder, never an impossible hand."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.hand_files import hand_places, webxr_text, write_keyed
from fakes.named_figures import turned

from soulstream_engine.motion import rotations
from soulstream_engine.motion.hands import relaxed_hands
from soulstream_engine.motion.skeleton import NUM_BODY_JOINTS, NUM_JOINTS, forward_kinematics
from soulstream_training.data.asf import MotionFileError
from soulstream_training.data.hand_library import (
    HAND_JOINTS,
    KEYED_DIR,
    MIRROR,
    RULE,
    WEBXR_DIR,
    load_hand_library,
    rotvec_to_wxyz,
    rule_library,
    within_range,
)

FINGERS = slice(NUM_BODY_JOINTS, NUM_JOINTS)
BENT = np.tile([0.0, 0.0, -0.6], (HAND_JOINTS, 1))
FLAT = np.zeros((HAND_JOINTS, 3))


def figure(left_rotvec, right_rotvec, num_frames=2):
    """A figure in a T-pose with these hands, right as a left one."""
    wxyz = turned(num_frames, NUM_JOINTS)
    wxyz[:, FINGERS] = rotvec_to_wxyz(np.concatenate([left_rotvec, np.asarray(right_rotvec) * MIRROR]))
    return wxyz


def pose(library, name):
    return library.left_rotvec[library.names.index(name)]


def test_without_a_folder_only_poses_by_rule_are_left_and_that_is_said(tmp_path):
    library = load_hand_library(tmp_path / "nowhere")
    assert library.names == ("relaxed", "flat", "curled") == rule_library().names
    assert set(library.sources) == {RULE}
    assert "by rule only" in library.note


def test_the_first_pose_is_the_relaxed_hand_of_the_engine():
    library = rule_library()
    hands = np.concatenate([library.hand_wxyz("left")[0], library.hand_wxyz("right")[0]])
    np.testing.assert_allclose(hands, relaxed_hands(), atol=1e-6)


def test_right_hands_mirror_left_ones_on_our_skeleton():
    library = rule_library()
    joints = turned(len(library.names), NUM_JOINTS)
    joints[:, 22:37], joints[:, 37:] = library.hand_wxyz("left"), library.hand_wxyz("right")
    places = forward_kinematics(np.zeros((len(joints), 3)), joints)
    np.testing.assert_allclose(places[:, 37:], places[:, 22:37] * [-1, 1, 1], atol=1e-6)


def test_a_folder_in_t_pose_gives_flat_hands_and_names_what_is_absent(tmp_path):
    write_keyed(tmp_path / KEYED_DIR / "dizzy.bvh", turned(3, NUM_JOINTS))
    library = load_hand_library(tmp_path)
    assert library.names == ("relaxed", "soft")
    assert library.sources == (RULE, "mesh2motion-cc0/bvh/dizzy.bvh")
    np.testing.assert_allclose(pose(library, "soft"), 0.0, atol=1e-5)
    assert "head-nod.bvh" in library.note and "point.js" in library.note and "dizzy" not in library.note
    assert library.shares.sum() == pytest.approx(1.0)


def test_keyed_hands_come_from_the_side_that_the_table_says(tmp_path):
    write_keyed(tmp_path / KEYED_DIR / "head-nod.bvh", figure(BENT, FLAT))
    write_keyed(tmp_path / KEYED_DIR / "consume-powerup.bvh", figure(FLAT, BENT))
    library = load_hand_library(tmp_path)
    np.testing.assert_allclose(pose(library, "open")[:12], BENT[:12], atol=0.01)
    np.testing.assert_allclose(pose(library, "holding")[:12], BENT[:12], atol=0.01)


def test_hands_of_webxr_are_read_too(tmp_path):
    path = tmp_path / WEBXR_DIR / "point.js"
    path.parent.mkdir()
    path.write_text(webxr_text(hand_places(rotvec_to_wxyz(BENT))), encoding="ascii")
    library = load_hand_library(tmp_path)
    assert library.names == ("relaxed", "point")
    np.testing.assert_allclose(pose(library, "point")[:12], BENT[:12], atol=0.15)  # turns about bones are not kept


def test_a_hand_beyond_human_range_is_brought_back(tmp_path):
    write_keyed(tmp_path / KEYED_DIR / "head-nod.bvh", figure(BENT * 4.5, FLAT))  # 155 degrees in each joint
    bend_deg = -np.degrees(pose(load_hand_library(tmp_path), "open")[:12, 2]).reshape(4, 3)
    np.testing.assert_allclose(bend_deg, np.tile([90.0, 100.0, 80.0], (4, 1)), atol=0.1)


def test_mixtures_of_poses_within_range_are_within_range():
    generator = np.random.default_rng(0)
    poses = within_range(generator.normal(0, 2, (50, HAND_JOINTS, 3)))
    mixed = np.tensordot(generator.dirichlet(np.ones(50), 200), poses, 1)
    np.testing.assert_allclose(within_range(mixed), mixed, atol=1e-12)


def test_a_clip_without_fingers_or_too_short_is_refused(tmp_path):
    write_keyed(tmp_path / KEYED_DIR / "confused.bvh", turned(3, NUM_JOINTS))
    with pytest.raises(MotionFileError, match="has 3 frames, the hand is taken from frame 33"):
        load_hand_library(tmp_path)
    (tmp_path / KEYED_DIR / "confused.bvh").unlink()
    write_keyed(tmp_path / KEYED_DIR / "dizzy.bvh", turned(3))
    with pytest.raises(MotionFileError, match="has no fingers"):
        load_hand_library(tmp_path)


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'up' is neither left nor right"):
        rule_library().hand_wxyz("up")


@pytest.mark.data
def test_the_real_folder_gives_a_dozen_different_hands(shared_data):
    library = load_hand_library(shared_data)
    assert 8 <= len(library.names) <= 12 and library.note == ""
    np.testing.assert_allclose(within_range(library.left_rotvec), library.left_rotvec, atol=1e-12)
    bend = -np.degrees(library.left_rotvec[:, :12, 2])
    assert bend[library.names.index("fist")].mean() > 70
    assert abs(bend[library.names.index("spread")].mean()) < 5
    index, others = bend[library.names.index("point"), :3], bend[library.names.index("point"), 3:]
    assert index.mean() < 15 < 50 < others.mean()
    wxyz = library.hand_wxyz("left")
    apart = np.degrees(rotations.angle_between(wxyz[:, None], wxyz[None])).mean(axis=-1)
    assert apart[np.triu_indices(len(wxyz), 1)].min() > 5  # measured 10
