"""Hands and faces in numbers: how many minutes were captured, and what those made by rule are like.

What a rule made has no truth to be compared with: these numbers say that it is possible, smooth and in time, not that
it is right. Not for single tracks (``synthetic_report``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soulstream_engine.clock import FPS
from soulstream_engine.motion.skeleton import forward_kinematics
from soulstream_training.data.hands_and_face import RULE_SPACE
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.data.store import Clip
from soulstream_training.data.synthetic_report import FaceReport, HandReport, report_face, report_hands

MIN_FRAMES = 60
"""Shorter clips tell nothing of smoothness or beats. Source: ours."""


@dataclass(frozen=True, slots=True)
class PartNumbers:
    """Hands or face of a set.

    Attributes:
        part: ``hands`` or ``face``.
        captured_minutes: Minutes of frames that were captured.
        rule_minutes: Minutes of frames made by rule, or empty where no rule makes them.
        values: What those by rule are like: name, value with its unit.
    """

    part: str
    captured_minutes: float
    rule_minutes: float
    values: tuple[tuple[str, str], ...]


class PartCounts:
    """Adds up clips."""

    def __init__(self) -> None:
        self._frames = np.zeros((2, 2))  # hands and face, captured and not
        self._hands: list[HandReport] = []
        self._faces: list[FaceReport] = []

    def add(self, clip: Clip) -> None:
        """Counts one more clip.

        Args:
            clip: Of the store.
        """
        made = clip.synthetic.sum(axis=0)
        self._frames += np.stack([len(clip.synthetic) - made, made], axis=1)
        if len(clip.root_m) < MIN_FRAMES:
            return
        rests_s = kinematic_beats(forward_kinematics(clip.root_m, clip.joint_wxyz))
        if clip.entry.hands == "rule":
            self._hands.append(report_hands(clip.finger_wxyz, rests_s, FPS))
        if clip.entry.face == "rule" and clip.entry.face_space == RULE_SPACE:
            self._faces.append(report_face(clip.face, rests_s, FPS))

    def numbers(self) -> tuple[PartNumbers, PartNumbers]:
        """What was counted: hands, face."""
        minutes = self._frames / FPS / 60.0
        hands = [
            ("largest angle of a finger joint, degrees", _worst(np.degrees([r.largest_rad for r in self._hands]))),
            ("beyond human range, degrees", _worst(np.degrees([r.excess_rad for r in self._hands]))),
            ("fastest joint, rad/s", _worst([r.largest_speed_rad_s for r in self._hands])),
            ("jerk, rad/s³, median", _median([r.jerk_rad_s3 for r in self._hands])),
            ("changes on rests and between, times chance, median", _median([r.beat_coupling for r in self._hands])),
            ("left against right, correlation, median", _median([r.side_correlation for r in self._hands])),
        ]
        face = [
            ("above the limit of a shape", _worst([r.excess for r in self._faces])),
            ("jerk, 1/s³, median", _median([r.jerk_per_s3 for r in self._faces])),
            ("accents on rests, times chance, median", _median([r.beat_coupling for r in self._faces])),
            ("effective dimension, median", _median([r.dimension for r in self._faces])),
        ]
        return (
            PartNumbers("hands", float(minutes[0, 0]), float(minutes[0, 1]), tuple(hands) if self._hands else ()),
            PartNumbers("face", float(minutes[1, 0]), float(minutes[1, 1]), tuple(face) if self._faces else ()),
        )


def _worst(values: object) -> str:
    found = np.asarray(values, dtype=np.float64)
    return f"{np.nanmax(found):.2f}" if np.isfinite(found).any() else "not known"


def _median(values: object) -> str:
    found = np.asarray(values, dtype=np.float64)
    return f"{np.nanmedian(found):.2f}" if np.isfinite(found).any() else "not known"
