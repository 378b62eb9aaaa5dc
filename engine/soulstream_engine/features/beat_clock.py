"""The beat clock: onset strengths in, phase, tempo and trust out, and the user's hand on top (tap, x2, :2, nudge).

Joins the bar-pointer model (``hmm``) and the comb tempogram (``tempogram``). Time is media time, counted in steps of
10 ms from the first sample. Not for: levels and silence (``loudness``). Source of every number: ours, measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.features.hmm import LENGTH_BPM, BeatHmm
from soulstream_engine.features.onsets import STEP_RATE
from soulstream_engine.features.phase_lock import ONSET_DELAY_S, TEMPLATE_TURNS, PhaseLock
from soulstream_engine.features.tempogram import TEMPI, Tempogram

MIN_BPM = float(LENGTH_BPM[-1])
MAX_BPM = float(LENGTH_BPM[0])

TEMPOGRAM_POWER = 0.05
"""Share of the tempogram's log probability that the HMM takes every 100 ms."""

DOUBT_MASS, SURE_MASS = 0.6, 0.95
DOUBT_FIT, SURE_FIT = 0.15, 0.35
"""Where trust starts and is full, for the probability of the tempo and the fit of the onsets. White noise has a fit of
0.03 at most (90 %), random syllables 0.17, tracks with the right tempo 0.36 at least (95 %)."""

_SCORE_EVERY = STEP_RATE // 10
_SCORE_FLOOR = -8.0

_KEEP_RATIO = 4.0 / 3.0
"""A tempo set by hand keeps the clock between 3/4 and 4/3 of it: no octave, no 3:2, but drift is followed."""

_OUTSIDE = 1e-3
_TAP_PAUSE_S = 2.5
_MAX_TAPS = 12


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The clock at one instant: ``phase`` turns 0..1, ``bpm``, ``trust`` 0..1 (without the energy gate)."""

    phase: float
    bpm: float
    trust: float


class BeatClock:
    """Causal beat tracker with manual override. Deterministic; state depends only on the steps and calls so far."""

    def __init__(self) -> None:
        self._hmm = BeatHmm()
        self._tempogram = Tempogram()
        self._fine = PhaseLock()
        self._steps = 0
        self._trust = 0.0
        self._offset = 0.0
        self._taps: list[float] = []
        self._held_bpm: float | None = None

    @property
    def time_s(self) -> float:
        """Media time of the last step, seconds."""
        return self._steps / STEP_RATE

    def push(self, hmm: NDArray[np.float64], tempogram: NDArray[np.float64]) -> None:
        """Add steps of 10 ms.

        Args:
            hmm: [K, 4] onset strengths over 20 ms.
            tempogram: [K, 4] onset strengths over 53 ms.
        """
        for strength, slow in zip(hmm.sum(axis=1).tolist(), tempogram, strict=True):
            self._hmm.step(strength)
            self._fine.step(strength)
            self._tempogram.step(slow)
            self._steps += 1
            if self._steps % _SCORE_EVERY == 0:
                self._score()

    def read(self, time_s: float) -> ClockReading:
        """The clock at a media time, from the belief at the last step run forward or back.

        Args:
            time_s: Media time, seconds; normally within a second of the last step.
        """
        bpm = self._fine.bpm
        phase = self._fine.phase + (time_s - self.time_s) * bpm / 60.0 + self._offset
        return ClockReading(phase % 1.0, bpm, self._trust)

    def tap(self, time_s: float) -> bool:
        """The user says: there is a beat now. From the second tap on, tempo and phase follow the taps.

        Args:
            time_s: Media time of the tap, seconds.

        Returns:
            Whether the clock was set.
        """
        if self._taps and not 0.05 < time_s - self._taps[-1] < _TAP_PAUSE_S:
            self._taps = []
        self._taps = [*self._taps, time_s][-_MAX_TAPS:]
        if len(self._taps) < 2:
            return False
        times = np.asarray(self._taps)
        gaps = np.diff(times)
        counts = np.concatenate([[0.0], np.cumsum(np.maximum(np.round(gaps / np.median(gaps)), 1.0))])
        period, start = np.polyfit(counts, times, 1)
        bpm = 60.0 / float(period)
        while bpm < MIN_BPM:
            bpm *= 2.0
        while bpm > MAX_BPM:
            bpm /= 2.0
        last = float(start + period * counts[-1])
        self._offset = 0.0
        self._set(bpm, (self.time_s - last) * bpm / 60.0)
        return True

    def double(self) -> bool:
        """Count twice as fast. Returns False where that would leave 55-214 BPM."""
        return self._scale(2.0)

    def halve(self) -> bool:
        """Count half as fast. Returns False where that would leave 55-214 BPM."""
        return self._scale(0.5)

    def nudge(self, turns: float) -> None:
        """Shift the phase that is read out for good, until the next tap.

        Args:
            turns: Positive makes the beat come earlier; 0.5 swaps on-beat and off-beat.
        """
        self._offset = (self._offset + turns) % 1.0

    def release(self) -> None:
        """Forget a tempo set by hand and the nudge: the clock decides alone again."""
        self._held_bpm = None
        self._offset = 0.0
        self._taps = []
        self._hmm.restrict(None)

    def _scale(self, ratio: float) -> bool:
        bpm = self._fine.bpm * ratio
        if not MIN_BPM <= bpm <= MAX_BPM:
            return False
        self._offset *= ratio
        self._set(bpm, self._fine.phase * ratio)
        return True

    def _set(self, bpm: float, phase: float) -> None:
        """Start again from a tempo and the phase of the sound at the last step; stay near that tempo."""
        onset_phase = (phase + TEMPLATE_TURNS - ONSET_DELAY_S * bpm / 60.0) % 1.0
        self._held_bpm = bpm
        self._hmm.restrict(self._allowed(bpm))
        self._hmm.seed(bpm, onset_phase)
        self._fine.set(onset_phase, bpm, fit=SURE_FIT)
        self._trust = 1.0

    @staticmethod
    def _allowed(bpm: float) -> NDArray[np.bool_]:
        return (bpm / _KEEP_RATIO < LENGTH_BPM) & (bpm * _KEEP_RATIO > LENGTH_BPM)

    def _score(self) -> None:
        """Every 100 ms: the tempogram's vote, the tempo set by hand, and trust."""
        scores = np.interp(LENGTH_BPM, TEMPI, self._tempogram.scores())
        self._hmm.weigh(np.exp(TEMPOGRAM_POWER * np.maximum(scores, _SCORE_FLOOR)))
        if self._held_bpm is not None:
            allowed = self._allowed(self._held_bpm)
            self._hmm.weigh(np.where(allowed, 1.0, _OUTSIDE))
            self._hmm.restrict(allowed)
        belief = self._hmm.read()
        self._fine.follow(belief.phase, belief.bpm)
        if self._held_bpm is not None:
            self._held_bpm = min(max(belief.bpm, MIN_BPM), MAX_BPM)
        tempo = (belief.mass - DOUBT_MASS) / (SURE_MASS - DOUBT_MASS)
        fit = (self._fine.fit - DOUBT_FIT) / (SURE_FIT - DOUBT_FIT)
        target = min(max(tempo, 0.0), 1.0) * min(max(fit, 0.0), 1.0)
        self._trust += (target - self._trust) * (0.1 if target > self._trust else 0.2)
