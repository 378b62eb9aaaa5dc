"""Feature rows: timing, silence, level, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.features.extractor import FeatureExtractor, extract
from soulstream_engine.features.layout import COLUMNS, FEATURE_NAMES, NUM_FEATURES

F32 = NDArray[np.float32]


def pulses(seconds: float, gain: float = 0.5) -> F32:
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    envelope = np.exp(-12.0 * (t % 0.5))
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (gain * envelope * (np.sin(2 * np.pi * 110 * t) + 0.2 * noise)).astype(np.float32)


def test_columns_cover_the_row_once() -> None:
    covered = [i for s in COLUMNS.values() for i in range(s.start, s.stop)]
    assert covered == list(range(NUM_FEATURES)) == list(range(len(FEATURE_NAMES)))


def test_a_row_needs_exactly_its_own_samples() -> None:
    extractor = FeatureExtractor()
    assert extractor.push(pulses(1.0)[: SAMPLES_PER_FRAME - 1]) == []
    (frame,) = extractor.push(np.zeros(1, np.float32))
    assert frame.index == 0
    assert frame.values.shape == (NUM_FEATURES,)
    assert frame.values.dtype == np.float32


def test_rows_are_causal() -> None:
    samples = pulses(3.0)
    other = samples.copy()
    other[60 * SAMPLES_PER_FRAME :] = 0.3
    np.testing.assert_array_equal(extract(samples)[:60], extract(other)[:60])
    assert not np.array_equal(extract(samples)[60], extract(other)[60])


def test_gain_does_not_change_the_rows() -> None:
    loud, quiet = extract(pulses(6.0)), extract(pulses(6.0, gain=0.05))
    late = slice(2 * FPS, None)
    np.testing.assert_allclose(loud[late], quiet[late], atol=0.05)


def test_chroma_names_the_pitch() -> None:
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    rows = extract((0.2 * np.sin(2 * np.pi * 440.0 * t)).astype(np.float32))
    assert int(np.argmax(rows[-1, COLUMNS["chroma"]])) == 9  # A


def test_an_onset_is_reported_in_its_frame_or_the_next() -> None:
    samples = 1e-4 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    samples[45 * SAMPLES_PER_FRAME + 100 :] += pulses(2.0)[: 2 * SAMPLE_RATE - 45 * SAMPLES_PER_FRAME - 100]
    onset = extract(samples)[:, COLUMNS["onset"].start]
    assert max(onset[45:47]) >= 1.0
    assert max(onset[35:45]) < 0.5


def test_a_minute_of_nothing_is_silent_and_music_is_heard_at_once() -> None:
    extractor = FeatureExtractor()
    first = extractor.push(pulses(3.0))
    assert not first[-1].is_silent
    silent = extractor.push(np.zeros(60 * SAMPLE_RATE, np.float32))
    assert not silent[5].is_silent
    assert all(f.is_silent for f in silent[FPS:])
    assert all(f.confidence == 0.0 for f in silent[3 * FPS :])
    assert all(np.isfinite(f.values).all() for f in silent)
    assert not extractor.push(pulses(0.1))[0].is_silent


def test_noise_floor_of_a_microphone_is_silent() -> None:
    hiss = 4e-4 * np.random.default_rng(0).standard_normal(60 * SAMPLE_RATE).astype(np.float32)  # -68 dBFS
    frames = FeatureExtractor().push(hiss)
    assert all(f.is_silent for f in frames)
    louder = FeatureExtractor().push(8.0 * hiss[: 30 * SAMPLE_RATE])  # -50 dBFS: a noisy room
    assert all(f.is_silent for f in louder[10 * FPS :])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_bad_samples_never_reach_the_rows(bad: float) -> None:
    samples = pulses(3.0)
    samples[20_000:20_100] = bad
    extractor = FeatureExtractor()
    frames = extractor.push(samples)
    assert all(np.isfinite(f.values).all() and np.isfinite(f.level_dbfs) for f in frames)
    assert extractor.bad_samples == (0 if np.isfinite(bad) else 100)


def test_more_than_one_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="2 axes"):
        FeatureExtractor().push(np.zeros((100, 2), np.float32))


def test_rows_stay_in_a_small_range() -> None:
    rows = extract(np.concatenate([pulses(4.0), np.zeros(SAMPLE_RATE, np.float32), pulses(4.0, gain=4.0)]))
    assert np.abs(rows).max() <= 3.0
