"""A face by rule, for frames whose face nobody captured: blinks, gaze, a smile that follows the energy, accents.

Everything made here is synthetic and is flagged so, frame by frame: it is to be learnt with a low weight, judged by
range, smoothness and beat coupling (``synthetic_report``), and never by accuracy. Shapes that form speech (jaw, lips,
tongue) stay at 0: they belong to vocals, of which nothing is known here.

Not for the engine's eyelids while no face is generated (``soulstream_engine.motion.blinks``).
Letters: ``N`` frames, ``K`` beats, ``E`` events. Weights are 0..1 in Apple's order; left and right are the dancer's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from soulstream_engine.motion.blinks import CLOSING_SHARE
from soulstream_engine.motion.faces import ARKIT_INDEX, ARKIT_NAMES

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LARGEST_WEIGHT: dict[str, float] = {
    **{"jawOpen": 0.30, "mouthSmile": 0.76, "browInnerUp": 0.52},
    **{"eyeBlink": 0.95, "eyeLookUp": 0.35, "eyeLookDown": 0.45, "eyeLookIn": 0.50, "eyeLookOut": 0.50},
    **{"eyeSquint": 0.45, "eyeWide": 0.35, "browDown": 0.45, "browOuterUp": 0.45, "cheekSquint": 0.45},
    **{"noseSneer": 0.25, "mouthDimple": 0.30, "mouthPress": 0.30},
}
"""Largest weight of a shape, or of both sides of it; shapes that are not here stay at 0.

Source: jawOpen, mouthSmile and browInnerUp are the 99th percentiles of real recordings in the shared data notes; the
others are ours, set below what people show at ease."""

BLINKS_A_MINUTE = (13.0, 21.0)
"""Mean rate of a track: least and largest. Single minutes stay within 10 to 25. Source: shared data notes."""

BLINK_S = (0.10, 0.15)
"""Least and largest duration of a blink. Source: shared data notes."""

ATTACK_S, RELEASE_S = 0.080, (0.25, 0.50)
"""Time in which an accent rises up to its beat (source: shared data notes), and in which it falls (ours)."""

STRONG = 0.6
"""Beats of at least this strength may have an accent (ours)."""

ACCENT_CHANCE = 0.6
"""Share of the strong beats that have one (ours)."""

# Shapes of an accent, and how far each goes at full strength in parts of its largest weight.
_ACCENTS: tuple[dict[str, float], ...] = (
    {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "eyeWideLeft": 0.4, "eyeWideRight": 0.4},
    {"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "browInnerUp": 0.5},
    {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.8, "noseSneerRight": 0.8},
    {"browOuterUpLeft": 1.0, "browDownRight": 0.5},
    {"browOuterUpRight": 1.0, "browDownLeft": 0.5},
    {"eyeSquintLeft": 0.9, "eyeSquintRight": 0.9, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7},
)

_FIXATION_S = (0.35, 0.9, 4.0)  # least, median and largest time between two saccades
_ON_BEAT = 0.35  # share of saccades that wait for, or hurry to, a beat at most _BEAT_PULL_S away
_BEAT_PULL_S = 0.25
_WITH_BLINK = 0.5  # share of blinks under which the gaze moves


def make_face(
    num_frames: int,
    fps: float,
    beats_s: NDArray[np.floating],
    strength: NDArray[np.floating],
    energy: NDArray[np.floating],
    generator: np.random.Generator,
) -> tuple[F32, NDArray[np.bool_]]:
    """Makes the face of a dance.

    Args:
        num_frames: N.
        fps: Frames a second.
        beats_s: [K] seconds from frame 0, increasing; may be empty.
        strength: [K] 0..1, how strong each beat is.
        energy: [N] 0..1, energy of the music.
        generator: Draws everything; the same state gives the same face.

    Returns:
        [N, 52] float32 weights in Apple's order, none above ``LARGEST``; and [N] bool, all true: no frame was captured.

    Raises:
        ValueError: If a shape does not fit or a value is out of its range.
    """
    beats, strong, level = _checked(num_frames, fps, beats_s, strength, energy)
    if num_frames == 0:
        return np.zeros((0, len(ARKIT_NAMES)), dtype=np.float32), np.ones(0, dtype=np.bool_)
    level = gaussian_filter1d(level, 0.4 * fps, mode="nearest")
    lids, closed_s = _blinks(num_frames, fps, generator)
    face = _mood(level, fps, generator)
    _add_accents(face, beats, strong, level, fps, generator)
    across, up = _gaze(num_frames, fps, beats, closed_s, generator)
    down = np.maximum(-up, 0.0)
    out = {"eyeLookOutLeft": across, "eyeLookInRight": across, "eyeLookInLeft": -across, "eyeLookOutRight": -across}
    for name, value in {**out, "eyeLookUpLeft": up, "eyeLookUpRight": up}.items():
        _set(face, name, np.maximum(value, 0.0))
    for side in ("Left", "Right"):
        _set(face, f"eyeLookDown{side}", down)
        _set(face, f"eyeBlink{side}", np.maximum(lids, 0.25 * down))  # the lid follows the eye down
        face[:, ARKIT_INDEX[f"eyeWide{side}"]] *= 1.0 - lids
    return np.clip(face, 0.0, LARGEST).astype(np.float32), np.ones(num_frames, dtype=np.bool_)


def _largest() -> F64:
    names = [name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES]
    return np.array([LARGEST_WEIGHT.get(name, 0.0) for name in names])


LARGEST: F64 = _largest()
"""Largest weight of each of the 52 shapes [52]."""


def _checked(
    num_frames: int,
    fps: float,
    beats_s: NDArray[np.floating],
    strength: NDArray[np.floating],
    energy: NDArray[np.floating],
) -> tuple[F64, F64, F64]:
    beats, strong, level = (np.asarray(values, dtype=np.float64) for values in (beats_s, strength, energy))
    if num_frames < 0 or not fps > 0:
        raise ValueError(f"{num_frames} frames at {fps} frames a second: neither may be negative, nor the rate 0")
    if beats.ndim != 1 or strong.shape != beats.shape or level.shape != (num_frames,):
        raise ValueError(
            f"beats {list(beats.shape)} and strengths {list(strong.shape)} must be as many, "
            f"and energy {list(level.shape)} must have {num_frames} values"
        )
    if not np.isfinite(beats).all() or (np.diff(beats) <= 0).any():
        raise ValueError(f"beats must be finite seconds that increase, not {beats[:6]}")
    for name, values in (("strengths", strong), ("energy", level)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must lie in 0..1, not {values.min()} to {values.max()}")
    return beats, strong, level


def _set(face: F64, name: str, share: F64) -> None:
    """Sets a shape to a share [N] of its largest weight."""
    face[:, ARKIT_INDEX[name]] = share * LARGEST[ARKIT_INDEX[name]]


def _blinks(num_frames: int, fps: float, generator: np.random.Generator) -> tuple[F64, F64]:
    """How far the lids are closed [N], 0..1, and when they are shut [E], seconds."""
    mean_s = 60.0 / generator.uniform(*BLINKS_A_MINUTE)
    lids = np.zeros(num_frames)
    closed_s: list[float] = []
    time_s = generator.uniform(0.1, 1.0) * mean_s
    while (frame := round(time_s * fps)) < num_frames:
        shut_s = frame / fps  # on a frame, or a blink could fall between two
        closed_s.append(shut_s)
        duration_s = generator.uniform(*BLINK_S)
        depth = generator.uniform(0.9, 1.0)
        first, last = max(0, frame - int(fps)), min(num_frames, frame + int(fps) + 1)
        since_s = np.arange(first, last) / fps - shut_s
        span_s = duration_s * np.where(since_s < 0, CLOSING_SHARE, 1.0 - CLOSING_SHARE)
        closed = depth * (0.5 + 0.5 * np.cos(np.pi * np.minimum(np.abs(since_s) / span_s, 1.0)))
        lids[first:last] = np.maximum(lids[first:last], closed)
        time_s += generator.uniform(0.6, 1.4) * mean_s
    return lids, np.array(closed_s)


def _gaze(num_frames: int, fps: float, beats_s: F64, closed_s: F64, generator: np.random.Generator) -> tuple[F64, F64]:
    """Gaze to the dancer's left [N] and up [N], -1..1 of its largest: held places with fast moves between them."""
    least_s, median_s, most_s = _FIXATION_S
    wanted: list[float] = [float(shut) for shut in closed_s if generator.random() < _WITH_BLINK]
    time_s = 0.0
    while time_s < num_frames / fps:
        time_s += float(np.clip(generator.lognormal(np.log(median_s), 0.5), least_s, most_s))
        nearest = beats_s[np.argmin(np.abs(beats_s - time_s))] if len(beats_s) else np.inf
        pulled = generator.random() < _ON_BEAT and abs(nearest - time_s) <= _BEAT_PULL_S
        wanted.append(float(nearest) if pulled else time_s)
    times_s = np.arange(num_frames) / fps
    place = np.zeros(2)
    gaze = np.zeros((num_frames, 2))
    last_s = -np.inf
    for start_s in sorted(wanted):
        if start_s - last_s < least_s / 2:
            continue
        back = generator.random() < 0.4  # to where the dancer faces
        spread = np.array([0.08, 0.06]) if back else np.array([0.5, 0.4])
        target = np.clip(generator.normal(0.0, spread), -1.0, 1.0)
        move_s = 0.03 + 0.05 * float(np.abs(target - place).max())
        done = np.clip((times_s - start_s) / move_s, 0.0, 1.0)
        gaze += (target - place) * (done * done * (3.0 - 2.0 * done))[:, None]
        place, last_s = target, start_s
    return gaze[:, 0], gaze[:, 1]


def _mood(level: F64, fps: float, generator: np.random.Generator) -> F64:
    """What changes slowly [N, 52]: the smile with the energy, lips and brows by themselves."""
    num_frames = len(level)
    face = np.zeros((num_frames, len(ARKIT_NAMES)))

    def wander(seconds: float) -> F64:
        return _wander(num_frames, seconds * fps, generator)

    smile = np.clip(0.12 + 0.62 * level + 0.18 * wander(2.0), 0.0, 0.92)
    lean, press = 0.12 * wander(3.0), np.maximum(0.3 * wander(1.5), 0.0) * (1.0 - smile)
    squint, frown, lift = (np.maximum(0.25 * wander(seconds), 0.0) for seconds in (1.5, 2.0, 2.5))
    _set(face, "browInnerUp", np.minimum(lift, 0.5))
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        one = np.clip(smile * (1.0 + sign * lean), 0.0, 1.0)
        _set(face, f"mouthSmile{side}", one)
        _set(face, f"cheekSquint{side}", 0.7 * one)
        _set(face, f"mouthDimple{side}", 0.5 * one)
        _set(face, f"mouthPress{side}", np.clip(press, 0.0, 1.0))
        _set(face, f"eyeSquint{side}", np.clip(0.3 * one + squint, 0.0, 1.0))
        _set(face, f"browDown{side}", np.clip(frown, 0.0, 0.5))
        _set(face, f"browOuterUp{side}", np.clip(0.5 * lift + np.maximum(0.15 * wander(2.0), 0.0), 0.0, 0.5))
    return face


def _wander(num_frames: int, sigma: float, generator: np.random.Generator) -> F64:
    """Smooth noise [N] of mean 0 and variance 1 that changes within about ``sigma`` frames."""
    margin = int(4.0 * sigma) + 1
    noise = gaussian_filter1d(generator.standard_normal(num_frames + 2 * margin), sigma)[margin:-margin]
    return np.asarray(noise * np.sqrt(2.0 * np.sqrt(np.pi) * sigma))


def _add_accents(
    face: F64, beats_s: F64, strength: F64, level: F64, fps: float, generator: np.random.Generator
) -> None:
    """Adds brows and eyes on strong beats: up within ``ATTACK_S`` to the beat, slower down."""
    times_s = np.arange(len(face)) / fps
    for beat_s, strong in zip(beats_s.tolist(), strength.tolist(), strict=True):
        draw, kind, release_s = generator.random(), generator.integers(len(_ACCENTS)), generator.uniform(*RELEASE_S)
        if strong < STRONG or draw >= ACCENT_CHANCE or not 0 <= beat_s < len(face) / fps:
            continue
        since_s = times_s - beat_s
        span_s = np.where(since_s < 0, ATTACK_S, release_s)
        shape = 0.5 + 0.5 * np.cos(np.pi * np.minimum(np.abs(since_s) / span_s, 1.0))
        size = strong * (0.5 + 0.5 * level[min(round(beat_s * fps), len(face) - 1)])
        for name, share in _ACCENTS[kind].items():
            column = ARKIT_INDEX[name]
            face[:, column] = np.maximum(face[:, column], shape * size * share * LARGEST[column])
