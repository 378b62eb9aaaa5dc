"""Timing of a dance: a locked dance keeps time and tempo, a random one does so by chance only."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.clock import FPS
from soulstream_training.evaluation.bas import score_beats
from soulstream_training.evaluation.dance_take import DanceTake
from soulstream_training.evaluation.timing import tempo_following, timing_row

DURATION_S = 60.0
BEATS_S = np.arange(0.0, DURATION_S, 60.0 / 124)
SEEDS = range(20)


def dance(stops_s: np.ndarray) -> DanceTake:
    """A dance whose speed dips at the given times."""
    fine = np.arange(0.0, DURATION_S, 1 / 600)
    speed = 1.0 - sum(0.9 * np.exp(-0.5 * ((fine - stop) / 0.08) ** 2) for stop in stops_s)
    x = np.interp(np.arange(int(DURATION_S * FPS)) / FPS, fine, np.cumsum(speed) / 600)
    joints = np.zeros((len(x), 22, 3), np.float32)
    joints[..., 0] = x[:, None]
    return DanceTake("song", joints)


def random_stops(seed: int) -> np.ndarray:
    stops = np.cumsum(np.random.default_rng(seed).uniform(0.3, 0.9, 200))
    return stops[stops < DURATION_S]


def test_a_locked_dance_keeps_time_and_tempo() -> None:
    row = timing_row(dance(BEATS_S[1:-1]), BEATS_S)
    assert row.bas > 0.95
    assert row.reverse > 0.95
    assert row.f1 > 0.95
    assert row.density == pytest.approx(1.0, abs=0.05)
    assert row.shift_p < 0.05
    assert abs(row.median_offset_ms) < 3.0
    assert row.motion_bpm == pytest.approx(124.0, abs=0.1)
    assert row.tempo_error == pytest.approx(0.0, abs=0.001)
    assert (row.tempo_strength or 0.0) > 0.95


def test_the_row_is_that_of_the_beat_scores() -> None:
    take = dance(BEATS_S[2:-1:2] + 0.02)
    row, again = timing_row(take, BEATS_S, seed=7), timing_row(take, BEATS_S, seed=7)
    assert row == again
    assert row.density == pytest.approx(0.5, abs=0.03)
    assert row.median_offset_ms == pytest.approx(20.0, abs=3.0)
    assert row.tempo_error == pytest.approx(0.0, abs=0.001)


def test_a_random_dance_is_at_chance() -> None:
    p_values = [score_beats(BEATS_S, random_stops(seed), DURATION_S, seed=seed).shift_p for seed in SEEDS]
    assert np.mean(np.array(p_values) > 0.05) >= 0.8
    found = [tempo_following(BEATS_S, random_stops(seed), DURATION_S) for seed in SEEDS]
    errors = np.array([tempo.ratio_error for tempo in found if tempo])
    assert len(errors) == len(SEEDS)
    assert 0.1 < errors.mean() < 0.3  # 0.2 by chance
    assert max(tempo.strength for tempo in found if tempo) < 0.5


@pytest.mark.parametrize("every", [0.5, 1.0, 2.0])
def test_half_and_double_tempo_follow(every: float) -> None:
    tempo = tempo_following(np.arange(0.0, 60.0, 0.6), np.arange(0.13, 60.0, 0.6 * every), DURATION_S)
    assert tempo is not None
    assert tempo.music_bpm == pytest.approx(100.0)
    assert tempo.motion_bpm == pytest.approx(100.0, abs=0.01)  # 150 and 200 fit rests on every second beat as well
    assert tempo.ratio_error == pytest.approx(0.0, abs=1e-4)


def test_another_tempo_is_told_by_its_ratio() -> None:
    faster = tempo_following(BEATS_S, np.arange(0.1, 60.0, 60.0 / 136.4), DURATION_S)
    slower = tempo_following(BEATS_S, np.arange(0.1, 60.0, 60.0 / 112.0), DURATION_S)
    assert faster is not None and slower is not None
    assert faster.ratio_error == pytest.approx(0.1, abs=0.001)
    assert faster.motion_bpm == pytest.approx(136.4, abs=0.1)
    assert slower.ratio_error == pytest.approx(124.0 / 112.0 - 1.0, abs=0.001)


@pytest.mark.parametrize("bpm", [60.0, 200.0])
def test_the_ends_of_the_range_are_found(bpm: float) -> None:
    beats = np.arange(0.0, 60.0, 60.0 / bpm)
    tempo = tempo_following(beats, beats + 0.01, DURATION_S)
    assert tempo is not None and tempo.ratio_error == pytest.approx(0.0, abs=0.001)


def test_rests_on_some_beats_only_and_loosely_follow_still() -> None:
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        some = BEATS_S[generator.random(len(BEATS_S)) < 0.46]
        tempo = tempo_following(BEATS_S, some + generator.normal(0.0, 0.05, len(some)), DURATION_S)
        assert tempo is not None and tempo.ratio_error < 0.005  # measured: at most 0.001


def test_gaps_and_rounding_of_the_reference_do_not_change_its_tempo() -> None:
    rounded = np.round(np.delete(BEATS_S, [10, 11, 12, 50]), 2)
    tempo = tempo_following(rounded, BEATS_S, DURATION_S)
    assert tempo is not None and tempo.music_bpm == pytest.approx(124.0, abs=0.02)


def test_few_rests_or_a_short_burst_of_them_have_no_tempo() -> None:
    assert tempo_following(BEATS_S, BEATS_S[:3], DURATION_S) is None
    assert tempo_following(BEATS_S, np.array([1.0, 1.02, 1.04, 1.06]), DURATION_S) is None
    row = timing_row(DanceTake("song", np.zeros((1800, 22, 3), np.float32)), BEATS_S)
    assert (row.bas, row.density, row.tempo_error, row.motion_bpm) == (0.0, 0.0, None, None)


def test_too_few_reference_beats_are_refused() -> None:
    with pytest.raises(ValueError, match="1 reference beats within"):
        tempo_following(np.array([1.0]), BEATS_S, DURATION_S)
