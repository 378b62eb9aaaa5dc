"""Timbre and energy columns: band shape, chroma, loudness against a running reference, silence.

All causal, one call for each motion frame of 1600 samples. Not for: onsets (``onsets``). Source of numbers: ours.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from soulstream_engine.clock import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.features.layout import NUM_CHROMA

F32 = NDArray[np.float32]

SILENCE_DBFS = -55.0
"""Below this for half a second is silence."""

LOWEST_DBFS = -120.0

_CHROMA_WINDOW = 8192
_CHROMA_LOW_HZ, _CHROMA_HIGH_HZ = 110.0, 2200.0
_CHROMA_MEMORY_S = 0.2
_MEL_CENTRE, _MEL_SCALE, _MEL_LARGEST = 1.8, 0.75, 3.0
_LEVEL_SCALE_DB = 6.0
_LOWEST_POWER = 1e-7


def mel_column(log_bands: F32) -> F32:
    """Mean over the hops, shifted and scaled to about -2.4..3 (at most 3): [10, 24] -> [24]."""
    scaled = (log_bands.mean(axis=0) - _MEL_CENTRE) / _MEL_SCALE
    return np.asarray(np.minimum(scaled, _MEL_LARGEST), dtype=np.float32)


class Chroma:
    """Pitch classes from a right-aligned window of 171 ms, smoothed over 0.2 s."""

    def __init__(self) -> None:
        count = np.arange(_CHROMA_WINDOW)
        self._window = (0.5 - 0.5 * np.cos(2.0 * np.pi * count / _CHROMA_WINDOW)).astype(np.float32)
        self._samples = np.zeros(_CHROMA_WINDOW, np.float32)
        hz = np.arange(1, _CHROMA_WINDOW // 2 + 1) * (SAMPLE_RATE / _CHROMA_WINDOW)
        chosen = (hz >= _CHROMA_LOW_HZ) & (hz <= _CHROMA_HIGH_HZ)
        self._first = int(np.argmax(chosen)) + 1
        self._last = self._first + int(chosen.sum())
        pitch = 12.0 * np.log2(hz[chosen] / 440.0) + 9.0  # semitones above C
        off = np.mod(pitch[:, None] - np.arange(NUM_CHROMA) + 6.0, 12.0) - 6.0
        self._map = np.exp(-0.5 * (off / 0.5) ** 2).astype(np.float32)
        self._smooth = np.zeros(NUM_CHROMA, np.float32)
        self._rate = np.float32(1.0 - np.exp(-1.0 / (_CHROMA_MEMORY_S * FPS)))

    def push(self, samples: F32, floor: float) -> F32:
        """One frame.

        Args:
            samples: [1600] float32.
            floor: Magnitude below which there is nothing to hear (level reference of the onset front-end).

        Returns:
            [12] float32 in -0.5..0.5, or 0 everywhere when there is nothing to hear.
        """
        self._samples[:-SAMPLES_PER_FRAME] = self._samples[SAMPLES_PER_FRAME:].copy()
        self._samples[-SAMPLES_PER_FRAME:] = samples
        spectrum = np.abs(scipy.fft.rfft(self._samples * self._window)[self._first : self._last])
        energy = np.square(spectrum * np.float32(4.0 / _CHROMA_WINDOW) / np.float32(floor)) @ self._map
        self._smooth += self._rate * (np.minimum(energy, np.float32(1e6)) - self._smooth)
        loudest = float(self._smooth.max())
        if loudest < 1e-3:
            return np.zeros(NUM_CHROMA, np.float32)
        return np.asarray(np.sqrt(self._smooth / loudest) - 0.5, dtype=np.float32)


class Loudness:
    """Level in dBFS, level against the music so far, and whether there is music at all."""

    def __init__(self) -> None:
        self._reference = 0.0
        self._floor_db = -60.0
        self._quiet_frames = 0
        self.level_dbfs = LOWEST_DBFS
        self.is_silent = True

    @property
    def reference(self) -> float:
        """Running root mean square of the music so far, at least 3e-4."""
        return math.sqrt(max(self._reference, _LOWEST_POWER))

    def push(self, samples: F32, trust: float) -> float:
        """One frame.

        Args:
            samples: [1600] float32.
            trust: Trust in the beat clock 0..1: steady quiet music with a beat is not background noise.

        Returns:
            The ``level`` column: 6 dB above the running level is 1; -3..2.
        """
        power = float(np.square(samples, dtype=np.float64).mean())
        self.level_dbfs = max(10.0 * math.log10(power + 1e-20), LOWEST_DBFS)
        # the quietest recent level, rising 1 dB a second: the noise of the room
        self._floor_db = min(self._floor_db + 1.0 / FPS, max(self.level_dbfs, -90.0))
        threshold = SILENCE_DBFS
        if trust < 0.5:
            threshold = min(max(threshold, self._floor_db + 4.0), -40.0)
        if self.level_dbfs > threshold + (2.0 if self.is_silent else 0.0):
            self._quiet_frames = 0
            self.is_silent = False
        else:
            self._quiet_frames += 1
            self.is_silent = self.is_silent or self._quiet_frames >= FPS // 2
        if not self.is_silent:
            rate = (1.0 if power > self._reference else 0.1) / FPS
            self._reference = power if self._reference == 0.0 else self._reference + rate * (power - self._reference)
        reference_db = 10.0 * math.log10(max(self._reference, _LOWEST_POWER))
        return min(max((self.level_dbfs - reference_db) / _LEVEL_SCALE_DB, -3.0), 2.0)
