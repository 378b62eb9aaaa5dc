"""Idle: a relaxed standing person whose feet never slide, at any place, heading and time."""

import numpy as np
import pytest

from soulstream_engine.motion import skeleton
from soulstream_engine.motion.idle import idle_pose, idle_poses

FEET = list(skeleton.CONTACT_JOINTS)
MINUTE = np.arange(1800)


def _joints(indices: np.ndarray, root: tuple[float, float, float] = (0, 0, 0), heading: float = 0.0) -> np.ndarray:
    root_m, wxyz, _ = idle_poses(indices, root, heading)
    return skeleton.forward_kinematics(root_m.astype(np.float64), wxyz.astype(np.float64))


def _joint(joints: np.ndarray, name: str) -> np.ndarray:
    return joints[:, skeleton.JOINT_INDEX[name]]


def test_feet_stay_where_they_are_on_the_floor() -> None:
    feet = _joints(MINUTE)[:, FEET]
    assert np.ptp(feet, axis=0).max() < 1e-5
    np.testing.assert_allclose(feet[:, [1, 3], 1], skeleton.SOLE_BELOW_FOOT_M, atol=1e-5)


def test_the_dancer_stands_like_a_relaxed_person() -> None:
    joints = _joints(MINUTE)
    for side, sign in (("left", 1), ("right", -1)):
        wrist, shoulder = _joint(joints, f"{side}_wrist"), _joint(joints, f"{side}_shoulder")
        assert (shoulder[:, 1] - wrist[:, 1] > 0.45).all()  # arms down
        assert (np.abs(wrist[:, 0]) < 0.40).all() and (sign * wrist[:, 0] > 0.2).all()  # beside the thighs
        assert (wrist[:, 2] > shoulder[:, 2]).all()  # elbows bent forward
        hip, knee, ankle = (_joint(joints, f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        reach = np.linalg.norm(hip - ankle, axis=-1) / skeleton.LEG_LENGTH_M
        assert reach.min() > 0.96 and reach.max() < 0.995  # soft knees
        assert (knee[:, 2] > (hip[:, 2] + ankle[:, 2]) / 2).all()  # bent forward
    head, feet = _joint(joints, "head"), joints[:, FEET].mean(axis=1)
    assert np.linalg.norm((head - feet)[:, [0, 2]], axis=-1).max() < 0.1  # balanced over the feet


def test_the_dancer_is_alive_but_calm() -> None:
    joints = _joints(MINUTE)
    assert np.ptp(joints[:, 0, 0]) > 0.03  # weight shift
    assert np.ptp(_joint(joints, "head")[:, 0]) > 0.03
    assert (np.linalg.norm(np.diff(joints, axis=0), axis=-1) * 30).max() < 0.1


def test_place_and_heading_move_the_whole_dancer() -> None:
    joints = _joints(MINUTE[::50])
    moved = _joints(MINUTE[::50], (2.0, 5.0, -1.0), np.pi / 2)  # a left turn: +Z becomes +X; the height is ignored
    np.testing.assert_allclose(moved, joints[..., [2, 1, 0]] * [1, 1, -1] + [2.0, 0.0, -1.0], atol=1e-5)


@pytest.mark.parametrize("index", [0, 17, 10_000_000])
def test_a_frame_depends_on_its_index_alone(index: int) -> None:
    root, wxyz, face = idle_pose(index, (1.0, 0.0, 0.0), 0.3)
    roots, run, faces = idle_poses([index - 1, index, index + 1], (1.0, 0.0, 0.0), 0.3)
    np.testing.assert_allclose(root, roots[1], atol=1e-6)
    np.testing.assert_allclose(wxyz, run[1], atol=1e-6)
    np.testing.assert_array_equal(face, faces[1])
    assert (root.shape, wxyz.shape, face.shape) == ((3,), (52, 4), (52,))
    np.testing.assert_allclose(np.linalg.norm(run, axis=-1), 1, atol=1e-6)
    assert (np.sum(run[1:] * run[:-1], axis=-1) > 0.99).all()  # no sign flips
