"""Extrapolated rows say what a steady clock says later."""

from __future__ import annotations

import numpy as np
import pytest

from soulstream_engine.clock import FPS
from soulstream_engine.features.extrapolate import extrapolate, read_clock, write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES, TRANSIENT_COLUMNS


def steady_rows(bpm: float, confidence: float, count: int) -> np.ndarray:
    rows = np.random.default_rng(0).uniform(0.1, 1.0, (1, NUM_FEATURES)).astype(np.float32).repeat(count, axis=0)
    phase = 0.3 + np.arange(count) / FPS * bpm / 60.0
    write_clock(rows, phase, np.full(count, bpm), np.full(count, confidence))
    rows[:, COLUMNS["heard"]] = 1.0
    return rows


@pytest.mark.parametrize("bpm", [57.3, 120.0, 203.0])
def test_a_steady_clock_later_says_the_same(bpm: float) -> None:
    rows = steady_rows(bpm, 0.7, 60)
    told = extrapolate(rows[5], 50)
    for name in ("mel", "chroma", "level", "tempo", "confidence"):
        np.testing.assert_array_equal(told[:, COLUMNS[name]], rows[6:56, COLUMNS[name]])
    for name in ("beat", "beat2"):
        np.testing.assert_allclose(told[:, COLUMNS[name]], rows[6:56, COLUMNS[name]], atol=1e-4)
    gap = told[:, COLUMNS["next_beat"]] - rows[6:56, COLUMNS["next_beat"]]
    beat = 60.0 / bpm
    assert np.all(np.abs((gap + beat / 2) % beat - beat / 2) < 1e-4)


def test_unheard_rows_have_no_onsets_and_say_so() -> None:
    told = extrapolate(steady_rows(120.0, 1.0, 1)[0], 8)
    assert told.shape == (8, NUM_FEATURES)
    assert told.dtype == np.float32
    for name in (*TRANSIENT_COLUMNS, "heard"):
        assert not told[:, COLUMNS[name]].any()


def test_an_unknown_phase_stays_unknown() -> None:
    told = extrapolate(steady_rows(140.0, 0.0, 1)[0], 4)
    for name in ("beat", "beat2", "confidence", "next_beat"):
        assert not told[:, COLUMNS[name]].any()
    np.testing.assert_allclose(read_clock(told)[1], 140.0, rtol=1e-5)


def test_leading_axes_are_independent() -> None:
    rows = np.stack([steady_rows(100.0, 0.9, 1)[0], steady_rows(150.0, 0.4, 1)[0]])
    told = extrapolate(rows[None], 6)
    assert told.shape == (1, 2, 6, NUM_FEATURES)
    for k in range(2):
        np.testing.assert_array_equal(told[0, k], extrapolate(rows[k], 6))


def test_no_steps_and_wrong_widths() -> None:
    row = steady_rows(100.0, 0.9, 1)[0]
    assert extrapolate(row, 0).shape == (0, NUM_FEATURES)
    with pytest.raises(ValueError, match="columns"):
        extrapolate(row[:-1], 2)
    with pytest.raises(ValueError, match="steps is -1"):
        extrapolate(row, -1)
