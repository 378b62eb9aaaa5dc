"""The report on synthetic motion: chance is 1, the grid is more, and what is impossible is found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from soulstream_engine.motion.faces import ARKIT_INDEX
from soulstream_engine.motion.hands import relaxed_hands
from soulstream_training.data.hand_library import rotvec_to_wxyz
from soulstream_training.data.synthetic_report import beat_coupling, effective_dimension, report_face, report_hands

FPS = 30.0
GRID_S = np.arange(0.5, 60.0, 0.5)


def bumps(times_s, seconds=60.0):
    middle_s = (np.arange(round(seconds * FPS) - 1) + 0.5) / FPS
    return np.exp(-0.5 * ((middle_s[:, None] - np.asarray(times_s)) / 0.05) ** 2).sum(axis=1)


def test_moments_on_the_grid_couple_as_much_as_can_be():
    assert beat_coupling(bumps(GRID_S[::2] + 0.003), GRID_S, FPS) == pytest.approx(1 / 0.24, rel=0.01)


def test_moments_between_the_grid_do_not_couple():
    assert beat_coupling(bumps(GRID_S[::2] + 0.25), GRID_S, FPS) == 0.0


def test_moments_anywhere_couple_as_chance_does():
    times = np.random.default_rng(0).uniform(0, 600, 500)
    assert beat_coupling(bumps(times, 600.0), np.arange(0.5, 600.0, 0.5), FPS) == pytest.approx(1.0, abs=0.25)


def test_without_a_grid_or_without_motion_there_is_no_coupling():
    assert math.isnan(beat_coupling(bumps(GRID_S), GRID_S[:1], FPS))
    assert math.isnan(beat_coupling(np.zeros(100), GRID_S, FPS))


def test_directions_are_counted():
    values = np.random.default_rng(0).normal(size=(5000, 6))
    dimension, participation = effective_dimension(np.concatenate([values, values[:, :3]], axis=1))
    assert dimension == 6 and participation == pytest.approx(5.4, abs=0.2)
    assert effective_dimension(np.ones((10, 4))) == (0, 0.0)


def test_still_hands_are_reported_as_still():
    report = report_hands(np.repeat(relaxed_hands()[None], 90, axis=0), GRID_S, FPS)
    assert report.excess_rad < 1e-6 and report.largest_speed_rad_s < 1e-3 and report.jerk_rad_s3 < 1e-2
    assert math.isnan(report.beat_coupling) and report.largest_rad == pytest.approx(np.radians(34), abs=1e-3)


def test_impossible_and_fast_fingers_are_found():
    vectors = np.zeros((90, 30, 3))
    vectors[45:, 0, 2] = -np.radians(120.0)  # 30 degrees beyond the knuckle's range, within one frame
    report = report_hands(rotvec_to_wxyz(vectors), GRID_S, FPS)
    assert report.excess_rad == pytest.approx(np.radians(30.0))
    assert report.largest_speed_rad_s == pytest.approx(np.radians(120.0) * FPS)
    assert math.isnan(report.side_correlation)


def test_a_jaw_that_opens_too_far_is_found():
    face = np.zeros((90, 52))
    face[30:60, ARKIT_INDEX["jawOpen"]] = 0.5
    report = report_face(face, GRID_S, FPS)
    assert report.largest == {"jawOpen": 0.5} and report.excess == pytest.approx(0.2) and report.largest_step == 0.5
    assert report.dimension == 1 and report.participation == pytest.approx(1.0)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"not \[9, 15, 4\]"):
        report_hands(np.zeros((9, 15, 4)), GRID_S, FPS)
    with pytest.raises(ValueError, match=r"not \[3, 52\]"):
        report_face(np.zeros((3, 52)), GRID_S, FPS)
