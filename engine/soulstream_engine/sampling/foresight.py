"""Which of several plans to dance: the one whose moments of rest fall on the expected beats.

The decoder shows how fast the body of each plan will move. A rest on a beat speaks for a plan, a rest anywhere else
against it, and the near future counts for more, because the rest of the plan is drawn anew at the next tick. The beats
are those of the rows that the network sees, so this works as far ahead as the clock does. Nothing is corrected: every
plan is danced as it was drawn. Source: ours (ADR 8).

Letters: C plans, T planned frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS
from soulstream_engine.motion.rests import minima, smoothed

from .schedule import F32

F64 = NDArray[np.float64]

WIDTH_S = 0.05
"""A rest this far from a beat counts exp(-1/2) of one on it."""
COST = 0.6
"""What every rest costs; one on the beat is worth 1 before it."""
HORIZON_S = 0.3
"""After so long a rest counts 1/e."""
SURE = 0.3
"""Below this confidence of the clock nothing is expected and the first plan is danced."""
_REMEMBERED = 16
_EARLIEST_FRAME = -6
_UNSEEN_FRAMES = 4


class Foresight:
    """Chooses plans, remembering how fast the body moved.

    Args:
        delay_frames: Frames by which decoded motion lags its codes.
    """

    def __init__(self, delay_frames: int) -> None:
        self._delay = delay_frames
        self._past: F64 = np.zeros(0)

    def reset(self) -> None:
        """Forget the motion so far."""
        self._past = np.zeros(0)

    def choose(self, pace: F32, phase: F64, bpm: F64, confidence: F64) -> int:
        """The plan to dance.

        Args:
            pace: [C, T] mean joint speed, m/s; column i lies half a frame before decoded row i.
            phase: [T] beat phase in turns at the planned frames.
            bpm: [T] tempo there.
            confidence: [T] trust in both.

        Returns:
            0..C-1; 0 while the clock is not sure.
        """
        if len(pace) == 1 or confidence[0] < SURE:
            return 0
        running = np.unwrap(phase, period=1.0)
        beat_s = 60.0 / float(bpm[0])
        return int(np.argmax([self._score(self._begun(curve), running, beat_s) for curve in pace]))

    def danced(self, pace: F32, frames: int) -> None:
        """Remember the pace of the frames that were committed, the first ones of a plan's [T]."""
        self._past = np.concatenate([self._past, self._begun(pace)[:frames]])[-_REMEMBERED:]

    def _begun(self, pace: F32) -> F32:
        """At the start of a stream the decoder has no frame before its first, and its smoother mixes that into more."""
        if len(self._past):
            return pace
        first = 2 * self._delay + 1
        return np.concatenate([np.repeat(pace[first], first), pace[first:]])

    def _score(self, pace: F32, running: F64, beat_s: float) -> float:
        """Worth of one plan."""
        known = len(self._past)
        frame = minima(smoothed(np.concatenate([self._past, pace]), FPS)) - known - 0.5 - self._delay
        frame = frame[(frame > _EARLIEST_FRAME) & (frame < len(pace) - _UNSEEN_FRAMES)]
        phase = running[0] + frame / FPS / beat_s  # before the first planned frame, where no row says it
        inside = frame >= 0.0
        phase[inside] = np.interp(frame[inside], np.arange(len(running)), running)
        late_s = ((phase + 0.5) % 1.0 - 0.5) * beat_s
        near = np.exp(-np.maximum(frame, 0.0) / (HORIZON_S * FPS))
        return float(np.sum(near * (np.exp(-0.5 * (late_s / WIDTH_S) ** 2) - COST)))
