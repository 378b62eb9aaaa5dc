"""What a face does over a dance: statistics that describe it. None of them says whether it is a good face.

A dance without expression and one with a broken face both show here by comparing with recordings, nothing else does.
Not for: how far a face is from a true one (``face``).

Letters: T frames, C shapes (the 52 of ``arkit52``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES, FACE_SPACES

F64 = NDArray[np.float64]

LID_CLOSED, LID_OPEN = 0.5, 0.25
"""Mean weight of the lids from which they are closed, and below which they are open again. Source: ours; a blink of
``motion.blinks`` passes both within a frame or two, and no lid that follows the gaze down gets so far."""

LONGEST_BLINK_S = 0.5
"""Eyes that stay closed for longer do not blink (ours)."""

NEUTRAL = 0.05
"""Largest weight in a neutral face, and largest range of a weight that counts as not used (ours)."""

_LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
_EXPRESSIVE = [index for index, name in enumerate(ARKIT_NAMES) if not name.startswith(("eyeBlink", "eyeLook"))]


@dataclass(frozen=True, slots=True)
class ExpressionStatistics:
    """Statistics of one face, not its quality.

    Attributes:
        ranges: Largest less smallest weight of each shape that is used, by name.
        num_used: Shapes that are used: their range is over ``NEUTRAL``.
        mean_range: Mean range over all 52 shapes.
        blinks_a_minute: Closures of both lids that open again within ``LONGEST_BLINK_S``.
        neutral_share: Share of frames in which no shape but blinks and gaze is over ``NEUTRAL``.
        mean_change: Mean absolute change of a weight from frame to frame, over all 52 shapes.
    """

    ranges: dict[str, float]
    num_used: int
    mean_range: float
    blinks_a_minute: float
    neutral_share: float
    mean_change: float


def expression_statistics(face: NDArray[np.floating]) -> ExpressionStatistics:
    """Describes a face at 30 fps.

    Args:
        face: [T, 52] ARKit weights in Apple's order, T >= 2.

    Returns:
        The statistics.

    Raises:
        ValueError: If the shape does not fit or a weight is not finite.
    """
    weights = np.asarray(face, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != FACE_SPACES["arkit52"] or len(weights) < 2:
        raise ValueError(f"a face must be [T >= 2, {FACE_SPACES['arkit52']}], not {list(weights.shape)}")
    if not np.isfinite(weights).all():
        raise ValueError(f"{int((~np.isfinite(weights)).sum())} face weights are not finite")
    ranges = np.ptp(weights, axis=0)
    used = {name: float(found) for name, found in zip(ARKIT_NAMES, ranges, strict=True) if found > NEUTRAL}
    return ExpressionStatistics(
        ranges=used,
        num_used=len(used),
        mean_range=float(ranges.mean()),
        blinks_a_minute=60.0 * FPS * num_blinks(weights[:, _LIDS].mean(axis=1)) / len(weights),
        neutral_share=float((weights[:, _EXPRESSIVE].max(axis=1) <= NEUTRAL).mean()),
        mean_change=float(np.abs(np.diff(weights, axis=0)).mean()),
    )


def num_blinks(lids: NDArray[np.floating]) -> int:
    """Number of blinks, each counted where it begins.

    Args:
        lids: [T] mean weight of both eyelids at 30 fps.

    Returns:
        Closures that begin within the dance and are followed by open eyes within ``LONGEST_BLINK_S``, or by the end.
    """
    known = np.flatnonzero((lids >= LID_CLOSED) | (lids < LID_OPEN))  # in between, lids are what they were
    closed = np.asarray(lids)[known] >= LID_CLOSED
    turns = np.flatnonzero(closed[1:] != closed[:-1]) + 1
    times = np.append(known[turns], len(lids))
    lasting = np.diff(times) / FPS
    return int((closed[turns] & (lasting <= LONGEST_BLINK_S)).sum())
