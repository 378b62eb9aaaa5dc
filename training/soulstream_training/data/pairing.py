"""Puts a motion clip on a beat grid, so that music can be made for it.

No clip has its original music. The music is rendered at an exact tempo and the motion is bent in time, by up to a
fifth here and there, until its kinematic beats, the very moments the beat scores look at, lie on the beats, and
accented there (``bending``). So a moment of rest means phase 0 of the beat in every paired clip, the beat clock hears a
steady tempo, and the dance rests no more often than its dancer did. A clip that cannot be brought there is treated as
one without music.

Class A keeps the tempo of the clip list (or 3/4 or 1/2 of it, the same dance counted otherwise); class B takes the
tempo of 80 to 180 a minute that fits best. Not for: the sound (``music_render``).

Letters: T frames of the clip, U frames after bending, K kinematic beats, A anchors (kinematic beats put on a beat).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.rotations import slerp
from soulstream_training.data.bending import bend
from soulstream_training.data.kinematic_beats import kinematic_beats

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MAX_WARP = 0.2
"""Largest local change of tempo by the bending.

Source: ours. Over the 31 clips of class A and B, without accents: mean phase vector of the kinematic beats 0.53 at 0.1
and 0.66 at 0.2.
"""

ACCENT = 0.3
"""Depth of the accents (``bending``).

Source: ours. With it the phase vector is 0.82, at 0.46 kinematic beats a beat (0.47 without); 0.45 gives 0.83.
"""

ON_BEAT = 0.12
"""A kinematic beat this close to a beat, in beats, lies on it."""

NUM_SHIFTED = 100
"""Shifted grids of the acceptance test."""

SLOW_BPM, FAST_BPM = 80.0, 180.0
"""Tempi tried for class B, in the clip's own time."""

TEMPO_STEP = 0.03
MAX_BEATS_BETWEEN = 16
_SKIP_COST = 0.5
_WARP_COST = 0.5
_LOCK_WINDOW_S = 1.2
_LOCK_WIDTH_S = 0.05


@dataclass(frozen=True, slots=True)
class BeatFit:
    """A clip bent onto a beat grid.

    ``source_frame`` [U] float64: frame of the clip (fractional) shown at frame n of the bent clip; ``beats_s`` float64:
    beats of the music within it, seconds from its first frame, a constant ``60 / (bpm * speed)`` apart; ``lock`` [U]
    float32 0..1: how well the kinematic beats around a frame lie on the beats. ``bpm`` is the tempo in the clip's own
    time, ``speed`` the factor it is then danced at and ``accent`` the depth of the accent.

    Of the fit: ``shift_p`` is the share of shifted grids that do as well; ``refit_p`` the share of made-up clips with
    like intervals that can be bent onto a grid of this tempo as well (far stricter: it asks whether the clip has that
    tempo at all; 1 when not asked for); ``on_beat`` the share of kinematic beats within 0.12 of a beat; ``residual_ms``
    their spread about the beats and ``offset_ms`` their median; ``concentration`` 0..1 length of the mean phase vector;
    ``density`` kinematic beats a beat; ``warp`` mean relative change of pace; ``is_accepted`` whether the clip may be
    paired.
    """

    clip_id: str
    pairing_class: str
    bpm: float
    speed: float
    accent: float
    source_frame: F64
    beats_s: F64
    lock: F32
    shift_p: float
    refit_p: float
    on_beat: float
    residual_ms: float
    offset_ms: float
    concentration: float
    density: float
    warp: float
    is_accepted: bool

    @property
    def quality(self) -> float:
        """What the choice of a grid goes by: rests on the beats, for as little bending as possible."""
        return self.concentration - self.warp


def resample_motion(root_m: F32, joint_wxyz: F32, speed: float | NDArray[np.floating]) -> tuple[F32, F32]:
    """Motion at another speed.

    Args:
        root_m: [T, 3] float32, metres.
        joint_wxyz: [T, J, 4] float32, unit rotations.
        speed: Factor (1.1 dances faster, ``floor((T - 1) / speed) + 1`` frames), or [U] the frame of the clip shown at
            each frame, fractional, 0..T-1.

    Returns:
        root_m [U, 3] and joint_wxyz [U, J, 4], float32.

    Raises:
        ValueError: If a factor is not positive or a frame lies outside the clip.
    """
    num_frames = len(root_m)
    if isinstance(speed, int | float):
        if not speed > 0:
            raise ValueError(f"a speed of {speed} is not positive")
        frames = np.arange(int((num_frames - 1) / speed + 1e-9) + 1) * float(speed)
    else:
        frames = np.asarray(speed, dtype=np.float64)
    if len(frames) and (frames.min() < 0 or frames.max() > num_frames - 1):
        raise ValueError(f"frames {frames.min():.2f} to {frames.max():.2f} are outside of 0 to {num_frames - 1}")
    if num_frames == 1:
        return np.repeat(root_m, len(frames), axis=0), np.repeat(joint_wxyz, len(frames), axis=0)
    before = np.minimum(frames.astype(np.int64), num_frames - 2)
    share = frames - before
    root = root_m[before] + share[:, None] * (root_m[before + 1] - root_m[before])
    joints = slerp(joint_wxyz[before], joint_wxyz[before + 1], share[:, None])
    return root.astype(np.float32), np.asarray(joints, dtype=np.float32)


def longest_chain(
    events_s: NDArray[np.floating], period_s: float, max_warp: float = MAX_WARP
) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """The most events that can lie on beats when the time between them may be bent a little.

    Dynamic programming over the events: each one follows another a whole number of beats before it, at a local tempo
    within ``max_warp`` of the nominal one.

    Args:
        events_s: [K] seconds, increasing.
        period_s: Nominal beat, seconds.
        max_warp: Largest relative deviation of a beat between two events.

    Returns:
        The score (events on beats, less a cost for bending), the indices [A] of the events and their beat numbers [A]
        from 0.
    """
    events = np.asarray(events_s, dtype=np.float64)
    num_events = len(events)
    if num_events == 0:
        return 0.0, np.zeros(0, np.int64), np.zeros(0, np.int64)
    best = -_SKIP_COST * np.minimum(np.arange(num_events), 3)
    previous = np.full(num_events, -1)
    beats = np.zeros(num_events, np.int64)
    for i in range(1, num_events):
        gap = (events[i] - events[:i]) / period_s
        whole = np.maximum(np.round(gap), 1.0)
        bend = np.abs(gap / whole - 1.0) / max_warp
        score = np.where((bend <= 1.0) & (whole <= MAX_BEATS_BETWEEN), best[:i] + 1.0 - _WARP_COST * bend**2, -np.inf)
        j = int(np.argmax(score))
        if score[j] > best[i]:
            best[i], previous[i], beats[i] = score[j], j, int(whole[j])
    i = int(np.argmax(best))
    total, chain, steps = float(best[i]), [i], [0]
    while previous[i] >= 0:
        steps[-1] = int(beats[i])
        i = int(previous[i])
        chain.append(i)
        steps.append(0)
    return total, np.array(chain[::-1]), np.cumsum(steps[::-1])


def fit_grid(
    clip_id: str,
    pairing_class: str,
    joints_m: F32,
    bpm: float,
    speed: float = 1.0,
    *,
    accent: float = ACCENT,
    refit_tries: int = 0,
    rounds: int = 3,
    seed: int = 0,
) -> BeatFit:
    """Bends a clip onto a grid of a given tempo.

    Args:
        clip_id: Name, kept in the result.
        pairing_class: ``A`` or ``B``, kept in the result.
        joints_m: [T, J, 3] world positions, metres, J >= 22.
        bpm: Tempo in the clip's own time.
        speed: Factor the bent clip is danced at; the music has ``bpm * speed``.
        accent: Depth of the accent, 0..0.5.
        refit_tries: Made-up clips for ``refit_p``.
        rounds: Corrections of the anchors by what remains after bending.
        seed: Of the tests.

    Returns:
        The fit. A clip with fewer than three kinematic beats is not accepted.

    Source: ours.
    """
    joints = np.asarray(joints_m, dtype=np.float32)[:, :22]
    period_s = 60.0 / bpm
    uniform = np.arange(int((len(joints) - 1) / speed) + 1) * speed
    events_s = kinematic_beats(_at(joints, uniform)) * speed
    total, chain, beat = longest_chain(events_s, period_s)
    anchor_s = events_s[chain] if len(chain) else np.zeros(1)
    beat = beat if len(chain) else np.zeros(1, np.int64)
    bent = partial(
        bend,
        beat=beat,
        skipped_s=np.delete(events_s, chain),
        period_s=period_s,
        num_frames=len(joints),
        speed=speed,
        accent=accent,
    )
    source, first_beat = bent(anchor_s)
    for _ in range(rounds):
        found_s = kinematic_beats(_at(joints, source))
        if len(found_s) == 0:
            break
        wanted_s = (beat - first_beat) * period_s / speed
        late_s = found_s[np.argmin(np.abs(found_s[None] - wanted_s[:, None]), axis=1)] - wanted_s
        moved = anchor_s + (1.0 - accent) * speed * np.where(np.abs(late_s) < 0.2 * period_s / speed, late_s, 0.0)
        too_far = np.abs(np.diff(moved) / (np.diff(beat) * period_s) - 1.0) > MAX_WARP + 0.05
        keep = np.concatenate([[False], too_far]) | np.concatenate([too_far, [False]])
        anchor_s = np.where(keep, anchor_s, moved)
        source, first_beat = bent(anchor_s)
    found_s = kinematic_beats(_at(joints, source))
    beat_s = period_s / speed
    num_beats = int(np.floor(first_beat + (len(source) - 1) / FPS / beat_s))
    beats_s = ((np.arange(np.ceil(first_beat), num_beats + 1) - first_beat) * beat_s).astype(np.float64)
    turns = found_s / beat_s + first_beat
    residual = (turns + 0.5) % 1.0 - 0.5
    generator = np.random.default_rng(seed)
    shift_p = _shifted_p(residual, generator)
    enough = len(found_s) >= 3
    on_beat = float(np.mean(np.abs(residual) <= ON_BEAT)) if enough else 0.0
    return BeatFit(
        clip_id=clip_id,
        pairing_class=pairing_class,
        bpm=bpm,
        speed=speed,
        accent=accent,
        source_frame=source,
        beats_s=beats_s,
        lock=_lock(found_s, residual * beat_s, len(source)),
        shift_p=shift_p,
        refit_p=_refit_p(events_s, period_s, total, generator, refit_tries),
        on_beat=on_beat,
        residual_ms=1000.0 * beat_s * float(np.std(residual)) if enough else 0.0,
        offset_ms=1000.0 * beat_s * float(np.median(residual)) if enough else 0.0,
        concentration=float(np.abs(np.exp(2j * np.pi * residual).mean())) if enough else 0.0,
        density=len(found_s) * beat_s * FPS / len(source),
        warp=float(np.abs(np.diff(source) / speed - 1.0).mean()) if len(source) > 1 else 0.0,
        is_accepted=enough and shift_p < 0.05 and on_beat > 0.5,
    )


def find_grid(
    clip_id: str,
    pairing_class: str,
    tempo_bpm: float | None,
    joints_m: F32,
    *,
    range_bpm: tuple[float, float],
    speeds: Sequence[float],
    accent: float = ACCENT,
) -> BeatFit | None:
    """The grid on which a clip's kinematic beats lie best, for music within a range of tempi.

    Args:
        clip_id: Name, kept in the result.
        pairing_class: ``A``: the tempo of the list, 3/4 or 1/2 of it; ``B``: any from 80 to 180 a minute.
        tempo_bpm: Tempo of the list, needed for class A.
        joints_m: [T, J, 3] world positions, metres, J >= 22.
        range_bpm: Lowest and highest tempo of the music.
        speeds: Speeds to try.
        accent: Depth of the accent.

    Returns:
        The accepted fit of the best ``quality``, or ``None``.

    Raises:
        ValueError: If a clip of class A has no tempo.
    """
    if pairing_class == "A":
        if tempo_bpm is None:
            raise ValueError("a clip of class A needs a tempo in the clip list")
        tempi = [tempo_bpm, 0.75 * tempo_bpm, 0.5 * tempo_bpm]
    else:
        tempi = list(SLOW_BPM * np.exp(np.arange(0.0, np.log(FAST_BPM / SLOW_BPM) + 1e-9, TEMPO_STEP)))
    best: BeatFit | None = None
    for speed in speeds:
        for bpm in tempi:
            if range_bpm[0] <= bpm * speed <= range_bpm[1]:
                fit = fit_grid(clip_id, pairing_class, joints_m, float(bpm), speed, accent=accent)
                if fit.is_accepted and (best is None or fit.quality > best.quality):
                    best = fit
    if best is None:
        return None
    return fit_grid(clip_id, pairing_class, joints_m, best.bpm, best.speed, accent=accent, refit_tries=40)


def _at(joints_m: F32, source: NDArray[np.floating]) -> F32:
    """Positions at fractional frames; straight lines between frames are good enough to find where motion slows."""
    before = np.minimum(source.astype(np.int64), len(joints_m) - 2)
    share = (source - before)[:, None, None].astype(np.float32)
    bent: F32 = joints_m[before] + share * (joints_m[before + 1] - joints_m[before])
    return bent


def _shifted_p(residual: F64, generator: np.random.Generator) -> float:
    """Share of grids, shifted by more than what counts as on the beat, that have as many kinematic beats on a beat."""
    if len(residual) == 0:
        return 1.0
    share = np.mean(np.abs(residual) <= ON_BEAT)
    moved = residual[None] + generator.uniform(ON_BEAT, 1.0 - ON_BEAT, NUM_SHIFTED)[:, None]
    shifted = np.mean(np.abs((moved + 0.5) % 1.0 - 0.5) <= ON_BEAT, axis=1)
    return float(1 + np.sum(shifted >= share)) / (1 + NUM_SHIFTED)


def _refit_p(events_s: F64, period_s: float, total: float, generator: np.random.Generator, tries: int) -> float:
    """Share of clips with like intervals, shuffled and each changed by up to a fifth, whose best chain is as good."""
    if len(events_s) < 3 or tries < 1:
        return 1.0
    intervals = np.diff(events_s)
    at_least = 0
    for _ in range(tries):
        made = generator.permutation(intervals) * generator.uniform(0.8, 1.2, len(intervals))
        at_least += longest_chain(np.cumsum(np.concatenate([[0.0], made])), period_s)[0] >= total
    return (1 + at_least) / (1 + tries)


def _lock(found_s: F64, residual_s: F64, num_frames: int) -> F32:
    """How close to beats the kinematic beats around each frame lie, 0..1; 0 where there are none near."""
    if len(found_s) == 0:
        return np.zeros(num_frames, np.float32)
    close = np.exp(-0.5 * (residual_s / _LOCK_WIDTH_S) ** 2)
    distance = (np.arange(num_frames) / FPS)[:, None] - found_s[None]
    weight = np.exp(-0.5 * (distance / _LOCK_WINDOW_S) ** 2)
    lock: F32 = (weight @ close / (weight.sum(axis=1) + 0.1)).astype(np.float32)
    return lock
