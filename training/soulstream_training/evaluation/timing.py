"""How a dance keeps time with its song: the beat scores of one dance, and whether its own tempo is that of the music.

The beats of the music are given (track list, annotation), never found in the sound here. Not for: the scores themselves
(``bas``) or a run over the track list (``beats``).

Letters: B beats of the music, K beats of the motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.motion.rests import minima
from soulstream_training.data.kinematic_beats import kinematic_beats
from soulstream_training.evaluation.bas import score_beats
from soulstream_training.evaluation.dance_take import DanceTake

F64 = NDArray[np.float64]

TEMPO_RANGE_BPM = (60.0, 200.0)
"""Slowest and fastest tempo that a motion is tried on (ours)."""

LEAST_MOTION_BEATS = 4
"""Fewer have no tempo: nearly any period fits them (ours)."""

AS_STRONG = 0.95
"""A tempo this near the strongest counts as strong: rests on a beat fit its multiples too, and the slowest is meant
(ours)."""

_STEPS_A_PEAK = 10  # a peak of the phase vector is about 1 / duration wide


@dataclass(frozen=True, slots=True)
class TempoFollowing:
    """The tempo of a motion against that of its music.

    Attributes:
        music_bpm: Mean tempo of the given beats.
        motion_bpm: Strongest tempo of the motion, doubled or halved to within half an octave of the music's.
        ratio_error: How far the larger of the two is above the smaller: 0 for the same tempo, at most 0.41; a motion in
            no relation to the music has about 0.2 on average.
        strength: 0..1, length of the mean phase vector of the motion beats at that tempo: 1 for a metronome; the best
            of random beats has about ``2.5 / sqrt(K)``.
    """

    music_bpm: float
    motion_bpm: float
    ratio_error: float
    strength: float


@dataclass(frozen=True, slots=True)
class TimingRow:
    """Numbers of one dance on one song, the first eight as in ``bas.BeatScore``; ``None`` where it has no tempo.

    Attributes:
        bas: Beat alignment over the beats of the music.
        reverse: Beat alignment over the beats of the motion.
        f1: Of beats that meet within 70 ms.
        density: Motion beats per music beat.
        shift_p: Share of 100 random shifts that do as well.
        median_offset_ms: Median lateness against the half-beat grid.
        in_sync: Share of beats that are met within what nobody notices.
        in_sync_shifted: The same of the dance moved in time.
        motion_bpm: Of ``TempoFollowing``.
        tempo_error: Its ``ratio_error``.
        tempo_strength: Its ``strength``.
    """

    bas: float
    reverse: float
    f1: float
    density: float
    shift_p: float
    median_offset_ms: float
    in_sync: float
    in_sync_shifted: float
    motion_bpm: float | None
    tempo_error: float | None
    tempo_strength: float | None


def timing_row(take: DanceTake, beats_s: NDArray[np.floating], *, seed: int = 0) -> TimingRow:
    """All numbers of a dance.

    Args:
        take: The dance; frame 0 is at the first sample of the song.
        beats_s: [B] reference beats of the song, seconds, increasing; those after the dance are left out.
        seed: Of the shifts.

    Returns:
        The numbers.

    Raises:
        ValueError: If fewer than two reference beats lie in the dance.
    """
    motion_s = kinematic_beats(take.joints_m)
    score = score_beats(beats_s, motion_s, take.duration_s, seed=seed)
    tempo = tempo_following(beats_s, motion_s, take.duration_s)
    return TimingRow(
        bas=score.bas,
        reverse=score.reverse,
        f1=score.f1,
        density=score.density,
        shift_p=score.shift_p,
        median_offset_ms=score.median_offset_ms,
        in_sync=score.in_sync,
        in_sync_shifted=score.in_sync_shifted,
        motion_bpm=tempo.motion_bpm if tempo else None,
        tempo_error=tempo.ratio_error if tempo else None,
        tempo_strength=tempo.strength if tempo else None,
    )


def tempo_following(
    beats_s: NDArray[np.floating], motion_beats_s: NDArray[np.floating], duration_s: float
) -> TempoFollowing | None:
    """Does the motion's own tempo follow that of the music, wherever in the beat it rests?

    The tempo of the motion is the one in ``TEMPO_RANGE_BPM`` at which its beats have the longest mean phase vector. It
    is one tempo for the whole dance: of a song whose tempo drifts, judge pieces.

    Args:
        beats_s: [B] reference beats, seconds, increasing.
        motion_beats_s: [K] kinematic beats, seconds.
        duration_s: Length of the dance, seconds; beats outside are left out.

    Returns:
        The comparison; ``None`` with fewer than ``LEAST_MOTION_BEATS`` motion beats, or when no tempo stands out.

    Raises:
        ValueError: If fewer than two reference beats lie in the dance.

    Source: ours.
    """
    music, motion = (_inside(times, duration_s) for times in (beats_s, motion_beats_s))
    if len(music) < 2:
        raise ValueError(f"{len(music)} reference beats within {duration_s:.2f} s, at least 2 are needed")
    if len(motion) < LEAST_MOTION_BEATS:
        return None
    found = _strongest_tempo(motion, duration_s)
    if found is None:
        return None
    music_bpm, (found_bpm, strength) = _mean_tempo(music), found
    octaves = float(np.log2(found_bpm / music_bpm))
    octaves -= round(octaves)
    return TempoFollowing(music_bpm, music_bpm * 2.0**octaves, 2.0 ** abs(octaves) - 1.0, strength)


def _inside(times_s: NDArray[np.floating], duration_s: float) -> F64:
    times = np.asarray(times_s, dtype=np.float64)
    return times[(times >= 0.0) & (times < duration_s)]


def _mean_tempo(beats_s: F64) -> float:
    """Beats a minute of a line through the beats, counted by the median interval, so that a gap is no slow beat."""
    intervals = np.diff(beats_s)
    counts = np.maximum(np.round(intervals / np.median(intervals)), 1.0)
    number = np.concatenate([[0.0], np.cumsum(counts)])
    return 60.0 / float(np.polyfit(number, beats_s, 1)[0])


def _strongest_tempo(motion_s: F64, duration_s: float) -> tuple[float, float] | None:
    """Tempo in beats a minute and length of its phase vector, the slowest of those that are about as strong."""
    step_hz = 1.0 / (_STEPS_A_PEAK * duration_s)
    slowest, fastest = (bpm / 60.0 for bpm in TEMPO_RANGE_BPM)
    num_steps = int(np.ceil((fastest - slowest) / step_hz)) + 5
    tempi_hz = slowest + step_hz * (np.arange(num_steps) - 2)  # a peak may stand at either end
    lengths = np.array([abs(np.exp(2j * np.pi * tempo * motion_s).mean()) for tempo in tempi_hz])
    peaks = minima(-lengths)
    if len(peaks) == 0:
        return None
    heights = lengths[np.round(peaks).astype(np.intp)]
    slow = int(np.argmax(heights >= AS_STRONG * heights.max()))
    return 60.0 * float(np.interp(peaks[slow], np.arange(num_steps), tempi_hz)), float(heights[slow])
