"""How far the joints turn in the clips of a store: percentiles about three axes, counted in degrees clip by clip.

Counting keeps a histogram a joint and axis, so a store of any size takes the same memory. Not for what a human can do
(``motion_quality``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soulstream_engine.motion.skeleton import JOINT_INDEX, JOINT_NAMES, NUM_BODY_JOINTS
from soulstream_training.data.store import Clip

PERCENTILES = (1.0, 50.0, 99.0)
_DEGREES = 180  # bins of a degree, from -180 to 180
_CENTRE = ("spine1", "spine2", "spine3", "neck", "head")
_PAIRS = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
_ORDER = [
    JOINT_INDEX[name] for name in (*_CENTRE, *(f"{side}_{pair}" for pair in _PAIRS for side in ("left", "right")))
]


@dataclass(frozen=True, slots=True)
class JointRange:
    """How a joint is turned against its parent, over the clean frames in which it was captured.

    ``low_deg``, ``middle_deg`` and ``high_deg`` are percentiles 1, 50 and 99 of the turn about the axes X (to the
    left), Y (up) and Z (to the front) of the rest pose: the parts of the rotation vector, degrees, -180..180.
    """

    name: str
    low_deg: tuple[float, ...]
    middle_deg: tuple[float, ...]
    high_deg: tuple[float, ...]

    @property
    def widest_deg(self) -> float:
        """Range about the axis that it turns about most."""
        return max(high - low for low, high in zip(self.low_deg, self.high_deg, strict=True))


class JointTurns:
    """Counts the turns of joints 1..21 against their parents."""

    def __init__(self) -> None:
        self._counts = np.zeros((NUM_BODY_JOINTS - 1, 3, 2 * _DEGREES + 1), dtype=np.int64)

    def add(self, clip: Clip) -> None:
        """Counts the clean frames of a clip, for the joints that were captured."""
        is_clean = np.zeros(len(clip.root_m), dtype=np.bool_)
        for start, stop in clip.segments.tolist():
            is_clean[start:stop] = True
        turns = clip.joint_wxyz[is_clean, 1:].astype(np.float64)
        turns *= np.where(turns[..., :1] < 0.0, -1.0, 1.0)
        size = np.linalg.norm(turns[..., 1:], axis=-1, keepdims=True)
        angle = 2.0 * np.arctan2(size, turns[..., :1])
        degrees = np.degrees(turns[..., 1:] / np.maximum(size, 1e-12) * angle)
        bins = np.clip(np.round(degrees), -_DEGREES, _DEGREES).astype(np.int64) + _DEGREES
        for joint in np.flatnonzero(clip.captured[1:NUM_BODY_JOINTS]).tolist():
            for axis in range(3):
                self._counts[joint, axis] += np.bincount(bins[:, joint, axis], minlength=2 * _DEGREES + 1)

    def ranges(self) -> list[JointRange]:
        """Ranges of the joints that were captured: trunk, arms, legs, left and right beside each other."""
        found = []
        for joint in _ORDER:
            counts = self._counts[joint - 1]
            total = int(counts[0].sum())
            if total:
                reached = np.cumsum(counts, axis=-1)
                low, middle, high = (
                    tuple((np.argmax(reached >= total * percent / 100.0, axis=-1) - float(_DEGREES)).tolist())
                    for percent in PERCENTILES
                )
                found.append(JointRange(JOINT_NAMES[joint], low, middle, high))
        return found
