"""Finger motion by rule, for frames whose hands nobody captured: poses of a library that change on the beat.

Everything made here is synthetic and is flagged so, frame by frame: it is to be learnt with a low weight, judged by
range, smoothness and beat coupling (``synthetic_report``), and never by accuracy.

On each beat, less often half-way to the next, a hand may turn to another mixture of poses, more likely so when its
wrist brakes. The change is led by the index finger and ends with the little one, and is smoothed by a critically damped
spring, whose answer to a step never overshoots: what is mixed from poses within human range stays within it, and what
is asked for below a speed limit stays below it. The two hands agree for about 70 % of the time.

Not for poses (``hand_library``) nor for hands while the dance is played (``soulstream_engine.motion.hands``).
Letters: ``N`` frames, ``J`` joints, ``K`` beats, ``P`` poses, ``S`` samples (several a frame), ``G`` grid points.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from soulstream_engine.motion.rests import smoothed
from soulstream_engine.motion.skeleton import JOINT_INDEX, NUM_BODY_JOINTS
from soulstream_training.data.hand_library import HAND_JOINTS, MIRROR, HandLibrary, rotvec_to_wxyz

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TOGETHER = 0.7
"""Share of the changes that both hands make alike; after any other one the hands know nothing of each other, so this
also is their correlation. Source: shared data notes."""

LAG_S = (0.015, 0.040)
"""Least and largest delay from the index to the little finger. Source: shared data notes."""

SPRING_RAD_S = (14.0, 20.0)
"""Least and largest natural frequency of the springs (ours): a change takes about a quarter of a second."""

MAX_TURN_RAD_S = 10.0
"""Finger joints never turn faster (ours; people reach twice as much when they tap or snap)."""

BEAT_CHANCE, HALF_CHANCE = (0.12, 0.45), (0.04, 0.22)
"""Chance of a change on a beat and between two: with a steady wrist, and what braking adds to it (ours)."""

MIN_HOLD_S = 0.4
"""Shortest time from one change of a hand to the next (ours)."""

JITTER_S = 0.020
"""Standard deviation of a change's distance from its beat, at most twice as far (ours)."""

BRAKE_REACH_S = 0.12
"""A wrist brakes on a beat if it slows down within this time of it (ours)."""

MIN_BRAKE_MPS2 = 2.0
"""Slowing down by less is no braking, even if the dance has nothing stronger (ours)."""

MAIN_WEIGHT = (0.7, 1.0)
"""Least and largest weight of the main pose of a mixture; a second pose has the rest (ours)."""

DRIFT = 0.06
"""Between changes a hand opens by up to twice this share and closes again, so that it never freezes (ours)."""

_DRIFT_PERIOD_S = (5.0, 12.0)
_SAMPLES_A_FRAME = 8  # lags of a few milliseconds are shorter than a frame
_FINGER_ORDER = np.array([0.0, 1 / 3, 1.0, 2 / 3, 0.0])  # share of the lag of index, middle, little, ring, thumb
_WRISTS = [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]


@dataclass(slots=True)
class _Changes:
    """Middles of a hand's changes in seconds, and the weights [P] of what it turns to; it starts at pose 0."""

    middle_s: list[float] = field(default_factory=list)
    weights: list[F64] = field(default_factory=list)


def make_hands(
    motion: NDArray[np.floating],
    beats_s: NDArray[np.floating],
    fps: float,
    library: HandLibrary,
    generator: np.random.Generator,
) -> tuple[F32, NDArray[np.bool_]]:
    """Makes the finger motion of a dance.

    Args:
        motion: World positions [N, J, 3] in metres of at least 22 joints in our order, or speeds [N, 2] of the left and
            right wrist in m/s.
        beats_s: [K] seconds from frame 0, increasing. Without two beats hands only drift about their rest.
        fps: Frames a second.
        library: The poses.
        generator: Draws everything; the same state gives the same hands.

    Returns:
        [N, 30, 4] float32 ``wxyz``, parent-local rotations of joints 22..51, left hand first; and [N] bool, all true:
        no frame was captured.

    Raises:
        ValueError: If a shape does not fit, a value is not finite, or beats do not increase.
    """
    speed = wrist_speed(motion, fps)
    num_frames = len(speed)
    is_synthetic = np.ones(num_frames, dtype=np.bool_)
    if num_frames == 0:
        return np.zeros((0, 2 * HAND_JOINTS, 4), dtype=np.float32), is_synthetic
    left, right = _schedule(braking(speed, fps), half_beats(beats_s), fps, library, generator)
    hands = [_follow(changes, library.left_rotvec, num_frames, fps, generator) for changes in (left, right)]
    wxyz = rotvec_to_wxyz(np.concatenate([hands[0], hands[1] * MIRROR], axis=1))
    return wxyz.astype(np.float32), is_synthetic


def wrist_speed(motion: NDArray[np.floating], fps: float) -> F64:
    """Smoothed speed of both wrists.

    Args:
        motion: [N, J, 3] metres or [N, 2] m/s, as for ``make_hands``.
        fps: Frames a second.

    Returns:
        [N, 2] float64, m/s, left and right.

    Raises:
        ValueError: If the shape does not fit, a value is not finite or ``fps`` is not positive.
    """
    values = np.asarray(motion, dtype=np.float64)
    if not (values.ndim == 2 and values.shape[1] == 2) and not (
        values.ndim == 3 and values.shape[1] >= NUM_BODY_JOINTS and values.shape[2] == 3
    ):
        raise ValueError(f"motion must be [N, J >= {NUM_BODY_JOINTS}, 3] or [N, 2], not {list(values.shape)}")
    if not np.isfinite(values).all() or not fps > 0:
        raise ValueError(f"motion must be finite and the frame rate {fps} positive")
    if values.ndim == 3:
        if len(values) < 2:
            return np.zeros((len(values), 2))
        values = np.linalg.norm(np.gradient(values[:, _WRISTS], axis=0), axis=-1) * fps
    return smoothed(values.T, fps).T if len(values) else values


def braking(speed_mps: F64, fps: float) -> F64:
    """How hard each wrist slows down: 0 not at all, 1 as hard as in the hardest tenth of this dance.

    Args:
        speed_mps: [N, 2] smoothed speeds, m/s.
        fps: Frames a second.

    Returns:
        [N, 2] float64 in 0..1.
    """
    if len(speed_mps) < 2:
        return np.zeros_like(speed_mps)
    slowing = np.maximum(-np.gradient(speed_mps, axis=0) * fps, 0.0)
    return np.clip(slowing / np.maximum(np.percentile(slowing, 90, axis=0), MIN_BRAKE_MPS2), 0.0, 1.0)


def half_beats(beats_s: NDArray[np.floating]) -> F64:
    """Beats and the middles between them.

    Args:
        beats_s: [K] seconds, increasing.

    Returns:
        [G] float64, seconds: 2 K - 1 points, even ones are beats; none for fewer than two beats.

    Raises:
        ValueError: If the beats are not finite or do not increase.
    """
    beats = np.asarray(beats_s, dtype=np.float64)
    if beats.ndim != 1 or not np.isfinite(beats).all() or (np.diff(beats) <= 0).any():
        raise ValueError(f"beats must be finite seconds that increase, not {beats.ravel()[:6]}")
    if len(beats) < 2:
        return np.zeros(0)
    grid = np.empty(2 * len(beats) - 1)
    grid[::2], grid[1::2] = beats, (beats[:-1] + beats[1:]) / 2
    return grid


def _schedule(
    brake: F64, grid_s: F64, fps: float, library: HandLibrary, generator: np.random.Generator
) -> tuple[_Changes, _Changes]:
    """When which hand turns to what."""
    hands = _Changes(), _Changes()
    reach = max(1, round(BRAKE_REACH_S * fps))
    for point, time_s in enumerate(grid_s.tolist()):
        frame = round(time_s * fps)
        if not 0 <= frame < len(brake):
            continue
        hard = brake[max(0, frame - reach) : frame + reach + 1].max(axis=0)
        steady, added = HALF_CHANCE if point % 2 else BEAT_CHANCE
        if generator.random() >= steady + added * hard.max():
            continue
        weights = _draw_weights(library, generator)
        if generator.random() < TOGETHER:
            who = [0, 1]
        else:  # the one that brakes harder, most of the time
            who = [int(generator.random() < (hard[1] + 0.1) / (hard.sum() + 0.2))]
        if any(hands[hand].middle_s and time_s - hands[hand].middle_s[-1] < MIN_HOLD_S for hand in who):
            continue
        for hand in who:
            hands[hand].middle_s.append(time_s + JITTER_S * float(np.clip(generator.normal(), -2.0, 2.0)))
            hands[hand].weights.append(weights)
    return hands


def _draw_weights(library: HandLibrary, generator: np.random.Generator) -> F64:
    """Weights [P] of a mixture of two poses."""
    weights = np.zeros(len(library.names))
    main, second = generator.choice(len(weights), size=2, p=library.shares)
    share = generator.uniform(*MAIN_WEIGHT)
    weights[main] += share
    weights[second] += 1.0 - share
    return weights


def _follow(changes: _Changes, poses: F64, num_frames: int, fps: float, generator: np.random.Generator) -> F64:
    """Rotation vectors [N, 15, 3] of a left hand that makes the changes."""
    spring = generator.uniform(*SPRING_RAD_S)
    lags_s = generator.uniform(*LAG_S) * _FINGER_ORDER
    sample_s = 1.0 / (fps * _SAMPLES_A_FRAME)
    times_s = np.arange((num_frames - 1) * _SAMPLES_A_FRAME + 1) * sample_s
    knots_s, knots = _ramps(changes, poses, spring, float(lags_s.mean()))
    keep = np.exp(-spring * sample_s)
    hand = np.empty((num_frames, HAND_JOINTS, 3))
    for finger, lag_s in enumerate(lags_s.tolist()):
        for joint in range(3 * finger, 3 * finger + 3):
            for axis in range(3):
                asked = np.interp(times_s, knots_s + lag_s, knots[:, joint, axis])
                for _ in range(2):  # a critically damped spring is two equal low-passes in a row
                    asked, _ = lfilter([1.0 - keep], [1.0, -keep], asked, zi=[asked[0] * keep])
                hand[:, joint, axis] = asked[::_SAMPLES_A_FRAME]
    period_s = generator.uniform(*_DRIFT_PERIOD_S, size=5)
    turns = np.arange(num_frames)[:, None] / fps / period_s + generator.random(5)
    opened = 1.0 - DRIFT * (1.0 + np.sin(2 * np.pi * turns))
    return hand * np.repeat(opened, 3, axis=1)[..., None]


def _ramps(changes: _Changes, poses: F64, spring: float, lag_s: float) -> tuple[F64, F64]:
    """Corners of the asked motion: times [C] and poses [C, 15, 3], early enough for the hand to turn fastest on time.

    A ramp of length ``r`` through a spring of frequency ``w`` is fastest ``r / (1 - exp(-w r))`` after its start.
    """
    times_s, corners = [-1.0], [poses[0]]
    for middle_s, weights in zip(changes.middle_s, changes.weights, strict=True):
        pose = np.tensordot(weights, poses, 1)
        ramp_s = float(np.linalg.norm(pose - corners[-1], axis=-1).max()) / MAX_TURN_RAD_S
        fastest_s = ramp_s / -np.expm1(-spring * ramp_s) if ramp_s > 0 else 1.0 / spring
        start_s = max(middle_s - lag_s - fastest_s, times_s[-1])
        times_s += [start_s, start_s + ramp_s]
        corners += [corners[-1], pose]
    return np.array(times_s), np.stack(corners)
