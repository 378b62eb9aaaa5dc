"""The beat clock on drums of known tempo and phase: right, early enough, and obedient to the user."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.features.evaluate import phase_error_s, score_track
from soulstream_engine.features.extractor import FeatureExtractor, extract
from soulstream_engine.frames import FeatureFrame

F32 = NDArray[np.float32]


def drums(beat_times_s: NDArray[np.float64], seconds: float, *, seed: int = 0) -> F32:
    """Kick and snare on the beats in turn, a hat on every half beat, over a quiet chord."""
    rng = np.random.default_rng(seed)
    num = int(seconds * SAMPLE_RATE)
    samples = 1e-4 * rng.standard_normal(num + SAMPLE_RATE)
    chord_s = np.arange(num) / SAMPLE_RATE
    samples[:num] += 0.02 * sum(np.sin(2 * np.pi * hz * chord_s) for hz in (220.0, 277.0, 330.0))
    t = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
    kick = 0.6 * np.sin(2 * np.pi * (50 * t + 2 * (1 - np.exp(-30 * t)))) * np.exp(-18 * t)
    snare = (0.3 * rng.standard_normal(len(t)) + 0.3 * np.sin(2 * np.pi * 190 * t)) * np.exp(-35 * t)
    hat = 0.15 * rng.standard_normal(len(t)) * np.exp(-120 * t)
    halves = 0.5 * (beat_times_s[:-1] + beat_times_s[1:])
    for k, time_s in enumerate(beat_times_s):
        at = round(time_s * SAMPLE_RATE)
        if 0 <= at < num:
            samples[at : at + len(t)] += (kick, snare)[k % 2] + hat
    for time_s in halves:
        at = round(time_s * SAMPLE_RATE)
        if 0 <= at < num:
            samples[at : at + len(t)] += hat
    return samples[:num].astype(np.float32)


def steady(bpm: float, first_beat_s: float, seconds: float) -> F32:
    return drums(first_beat_s + np.arange(int(seconds * bpm / 60) + 2) * 60 / bpm, seconds)


def beat_error_s(frame: FeatureFrame, bpm: float, first_beat_s: float) -> float:
    assert frame.beat_phase is not None
    error = phase_error_s(np.array([frame.beat_phase]), np.array([frame.index / FPS]), bpm, first_beat_s)
    return float(error[0])


@pytest.mark.parametrize(("bpm", "first_beat_s"), [(92.0, 0.31), (124.0, 0.0), (155.0, 0.2)])
def test_tempo_and_phase_are_right_within_milliseconds(bpm: float, first_beat_s: float) -> None:
    rows = extract(steady(bpm, first_beat_s, 14.0))
    score = score_track(rows, bpm, first_beat_s)
    assert score.tempo_ok_8s
    assert score.within() == 1.0
    assert abs(np.median(score.phase_s)) < 0.003
    assert score.on_beat == 1.0
    assert score.confidence > 0.9


def test_a_new_tempo_is_found_within_four_seconds() -> None:
    slow = np.arange(0.0, 12.0, 60 / 110)
    quick = slow[-1] + np.arange(1, 25) * 60 / 128
    frames = FeatureExtractor().push(drums(np.concatenate([slow, quick]), slow[-1] + 6.0))
    assert frames[int(11 * FPS)].tempo_bpm == pytest.approx(110, rel=0.02)
    after = [f for f in frames if f.index / FPS > slow[-1] + 4.0]
    for frame in after:
        assert frame.tempo_bpm == pytest.approx(128, rel=0.03)
        assert abs(phase_error_s(np.array([frame.beat_phase]), np.array([frame.index / FPS]), 128.0, float(quick[0]),
                                 beat_share=0.5)[0]) < 0.05  # fmt: skip


def test_taps_set_tempo_and_phase_and_hold_against_the_octave() -> None:
    bpm, first = 70.0, 0.1  # drums that the clock alone counts twice as fast
    samples = steady(bpm, first, 16.0)
    alone = FeatureExtractor().push(samples)[-1]
    assert alone.tempo_bpm == pytest.approx(2 * bpm, rel=0.02)
    extractor = FeatureExtractor()
    extractor.push(samples[: 5 * SAMPLE_RATE])
    results = [
        extractor.tap(first + k * 60 / bpm + jitter) for k, jitter in ((2, 0.0), (3, 0.012), (4, -0.01), (5, 0.0))
    ]
    assert results == [False, True, True, True]
    frames = extractor.push(samples[5 * SAMPLE_RATE :])
    assert frames[0].tempo_bpm == pytest.approx(bpm, rel=0.03)
    assert abs(beat_error_s(frames[0], bpm, first)) < 0.03
    assert frames[-1].tempo_bpm == pytest.approx(bpm, rel=0.02)
    assert abs(beat_error_s(frames[-1], bpm, first)) < 0.01


def test_halve_and_double_change_the_count_and_stay() -> None:
    samples = steady(132.0, 0.0, 24.0)
    extractor = FeatureExtractor()
    assert extractor.push(samples[: 8 * SAMPLE_RATE])[-1].tempo_bpm == pytest.approx(132, rel=0.02)
    assert not extractor.double()  # 264 BPM is out of range
    assert extractor.halve()
    frames = extractor.push(samples[8 * SAMPLE_RATE : 16 * SAMPLE_RATE])
    assert all(f.tempo_bpm == pytest.approx(66, rel=0.03) for f in frames)
    assert extractor.double()
    last = extractor.push(samples[16 * SAMPLE_RATE :])[-1]
    assert last.tempo_bpm == pytest.approx(132, rel=0.02)
    assert abs(beat_error_s(last, 132.0, 0.0)) < 0.01


def test_release_returns_to_the_clocks_own_tempo() -> None:
    samples = steady(132.0, 0.0, 40.0)
    extractor = FeatureExtractor()
    extractor.push(samples[: 8 * SAMPLE_RATE])
    extractor.halve()
    extractor.push(samples[8 * SAMPLE_RATE : 10 * SAMPLE_RATE])
    extractor.release()
    assert extractor.push(samples[10 * SAMPLE_RATE :])[-1].tempo_bpm == pytest.approx(132, rel=0.02)


def test_nudge_shifts_the_phase_for_good() -> None:
    samples = steady(120.0, 0.0, 12.0)
    extractor = FeatureExtractor()
    extractor.push(samples[: 8 * SAMPLE_RATE])
    extractor.nudge(0.5)
    frames = extractor.push(samples[8 * SAMPLE_RATE :])
    for frame in (frames[0], frames[-1]):
        assert abs(abs(beat_error_s(frame, 120.0, 0.0)) - 0.25) < 0.005


def test_noise_is_not_trusted() -> None:
    noise = 0.05 * np.random.default_rng(1).standard_normal(10 * SAMPLE_RATE).astype(np.float32)
    frames = FeatureExtractor().push(noise)
    assert max(f.confidence for f in frames) < 0.1
    assert all(f.tempo_bpm is None and f.beat_phase is None for f in frames)
