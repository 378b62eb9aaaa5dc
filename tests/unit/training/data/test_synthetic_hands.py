"""Synthetic hands: in time, smooth, possible, repeatable, and flagged as what they are."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.motion import rotations
from soulstream_engine.motion.hands import relaxed_hands
from soulstream_training.data.hand_library import load_hand_library, rule_library
from soulstream_training.data.synthetic_hands import (
    DRIFT,
    LAG_S,
    MAX_TURN_RAD_S,
    TOGETHER,
    braking,
    half_beats,
    make_hands,
    wrist_speed,
)
from soulstream_training.data.synthetic_report import report_hands

FPS = 30.0
LIBRARY = rule_library()
BEATS_S = np.arange(0.3, 118.0, 0.5)


def steady(num_frames=3600):
    return np.ones((num_frames, 2))


def stopping(beats_s, num_frames=3600, slows_s=0.1):
    """Speeds that fall to nothing just at each of the given beats and come back slowly."""
    since = np.arange(num_frames)[:, None] / FPS - np.asarray(beats_s)[None]
    dip = np.where(since < 0, 1 + since / slows_s, 1 - since / 0.7).clip(0.0, 1.0).max(axis=1)
    return np.repeat(2.0 * (1.0 - dip)[:, None], 2, axis=1)


def made(motion=None, beats_s=BEATS_S, seed=1, fps=FPS, library=LIBRARY):
    motion = stopping(beats_s) if motion is None else motion
    return make_hands(motion, beats_s, fps, library, np.random.default_rng(seed))[0]


def joint_speed(wxyz, fps=FPS):
    return rotations.angle_between(wxyz[1:], wxyz[:-1]) * fps


def test_every_frame_is_flagged_synthetic():
    wxyz, is_synthetic = make_hands(steady(40), BEATS_S, FPS, LIBRARY, np.random.default_rng(0))
    assert wxyz.shape == (40, 30, 4) and wxyz.dtype == np.float32
    assert is_synthetic.shape == (40,) and is_synthetic.dtype == np.bool_ and is_synthetic.all()
    np.testing.assert_allclose(np.linalg.norm(wxyz, axis=-1), 1.0, atol=1e-6)


def test_the_same_seed_gives_the_same_hands_and_another_one_others():
    np.testing.assert_array_equal(made(seed=5), made(seed=5))
    assert np.abs(made(seed=5) - made(seed=6)).max() > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_hands_stay_within_human_range_and_speed(seed):
    report = report_hands(made(seed=seed), BEATS_S, FPS)
    assert report.excess_rad < 1e-5
    assert report.largest_speed_rad_s <= MAX_TURN_RAD_S * 1.02  # measured 5.4; 7.8 with real poses


def test_changes_happen_near_beats_more_often_than_by_chance():
    hands = [made(seed=seed) for seed in range(4)]
    coupled = [report_hands(hand, BEATS_S, FPS).beat_coupling for hand in hands]
    by_chance = [report_hands(hand, np.arange(0.1, 118.0, 0.437), FPS).beat_coupling for hand in hands]
    assert min(coupled) > 2.5  # measured 3.5 to 3.9 of at most 4.17
    assert max(by_chance) < 1.6  # measured 0.9 to 1.3


def test_hands_change_more_where_the_wrist_brakes():
    busy = {True: 0.0, False: 0.0}
    for seed in range(6):
        speed = joint_speed(made(stopping(BEATS_S[::2]), seed=seed)).mean(axis=1)
        for brakes in busy:
            frames = np.round(BEATS_S[0 if brakes else 1 :: 2] * FPS).astype(int)
            busy[brakes] += speed[frames].mean()
    assert busy[True] > 1.5 * busy[False]  # measured 4.3 times


def test_a_steady_wrist_leaves_the_hands_calmer():
    assert joint_speed(made(steady())).mean() < 0.7 * joint_speed(made()).mean()


def test_both_hands_agree_for_about_seventy_percent():
    beats = np.arange(0.3, 598.0, 0.5)
    wrist = np.tile(stopping(BEATS_S[:4], 60), (300, 1))  # brakes every two seconds on each of the beats
    reports = [report_hands(made(wrist, beats, seed), beats, FPS) for seed in range(3)]
    mean = np.mean([report.side_correlation for report in reports])
    assert mean == pytest.approx(TOGETHER, abs=0.1)  # measured 0.61 to 0.73, mean 0.68


@pytest.mark.parametrize("seed", range(3))
def test_the_little_finger_follows_the_index(seed):
    fps = 240.0
    beats = BEATS_S[:40]
    wxyz = made(np.ones((4800, 2)), beats, seed, fps)
    speed = joint_speed(wxyz, fps)[:, [0, 6]]
    late_s = []
    for beat in beats:
        window = slice(max(0, round((beat - 0.2) * fps)), round((beat + 0.2) * fps))
        if speed[window].max() > 0.8:
            late_s.append(float(np.diff(speed[window].argmax(axis=0))[0]) / fps)
    assert late_s and LAG_S[0] - 0.008 <= np.median(late_s) <= LAG_S[1] + 0.008


def test_without_beats_the_hands_only_drift_about_their_rest():
    wxyz = made(steady(900), np.zeros(0))
    off = rotations.angle_between(wxyz, relaxed_hands()[None])
    assert 0.01 < off.max() <= 2 * DRIFT * 0.6 + 1e-6  # the most bent joint has 34 degrees
    assert joint_speed(wxyz).max() < 0.1


def test_wrist_speed_and_braking_of_a_dance():
    joints = np.zeros((60, 52, 3))
    joints[:, 20, 0] = np.arange(60) / FPS  # the left wrist moves at 1 m/s, then stands
    joints[30:, 20, 0] = 1.0
    speed = wrist_speed(joints, FPS)
    np.testing.assert_allclose(speed[5:20, 0], 1.0, atol=1e-3)
    assert speed[45:].max() < 1e-3 and speed[:, 1].max() == 0.0
    brake = braking(speed, FPS)
    assert brake[28:32, 0].min() > 0.5 and brake[:15].max() < 0.1 and brake[:, 1].max() == 0.0


def test_the_grid_has_beats_and_middles():
    np.testing.assert_allclose(half_beats(np.array([1.0, 1.5, 2.5])), [1.0, 1.25, 1.5, 2.0, 2.5])
    assert len(half_beats(np.array([1.0]))) == 0


@pytest.mark.parametrize("num_frames", [0, 1, 2, 3])
def test_short_tracks_are_made_too(num_frames):
    assert made(steady(num_frames)).shape == (num_frames, 30, 4)


@pytest.mark.parametrize(
    ("motion", "beats", "message"),
    [
        (np.zeros((10, 21, 3)), BEATS_S, r"not \[10, 21, 3\]"),
        (np.zeros((10, 3)), BEATS_S, r"not \[10, 3\]"),
        (np.full((10, 2), np.nan), BEATS_S, "must be finite"),
        (np.zeros((10, 2)), np.array([1.0, 1.0]), "increase"),
        (np.zeros((10, 2)), np.array([1.0, np.nan]), "finite seconds"),
    ],
)
def test_what_does_not_fit_is_refused(motion, beats, message):
    with pytest.raises(ValueError, match=message):
        made(motion, beats)


@pytest.mark.data
def test_hands_of_the_real_library_are_possible_smooth_and_in_time(shared_data):
    report = report_hands(made(library=load_hand_library(shared_data)), BEATS_S, FPS)
    assert report.excess_rad < 1e-5 and report.largest_speed_rad_s < MAX_TURN_RAD_S
    assert report.beat_coupling > 2.5 and 0.4 < report.side_correlation < 0.95
    assert report.jerk_rad_s3 < 150  # measured 65 to 79
