"""Rows that have not been heard yet: the beat clock run forward, timbre and energy held, onsets empty.

Used live (``runtime``) and in training (music hidden after a random horizon), so that both see the same thing.
Not for: guessing onsets or chords. Pure function of one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES, REFERENCE_BPM, TRANSIENT_COLUMNS

_TWO_PI = 2.0 * np.pi


def write_clock(
    rows: NDArray[np.float32],
    phase: NDArray[np.float64],
    bpm: NDArray[np.float64],
    confidence: NDArray[np.float64],
) -> None:
    """Fill the clock columns (beat, beat2, tempo, confidence, next_beat) of rows in place.

    Args:
        rows: [..., F] float32, changed in place.
        phase: [...] beat phase in turns at the time of each row; any real number.
        bpm: [...] tempo, beats a minute, positive.
        confidence: [...] trust 0..1; 0 means that the phase is not known.
    """
    angle = phase * _TWO_PI
    rows[..., COLUMNS["beat"].start] = confidence * np.sin(angle)
    rows[..., COLUMNS["beat"].start + 1] = confidence * np.cos(angle)
    rows[..., COLUMNS["beat2"].start] = confidence * np.sin(2.0 * angle)
    rows[..., COLUMNS["beat2"].start + 1] = confidence * np.cos(2.0 * angle)
    rows[..., COLUMNS["tempo"].start] = np.log2(bpm / REFERENCE_BPM)
    rows[..., COLUMNS["confidence"].start] = confidence
    to_go = np.ceil(phase) - phase
    rows[..., COLUMNS["next_beat"].start] = np.where(confidence > 0.0, to_go * 60.0 / bpm, 0.0)


def read_clock(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Phase, tempo and confidence of rows.

    Args:
        rows: [..., F] float32.

    Returns:
        phase [...] in turns 0..1 (0 when the confidence is 0), bpm [...], confidence [...], all float64.
    """
    sine = rows[..., COLUMNS["beat"].start].astype(np.float64)
    cosine = rows[..., COLUMNS["beat"].start + 1].astype(np.float64)
    phase = np.mod(np.arctan2(sine, cosine) / _TWO_PI, 1.0)
    bpm = REFERENCE_BPM * np.exp2(rows[..., COLUMNS["tempo"].start].astype(np.float64))
    return phase, bpm, rows[..., COLUMNS["confidence"].start].astype(np.float64)


def extrapolate(row: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Rows ``n + 1`` to ``n + steps`` as they look before they are heard, from row ``n`` alone.

    Phase and time to the next beat run on at the row's tempo; tempo, confidence, mel, chroma and level are held;
    onset and bands are 0; ``heard`` is 0.

    Args:
        row: [..., F] float32, the last heard row; any leading axes.
        steps: How many rows, 0 or more.

    Returns:
        [..., steps, F] float32.

    Raises:
        ValueError: The last axis is not F wide or ``steps`` is negative.
    """
    row = np.asarray(row, dtype=np.float32)
    if row.shape[-1] != NUM_FEATURES:
        raise ValueError(f"a feature row has {NUM_FEATURES} columns, this one {row.shape[-1]}")
    if steps < 0:
        raise ValueError(f"steps is {steps}, must be 0 or more")
    rows = np.repeat(row[..., None, :], steps, axis=-2)
    phase, bpm, confidence = read_clock(row)
    ahead_s = np.arange(1, steps + 1, dtype=np.float64) / FPS
    later = phase[..., None] + ahead_s * bpm[..., None] / 60.0
    shape = later.shape
    write_clock(rows, later, np.broadcast_to(bpm[..., None], shape), np.broadcast_to(confidence[..., None], shape))
    for name in TRANSIENT_COLUMNS:
        rows[..., COLUMNS[name]] = 0.0
    rows[..., COLUMNS["heard"]] = 0.0
    return rows
