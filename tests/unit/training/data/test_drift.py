"""Drifting motion leaves the beat, always comes back, and says where it must not be imitated."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.clock import FPS
from soulstream_training.data.drift import LARGEST_BEATS, LEAVE_RATE, RETURN_RATE, drifted_frames

FRAMES = 3000


@pytest.fixture(params=[0.35, 0.7])
def drift(request: pytest.FixtureRequest) -> tuple[float, np.ndarray, np.ndarray]:
    beat_s: float = request.param
    frames, trusted = drifted_frames(FRAMES, beat_s, np.random.default_rng(1))
    return beat_s, (frames - np.arange(FRAMES)) / FPS, trusted


def test_it_leaves_by_up_to_half_a_beat_and_comes_back(drift: tuple[float, np.ndarray, np.ndarray]) -> None:
    beat_s, offset_s, _ = drift
    assert 0.3 * beat_s < np.abs(offset_s).max() <= LARGEST_BEATS * beat_s + 1e-9
    assert (np.abs(offset_s) < 0.02).mean() > 0.2
    longest = np.diff(np.flatnonzero(np.concatenate([[True], np.abs(offset_s) < 0.02, [True]]))).max()
    assert longest < 4 * FPS  # it never stays away


def test_time_never_runs_backwards_nor_away(drift: tuple[float, np.ndarray, np.ndarray]) -> None:
    _, offset_s, _ = drift
    rate = 1.0 + np.diff(offset_s) * FPS
    assert rate.min() > 1.0 - LEAVE_RATE - 0.01
    assert rate.max() < 1.0 + LEAVE_RATE + 0.01


def test_what_is_trusted_only_stays_or_returns(drift: tuple[float, np.ndarray, np.ndarray]) -> None:
    _, offset_s, trusted = drift
    assert 0.4 < trusted.mean() < 0.95
    grows = np.diff(np.abs(offset_s)) * FPS
    kept = (trusted[1:] > 0) & (trusted[:-1] > 0)
    assert grows[kept].max() < 0.02
    assert grows[kept].min() > -RETURN_RATE - 0.01
    assert (np.abs(offset_s[trusted > 0]) > 0.05).mean() > 0.1, "no return is left to learn from"


def test_equal_generators_drift_alike() -> None:
    first, again = (drifted_frames(300, 0.5, np.random.default_rng(3))[0] for _ in range(2))
    assert np.array_equal(first, again)
