"""Onset front-end: 24 log bands every 160 samples, spectral flux in four band groups, standardised to 100 Hz.

Works on whole motion frames (1600 samples = 10 hops), always the same shapes, so that results do not depend on
how the audio was cut into blocks. Not for: deciding what is a beat (``beat_clock``). Source of every number: ours,
measured on the tune and val tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from soulstream_engine.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from soulstream_engine.features.layout import NUM_GROUPS, NUM_MEL

HOP = 160
"""Samples between spectra (3.33 ms)."""

HOPS_PER_FRAME = SAMPLES_PER_FRAME // HOP
HOPS_PER_STEP = 3
"""Hops averaged into one step of the beat clock."""

STEP_RATE = SAMPLE_RATE // HOP // HOPS_PER_STEP
"""Steps of the beat clock a second (100)."""

WINDOW = 1024
FLUX_LAG_HMM = 6
"""Hops between the spectra that are compared for the HMM (20 ms)."""

FLUX_LAG_TEMPOGRAM = 16
"""Hops between the spectra that are compared for the tempogram (53 ms)."""

LEVEL_FLOOR = 1e-4
"""Lowest level reference; a full-scale sine has magnitude 1."""

_GROUP_STARTS = (0, 2, 6, 13)
_RISE, _FALL = 0.01, 1.0 / 600.0
_MEMORY_STEPS = 2 * STEP_RATE
_DEVIATION_FLOOR = 0.02
_CLIP = 5.0

F32 = NDArray[np.float32]


def mel_bands(num_bands: int = NUM_MEL, low_hz: float = 30.0, high_hz: float = 16_000.0, window: int = WINDOW) -> F32:
    """Triangular bands with peak 1, evenly spaced in mel.

    Args:
        num_bands: Number of bands B.
        low_hz: Lower edge of the first band, Hz.
        high_hz: Upper edge of the last band, Hz.
        window: FFT length in samples.

    Returns:
        [window / 2 + 1, B] float32 weights for magnitudes.
    """
    mel = np.linspace(np.log1p(low_hz / 700.0), np.log1p(high_hz / 700.0), num_bands + 2)
    edges = 700.0 * np.expm1(mel)
    hz = np.arange(window // 2 + 1)[:, None] * (SAMPLE_RATE / window)
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class OnsetFrame:
    """What one motion frame of audio gives.

    ``log_bands`` [10, 24] log magnitude against the level reference; ``hmm`` and ``tempogram`` [K, 4] standardised
    onset strength of the band groups (K is 3 or 4 steps of 10 ms); ``strength`` [4] the largest of ``hmm``.
    """

    log_bands: F32
    hmm: NDArray[np.float64]
    tempogram: NDArray[np.float64]
    strength: F32


class OnsetFrontEnd:
    """Turns frames of 1600 samples into log bands and standardised onset strengths. Causal, stateful, no look-ahead."""

    def __init__(self) -> None:
        self._window = _hann(WINDOW) * np.float32(4.0 / WINDOW)
        self._mel = mel_bands()
        self._samples = np.zeros(WINDOW - HOP + SAMPLES_PER_FRAME, np.float32)
        self._views = np.lib.stride_tricks.sliding_window_view(self._samples, WINDOW)[::HOP]
        self._reference = LEVEL_FLOOR
        self._log = np.zeros((FLUX_LAG_TEMPOGRAM + HOPS_PER_FRAME, NUM_MEL), np.float32)
        self._widest = np.zeros_like(self._log)
        self._pending = np.zeros((0, 2 * NUM_GROUPS))
        self._mean = np.zeros(2 * NUM_GROUPS)
        self._square = np.zeros(2 * NUM_GROUPS)
        self._count = 0
        sizes = np.diff((*_GROUP_STARTS, NUM_MEL))
        self._group_size = np.tile(sizes, 2).astype(np.float64)

    @property
    def reference(self) -> float:
        """Running level reference (mean band magnitude)."""
        return self._reference

    def push(self, samples: F32) -> OnsetFrame:
        """Process one motion frame.

        Args:
            samples: [1600] float32, finite.

        Returns:
            The bands and onset strengths of these samples.
        """
        keep = WINDOW - HOP
        self._samples[:keep] = self._samples[-keep:].copy()
        self._samples[keep:] = samples
        spectra = np.abs(scipy.fft.rfft(self._views * self._window, axis=1))
        bands = spectra @ self._mel
        log_bands = np.log1p(bands * (10.0 / self._follow(bands))[:, None])

        lag = FLUX_LAG_TEMPOGRAM
        self._log[:lag] = self._log[-lag:].copy()
        self._widest[:lag] = self._widest[-lag:].copy()
        self._log[lag:] = log_bands
        widest = self._widest[lag:]
        np.copyto(widest, log_bands)
        np.maximum(widest[:, 1:], log_bands[:, :-1], out=widest[:, 1:])
        np.maximum(widest[:, :-1], log_bands[:, 1:], out=widest[:, :-1])

        rise = np.empty((HOPS_PER_FRAME, 2 * NUM_MEL), np.float32)
        fast = lag - FLUX_LAG_HMM
        np.subtract(log_bands, self._widest[fast : fast + HOPS_PER_FRAME], out=rise[:, :NUM_MEL])
        np.subtract(log_bands, self._widest[:HOPS_PER_FRAME], out=rise[:, NUM_MEL:])
        np.maximum(rise, 0.0, out=rise)
        starts = (*_GROUP_STARTS, *(s + NUM_MEL for s in _GROUP_STARTS))
        flux = np.add.reduceat(rise, starts, axis=1).astype(np.float64) / self._group_size
        onsets = self._standardise(flux)
        hmm, tempogram = onsets[:, :NUM_GROUPS], onsets[:, NUM_GROUPS:]
        return OnsetFrame(log_bands, hmm, tempogram, hmm.max(axis=0).astype(np.float32))

    def _follow(self, bands: F32) -> F32:
        """Level reference [10] for each hop: starts at the first sound, rises 1 %, falls 1/600 of the gap a hop."""
        reference = self._reference
        followed = np.empty(HOPS_PER_FRAME, np.float32)
        for hop, level in enumerate(bands.mean(axis=1).tolist()):
            if reference <= LEVEL_FLOOR:
                reference = level
            reference += (level - reference) * (_RISE if level > reference else _FALL)
            reference = max(reference, LEVEL_FLOOR)
            followed[hop] = reference
        self._reference = reference
        return followed

    def _standardise(self, flux: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of three hops, then distance from the running mean in running deviations, at most 5: [K, 8]."""
        hops = np.concatenate([self._pending, flux])
        steps = len(hops) // HOPS_PER_STEP
        used = steps * HOPS_PER_STEP
        self._pending = hops[used:]
        means = hops[:used].reshape(steps, HOPS_PER_STEP, -1).mean(axis=1)
        onsets = np.empty_like(means)
        for k in range(steps):
            self._count += 1
            rate = 1.0 / min(self._count, _MEMORY_STEPS)
            self._mean += rate * (means[k] - self._mean)
            self._square += rate * (means[k] ** 2 - self._square)
            deviation = np.sqrt(np.maximum(self._square - self._mean**2, 0.0))
            onsets[k] = (means[k] - self._mean) / (deviation + _DEVIATION_FLOOR)
        return np.asarray(np.minimum(onsets, _CLIP), dtype=np.float64)


def _hann(length: int) -> F32:
    """Periodic Hann window [length] float32."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)).astype(np.float32)
