"""From source rate to 30 fps: repair, filter, floor, segments."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import JOINT_INDEX, PELVIS_REST_HEIGHT_M, forward_kinematics
from soulstream_training.data.repair import find_flips, repair
from soulstream_training.data.resample import source_times, to_frames, whole_rate
from soulstream_training.data.retarget import BodyMotion

FPS = 120


def swaying(seconds=4.0, height=1.3, hz=1.0):
    """Root swaying sideways, left shoulder turning, feet still in the rest pose."""
    t = np.arange(int(seconds * FPS)) / FPS
    root_m = np.stack([0.1 * np.sin(2 * np.pi * hz * t), np.full_like(t, height), np.zeros_like(t)], axis=1)
    joint_wxyz = rotations.identity(len(t), 22).astype(np.float64)
    joint_wxyz[:, JOINT_INDEX["left_shoulder"]] = rotations.from_axis_angle(
        [0.0, 0, 1], 0.5 * np.sin(2 * np.pi * hz * t)
    )
    return t, BodyMotion(root_m, joint_wxyz)


def test_slow_motion_passes_without_delay_and_stands_on_the_floor():
    t, motion = swaying()
    framed = to_frames(motion, FPS)
    assert framed.root_m.shape == (120, 3)
    assert framed.root_m.dtype == framed.joint_wxyz.dtype == np.float32
    np.testing.assert_allclose(framed.root_m[:, 0], 0.1 * np.sin(2 * np.pi * t[::4]), atol=1e-3)
    np.testing.assert_allclose(framed.root_m[:, 1], PELVIS_REST_HEIGHT_M, atol=2e-3)
    assert framed.segments.tolist() == [[0, 120]]


def test_tremor_above_the_corner_is_removed():
    _, motion = swaying(hz=25.0)
    assert np.abs(to_frames(motion, FPS).root_m[10:-10, 0]).max() < 0.005


def test_no_foot_goes_through_the_floor():
    _, motion = swaying()
    motion.root_m[200:230, 1] -= 0.3 * np.hanning(30)
    framed = to_frames(motion, FPS)
    joints_m = forward_kinematics(framed.root_m, framed.joint_wxyz)
    assert joints_m[..., 1].min() > -0.011
    np.testing.assert_allclose(framed.root_m[:35, 1], PELVIS_REST_HEIGHT_M, atol=2e-3)


def test_short_pops_are_repaired_and_long_ones_left_out():
    _, motion = swaying()
    clean = to_frames(motion, FPS)
    motion.root_m[100:106] += [0.5, 0.5, 0.0]
    motion.joint_wxyz[100:106, JOINT_INDEX["left_elbow"]] = [0, 1, 0, 0]
    short = to_frames(motion, FPS, ((99, 106),))
    assert short.segments.tolist() == [[0, 120]]
    assert np.abs(short.root_m - clean.root_m).max() < 0.02

    motion.root_m[300:330] += 1.0
    long = to_frames(motion, FPS, ((99, 106), (299, 331)))
    assert len(long.segments) == 2
    first, second = long.segments.tolist()
    assert first[0] == 0
    assert 70 <= first[1] <= 74
    assert 83 <= second[0] <= 86
    assert second[1] == 120


def test_flips_are_found_and_bridged_limb_by_limb():
    _, motion = swaying()
    reference = motion.joint_wxyz.copy()
    knee, hip = JOINT_INDEX["right_knee"], JOINT_INDEX["right_hip"]
    motion.joint_wxyz[200:215, hip] = [0, 0, 1, 0]
    motion.joint_wxyz[200:215, knee] = [0, 0, -1, 0]
    assert find_flips(motion.joint_wxyz[:, [hip]], FPS) == [(199, 215)]
    fixed, is_good = repair(motion, FPS)
    assert is_good.all()
    np.testing.assert_allclose(fixed.joint_wxyz, reference, atol=1e-6)


def test_a_leg_flipped_for_long_is_left_out_but_a_wrist_is_not():
    _, motion = swaying()
    motion.joint_wxyz[200:280:10, JOINT_INDEX["right_hip"]] = [0, 0, 1, 0]
    _, is_good = repair(motion, FPS)
    assert not is_good[200:270].any()
    assert is_good[:190].all()
    _, motion = swaying()
    motion.joint_wxyz[200:280:10, JOINT_INDEX["right_wrist"]] = [0, 0, 1, 0]
    assert repair(motion, FPS)[1].all()


def test_fast_dancing_is_not_taken_for_a_flip():
    t, motion = swaying()
    motion.joint_wxyz[:, JOINT_INDEX["left_wrist"]] = rotations.from_axis_angle(
        [0, 1.0, 0], 1.2 * np.sin(2 * np.pi * 3 * t)
    )
    assert find_flips(motion.joint_wxyz, FPS) == []


def test_errors_at_the_ends_are_held():
    _, motion = swaying()
    motion.root_m[:5] += 3.0
    motion.root_m[-5:] -= 3.0
    framed = to_frames(motion, FPS, ((0, 5), (475, 480)))
    assert np.abs(framed.root_m[:, 0]).max() < 0.11
    everything = to_frames(motion, FPS, ((0, 480),))
    assert np.isfinite(everything.root_m).all()
    assert len(everything.segments) == 0


@pytest.mark.parametrize("fps", [24.0, 100.0, 119.88])
def test_any_rate_becomes_thirty_frames_of_the_same_motion(fps):
    t = np.arange(round(4 * fps)) / fps
    root_m = np.stack([0.1 * np.sin(2 * np.pi * t), np.full_like(t, 0.95), 0.0 * t], axis=1)
    joints = np.tile([1.0, 0.0, 0.0, 0.0], (len(t), 22, 1))
    turn = 0.5 * np.sin(2 * np.pi * t)
    joints[:, JOINT_INDEX["left_shoulder"]] = rotations.from_axis_angle([0, 0, 1.0], turn)
    framed = to_frames(BodyMotion(root_m, joints), fps)
    then = np.arange(len(framed.root_m)) / 30
    assert then[-1] <= t[-1] < then[-1] + 1 / 30
    inside = slice(5, -5)
    np.testing.assert_allclose(framed.root_m[inside, 0], 0.1 * np.sin(2 * np.pi * then)[inside], atol=0.003)
    expected = rotations.from_axis_angle([0, 0, 1.0], 0.5 * np.sin(2 * np.pi * then))
    found = framed.joint_wxyz[:, JOINT_INDEX["left_shoulder"]]
    assert rotations.angle_between(found, expected)[inside].max() < 0.02
    assert framed.segments.tolist() == [[0, len(then)]]


def test_rates_too_low_for_dancing_are_refused():
    _, motion = swaying()
    with pytest.raises(ConfigError, match=r"15(\.0)? frames a second is below 20"):
        to_frames(motion, 15)


@pytest.mark.parametrize(("written", "whole"), [(1 / 0.0333333, 30.0), (1 / 0.03333, 30.0), (1 / 0.00833, 120.0)])
def test_a_rate_written_with_few_decimals_is_neither_filtered_nor_interpolated_otherwise(written, whole):
    _, motion = swaying()
    assert whole_rate(written) == whole
    here, there = (to_frames(motion, fps) for fps in (written, whole))
    np.testing.assert_array_equal(here.root_m, there.root_m)
    np.testing.assert_array_equal(source_times(480, written), source_times(480, whole))


@pytest.mark.parametrize("fps", [29.97, 30000 / 1001, 24000 / 1001, 59.94, 25.2])
def test_rates_of_video_stay_what_they_are(fps):
    assert whole_rate(fps) == fps
