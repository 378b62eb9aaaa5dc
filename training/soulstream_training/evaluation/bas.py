"""Beat alignment of a dance: how well it meets the beats, and whether that could be chance.

Pure arithmetic on beat times in seconds. Not for: finding beats of motion (``data.kinematic_beats``) or of music (the
reference comes from the track list).

Letters: B beats of the music, K beats of the motion, S random shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

SIGMA_S = 0.05
"""Width of the alignment score. Source: 3 frames at 60 fps in Bailando's score."""

F1_TOLERANCE_S = 0.07
"""A beat this close counts as met. Source: the usual beat-tracking tolerance."""

EARLIEST_S, LATEST_S = 0.125, 0.045
"""How far motion may be before and behind its sound unnoticed. Source: ITU-R BT.1359-1 (a picture 45 ms late, 125 ms
early)."""

NUM_SHIFTS = 100
"""Random time shifts of the significance test. Source: ours."""


@dataclass(frozen=True, slots=True)
class BeatScore:
    """Scores of one dance on one track, on the better of the on-beat and off-beat grids.

    ``bas`` and ``reverse`` 0..1; ``shift_p`` in 1/101..1; ``f1`` 0..1; ``density`` motion beats per music beat;
    ``is_off_beat`` tells which grid won; ``median_offset_ms`` is the median distance of motion beats to the nearest
    half beat (positive: the dance is late); ``best_offset_ms`` is the lateness of the whole dance: moved earlier by
    this, it would score best. ``in_sync`` is the share of music beats that a motion beat of their own meets within what
    nobody notices (``EARLIEST_S``, ``LATEST_S``), ``in_sync_shifted`` the same of the dance moved in time, on average.
    """

    bas: float
    reverse: float
    shift_p: float
    f1: float
    density: float
    is_off_beat: bool
    median_offset_ms: float
    best_offset_ms: float
    in_sync: float
    in_sync_shifted: float


def nearest_distance(times_s: NDArray[np.floating], others_s: NDArray[np.floating]) -> F64:
    """Distance of each time to the nearest of the others.

    Args:
        times_s: [B] seconds.
        others_s: [K] seconds, increasing.

    Returns:
        [B] float64, seconds, not negative; infinite when there are no others.
    """
    times = np.asarray(times_s, dtype=np.float64)
    others = np.asarray(others_s, dtype=np.float64)
    if len(others) == 0:
        return np.full(len(times), np.inf)
    after = np.clip(np.searchsorted(others, times), 0, len(others) - 1)
    before = np.maximum(after - 1, 0)
    return np.minimum(np.abs(others[after] - times), np.abs(others[before] - times))


def beat_alignment(music_s: NDArray[np.floating], motion_s: NDArray[np.floating], sigma_s: float = SIGMA_S) -> float:
    """Beat alignment score, summed over the beats of the music.

    Args:
        music_s: [B] seconds, increasing. Swap the two arguments for the reverse direction (summed over the motion).
        motion_s: [K] seconds, increasing.
        sigma_s: Width, seconds.

    Returns:
        Mean of ``exp(-d^2 / (2 sigma^2))``, 0..1; 0 when either side is empty.

    Source: Bailando (Siyao et al., 2022), ``beat_align_score``; the reverse is that of FACT (Li et al., 2021).
    """
    if len(music_s) == 0 or len(motion_s) == 0:
        return 0.0
    distance = nearest_distance(music_s, motion_s)
    return float(np.exp(-0.5 * (distance / sigma_s) ** 2).mean())


def beat_f1(
    music_s: NDArray[np.floating], motion_s: NDArray[np.floating], tolerance_s: float = F1_TOLERANCE_S
) -> float:
    """Harmonic mean of the shares of music beats and of motion beats that meet, each used once.

    Args:
        music_s: [B] seconds, increasing.
        motion_s: [K] seconds, increasing.
        tolerance_s: Largest distance of a pair, seconds.

    Returns:
        0..1; 0 when either side is empty.
    """
    if len(music_s) == 0 or len(motion_s) == 0:
        return 0.0
    return 2.0 * _num_pairs(music_s, motion_s, tolerance_s, tolerance_s) / (len(music_s) + len(motion_s))


def in_sync_share(music_s: NDArray[np.floating], motion_s: NDArray[np.floating]) -> float:
    """Share of music beats that a motion beat of their own meets unnoticeably early or late.

    Args:
        music_s: [B] seconds, increasing.
        motion_s: [K] seconds, increasing.

    Returns:
        0..1; 0 when either side is empty.
    """
    if len(music_s) == 0:
        return 0.0
    return _num_pairs(music_s, motion_s, EARLIEST_S, LATEST_S) / len(music_s)


def _num_pairs(
    music_s: NDArray[np.floating], motion_s: NDArray[np.floating], earliest_s: float, latest_s: float
) -> int:
    """Most pairs of a music beat and a motion beat, each used once, with the motion no earlier or later than that."""
    pairs, i, k = 0, 0, 0
    while i < len(music_s) and k < len(motion_s):
        difference = motion_s[k] - music_s[i]
        if -earliest_s <= difference <= latest_s:
            pairs, i, k = pairs + 1, i + 1, k + 1
        elif difference < 0:
            k += 1
        else:
            i += 1
    return pairs


def off_beats(music_s: NDArray[np.floating], duration_s: float) -> F64:
    """Off-beat grid: half way between the beats, continued by half a beat at both ends where that is in the dance.

    Args:
        music_s: [B] seconds, increasing, B >= 2.
        duration_s: Length of the dance, seconds.

    Returns:
        [B - 1 .. B + 1] float64, seconds.
    """
    beats = np.asarray(music_s, dtype=np.float64)
    middle = (beats[:-1] + beats[1:]) / 2.0
    ends = np.array([1.5 * beats[0] - 0.5 * beats[1], 1.5 * beats[-1] - 0.5 * beats[-2]])
    grid = np.concatenate([ends[:1], middle, ends[1:]])
    return grid[(grid >= 0.0) & (grid < duration_s)]


def score_beats(
    music_s: NDArray[np.floating],
    motion_s: NDArray[np.floating],
    duration_s: float,
    *,
    seed: int = 0,
    num_shifts: int = NUM_SHIFTS,
) -> BeatScore:
    """All beat scores of a dance, with the probability that a dance in no relation to the music does as well.

    The dance is moved by ``num_shifts`` random times (continuous, round the end of the track); the better of the
    on-beat and the off-beat grid is taken for the dance as it is and again for each shift.

    Args:
        music_s: [B] reference beats, seconds, increasing, B >= 2.
        motion_s: [K] kinematic beats, seconds, increasing.
        duration_s: Length of the dance, seconds; beats outside are left out.
        seed: Of the shifts.
        num_shifts: S.

    Returns:
        The scores; ``shift_p`` is ``(1 + shifts at least as good) / (1 + S)``.

    Raises:
        ValueError: If fewer than two reference beats lie in the dance.
    """
    music = np.asarray(music_s, dtype=np.float64)
    music = music[(music >= 0.0) & (music < duration_s)]
    motion = np.asarray(motion_s, dtype=np.float64)
    motion = motion[(motion >= 0.0) & (motion < duration_s)]
    if len(music) < 2:
        raise ValueError(f"{len(music)} reference beats within {duration_s:.2f} s, at least 2 are needed")
    grids = (music, off_beats(music, duration_s))

    def better(shift_s: float) -> tuple[float, int]:
        moved = np.sort((motion + shift_s) % duration_s)
        scores = [beat_alignment(grid, moved) for grid in grids]
        winner = int(scores[1] > scores[0])
        return scores[winner], winner

    bas, winner = better(0.0)
    shifts = np.random.default_rng(seed).uniform(0.0, duration_s, num_shifts)
    shifted = [better(float(shift)) for shift in shifts]
    at_least = sum(score >= bas for score, _ in shifted)
    met = [
        in_sync_share(grids[grid], np.sort((motion + shift) % duration_s))
        for shift, (_, grid) in zip(shifts, shifted, strict=True)
    ]
    grid = grids[winner]
    half_s = float(np.median(np.diff(music))) / 2.0
    return BeatScore(
        bas=bas,
        reverse=beat_alignment(motion, grid),
        shift_p=(1 + at_least) / (1 + num_shifts),
        f1=beat_f1(grid, motion),
        density=len(motion) / len(music),
        is_off_beat=bool(winner),
        median_offset_ms=1000.0 * median_offset(music, motion, half_s),
        best_offset_ms=1000.0 * _best_offset(better, half_s),
        in_sync=in_sync_share(grid, motion),
        in_sync_shifted=float(np.mean(met)),
    )


def median_offset(music_s: NDArray[np.floating], motion_s: NDArray[np.floating], half_s: float) -> float:
    """Median lateness of motion beats against the half-beat grid.

    Args:
        music_s: [B] seconds.
        motion_s: [K] seconds.
        half_s: Half of a beat, seconds.

    Returns:
        Seconds in ``-half_s / 2 .. half_s / 2``, taken about the circular mean so that it does not tear at the edges.
    """
    if len(motion_s) == 0:
        return 0.0
    origin = np.interp(motion_s, music_s, np.arange(len(music_s), dtype=np.float64))
    inside = (motion_s >= music_s[0]) & (motion_s <= music_s[-1])
    turns = 2.0 * origin[inside]
    if len(turns) == 0:
        return 0.0
    centre = float(np.angle(np.exp(2j * np.pi * turns).mean()) / (2.0 * np.pi))
    residual = (turns - centre + 0.5) % 1.0 - 0.5
    turn = centre + float(np.median(residual))
    return ((turn + 0.5) % 1.0 - 0.5) * half_s


def _best_offset(better: Callable[[float], tuple[float, int]], half_s: float) -> float:
    """Lateness of the dance within a quarter beat either way, from a scan in steps of about 1 ms, seconds."""
    steps = max(int(np.ceil(half_s / 0.001)), 8)
    lateness = (np.arange(steps) / steps - 0.5) * half_s
    scores = np.array([better(-float(late))[0] for late in lateness])
    smooth = np.real(np.fft.ifft(np.fft.fft(scores) * np.exp(-0.5 * (np.fft.fftfreq(steps) * steps / 6.0) ** 2)))
    return float(lateness[int(np.argmax(smooth))])
