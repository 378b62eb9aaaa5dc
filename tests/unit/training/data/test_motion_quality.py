"""Quality of clips: each number measures its own fault and nothing else, and a rejection says which and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.named_figures import dance, record, turned

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import (
    CONTACT_JOINTS,
    JOINT_INDEX,
    NUM_BODY_JOINTS,
    PELVIS_REST_HEIGHT_M,
    forward_kinematics,
)
from soulstream_training.data.joint_maps import find_map
from soulstream_training.data.motion_quality import (
    QualityLimits,
    QualityReport,
    beyond_limits,
    end_effector_error_m,
    reject_reason,
    report_quality,
)
from soulstream_training.data.named_retarget import retarget_named
from soulstream_training.data.retarget import BodyMotion

FRAMES = 40
PLANTED = np.ones((FRAMES - 1, 4), dtype=np.bool_)


def standing(**degrees):
    wxyz = turned(FRAMES, **degrees)
    return forward_kinematics(np.tile([0.0, PELVIS_REST_HEIGHT_M, 0.0], (FRAMES, 1)), wxyz)


def test_standing_still_is_without_fault():
    report = report_quality(standing(), PLANTED)
    assert report.foot_slide_mps == 0
    assert report.jitter_mps3 == pytest.approx(0, abs=1e-6)
    assert report.bone_drift == pytest.approx(0, abs=1e-9)
    assert report.limit_share == 0
    assert report.floor_penetration_m == 0
    assert reject_reason(report) is None


def test_feet_slide_only_while_planted_and_only_on_the_floor_plane():
    joints = standing()
    foot = CONTACT_JOINTS[1]
    joints[:, foot, 0] += 0.4 / FPS * np.arange(FRAMES)
    joints[:, CONTACT_JOINTS[3], 1] += 0.001 * np.arange(FRAMES)  # rising is not sliding
    only = np.zeros_like(PLANTED)
    only[:, 1] = True
    assert report_quality(joints, only).foot_slide_mps == pytest.approx(0.4)
    assert report_quality(joints, PLANTED).foot_slide_mps == pytest.approx(0.1)
    assert report_quality(joints, ~PLANTED).foot_slide_mps == 0
    assert report_quality(joints, np.vstack([only, only[:1]])).foot_slide_mps == pytest.approx(0.4)


def test_jitter_is_the_mean_jerk():
    joints = standing()
    t = np.arange(FRAMES) / FPS
    joints[..., 2] += (5.0 * t**3)[:, None]  # third derivative 30 m/s3
    assert report_quality(joints, ~PLANTED).jitter_mps3 == pytest.approx(30, rel=1e-6)


def test_bones_that_change_their_length_are_found():
    joints = standing()
    joints[:, JOINT_INDEX["left_wrist"], 0] += 0.05 * np.sin(np.arange(FRAMES))
    drift = report_quality(joints, ~PLANTED).bone_drift
    assert drift == pytest.approx(0.05 * np.std(np.sin(np.arange(FRAMES))) / 0.2689, rel=0.01)
    assert "bone_drift" in (reject_reason(report_quality(joints, ~PLANTED)) or "")


@pytest.mark.parametrize(
    "pose",
    [
        {"left_knee": [-60, 0, 0]},  # forwards
        {"right_knee": [170, 0, 0]},
        {"left_elbow": [0, -170, 0]},
        {"right_ankle": [-80, 0, 0]},
        {"left_ankle": [0, 150, 0], "left_knee": [50, 0, 0]},  # the foot turned round
        {"neck": [130, 0, 0]},
    ],
)
def test_poses_that_no_human_can_do_are_found(pose):
    assert beyond_limits(standing(**pose)).all()


@pytest.mark.parametrize(
    "pose",
    [
        {"left_knee": [140, 0, 0], "left_hip": [-130, 0, 0]},
        {"left_knee": [-10, 0, 0]},
        {"right_elbow": [0, 145, 0]},
        {"left_ankle": [55, 0, 0], "right_ankle": [-25, 0, 0]},
        {"left_hip": [-100, 40, 30], "neck": [40, 0, 0], "spine1": [50, 0, 0]},
    ],
)
def test_poses_of_dancers_are_not(pose):
    assert not beyond_limits(standing(**pose)).any()


def test_the_share_of_bad_frames_counts():
    knee = np.zeros((FRAMES, 3))
    knee[: FRAMES // 4, 0] = -60
    report = report_quality(standing(left_knee=knee), PLANTED)
    assert report.limit_share == pytest.approx(0.25)
    assert reject_reason(report, QualityLimits(jitter_mps3=1e9, foot_slide_mps=9)) == (
        "limit_share is 0.25, the limit is 0.2"
    )


def test_faults_that_no_dancer_has_stay_over_the_limits():
    backwards = np.zeros((FRAMES, 3))
    backwards[::2, 0] = -40
    still = QualityLimits(jitter_mps3=1e9, foot_slide_mps=9)
    assert "limit_share is 0.5" in (reject_reason(report_quality(standing(left_knee=backwards), PLANTED), still) or "")
    sunk = standing()
    sunk[: FRAMES // 4, :, 1] -= 0.20
    assert "floor_penetration_m is 0.18" in (reject_reason(report_quality(sunk, PLANTED), still) or "")


def test_feet_in_the_floor_are_measured():
    joints = standing()
    joints[..., 1] -= 0.10
    report = report_quality(joints, PLANTED)
    assert report.floor_penetration_m == pytest.approx(0.08, abs=1e-6)
    assert reject_reason(report) == "floor_penetration_m is 0.08, the limit is 0.06"


def test_a_number_that_is_not_finite_is_rejected_too():
    good = QualityReport(0.0, 0.0, 0.0, 0.0, 0.0)
    assert reject_reason(good) is None
    assert reject_reason(replace(good, jitter_mps3=float("nan"))) == "jitter_mps3 is nan, the limit is 1e+03"


@pytest.mark.parametrize(
    ("joints", "contacts", "message"),
    [
        (np.zeros((3, 22, 3)), np.zeros((2, 4)), r"must be \[N >= 4, J >= 22, 3\], not \[3, 22, 3\]"),
        (np.zeros((5, 21, 3)), np.zeros((4, 4)), r"not \[5, 21, 3\]"),
        (np.zeros((5, 22, 3)), np.zeros((3, 4)), r"contacts must be \[4, 4\], not \[3, 4\]"),
        (np.full((5, 22, 3), np.nan), np.zeros((4, 4)), "330 positions are not finite"),
    ],
)
def test_wrong_shapes_and_values_are_refused(joints, contacts, message):
    with pytest.raises(ValueError, match=message):
        report_quality(joints, contacts)


def test_end_effectors_of_our_own_figure_are_where_they_should_be():
    recording = record(dance(), scale=1.7)
    joint_map = find_map("smplx", recording.names)
    error = end_effector_error_m(recording, retarget_named(recording, joint_map)[0], joint_map)
    assert max(error.wrist_median_m, error.wrist_p95_m, error.ankle_median_m, error.ankle_p95_m) < 1e-4


def test_end_effectors_that_are_off_are_measured():
    recording = record(turned(30))
    joint_map = find_map("smplx", recording.names)
    motion, _ = retarget_named(recording, joint_map)
    off = motion.joint_wxyz.copy()
    angle = np.radians(10)
    off[:, JOINT_INDEX["left_elbow"]] = turned(1, left_elbow=[0, 10, 0])[0, JOINT_INDEX["left_elbow"]]
    error = end_effector_error_m(recording, BodyMotion(motion.root_m, off), joint_map)
    assert error.wrist_p95_m == pytest.approx(2 * np.sin(angle / 2) * 0.2689, abs=1e-4)
    assert error.ankle_p95_m < 1e-4
    moved = BodyMotion(motion.root_m + np.array([0.03, 0, 0]), motion.joint_wxyz)
    assert end_effector_error_m(recording, moved, joint_map).ankle_median_m == pytest.approx(0.03, abs=1e-4)
    assert motion.joint_wxyz.shape[1] == NUM_BODY_JOINTS
