"""Physics of a dance: each number by hand, and nothing where there is nothing to measure."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.clock import FPS
from soulstream_engine.motion import rotations
from soulstream_engine.motion.representation import CONTACT, encode_body
from soulstream_engine.motion.skeleton import CONTACT_JOINTS, PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_training.data.motion_quality import report_quality
from soulstream_training.evaluation.dance_take import DanceTake
from soulstream_training.evaluation.physics import (
    _planted,
    boundary_jerk_ratio,
    foot_slide_m_s,
    foot_slide_ratio,
    jerk,
    pfc,
    physics_row,
    range_of_motion,
)

FRAMES = 60
LEFT_ANKLE, LEFT_TOE, RIGHT_ANKLE, RIGHT_TOE = CONTACT_JOINTS
STILL = np.tile(rotations.identity(22), (FRAMES, 1, 1))


def standing(frames: int = FRAMES) -> np.ndarray:
    """[T, 22, 3] of somebody who stands with both soles on the floor."""
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (frames, 1))
    return np.asarray(forward_kinematics(root, np.tile(rotations.identity(22), (frames, 1, 1))), np.float64)


def noisy(frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return standing(frames) + np.random.default_rng(seed).normal(0.0, 0.01, (frames, 22, 3))


def test_constant_velocity_has_no_jerk_and_no_pfc() -> None:
    joints = standing()
    joints[..., 0] += 0.25 * np.arange(FRAMES)[:, None]
    assert jerk(joints) == pytest.approx(0.0, abs=1e-9)
    assert pfc(joints) == 0.0


def test_planted_feet_have_no_pfc_whatever_the_body_does() -> None:
    joints = noisy()
    joints[:, CONTACT_JOINTS] = standing()[:, CONTACT_JOINTS]
    assert pfc(joints) == 0.0
    joints[:, RIGHT_ANKLE], joints[:, RIGHT_TOE] = noisy()[:, RIGHT_ANKLE], noisy()[:, RIGHT_TOE]
    assert pfc(joints) == 0.0  # one foot carries her
    joints[:, LEFT_ANKLE, 2] = 0.1 * np.arange(FRAMES)
    assert pfc(joints) == 0.0  # its toe still does


def test_pfc_by_hand() -> None:
    """Accelerations (3, 4, 0) and (0, -9, 0.5) per frame squared: sizes 5 and, as she falls, 0.5."""
    joints = np.zeros((4, 22, 3))
    joints[:, 0] = np.cumsum(np.cumsum([[0, 0, 0], [0, 0, 0], [3, 4, 0], [0, -9, 0.5]], axis=0), axis=0)
    frames = np.arange(4.0)
    joints[:, LEFT_ANKLE, 0], joints[:, LEFT_TOE, 0] = 0.10 * frames, 0.30 * frames
    joints[:, RIGHT_ANKLE, 2], joints[:, RIGHT_TOE, 2] = 0.09 * frames, 0.05 * frames
    joints[:, RIGHT_TOE, 1] = 7.0 * frames  # height does not slide
    assert pfc(joints) == pytest.approx(1e4 * (1.0 + 0.1) / 2 * 0.10 * 0.05)
    joints[3, LEFT_ANKLE, 0] = joints[2, LEFT_ANKLE, 0]  # planted in the step that ends the second acceleration
    assert pfc(joints) == pytest.approx(1e4 * 1.0 / 2 * 0.10 * 0.05)


def test_pfc_does_not_depend_on_how_hard_she_accelerates() -> None:
    joints = noisy()
    harder = joints.copy()
    harder[:, 0] *= 3.0
    assert pfc(harder) == pytest.approx(pfc(joints))


def test_a_slide_is_measured_where_a_foot_is_planted() -> None:
    joints = standing()
    assert foot_slide_m_s(joints) == 0.0
    assert foot_slide_ratio(joints) == 0.0
    joints[:, [LEFT_ANKLE, LEFT_TOE], 0] += 0.6 / FPS * np.arange(FRAMES)[:, None]
    assert foot_slide_m_s(joints) == pytest.approx(0.3)
    assert foot_slide_ratio(joints) == pytest.approx(0.5)
    joints[:, [RIGHT_ANKLE, RIGHT_TOE], 0] += 0.4 / FPS * np.arange(FRAMES)[:, None]
    assert foot_slide_m_s(joints) == pytest.approx(0.5)
    assert foot_slide_ratio(joints) == pytest.approx(0.5)  # slow enough


def test_contacts_are_those_of_the_model_rows() -> None:
    root = np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (FRAMES, 1))
    root[:, 1] += 0.2 * np.sin(np.arange(FRAMES) / 9.0)
    joints = np.asarray(forward_kinematics(root, STILL), np.float64)
    assert (_planted(joints) == encode_body(root, STILL)[:, CONTACT]).all()
    assert 0.0 < _planted(joints).mean() < 1.0


def test_a_dancer_in_the_air_has_no_slide() -> None:
    joints = standing()
    joints[..., 1] += 0.5
    assert foot_slide_m_s(joints) is None
    assert foot_slide_ratio(joints) is None
    assert physics_row(DanceTake("song", joints.astype(np.float32))).planted_share == 0.0


def test_jerk_by_hand() -> None:
    joints = np.zeros((10, 22, 3))
    joints[:, 5, 1] = 1e-4 * np.arange(10) ** 3  # third difference 6e-4 a frame cubed, of one joint in 22
    assert jerk(joints) == pytest.approx(6e-4 * FPS**3 / 22)


def test_jerk_is_that_of_the_clips_and_leaves_hands_out() -> None:
    hands = np.concatenate([noisy(), 9.0 * np.random.default_rng(1).normal(size=(FRAMES, 30, 3))], axis=1)
    planted = np.zeros((FRAMES - 1, 4), np.bool_)
    assert jerk(hands) == pytest.approx(report_quality(noisy(), planted).jitter_mps3)


def test_a_jump_at_an_edge_shows_there() -> None:
    joints = noisy(300)
    joints[90:, :, 0] += 0.5
    assert (boundary_jerk_ratio(joints, [90]) or 0.0) > 3.0
    assert (boundary_jerk_ratio(joints, [150]) or 9.0) < 1.1  # the jump is elsewhere


def test_the_seam_holds_exactly_the_differences_around_it() -> None:
    """A jump touches three third differences (sizes 1, 2, 1 of it); five belong to the seam."""
    path = np.cumsum(np.cumsum(np.arange(60.0) * 1e-4))  # third difference 1e-4 in every step
    joints = np.zeros((60, 22, 3))
    joints[..., 0] = path[:, None]
    joints[30:, :, 1] += 1e-3
    base = 1e-4
    seam = (2 * base + 2 * np.hypot(base, 1e-3) + np.hypot(base, 2e-3)) / 5
    assert boundary_jerk_ratio(joints, [30]) == pytest.approx(seam / base)


def test_without_jumps_edges_are_like_the_rest() -> None:
    ratios = [boundary_jerk_ratio(noisy(300, seed), np.arange(40, 300, 40)) for seed in range(10)]
    assert np.mean(np.array(ratios, np.float64)) == pytest.approx(1.0, abs=0.03)


def test_no_seam_or_nothing_else_gives_no_ratio() -> None:
    assert boundary_jerk_ratio(noisy(), []) is None
    assert boundary_jerk_ratio(noisy(), [0, FRAMES]) is None
    assert boundary_jerk_ratio(noisy(), np.arange(0, FRAMES, 4)) is None
    assert boundary_jerk_ratio(np.zeros((FRAMES, 22, 3)), [30]) is None
    with pytest.raises(ValueError, match=r"edges 5\.\.61 must lie within the 60 frames"):
        boundary_jerk_ratio(noisy(), [5, 61])


def test_range_of_motion_by_hand() -> None:
    joints = standing()
    joints[::2, 20] += [0.03, 0.0, 0.04]  # a wrist goes to and fro over 0.05 m, one joint of 21
    assert range_of_motion(joints) == pytest.approx(0.05 / 21, rel=1e-6)
    assert range_of_motion(standing()) == pytest.approx(0.0, abs=1e-9)


def test_neither_travel_nor_turning_nor_a_broken_frame_is_range() -> None:
    joints = standing(300)
    turn = rotations.yaw(np.linspace(0.0, 3.0, 300))
    moving = rotations.rotate(turn[:, None], joints) + np.linspace(0.0, 5.0, 300)[:, None, None]
    assert range_of_motion(moving) < 0.03  # measured: 0.024, the smoothed heading lags at both ends
    joints[100, 20] += 4.0
    assert range_of_motion(joints) == pytest.approx(0.0, abs=1e-9)


def test_a_row_holds_all_of_a_take() -> None:
    take = DanceTake("song", noisy(90).astype(np.float32), edges=np.array([45]))
    row = physics_row(take)
    assert row.pfc == pytest.approx(pfc(take.joints_m))
    assert row.boundary_jerk_ratio == boundary_jerk_ratio(take.joints_m, [45])
    assert row.jerk_mps3 == jerk(take.joints_m)
    assert row.foot_slide_m_s == foot_slide_m_s(take.joints_m)
    assert row.foot_slide_ratio == foot_slide_ratio(take.joints_m)
    assert row.range_of_motion_m == range_of_motion(take.joints_m)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \[3, 22, 3\]"):
        jerk(np.zeros((3, 22, 3)))
    with pytest.raises(ValueError, match=r"not \[60, 21, 3\]"):
        pfc(np.zeros((60, 21, 3)))
