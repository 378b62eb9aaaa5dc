"""How good is the beat clock on a track with a known grid: tempo after some seconds, phase half a second ahead.

Pure functions over feature rows; the command ``soulstream beats`` prints them. Not for: judging the dance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.features.extrapolate import extrapolate, read_clock
from soulstream_engine.features.layout import COLUMNS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TEMPO_TOLERANCE = 0.03
PHASE_TOLERANCE_S = 0.05
SETTLE_S = 8.0
AHEAD_S = 0.5


@dataclass(frozen=True, slots=True)
class TrackScore:
    """The clock against the true grid of one track.

    ``bpm_8s`` is what the clock says after 8 s of music, ``tempo_ok_8s`` and ``tempo_ok_15s`` whether it is within 3 %
    after so much music, ``tempo_ok`` the share of the time after 8 s. ``phase_s`` [M] is the signed error (negative:
    clock late), modulo half a beat, of the phase predicted half a second ahead, one for each row after 8 s;
    ``tempo_right`` [M] tells for which of them the tempo was right. ``on_beat`` is the share of rows nearer to the beat
    than to the off-beat.
    """

    bpm_8s: float
    tempo_ok_8s: bool
    tempo_ok_15s: bool
    tempo_ok: float
    confidence: float
    phase_s: F64
    tempo_right: NDArray[np.bool_]
    on_beat: float

    def within(self, *, only_right_tempo: bool = False) -> float:
        """Share of rows whose predicted phase is within 50 ms; a wrong tempo counts as a miss unless excluded."""
        good = (np.abs(self.phase_s) <= PHASE_TOLERANCE_S) & self.tempo_right
        chosen = self.tempo_right if only_right_tempo else np.ones_like(self.tempo_right)
        return float(good[chosen].mean()) if chosen.any() else 0.0


def phase_error_s(phase: F64, time_s: F64, bpm: float, first_beat_s: float, *, beat_share: float = 1.0) -> F64:
    """Signed distance in seconds between a clock and the true grid, in -half..half of the grid's step.

    Args:
        phase: [M] clock phase in turns at ``time_s``.
        time_s: [M] media time, seconds.
        bpm: True tempo.
        first_beat_s: Time of a true beat, seconds.
        beat_share: Step of the grid in beats; 0.5 forgives on-beat for off-beat.

    Returns:
        [M] positive: the clock is early.
    """
    turns = phase - (time_s - first_beat_s) * bpm / 60.0
    turns = np.mod(turns / beat_share + 0.5, 1.0) - 0.5
    return np.asarray(turns * beat_share * 60.0 / bpm, dtype=np.float64)


def score_track(rows: F32, bpm: float, first_beat_s: float) -> TrackScore:
    """Score the feature rows of a track.

    Args:
        rows: [T, F] float32 from ``extract``, more than 8 s of them.
        bpm: True tempo, constant.
        first_beat_s: Time of one true beat, seconds.

    Returns:
        The scores.

    Raises:
        ValueError: The track is 8 s or shorter.
    """
    start = int(SETTLE_S * FPS)
    if len(rows) <= start:
        raise ValueError(f"the track has {len(rows) / FPS:.1f} s of rows, needs more than {SETTLE_S:.0f} s")
    # row n has heard audio up to (n + 1) / 30 s; half a second after that is row n + 16
    steps = int(AHEAD_S * FPS) + 1
    told = rows[start - 1 :]
    predicted = extrapolate(told, steps)[:, -1]
    time_s = (np.arange(start - 1, len(rows)) + steps) / FPS
    phase, clock_bpm, _ = read_clock(predicted)
    right = np.abs(clock_bpm / bpm - 1.0) <= TEMPO_TOLERANCE
    at_15s = min(int(15.0 * FPS), len(rows)) - start
    half = phase_error_s(phase, time_s, bpm, first_beat_s, beat_share=0.5)
    whole = phase_error_s(phase, time_s, bpm, first_beat_s)
    return TrackScore(
        bpm_8s=float(clock_bpm[0]),
        tempo_ok_8s=bool(right[0]),
        tempo_ok_15s=bool(right[at_15s]),
        tempo_ok=float(right.mean()),
        confidence=float(told[:, COLUMNS["confidence"].start].mean()),
        phase_s=half,
        tempo_right=right,
        on_beat=float((np.abs(whole) < 15.0 / bpm)[right].mean()) if right.any() else 0.0,
    )


def summarise(scores: Sequence[TrackScore]) -> dict[str, float | int]:
    """Totals over tracks: counts of right tempi, share of time within 50 ms, median bias and spread of the phase.

    Args:
        scores: One for each track, at least one.

    Returns:
        Keys ``tracks tempo_ok_8s tempo_ok_15s phase_ok phase_ok_right_tempo phase_bias_ms phase_abs_ms_median
        phase_abs_ms_p90 on_beat confidence``. ``phase_ok`` weighs all time alike and counts a wrong tempo as a miss.
    """
    phase = np.concatenate([s.phase_s for s in scores])
    right = np.concatenate([s.tempo_right for s in scores])
    near = np.abs(phase) <= PHASE_TOLERANCE_S
    told = phase[right] * 1000.0 if right.any() else np.zeros(1)
    return {
        "tracks": len(scores),
        "tempo_ok_8s": sum(s.tempo_ok_8s for s in scores),
        "tempo_ok_15s": sum(s.tempo_ok_15s for s in scores),
        "phase_ok": round(float((near & right).mean()), 4),
        "phase_ok_right_tempo": round(float(near[right].mean()) if right.any() else 0.0, 4),
        "phase_bias_ms": round(float(np.median(told)), 2),
        "phase_abs_ms_median": round(float(np.median(np.abs(told))), 2),
        "phase_abs_ms_p90": round(float(np.percentile(np.abs(told), 90)), 2),
        "on_beat": round(float(np.mean([s.on_beat for s in scores])), 3),
        "confidence": round(float(np.mean([s.confidence for s in scores])), 3),
    }
