"""Live blocks and the whole file give the same rows, controls included; the forecast comes true."""

from __future__ import annotations

import numpy as np

from soulstream_engine.clock import FPS, SAMPLE_RATE
from soulstream_engine.features.extractor import FeatureExtractor, extract
from soulstream_engine.features.extrapolate import extrapolate, read_clock
from soulstream_engine.features.layout import NUM_FEATURES


def clicks(seconds: float, bpm: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    samples = 1e-4 * rng.standard_normal(int((seconds + 1) * SAMPLE_RATE))
    t = np.arange(4800) / SAMPLE_RATE
    click = 0.5 * np.exp(-40 * t) * (np.sin(2 * np.pi * 180 * t) + 0.3 * rng.standard_normal(len(t)))
    for k in range(int(seconds * bpm / 60)):
        at = round(k * 60 / bpm * SAMPLE_RATE)
        samples[at : at + len(click)] += click
    return samples[: int(seconds * SAMPLE_RATE)].astype(np.float32)


def test_blocks_of_a_sound_card_equal_the_whole_file() -> None:
    samples = clicks(9.0, 118.0)
    extractor = FeatureExtractor()
    frames = [f for at in range(0, len(samples), 512) for f in extractor.push(samples[at : at + 512])]
    np.testing.assert_array_equal(np.stack([f.values for f in frames]), extract(samples))


def test_an_empty_recording_has_no_rows() -> None:
    assert extract(np.zeros(0, np.float32)).shape == (0, NUM_FEATURES)
    assert extract(np.zeros(1599, np.float32)).shape == (0, NUM_FEATURES)


def test_the_forecast_of_a_steady_beat_comes_true() -> None:
    rows = extract(clicks(14.0, 118.0))
    ahead = 32  # one window of the sampler
    told = extrapolate(rows[10 * FPS], ahead)
    later = rows[10 * FPS + 1 : 10 * FPS + 1 + ahead]
    gap = (read_clock(told)[0] - read_clock(later)[0] + 0.5) % 1.0 - 0.5
    assert np.abs(gap).max() * 60 / 118 < 0.004
