"""Bends motion in time: which moment of a clip is shown when, so that its rests fall on beats and stand out there.

A rest that was put on a beat is an *anchor*. Between anchors time runs evenly (a monotone curve); around each anchor
the motion is accented: slower at the rest, faster before and after, as dancers do who hit the beat. Rests that fit no
beat are hurried through instead, so that they do not compete. No rest is made where the dancer had none.

Letters: A anchors, S skipped rests, U frames after bending.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from soulstream_engine.clock import FPS

F64 = NDArray[np.float64]

REACH_BEATS = 1.0
"""How far an accent reaches from its anchor, and at most half way to the next one."""
HURRY_BEATS = 0.35
"""How far the hurrying reaches from a skipped rest."""
NEAR_BEATS = 0.3
"""A skipped rest this close to an anchor belongs to its accent."""
_STEPS_A_BEAT = 100


def bend(
    anchor_s: F64,
    beat: NDArray[np.int64],
    skipped_s: F64,
    *,
    period_s: float,
    num_frames: int,
    speed: float = 1.0,
    accent: float = 0.0,
) -> tuple[F64, float]:
    """Time map of a clip.

    Args:
        anchor_s: [A] times of the anchors in the clip, seconds, increasing, A >= 1.
        beat: [A] the beat on which each one falls.
        skipped_s: [S] times of the rests that fall on no beat, seconds.
        period_s: Length of a beat in the clip's own time, seconds.
        num_frames: Frames of the clip.
        speed: Factor the bent clip is danced at.
        accent: Depth of the accents, 0..0.9: the motion runs slower by this share at a rest, faster at a skipped one.

    Returns:
        [U] frame of the clip (fractional) shown at each frame, and the beat number, fractional, at the first of them.

    Source: ours, after beat-aligned time warping (Davis and Agrawala, Visual Rhythm and Beat, 2018).
    """
    end_s = (num_frames - 1) / FPS
    first = float(beat[0]) - float(anchor_s[0]) / period_s
    last = float(beat[-1]) + (end_s - float(anchor_s[-1])) / period_s
    beats = np.concatenate([[first - 1.0, first], beat, [last, last + 1.0]])
    times = np.concatenate([[-period_s, 0.0], anchor_s, [end_s, end_s + period_s]])
    apart = np.concatenate([[True], (np.diff(beats) > 1e-6) & (np.diff(times) > 1e-6)])
    beats, times = beats[apart], times[apart]
    curve = PchipInterpolator(beats, times)
    music_beat, clip_beat = _accented(beat.astype(np.float64), np.interp(skipped_s, times, beats), first, last, accent)
    first, last = np.interp([first, last], clip_beat, music_beat).tolist()
    num_bent = int(np.floor((last - first) * period_s / speed * FPS + 1e-9)) + 1
    at = first + np.arange(num_bent) / FPS * speed / period_s
    return np.clip(curve(np.interp(at, music_beat, clip_beat)) * FPS, 0.0, num_frames - 1.0), first


def _accented(anchors: F64, skipped: F64, first: float, last: float, accent: float) -> tuple[F64, F64]:
    """Beats of the music on a fine grid, and the beat of the evenly bent clip that is shown at each: [G], [G]."""
    start, stop = np.floor(first - 1.0), np.ceil(last + 1.0)
    grid = np.linspace(start, stop, int(stop - start) * _STEPS_A_BEAT + 1)
    before = np.clip(np.searchsorted(anchors, grid, side="right") - 1, 0, len(anchors) - 1)
    after = np.minimum(before + 1, len(anchors) - 1)
    gap = np.where(after > before, anchors[after] - anchors[before], 2.0 * REACH_BEATS)
    reach = np.minimum(0.5 * gap, REACH_BEATS)
    slow = np.maximum(*(_bump(grid - anchors[side], reach) for side in (before, after)))
    competing = skipped[np.min(np.abs(skipped[:, None] - anchors[None]), axis=1) > NEAR_BEATS]
    hurried = _bump(grid[None] - competing[:, None], HURRY_BEATS).sum(axis=0)
    rate = 1.0 - accent * slow + accent * hurried
    run = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1])) / _STEPS_A_BEAT])
    at_anchor = np.interp(anchors, grid, run)
    shown = np.interp(run, at_anchor, anchors)
    shown = np.where(run < at_anchor[0], anchors[0] + run - at_anchor[0], shown)
    return grid, np.where(run > at_anchor[-1], anchors[-1] + run - at_anchor[-1], shown)


def _bump(distance: F64, reach: F64 | float) -> F64:
    """Raised cosine: 1 at distance 0, 0 from ``reach`` on."""
    return np.where(np.abs(distance) < reach, 0.5 + 0.5 * np.cos(np.pi * distance / reach), 0.0)
