"""Moments of rest: where a smoothed speed is lowest, finer than a sample."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from soulstream_engine.motion.rests import SMOOTHING_S, minima, smoothed


def test_smoothing_is_the_gaussian_of_the_field() -> None:
    speed = np.random.default_rng(0).uniform(size=(3, 80))
    for fps in (30.0, 60.0):
        expected = gaussian_filter1d(speed, SMOOTHING_S * fps, axis=-1, mode="nearest")
        assert np.abs(smoothed(speed, fps) - expected).max() < 1e-12
    assert smoothed(speed[0, :3], 30.0).shape == (3,)


def test_minima_are_found_between_samples() -> None:
    at = np.arange(60.0)
    curve = -np.cos(2.0 * np.pi * (at - 3.3) / 11.0)
    assert np.abs(minima(curve) - (3.3 + 11.0 * np.arange(6))[: len(minima(curve))]).max() < 0.02


def test_flat_and_short_curves_have_none() -> None:
    assert len(minima(np.ones(20))) == 0
    assert len(minima(np.array([1.0, 0.0]))) == 0
    assert len(minima(np.array([0.0, 1.0, 2.0, 3.0]))) == 0
