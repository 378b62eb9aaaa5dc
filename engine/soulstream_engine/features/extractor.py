"""From audio to feature rows: the one piece of code that both the live engine and training call.

Audio is cut into motion frames of 1600 samples whatever the block sizes were, so the rows do not depend on them.
Row ``n`` uses audio up to sample ``(n + 1) * 1600``; its beat phase is the clock at exactly ``n / 30`` s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLES_PER_FRAME, frame_to_seconds
from soulstream_engine.features.beat_clock import BeatClock
from soulstream_engine.features.extrapolate import write_clock
from soulstream_engine.features.layout import COLUMNS, NUM_FEATURES
from soulstream_engine.features.onset_events import OnsetEvents
from soulstream_engine.features.onsets import OnsetFrontEnd
from soulstream_engine.features.timbre import Chroma, Loudness, mel_column
from soulstream_engine.frames import FeatureFrame

F32 = NDArray[np.float32]

LOCK_CONFIDENCE = 0.5
"""From this confidence on, the clock counts as locked; before the first lock tempo and phase are ``None``."""

_LOUDEST = 8.0
_ONSET_SCALE = 0.5
_CONFIDENCE_FLOOR = 1e-3
_FORGET_FRAMES = 5 * FPS


class FeatureExtractor:
    """Streaming music features at 30 rows a second. Not thread-safe: one owner.

    ``bad_samples`` counts NaN and infinite samples, which are taken as 0.
    """

    def __init__(self) -> None:
        self._onsets = OnsetFrontEnd()
        self._events = OnsetEvents()
        self._clock = BeatClock()
        self._chroma = Chroma()
        self._loudness = Loudness()
        self._pending = np.zeros(SAMPLES_PER_FRAME, np.float32)
        self._filled = 0
        self._index = 0
        self._energy_gate = 0.0
        self._silent_frames = 0
        self._locked = False
        self.bad_samples = 0

    @property
    def clock(self) -> BeatClock:
        """The beat clock, for controls and inspection."""
        return self._clock

    def push(self, samples: F32) -> list[FeatureFrame]:
        """Add audio.

        Args:
            samples: [N] float32 mono at 48 kHz, N >= 0; continues where the last call ended.

        Returns:
            The frames completed by these samples, in order; often none.

        Raises:
            ValueError: ``samples`` has more than one axis.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1:
            raise ValueError(f"samples has {samples.ndim} axes, must be mono with 1")
        frames: list[FeatureFrame] = []
        start = 0
        while start < len(samples):
            take = min(SAMPLES_PER_FRAME - self._filled, len(samples) - start)
            self._pending[self._filled : self._filled + take] = samples[start : start + take]
            self._filled += take
            start += take
            if self._filled == SAMPLES_PER_FRAME:
                frames.append(self._frame(self._pending))
                self._filled = 0
        return frames

    def tap(self, time_s: float) -> bool:
        """A beat, tapped by the user at a media time in seconds; see ``BeatClock.tap``."""
        return self._clock.tap(time_s)

    def double(self) -> bool:
        """Count twice as fast; see ``BeatClock.double``."""
        return self._clock.double()

    def halve(self) -> bool:
        """Count half as fast; see ``BeatClock.halve``."""
        return self._clock.halve()

    def nudge(self, turns: float) -> None:
        """Make the beat come earlier by a share of a beat; see ``BeatClock.nudge``."""
        self._clock.nudge(turns)

    def release(self) -> None:
        """Undo tap, x2, :2 and nudge; see ``BeatClock.release``."""
        self._clock.release()

    def _frame(self, samples: F32) -> FeatureFrame:
        samples = self._clean(samples)
        onsets = self._onsets.push(samples)
        self._clock.push(onsets.hmm, onsets.tempogram)
        reading = self._clock.read(frame_to_seconds(self._index))
        level = self._loudness.push(samples, reading.trust)
        event = self._events.push(samples, self._loudness.reference)
        self._follow_silence()
        confidence = reading.trust * self._energy_gate
        if confidence < _CONFIDENCE_FLOOR:
            confidence = 0.0
        self._locked = self._locked or confidence >= LOCK_CONFIDENCE

        values = np.zeros(NUM_FEATURES, np.float32)
        values[COLUMNS["mel"]] = mel_column(onsets.log_bands)
        values[COLUMNS["chroma"]] = self._chroma.push(samples, self._onsets.reference)
        strength = np.maximum(onsets.strength, 0.0) * np.float32(_ONSET_SCALE)
        values[COLUMNS["bands"]] = strength
        values[COLUMNS["onset"]] = max(float(strength.mean()), 1.0 if event else 0.0)
        values[COLUMNS["level"]] = level
        write_clock(values, np.asarray(reading.phase), np.asarray(reading.bpm), np.asarray(confidence))
        values[COLUMNS["heard"]] = 1.0
        frame = FeatureFrame(
            index=self._index,
            values=values,
            level_dbfs=self._loudness.level_dbfs,
            onset=min(float(values[COLUMNS["onset"].start]), 1.0),
            tempo_bpm=reading.bpm if self._locked else None,
            beat_phase=reading.phase if self._locked else None,
            confidence=confidence,
            is_silent=self._loudness.is_silent,
        )
        self._index += 1
        return frame

    def _follow_silence(self) -> None:
        """Close the gate on trust within 0.3 s of silence; after 5 s what was set by hand no longer holds."""
        if self._loudness.is_silent:
            self._energy_gate *= 0.9
            self._silent_frames += 1
            if self._silent_frames == _FORGET_FRAMES:
                self._clock.release()
        else:
            self._energy_gate += (1.0 - self._energy_gate) * 0.1
            self._silent_frames = 0

    def _clean(self, samples: F32) -> F32:
        finite = np.isfinite(samples)
        if not finite.all():
            self.bad_samples += int(samples.size - np.count_nonzero(finite))
            samples = np.where(finite, samples, np.float32(0.0))
        return np.clip(samples, -_LOUDEST, _LOUDEST)


def extract(samples: F32) -> F32:
    """All feature rows of a recording, by the streaming code.

    Args:
        samples: [N] float32 mono at 48 kHz.

    Returns:
        [N // 1600, F] float32.
    """
    frames = FeatureExtractor().push(samples)
    if not frames:
        return np.zeros((0, NUM_FEATURES), np.float32)
    return np.stack([frame.values for frame in frames])
