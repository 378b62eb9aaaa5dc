"""Brings a motion to 30 fps: repair, low-pass without delay, a new rate, floor, and the clean segments.

Letters: ``T`` source frames, ``N`` frames at 30 fps, ``S`` segments. Ranges are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.floor import floor_deficit_m
from soulstream_engine.motion.skeleton import JOINT_INDEX, SOLE_BELOW_FOOT_M, forward_kinematics
from soulstream_training.data.asf import FloatArray
from soulstream_training.data.repair import repair
from soulstream_training.data.retarget import BodyMotion

CUTOFF_HZ = 10.0
"""Low-pass corner, second order forwards and backwards. Source: shared data notes, 8 to 12 Hz (ours)."""

PLANTED_SPEED_MPS = 0.2
"""A toe base slower than this stands on something (ours)."""

FLOOR_PERCENTILE = 20.0
"""Percentile of the heights of planted toe bases that is put at standing height. Ours: a low percentile of all heights
lets a few bad frames decide, and left a tenth of the CMU clips floating by 2 to 11 cm."""

LIFT_FRAMES = 9
"""Frames over which a lift out of the floor comes and goes, odd (ours)."""

WHOLE_RATE_SHARE = 5e-4
"""A rate this near to a whole one is that one, written with few decimals: a BVH of 0.0333333 s a frame has 30, and one
of 0.00833 s has 120. Half of what parts 29.97 from 30, which is a rate of its own (ours)."""

MIN_SOURCE_FPS = 20.0
"""Slower recordings are refused (ours; hand-keyed clips have 24)."""

MAX_JOINT_SPEED_MPS = 12.0
"""Frames with a faster joint are left out as tracking errors (ours; a thrown punch is about 10 m/s)."""

MIN_SEGMENT_FRAMES = 20
"""Shorter clean stretches are left out (ours)."""


@dataclass(frozen=True, slots=True)
class FramedMotion:
    """A body motion at 30 fps.

    Attributes:
        root_m: [N, 3] float32, pelvis in metres, the floor at y = 0.
        joint_wxyz: [N, J, 4] float32, J = 22 or 52, parent-local unit rotations with continuous signs.
        segments: [S, 2] int32, clean half-open ranges of frames.
    """

    root_m: NDArray[np.float32]
    joint_wxyz: NDArray[np.float32]
    segments: NDArray[np.int32]


def to_frames(motion: BodyMotion, source_fps: float, bad_frames: tuple[tuple[int, int], ...] = ()) -> FramedMotion:
    """Resamples a motion to 30 fps and puts it on the floor.

    Errors are bridged before the filter, so that they do not ring; what was too long to bridge well is then left out of
    the segments.

    Args:
        motion: Motion at the source rate, T frames.
        source_fps: Source rate, at least 20.
        bad_frames: Half-open ranges of source frames known to be bad.

    Returns:
        The motion at 30 fps, as many frames as lie within the clip: ``ceil(T / (source_fps / 30))`` where the rate is a
        multiple of 30; other rates are interpolated.

    Raises:
        ConfigError: If the rate is below 20.
    """
    if source_fps < MIN_SOURCE_FPS:
        raise ConfigError(
            "MOTION_RATE_UNSUPPORTED",
            f"A source rate of {source_fps} frames a second is below {MIN_SOURCE_FPS}.",
            "Correct the rate, or leave the recording out: fast moves are lost in it.",
        )
    source_fps = whole_rate(source_fps)
    fixed, is_good = repair(motion, source_fps, bad_frames)
    root_m, joint_wxyz = fixed.root_m, fixed.joint_wxyz
    if source_fps > FPS:
        root_m = low_pass(root_m, source_fps)
        joint_wxyz = np.asarray(rotations.normalize(low_pass(joint_wxyz, source_fps)))
    at = source_times(len(root_m), source_fps)
    before, share = np.floor(at).astype(np.int64), at - np.floor(at)
    after = np.minimum(before + (share > 0.0), len(root_m) - 1)
    is_clean = is_good[before] & is_good[after]
    root_m = root_m[before] + (root_m[after] - root_m[before]) * share[:, None]
    between = rotations.slerp(joint_wxyz[before], joint_wxyz[after], share[:, None])
    joint_wxyz = np.asarray(rotations.continuous(between), dtype=np.float64)

    joints_m = forward_kinematics(root_m, joint_wxyz)
    too_fast = np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max(axis=-1) * FPS > MAX_JOINT_SPEED_MPS
    is_clean[:-1] &= ~too_fast
    is_clean[1:] &= ~too_fast
    root_m[:, 1] -= floor_height(joints_m)
    root_m[:, 1] += lift(root_m, joint_wxyz)
    return FramedMotion(root_m.astype(np.float32), joint_wxyz.astype(np.float32), _runs(is_clean))


def whole_rate(fps: float) -> float:
    """The whole rate that a rate stands for, if it is within ``WHOLE_RATE_SHARE`` of one; else the rate itself."""
    nearest = float(round(fps))
    return nearest if abs(fps - nearest) <= WHOLE_RATE_SHARE * nearest else fps


def source_times(num_frames: int, source_fps: float) -> FloatArray:
    """Where the frames at 30 fps lie among those of the source: [N] float64, 0 .. num_frames - 1."""
    source_fps = whole_rate(source_fps)
    last = (num_frames - 1) / source_fps * FPS
    at = np.arange(int(np.floor(last + 1e-6)) + 1) * (source_fps / FPS)
    nearest = np.round(at)
    return np.minimum(np.where(np.abs(at - nearest) < 1e-6, nearest, at), num_frames - 1.0)


def low_pass(values: FloatArray, source_fps: float) -> FloatArray:
    """Zero-phase low-pass along the first axis.

    Args:
        values: [T, ...] float64.
        source_fps: Rate in frames a second, above 20.

    Returns:
        Values of the same shape; too short a clip (under ten frames) is returned unchanged.
    """
    if len(values) < 10:
        return values
    sections = butter(2, CUTOFF_HZ, fs=source_fps, output="sos")
    return np.asarray(sosfiltfilt(sections, values, axis=0))


def floor_height(joints_m: NDArray[np.floating]) -> float:
    """Height of the floor a motion stands on: a percentile of the heights of planted toe bases, less that at rest.

    Args:
        joints_m: [N, J, 3] world positions in metres at 30 fps.

    Returns:
        Metres to subtract from every height. Without any planted foot, the lowest toe base counts.
    """
    toes = joints_m[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]
    speed = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * FPS
    planted = toes[:-1, :, 1][speed < PLANTED_SPEED_MPS]
    height = np.percentile(planted, FLOOR_PERCENTILE) if len(planted) else toes[..., 1].min()
    return float(height) - SOLE_BELOW_FOOT_M


def lift(root_m: FloatArray, joint_wxyz: FloatArray) -> FloatArray:
    """How far to raise a motion so that no foot goes through the floor: nothing while none does.

    Args:
        root_m: [N, 3] pelvis in metres, floor at y = 0.
        joint_wxyz: [N, 22, 4] parent-local rotations.

    Returns:
        [N] metres, at least the floor deficit of each frame, rising and falling over some frames.
    """
    # The mean over a window of maxima over an equal window is never below the value itself.
    highest = maximum_filter1d(floor_deficit_m(root_m, joint_wxyz), LIFT_FRAMES)
    return np.asarray(uniform_filter1d(highest, LIFT_FRAMES))


def _runs(is_clean: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Half-open runs [S, 2] of true values that are long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_clean, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    return runs[runs[:, 1] - runs[:, 0] >= MIN_SEGMENT_FRAMES].astype(np.int32)
