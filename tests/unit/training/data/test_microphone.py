"""Recordings: moved in time by exactly what they say, effects as strong as promised, silence untouched."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from soulstream_training.data.microphone import (
    CLIP_SHARES,
    MAX_DELAY_S,
    MAX_DRIFT,
    SNR_RANGE_DB,
    Effects,
    Heard,
    clip,
    draw_effects,
    record,
    record_with,
)

RATE = 48_000
F32 = NDArray[np.float32]


def _clicks(times_s: NDArray[np.float64], seconds: float) -> F32:
    samples = np.zeros(round(seconds * RATE), np.float32)
    samples[np.round(times_s * RATE).astype(int)] = 0.5
    return samples


def _onset_s(samples: F32, near_s: float) -> float:
    """First sample within 10 ms that is louder than half of the peak there, seconds."""
    start = max(round((near_s - 0.01) * RATE), 0)
    part = np.abs(samples[start : start + round(0.02 * RATE)])
    return (start + int(np.argmax(part > 0.5 * part.max()))) / RATE


def _tune(seconds: float, generator: np.random.Generator) -> F32:
    """Noise that grows and fades, as music does."""
    swell = 0.3 + np.sin(np.arange(round(seconds * RATE)) / 9_000.0) ** 2
    return np.asarray(0.1 * swell * generator.standard_normal(len(swell)), dtype=np.float32)


@pytest.mark.parametrize(
    ("delay_s", "drift"), [(0.0, 0.0), (0.120, 0.0), (0.0371, 50e-6), (0.0, -50e-6), (0.08, 1e-6), (0.08, -2.7e-5)]
)
def test_clicks_are_heard_when_the_recording_says(delay_s: float, drift: float) -> None:
    played_s = np.arange(0.25, 60.0, 2.477)
    heard = record_with(Effects(delay_s=delay_s, drift=drift), _clicks(played_s, 60.0), np.random.default_rng(0))
    expected_s = heard.heard_s(played_s)
    found_s = np.array([_onset_s(heard.samples, float(at)) for at in expected_s])
    assert np.abs(found_s - expected_s).max() < 0.0005
    assert len(heard.samples) / RATE >= float(heard.heard_s(60.0)) - 1e-9
    assert len(heard.samples) / RATE < float(heard.heard_s(60.0)) + 0.001


def test_all_effects_together_keep_the_clicks_in_their_places() -> None:
    played_s = np.arange(0.25, 20.0, 1.31)
    effects = Effects(0.05, 4e-5, room_s=0.4, room_level=0.6, band_hz=(250, 4_000), snr_db=20.0, clip_share=0.001)
    heard = record_with(effects, _clicks(played_s, 20.0), np.random.default_rng(0))
    expected_s = heard.heard_s(played_s)
    found_s = np.array([_onset_s(heard.samples, float(at)) for at in expected_s])
    assert np.abs(found_s - expected_s).max() < 0.0005


def test_played_and_heard_times_are_inverse() -> None:
    heard = Heard(np.zeros(1, np.float32), 0.063, -2e-5, "late63+drift-20")
    times_s = np.linspace(0.0, 600.0, 1001)
    assert np.abs(heard.played_s(heard.heard_s(times_s)) - times_s).max() < 1e-9
    assert float(heard.heard_s(100.0)) == pytest.approx(0.063 + 100.0 - 0.002)
    assert float(heard.played_s(0.0)) < 0.0


@pytest.mark.parametrize("snr_db", [5.0, 17.0, 30.0])
def test_noise_is_as_far_below_the_music_as_it_says(snr_db: float) -> None:
    tune = _tune(10.0, np.random.default_rng(1)).astype(np.float64)
    noisy = record_with(Effects(snr_db=snr_db), tune.astype(np.float32), np.random.default_rng(2)).samples
    gain = float(tune @ noisy) / float(tune @ tune)
    rest = noisy - gain * tune
    measured_db = 10.0 * math.log10(float(np.mean((gain * tune) ** 2)) / float(np.mean(rest**2)))
    assert measured_db == pytest.approx(snr_db, abs=1.0)


@pytest.mark.parametrize("is_soft", [False, True])
@pytest.mark.parametrize("share", CLIP_SHARES)
def test_as_many_samples_are_clipped_as_it_says(share: float, is_soft: bool) -> None:
    effects = Effects(clip_share=share, is_soft=is_soft, peak_dbfs=-6.0)
    samples = np.abs(record_with(effects, _tune(10.0, np.random.default_rng(1)), np.random.default_rng(2)).samples)
    assert samples.max() == pytest.approx(10.0 ** (-6.0 / 20.0), abs=1e-6)
    assert float(np.mean(samples >= samples.max() - 1e-7)) == pytest.approx(share, rel=0.1)


def test_sparse_sound_is_not_clipped_away() -> None:
    clicks = _clicks(np.array([0.5]), 1.0).astype(np.float64)
    assert np.array_equal(clip(clicks, 0.02, is_soft=False), clicks)


def test_the_band_keeps_what_is_inside_and_weakens_what_is_outside() -> None:
    turns = 2.0 * np.pi * np.arange(RATE) / RATE
    tones = (np.sin(40 * turns) + np.sin(1_000 * turns) + np.sin(12_000 * turns)).astype(np.float32)
    samples = record_with(Effects(band_hz=(200, 5_000)), tones, np.random.default_rng(0)).samples
    low, middle, high = np.abs(np.fft.rfft(samples))[[40, 1_000, 12_000]]
    assert middle > 5.0 * max(low, high)


def test_a_room_adds_echoes_behind_the_direct_sound_only() -> None:
    click = _clicks(np.array([0.5]), 1.0)
    samples = record_with(Effects(room_s=0.3, room_level=0.6), click, np.random.default_rng(0)).samples
    at = RATE // 2
    assert int(np.argmax(np.abs(samples))) == at
    assert np.abs(samples[:at]).max() < 1e-6
    assert np.abs(samples[at + 1 : at + 190]).max() < 1e-6
    echoes = samples[at + 190 :].astype(np.float64)
    assert math.sqrt(float(np.sum(echoes**2))) / samples[at] == pytest.approx(0.6, rel=0.01)
    assert np.abs(echoes[round(0.3 * RATE) :]).max() < 1e-6


def test_recordings_are_finite_and_in_their_range_of_level() -> None:
    tune = _tune(2.0, np.random.default_rng(1))
    for seed in range(60):
        heard = record(tune, np.random.default_rng(seed))
        assert heard.samples.dtype == np.float32
        assert np.isfinite(heard.samples).all()
        assert -20.01 < 20.0 * math.log10(float(np.abs(heard.samples).max())) < -0.99
        assert 0.0 <= heard.delay_s <= MAX_DELAY_S
        assert abs(heard.drift) <= MAX_DRIFT
        assert len(heard.samples) / RATE >= float(heard.heard_s(2.0)) - 1e-9


def test_half_of_all_recordings_keep_their_sound() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_effects(generator) for _ in range(4_000)]
    sounds = [
        {"room", "band", "noise", "clip"} & {part.rstrip("0123456789") for part in e.names.split("+")} for e in drawn
    ]
    assert np.mean([not names for names in sounds]) == pytest.approx(0.5, abs=0.05)
    assert np.mean(["clip" in names for names in sounds]) == pytest.approx(0.1, abs=0.02)
    assert all(e.snr_db is None or SNR_RANGE_DB[0] <= e.snr_db <= SNR_RANGE_DB[1] for e in drawn)
    assert all(e.clip_share == 0.0 or CLIP_SHARES[0] <= e.clip_share <= CLIP_SHARES[1] for e in drawn)
    assert min(e.peak_dbfs for e in drawn) >= -20.0 and max(e.peak_dbfs for e in drawn) <= -1.0


def test_effects_are_named_with_their_numbers() -> None:
    effects = Effects(0.063, -20e-6, room_s=0.2, band_hz=(100, 5_000), snr_db=17.2, clip_share=0.01)
    assert effects.names == "room+band+noise17+clip+late63+drift-20"
    assert Effects().names == ""


def test_one_seed_gives_one_recording() -> None:
    tune = _tune(1.0, np.random.default_rng(1))
    for seed in range(12):
        first, again = (record(tune, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first.samples, again.samples)
        assert (first.delay_s, first.drift, first.effects) == (again.delay_s, again.drift, again.effects)
    first, other = (record(tune, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first.samples[:RATE], other.samples[:RATE])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_samples", [0, 1, RATE])
def test_silence_stays_silence(num_samples: int) -> None:
    effects = Effects(0.1, 5e-5, room_s=0.2, band_hz=(100, 5_000), snr_db=5.0, clip_share=0.01, is_soft=True)
    heard = record_with(effects, np.zeros(num_samples, np.float32), np.random.default_rng(0))
    assert not heard.samples.any()
    assert len(heard.samples) >= num_samples + 4_800
    faint = record_with(Effects(), np.full(10, 1e-42, np.float32), np.random.default_rng(0))
    assert np.isfinite(faint.samples).all()


def test_what_is_not_one_finite_channel_is_refused() -> None:
    for bad in (np.zeros((2, 3), np.float32), np.array([0.0, np.nan], np.float32)):
        with pytest.raises(ValueError, match="must be one channel of finite numbers"):
            record(bad, np.random.default_rng(0))
