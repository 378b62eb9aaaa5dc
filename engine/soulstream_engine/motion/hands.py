"""A relaxed pair of hands by rule: natural curl, mirrored, with a slow drift so that the fingers never look frozen.

For frames whose hands no model generated. Not for: finger motion that follows the music.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion import rotations

NUM_FINGER_JOINTS = 30
"""Finger joints of both hands: 22..51 of the skeleton, 15 a hand, left first."""

# Flexion in degrees of the three joints of each finger in skeleton order. Source: ours, set by eye on the resting
# cascade of a hanging hand (curl grows from the index to the little finger).
_CURL_DEG: tuple[tuple[float, float, float], ...] = (
    (16.0, 24.0, 13.0),  # index
    (21.0, 29.0, 16.0),  # middle
    (30.0, 34.0, 20.0),  # pinky
    (25.0, 32.0, 18.0),  # ring
    (10.0, 14.0, 16.0),  # thumb
)
_FINGER_AXIS = (0.0, 0.0, -1.0)  # left hand along +X, palm down: flexion turns +X towards -Y
_THUMB_BASE_AXIS = (0.30, 0.86, -0.41)  # brings the thumb alongside the palm and a little under it
_THUMB_AXIS = (0.66, 0.0, -0.75)  # at right angles to the thumb, towards the palm

DRIFT = 0.12
"""Largest relative change of the curl over time (ours)."""

_DRIFT_PERIOD_S = np.array([7.3, 8.9, 11.7, 9.7, 13.1])  # one for each finger; never in step


def _axes() -> NDArray[np.float64]:
    hand = np.array([_FINGER_AXIS] * 12 + [_THUMB_BASE_AXIS, _THUMB_AXIS, _THUMB_AXIS])
    hand /= np.linalg.norm(hand, axis=-1, keepdims=True)
    return np.concatenate([hand, hand * np.array([1.0, -1.0, -1.0])])  # mirror image of a rotation axis at x = 0


_AXES = _axes()
_CURL_RAD = np.tile(np.radians(np.array(_CURL_DEG)).reshape(-1), 2)


def relaxed_hands(curl: ArrayLike = 1.0) -> NDArray[np.float32]:
    """Parent-local rotations of the 30 finger joints of two relaxed hands.

    Args:
        curl: Factors [...] or [..., 30] on the natural flexion: 0 is the flat rest pose, 1 relaxed.

    Returns:
        [30, 4] float32 ``wxyz`` (or [..., 30, 4]), joints 22..51 of the skeleton; the right hand mirrors the left.

    Live: pure.
    """
    factor = np.asarray(curl, dtype=np.float64)
    if factor.ndim == 0 or factor.shape[-1] != NUM_FINGER_JOINTS:
        factor = factor[..., None]
    return rotations.from_axis_angle(_AXES, factor * _CURL_RAD).astype(np.float32)


def resting_hands(indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """Relaxed hands at given frames: the natural curl with a slow drift of each finger.

    Args:
        indices: Frame indices [T] at 30 frames a second.

    Returns:
        [T, 30, 4] float32 ``wxyz``, joints 22..51; a pure function of each index.

    Live: pure.
    """
    seconds = np.asarray(indices, dtype=np.float64)[:, None] / FPS
    turns = seconds / _DRIFT_PERIOD_S
    left = np.sin(2 * np.pi * turns)
    right = np.sin(2 * np.pi * (turns * 0.93 + 0.21))
    drift = np.concatenate([np.repeat(left, 3, axis=-1), np.repeat(right, 3, axis=-1)], axis=-1)
    return relaxed_hands(1.0 + DRIFT * drift)
