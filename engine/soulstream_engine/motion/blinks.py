"""Blinks by rule: when the eyelids close, and how far, as a pure function of a seed and the frame index.

For faces that no model generated. Time is divided into slots of about 3.4 s with one blink each at a random place, so
every minute holds 16 to 19 blinks and two dancers with different seeds never blink together for long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.faces import ARKIT_NAMES

SLOT_FRAMES = 102
"""Frames at 30 fps with exactly one blink (17.6 a minute; people: 10 to 25)."""

DURATION_FRAMES = (3.2, 4.4)
"""Shortest and longest blink in frames at 30 fps (0.107 to 0.147 s; people: 0.1 to 0.15 s)."""

CLOSING_SHARE = 0.36
"""Part of a blink during which the lid closes; the rest it opens, slower (ours)."""

_LIDS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
_MARGIN_FRAMES = 6  # keeps a blink inside its slot and two blinks at least 0.4 s apart
_U64 = np.uint64


def blink_faces(seed: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """ARKit face weights at given frames: neutral, except for the eyelids.

    Args:
        seed: Any integer; the same seed gives the same blinks.
        indices: Frame indices [T] at 30 frames a second, fractions allowed.

    Returns:
        [T, 52] float32 weights 0..1 in Apple's order; the lids close fully on one frame of each blink.

    Live: pure.
    """
    frames = np.asarray(indices, dtype=np.float64)
    slots = np.floor(frames / SLOT_FRAMES).astype(np.int64)
    room = SLOT_FRAMES - 2 * _MARGIN_FRAMES
    closed_at = slots * SLOT_FRAMES + _MARGIN_FRAMES + np.floor(_uniform(seed, slots, 0) * room)
    duration = DURATION_FRAMES[0] + _uniform(seed, slots, 1) * (DURATION_FRAMES[1] - DURATION_FRAMES[0])
    since = frames - closed_at
    span = duration * np.where(since < 0, CLOSING_SHARE, 1 - CLOSING_SHARE)
    closed = 0.5 + 0.5 * np.cos(np.pi * np.minimum(np.abs(since) / span, 1.0))
    face = np.zeros((len(frames), len(ARKIT_NAMES)), dtype=np.float32)
    face[:, _LIDS] = closed[:, None]
    return face


def blink_face(seed: int, index: int) -> NDArray[np.float32]:
    """ARKit face weights [52] float32 of one frame; see ``blink_faces``."""
    return np.asarray(blink_faces(seed, [index])[0])


def _uniform(seed: int, slots: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that depend on the seed, the slot and the stream alone.

    Source: the mixing step of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    mixed = slots.astype(_U64) + _U64((seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & (2**64 - 1))
    for _ in range(2):
        mixed = mixed + _U64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> _U64(27))) * _U64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> _U64(31))
    return np.asarray((mixed >> _U64(11)).astype(np.float64) / 2.0**53)
