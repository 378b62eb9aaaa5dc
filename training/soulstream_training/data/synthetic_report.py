"""What can be said of synthetic hands and faces: range, smoothness and beat coupling. Nothing here is an accuracy.

There is no truth to compare with, so a small number here does not say that hands or faces are right, only that they
are possible, smooth and in time.

Letters: ``N`` frames, ``K`` beats, ``G`` grid points (beats, or beats and half-beats), ``D`` values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from soulstream_engine.motion import rotations
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES
from soulstream_engine.motion.rests import minima
from soulstream_training.data.hand_library import HAND_JOINTS, MIRROR, within_range
from soulstream_training.data.synthetic_face import LARGEST
from soulstream_training.data.synthetic_hands import half_beats

F64 = NDArray[np.float64]

NEAR = 0.12
"""A moment lies on the grid if it is within this share of the local interval. Source: shared data notes."""

EXPLAINED = 0.95
"""Share of the variance that the effective dimension explains. Source: shared data notes."""

_ACCENTED = [name for name in ARKIT_NAMES if name.startswith(("brow", "eyeWide", "eyeSquint", "noseSneer"))]


@dataclass(frozen=True, slots=True)
class HandReport:
    """Numbers on the fingers of a track.

    Attributes:
        largest_rad: Largest angle of a finger joint.
        excess_rad: How far the worst joint is beyond human range; 0 if none is.
        largest_speed_rad_s: Fastest turn of a joint from a frame to the next.
        jerk_rad_s3: Mean length of the third derivative of the rotation vectors.
        beat_coupling: Changes on half-beats over what chance gives; 1 is chance, NaN without changes or beats.
        side_correlation: Correlation of the mean bend of both hands; NaN if one does not move.
    """

    largest_rad: float
    excess_rad: float
    largest_speed_rad_s: float
    jerk_rad_s3: float
    beat_coupling: float
    side_correlation: float


@dataclass(frozen=True, slots=True)
class FaceReport:
    """Numbers on the face of a track.

    Attributes:
        largest: Largest value of each shape that moves, by name.
        excess: How far the worst value is above the limit of its shape; 0 if none is.
        largest_step: Largest change from a frame to the next, lids and gaze aside.
        jerk_per_s3: Mean size of the third derivative of the shapes that move, lids and gaze aside.
        beat_coupling: Accents on the given beats over what chance gives; 1 is chance, NaN without accents or beats.
        dimension: Principal axes that explain 95 % of the variance.
        participation: Participation ratio of the principal axes.
    """

    largest: dict[str, float]
    excess: float
    largest_step: float
    jerk_per_s3: float
    beat_coupling: float
    dimension: int
    participation: float


def report_hands(finger_wxyz: NDArray[np.floating], beats_s: NDArray[np.floating], fps: float) -> HandReport:
    """Measures the fingers of a track.

    Args:
        finger_wxyz: [N, 30, 4] parent-local rotations, N >= 4.
        beats_s: [K] seconds, increasing.
        fps: Frames a second.

    Returns:
        The report.

    Raises:
        ValueError: If the shape does not fit or beats do not increase.
    """
    wxyz = np.asarray(finger_wxyz, dtype=np.float64)
    if wxyz.ndim != 3 or len(wxyz) < 4 or wxyz.shape[1:] != (2 * HAND_JOINTS, 4):
        raise ValueError(f"fingers must be [N >= 4, {2 * HAND_JOINTS}, 4], not {list(wxyz.shape)}")
    rotvec = np.asarray(Rotation.from_quat(wxyz, scalar_first=True).as_rotvec())
    left = np.stack([rotvec[:, :HAND_JOINTS], rotvec[:, HAND_JOINTS:] * MIRROR], axis=1)
    speed = np.asarray(rotations.angle_between(wxyz[1:], wxyz[:-1])) * fps
    bend = np.linalg.norm(left, axis=-1).mean(axis=-1)
    return HandReport(
        largest_rad=float(np.linalg.norm(left, axis=-1).max()),
        excess_rad=float(np.abs(left - within_range(left)).max()),
        largest_speed_rad_s=float(speed.max()),
        jerk_rad_s3=float(np.linalg.norm(np.diff(rotvec, n=3, axis=0), axis=-1).mean()) * fps**3,
        beat_coupling=beat_coupling(speed[:, :HAND_JOINTS].mean(axis=-1), half_beats(beats_s), fps),
        side_correlation=_correlation(bend[:, 0], bend[:, 1]),
    )


def report_face(arkit: NDArray[np.floating], beats_s: NDArray[np.floating], fps: float) -> FaceReport:
    """Measures the face of a track.

    Args:
        arkit: [N, 52] weights in Apple's order, N >= 4.
        beats_s: [K] seconds of the beats that should have accents, increasing.
        fps: Frames a second.

    Returns:
        The report.

    Raises:
        ValueError: If the shape does not fit.
    """
    face = np.asarray(arkit, dtype=np.float64)
    if face.ndim != 2 or len(face) < 4 or face.shape[1] != len(ARKIT_NAMES):
        raise ValueError(f"faces must be [N >= 4, {len(ARKIT_NAMES)}], not {list(face.shape)}")
    moving = np.flatnonzero(np.ptp(face, axis=0) > 0)
    slow = [column for column in moving if not ARKIT_NAMES[column].startswith(("eyeBlink", "eyeLook"))]
    calm = face[:, slow] if slow else np.zeros((len(face), 1))
    accents = np.maximum(np.diff(face[:, [ARKIT_INDEX[name] for name in _ACCENTED]], axis=0), 0.0).sum(axis=1)
    dimension, participation = effective_dimension(face)
    return FaceReport(
        largest={ARKIT_NAMES[column]: float(face[:, column].max()) for column in moving},
        excess=float(np.maximum(face - LARGEST, 0.0).max()),
        largest_step=float(np.abs(np.diff(calm, axis=0)).max()),
        jerk_per_s3=float(np.abs(np.diff(calm, n=3, axis=0)).mean()) * fps**3,
        beat_coupling=beat_coupling(accents, np.asarray(beats_s, dtype=np.float64), fps, height=4.0),
        dimension=dimension,
        participation=participation,
    )


def beat_coupling(activity: F64, grid_s: F64, fps: float, height: float = 1.0) -> float:
    """How much more often a track is busiest on a grid than it would be by chance.

    Args:
        activity: [N - 1] size of the change from frame k to k + 1.
        grid_s: [G] seconds, increasing.
        fps: Frames a second.
        height: A moment counts if it is a maximum of at least this many times the mean.

    Returns:
        Share of those moments that lie on the grid, over the share of all time that does: 1 is chance, the most is
        1 / 0.24. NaN without a grid or without such moments on it.
    """
    if len(grid_s) < 2:
        return math.nan
    peaks = minima(-activity)
    peaks = peaks[activity[np.round(peaks).astype(np.intp)] >= height * activity.mean()]
    hits = _near((peaks + 0.5) / fps, grid_s)
    chance = _near(np.linspace(grid_s[0], min(grid_s[-1], (len(activity) + 1) / fps), 20_000), grid_s)
    return float(hits.mean() / chance.mean()) if len(hits) and chance.any() else math.nan


def effective_dimension(values: NDArray[np.floating]) -> tuple[int, float]:
    """How many directions a track really uses.

    Args:
        values: [N, D].

    Returns:
        Principal axes that explain 95 % of the variance, and the participation ratio of all of them (square of the sum
        of the variances over the sum of their squares); 0 if nothing moves.
    """
    centred = np.asarray(values, dtype=np.float64) - np.mean(values, axis=0)
    variance = np.linalg.svd(centred, compute_uv=False) ** 2
    if not variance.sum() > 0:
        return 0, 0.0
    explained = np.cumsum(variance) / variance.sum()
    return int(np.searchsorted(explained, EXPLAINED) + 1), float(variance.sum() ** 2 / (variance**2).sum())


def _near(moments_s: F64, grid_s: F64) -> NDArray[np.bool_]:
    """Which of the moments within the grid lie on it."""
    inside = moments_s[(moments_s >= grid_s[0]) & (moments_s <= grid_s[-1])]
    after = np.clip(np.searchsorted(grid_s, inside), 1, len(grid_s) - 1)
    before = grid_s[after - 1]
    off = np.minimum(inside - before, grid_s[after] - inside)
    return np.asarray(off <= NEAR * (grid_s[after] - before))


def _correlation(first: F64, second: F64) -> float:
    if not (first.std() > 0 and second.std() > 0):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
