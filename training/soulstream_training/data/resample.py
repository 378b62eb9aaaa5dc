"""Brings a body motion to 30 fps: repairs short pops, low-passes without delay, decimates and finds the clean segments.

Letters: ``T`` source frames, ``N`` frames at 30 fps, ``S`` segments. Ranges are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from soulstream_engine.clock import FPS
from soulstream_engine.errors import ConfigError
from soulstream_engine.motion import rotations
from soulstream_engine.motion.skeleton import forward_kinematics

from soulstream_training.data.asf import FloatArray
from soulstream_training.data.retarget import BodyMotion

CUTOFF_HZ = 10.0
"""Low-pass corner, second order forwards and backwards. Source: shared data notes, 8 to 12 Hz (ours)."""

SHORT_POP_S = 0.1
"""Bad ranges up to this long are repaired by interpolation; longer ones are left out (ours)."""

POP_MARGIN_S = 0.025
"""Widening of a bad range on either side before interpolating (ours)."""

MAX_JOINT_SPEED_MPS = 12.0
"""Frames with a faster joint are left out as tracking errors (ours; a thrown punch is about 10 m/s)."""

MIN_SEGMENT_FRAMES = 20
"""Shorter clean stretches are left out (ours)."""


@dataclass(frozen=True, slots=True)
class FramedMotion:
    """A body motion at 30 fps.

    Attributes:
        root_m: [N, 3] float32, pelvis in metres.
        joint_wxyz: [N, 22, 4] float32, parent-local unit rotations with continuous signs.
        segments: [S, 2] int32, clean half-open ranges of frames.
    """

    root_m: NDArray[np.float32]
    joint_wxyz: NDArray[np.float32]
    segments: NDArray[np.int32]


def to_frames(motion: BodyMotion, source_fps: float, bad_frames: tuple[tuple[int, int], ...] = ()) -> FramedMotion:
    """Resamples a motion to 30 fps.

    Bad ranges are bridged by interpolation before the filter, so that they do not ring; long ones are then left out of
    the segments.

    Args:
        motion: Motion at the source rate, T frames.
        source_fps: Source rate, a multiple of 30.
        bad_frames: Half-open ranges of source frames.

    Returns:
        The motion at 30 fps, ``ceil(T / (source_fps / 30))`` frames.

    Raises:
        ConfigError: If the rate is not a multiple of 30.
    """
    step = round(source_fps / FPS)
    if step < 1 or abs(step * FPS - source_fps) > 1e-6:
        raise ConfigError(
            "MOTION_RATE_UNSUPPORTED",
            f"A source rate of {source_fps} frames a second is not a multiple of {FPS}.",
            "Interpolate the recording to 60 or 120 frames a second first.",
        )
    num_frames = len(motion.root_m)
    margin = round(POP_MARGIN_S * source_fps)
    wide = [(max(0, start - margin), min(num_frames, stop + margin)) for start, stop in bad_frames]
    root_m, joint_wxyz = _bridge(motion, wide)
    if step > 1:
        root_m = low_pass(root_m, source_fps)
        joint_wxyz = np.asarray(rotations.normalize(low_pass(joint_wxyz, source_fps)))
    root_m, joint_wxyz = root_m[::step], joint_wxyz[::step]

    clean = ~_too_fast(root_m, joint_wxyz)
    for (start, stop), (first, last) in zip(bad_frames, wide, strict=True):
        if stop - start > SHORT_POP_S * source_fps:
            clean[-(-first // step) : -(-last // step)] = False
    segments = _runs(clean)
    return FramedMotion(root_m.astype(np.float32), joint_wxyz.astype(np.float32), segments)


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


def _bridge(motion: BodyMotion, ranges: list[tuple[int, int]]) -> tuple[FloatArray, FloatArray]:
    """Root and rotations with the ranges interpolated between their clean neighbours (held at the ends)."""
    root_m = motion.root_m.copy()
    joint_wxyz = motion.joint_wxyz.copy()
    for start, stop in _merge(ranges):
        before, after = start - 1, stop
        if before < 0:
            before = after
        if after >= len(root_m):
            after = before
        if not 0 <= before < len(root_m):
            continue
        t = (np.arange(start, stop) - before) / max(after - before, 1)
        t = np.clip(t, 0.0, 1.0)
        root_m[start:stop] = root_m[before] + (root_m[after] - root_m[before]) * t[:, None]
        joint_wxyz[start:stop] = rotations.slerp(joint_wxyz[before], joint_wxyz[after], t[:, None])
    return root_m, np.asarray(rotations.continuous(joint_wxyz))


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins ranges that touch or overlap."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _too_fast(root_m: FloatArray, joint_wxyz: FloatArray) -> NDArray[np.bool_]:
    """Frames [N] on either side of a step in which some joint is faster than the limit."""
    joints_m = forward_kinematics(root_m, joint_wxyz)
    speed = np.linalg.norm(np.diff(joints_m, axis=0), axis=-1).max(axis=-1) * FPS
    fast = np.zeros(len(root_m), dtype=np.bool_)
    fast[:-1] |= speed > MAX_JOINT_SPEED_MPS
    fast[1:] |= speed > MAX_JOINT_SPEED_MPS
    return fast


def _runs(clean: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Half-open runs [S, 2] of true values that are long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], clean, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    return runs[runs[:, 1] - runs[:, 0] >= MIN_SEGMENT_FRAMES].astype(np.int32)
