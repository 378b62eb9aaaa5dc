"""Beat scores: a locked dance is found, an unlocked or displaced one is not."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.evaluation.bas import (
    beat_alignment,
    beat_f1,
    in_sync_share,
    median_offset,
    off_beats,
    score_beats,
)

DURATION_S = 60.0
BEATS_S = np.arange(0.0, DURATION_S, 60.0 / 124)


def _dance(stops_s: np.ndarray, duration_s: float = DURATION_S) -> np.ndarray:
    """[T, 22, 3] joints that move at a speed that dips at the given times."""
    fine = np.arange(0.0, duration_s, 1 / 600)
    speed = 1.0 - sum(0.9 * np.exp(-0.5 * ((fine - stop) / 0.08) ** 2) for stop in stops_s)
    path = np.cumsum(speed) / 600
    x = np.interp(np.arange(int(duration_s * 30)) / 30, fine, path)
    joints = np.zeros((len(x), 22, 3))
    joints[..., 0] = x[:, None]
    return joints


def test_kinematic_beats_are_finer_than_a_frame() -> None:
    stops_s = (0.7 + 0.61 * np.arange(31)) + np.random.default_rng(0).uniform(-0.05, 0.05, 31)
    found_s = kinematic_beats(_dance(stops_s, 20.0))
    assert len(found_s) == len(stops_s)
    assert np.abs(found_s - stops_s).max() < 0.012
    assert abs(np.median(found_s - stops_s)) < 0.002


def test_stillness_and_short_motion_have_no_beats() -> None:
    assert len(kinematic_beats(np.zeros((90, 22, 3)))) == 0
    assert len(kinematic_beats(np.zeros((1, 22, 3)))) == 0


def test_locked_dance_scores_high_and_is_significant() -> None:
    score = score_beats(BEATS_S, kinematic_beats(_dance(BEATS_S[1:-1])), DURATION_S)
    assert score.bas > 0.95
    assert score.shift_p < 0.05
    assert score.f1 > 0.95
    assert score.density == pytest.approx(1.0, abs=0.05)
    assert abs(score.median_offset_ms) < 3.0


def test_off_beat_dance_is_significant_too() -> None:
    score = score_beats(BEATS_S, off_beats(BEATS_S, DURATION_S)[1:], DURATION_S)
    assert score.is_off_beat
    assert score.bas > 0.95
    assert score.shift_p < 0.05


def test_unlocked_dance_is_not_significant() -> None:
    generator = np.random.default_rng(3)
    p_values = []
    for _ in range(20):
        stops_s = np.cumsum(generator.uniform(0.3, 0.7, 140))
        p_values.append(score_beats(BEATS_S, stops_s, DURATION_S).shift_p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.15


def test_locked_but_displaced_dance_is_not_significant_and_its_offset_is_told() -> None:
    late_s = 0.25 * 60.0 / 124 - 0.03
    score = score_beats(BEATS_S, BEATS_S + late_s, DURATION_S)
    assert score.shift_p > 0.2
    assert score.median_offset_ms == pytest.approx(1000 * late_s, abs=1.0)
    assert score.best_offset_ms == pytest.approx(1000 * late_s, abs=6.0)


def test_alignment_and_f1_at_their_limits() -> None:
    assert beat_alignment(BEATS_S, BEATS_S) == pytest.approx(1.0)
    assert beat_alignment(BEATS_S, np.zeros(0)) == 0.0
    assert beat_alignment(np.array([1.0]), np.array([1.05])) == pytest.approx(np.exp(-0.5))
    assert beat_f1(BEATS_S, BEATS_S + 0.069) == pytest.approx(1.0)
    assert beat_f1(BEATS_S, BEATS_S + 0.071) == 0.0
    assert beat_f1(np.array([1.0, 2.0]), np.array([1.0, 1.01, 2.0])) == pytest.approx(0.8)
    assert median_offset(BEATS_S, BEATS_S[:-1] + 0.02, 0.5 * 60 / 124) == pytest.approx(0.02, abs=1e-6)


def test_too_few_reference_beats_are_refused() -> None:
    with pytest.raises(ValueError, match="1 reference beats within"):
        score_beats(np.array([1.0]), BEATS_S, DURATION_S)


def test_a_dance_is_in_sync_a_little_early_or_late_and_each_beat_needs_a_rest_of_its_own() -> None:
    """ITU-R BT.1359: a picture up to 125 ms early or 45 ms late goes unnoticed."""
    for late_s, share in ((-0.12, 1.0), (0.04, 1.0), (-0.13, 0.0), (0.05, 0.0)):
        assert in_sync_share(BEATS_S, BEATS_S + late_s) == share
    assert in_sync_share(np.array([1.0, 2.0, 3.0]), np.array([0.95, 1.0, 2.0])) == pytest.approx(2 / 3)
    assert in_sync_share(np.array([1.0, 1.1]), np.array([1.0])) == 0.5
    assert in_sync_share(BEATS_S, np.zeros(0)) == 0.0
    score = score_beats(BEATS_S, BEATS_S - 0.03, float(BEATS_S[-1]) + 0.5)
    assert score.in_sync > 0.95
    assert 0.1 < score.in_sync_shifted < 0.9
